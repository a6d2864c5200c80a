import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mergePatch } from '../../src/http/merge-patch.ts';

/** RFC 7396 Appendix A, but for its four patches that are no objects: those do not get past readJsonObject. */
const APPENDIX_A: readonly [original: string, patch: string, result: string][] = [
  ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
  ['{"a":"b"}', '{"a":null}', '{}'],
  ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
  ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
  ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
  ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
  ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
  ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
  ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
];
for (const [original, patch, result] of APPENDIX_A) {
  test(`${original} patched with ${patch} is ${result} (RFC 7396 Appendix A)`, () => {
    assert.deepEqual(mergePatch(JSON.parse(original), JSON.parse(patch)), JSON.parse(result));
  });
}

test('the example of RFC 7396 §3', () => {
  const original = { title: 'Goodbye!', author: { givenName: 'John', familyName: 'Doe' }, tags: ['example', 'sample'], content: 'x' };
  const patch = { title: 'Hello!', phoneNumber: '+01-123-456-7890', author: { familyName: null }, tags: ['example'] };
  assert.deepEqual(mergePatch(original, patch), {
    title: 'Hello!',
    author: { givenName: 'John' },
    tags: ['example'],
    content: 'x',
    phoneNumber: '+01-123-456-7890',
  });
});

const object = fc.dictionary(fc.string({ maxLength: 3 }), fc.jsonValue(), { noNullPrototype: true });

test('neither document is changed; an empty patch changes nothing; a patch twice is a patch once', () => {
  fc.assert(
    fc.property(object, object, (original, patch) => {
      const before = structuredClone([original, patch]);
      const patched = mergePatch(original, patch);
      assert.deepEqual(mergePatch(patched, patch), patched);
      assert.deepEqual(mergePatch(original, {}), original);
      assert.deepEqual([original, patch], before);
    }),
  );
});

test('no result has a null that was not there, and no prototype is touched', () => {
  const patched = mergePatch({}, JSON.parse('{"__proto__":{"polluted":true},"constructor":{"x":null}}'));
  assert.equal(Object.getPrototypeOf(patched), Object.prototype);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  assert.deepEqual(patched.constructor, {});
});
