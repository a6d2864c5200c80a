import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type AccessTokenRecord, accessTokenClaims, PROTOCOL_CLAIMS } from '../../src/core/access-token.ts';
import { NOW, tokenRecord } from '../contracts/stores.ts';

const ISSUER = 'https://auth.example.com';

test('the claims of RFC 9068 §2.2', () => {
  const record = tokenRecord({ claims: { tenant: 'acme' } });
  assert.deepEqual(accessTokenClaims(record, ISSUER), {
    tenant: 'acme',
    iss: ISSUER,
    sub: 'billing',
    aud: 'https://api.example.com',
    client_id: 'billing',
    scope: 'read write',
    iat: NOW,
    exp: NOW + 3600,
    jti: record.jti,
  });
});

for (const [why, members, claim, expected] of [
  ['one audience is a string', { audience: ['a'] }, 'aud', 'a'],
  ['several audiences are an array', { audience: ['a', 'b'] }, 'aud', ['a', 'b']],
  ['no scope, no claim', { scope: [] }, 'scope', undefined],
] as const satisfies readonly [string, Partial<AccessTokenRecord>, string, unknown][]) {
  test(`${why} (RFC 7519 §4.1.3, RFC 9068 §2.2.3)`, () => {
    assert.deepEqual(accessTokenClaims(tokenRecord(members), ISSUER)[claim], expected);
  });
}

test('neither the hash nor the position in the change log is a claim', () => {
  const names = Object.keys(accessTokenClaims(tokenRecord(), ISSUER)).sort();
  assert.deepEqual(names, ['aud', 'client_id', 'exp', 'iat', 'iss', 'jti', 'scope', 'sub']);
});

test('static claims never win over the protocol, also those of a record from before a rule', () => {
  const protocol = ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id', 'scope'];
  fc.assert(
    fc.property(fc.dictionary(fc.oneof(fc.constantFrom(...protocol), fc.string()), fc.jsonValue()), (claims) => {
      const record = tokenRecord({ claims });
      const plain = accessTokenClaims({ ...record, claims: {} }, ISSUER);
      const made = accessTokenClaims(record, ISSUER);
      for (const name of protocol) assert.deepEqual(made[name], plain[name]);
      for (const name of Object.keys(claims).filter((name) => !protocol.includes(name))) assert.deepEqual(made[name], claims[name]);
    }),
  );
});

test('every claim that the server sets is one that a client may not set', () => {
  for (const name of Object.keys(accessTokenClaims(tokenRecord(), ISSUER))) assert.ok(PROTOCOL_CLAIMS.has(name), name);
});

// Reported: with no scope granted, nothing is laid over a static claim `scope`. Only PROTOCOL_CLAIMS keeps it out, at the time of writing.
test('a static claim `scope` does not become the scope of a token that has none', () => {
  assert.equal(accessTokenClaims(tokenRecord({ scope: [], claims: { scope: 'admin' } }), ISSUER).scope, undefined);
});
