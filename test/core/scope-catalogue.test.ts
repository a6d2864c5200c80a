import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { editDistance } from '../../src/core/edit-distance.ts';
import { unknownScopeFields, unknownScopes } from '../../src/core/scope-catalogue.ts';

const KNOWN = ['invoices:read', 'invoices:write', 'mail', 'auth:clients', 'a', `${'x'.repeat(65)}`];

for (const [name, meant] of [
  ['invoice:read', 'invoices:read'],
  ['invoices:raed', 'invoices:read'],
  ['invoices:wirte', 'invoices:write'],
  ['invoices.read', 'invoices:read'],
  ['auth:client', 'auth:clients'],
  ['mial', undefined],
  ['mai', 'mail'],
  ['zebra', undefined],
  ['payments:read', undefined],
  ['x'.repeat(66), undefined],
] as const) {
  test(`of ${name.slice(0, 20)} ${meant ?? 'nothing'} is what may have been meant`, () => {
    const [field] = unknownScopes(unknownScopeFields([name], KNOWN)).fields;
    assert.equal(field?.pointer, '/scope');
    assert.equal(field?.detail, `${name} is not in the scope catalogue${meant === undefined ? '' : `; did you mean ${meant}?`}`);
  });
}

test('many unknown scopes make a short answer', () => {
  const names = Array.from({ length: 500 }, (_, n) => `${n}`.padEnd(600, 'x'));
  const { fields } = unknownScopes(unknownScopeFields(names, KNOWN));
  assert.ok(JSON.stringify(fields).length < 4_000);
});

test('the comparison with a large catalogue does not hold up the others', () => {
  const names = (count: number, seed: number) =>
    Array.from({ length: count }, (_, n) => createHash('sha256').update(`${seed} ${n}`).digest('hex').slice(0, 48));
  const [known, unknown] = [names(2_000, 1), names(1_000, 2)];
  const since = performance.now();
  unknownScopeFields(unknown, known);
  assert.ok(performance.now() - since < 250);
});

test('the distance of two texts is a metric', () => {
  const text = fc.stringMatching(/^[ab]{0,6}$/);
  fc.assert(
    fc.property(text, text, text, (a, b, c) => {
      assert.equal(editDistance(a, b) === 0, a === b);
      assert.equal(editDistance(a, b), editDistance(b, a));
      assert.ok(editDistance(a, c) <= editDistance(a, b) + editDistance(b, c));
      assert.ok(editDistance(a, b) <= Math.max(a.length, b.length));
    }),
  );
});
