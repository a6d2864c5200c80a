import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OAuthError } from '../../src/core/errors.ts';
import { narrowScope, OWN_SCOPES, ownScopes, parseScope } from '../../src/core/scope.ts';

const TEXTS: readonly [text: string, parsed: readonly string[] | undefined][] = [
  ['', []],
  ['read', ['read']],
  ['read write', ['read', 'write']],
  ['write read write', ['write', 'read']],
  ['!#[]~', ['!#[]~']],
  ['https://api.example.com/read', ['https://api.example.com/read']],
  [' ', undefined],
  [' read', undefined],
  ['read ', undefined],
  ['read  write', undefined],
  ['read\twrite', undefined],
  ['read\nwrite', undefined],
  ['read\n', undefined],
  ['re"ad', undefined],
  ['re\\ad', undefined],
  ['re\0ad', undefined],
  ['re\x7fad', undefined],
  ['réad', undefined],
];
for (const [text, parsed] of TEXTS) {
  test(`scope ${JSON.stringify(text)} is ${parsed ? JSON.stringify(parsed) : 'malformed'} (RFC 6749 §3.3)`, () => {
    assert.deepEqual(parseScope(text), parsed);
  });
}

test('one character is a scope token exactly if the grammar says so: %x21 / %x23-5B / %x5D-7E (RFC 6749 §3.3)', () => {
  for (let code = 0; code < 0x300; code++) {
    const allowed = code >= 0x21 && code <= 0x7e && code !== 0x22 && code !== 0x5c;
    assert.equal(parseScope(String.fromCharCode(code)) !== undefined, allowed, `U+${code.toString(16)}`);
  }
});

const scopeToken = fc.stringMatching(/^[\x21\x23-\x5b\x5d-\x7e]{1,12}$/);
const scopeList = fc.uniqueArray(scopeToken, { maxLength: 8 });

test('what is printed is read back in its order', () => {
  fc.assert(fc.property(scopeList, (scope) => assert.deepEqual(parseScope(scope.join(' ')), scope)));
});

test('a long scope is judged in linear time', () => {
  const started = performance.now();
  parseScope(`${'a '.repeat(50_000)}"`);
  parseScope(`${'a'.repeat(100_000)}"`);
  assert.ok(performance.now() - started < 500);
});

test('nothing asked: all that the client is registered for (RFC 6749 §3.3: a default)', () => {
  assert.deepEqual(narrowScope(undefined, ['write', 'read']), ['write', 'read']);
  assert.deepEqual(narrowScope(undefined, []), []);
});

test('narrowing gives what was asked, without repetitions and in that order, if all of it is registered', () => {
  fc.assert(
    fc.property(scopeList, fc.array(fc.nat(7), { minLength: 1 }), (registered, picks) => {
      const asked = picks.flatMap((pick) => registered[pick] ?? []);
      assert.deepEqual(narrowScope(asked.join(' '), registered), [...new Set(asked)]);
    }),
  );
});

test('narrowing never gives more than is registered: one token too many refuses all (RFC 6749 §5.2)', () => {
  fc.assert(
    fc.property(scopeList, scopeToken, fc.nat(), (registered, extra, place) => {
      fc.pre(!registered.includes(extra));
      const asked = registered.toSpliced(place % (registered.length + 1), 0, extra);
      assert.throws(() => narrowScope(asked.join(' '), registered), { code: 'invalid_scope' });
    }),
  );
});

for (const [why, asked] of [
  ['malformed', 'read  write'],
  ['with a trailing space', 'read '],
  ['of another case', 'READ'],
  ['a prefix of a registered one', 'rea'],
  ['more than registered', 'read admin'],
] as const) {
  test(`a scope ${why} is refused with invalid_scope (RFC 6749 §5.2)`, () => {
    assert.throws(
      () => narrowScope(asked, ['read', 'write']),
      (error) => error instanceof OAuthError && error.code === 'invalid_scope' && !error.message.includes(asked),
    );
  });
}

test('own scopes are those that begin with auth:, all of OWN_SCOPES among them', () => {
  assert.deepEqual(ownScopes(['auth:x', 'read', 'xauth:y', 'auth', 'AUTH:z']), ['auth:x']);
  assert.deepEqual(ownScopes(OWN_SCOPES), OWN_SCOPES);
  assert.deepEqual(parseScope(OWN_SCOPES.join(' ')), OWN_SCOPES);
});
