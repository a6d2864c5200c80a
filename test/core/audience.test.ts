import assert from 'node:assert/strict';
import { test } from 'node:test';
import { audienceOf } from '../../src/core/audience.ts';

const ISSUER = 'https://auth.example.com';
const [A, B] = ['https://a.example.com', 'https://b.example.com/v1'];

/** What a token is for, by the client's audience, the granted scope and the resources that were asked for. */
const AUDIENCES: readonly [
  registered: readonly string[],
  scope: string,
  resources: readonly string[],
  expected: readonly string[] | 'invalid_target',
][] = [
  [[], 'read', [], [ISSUER]],
  [[A, B], 'read', [], [A, B]],
  [[A], 'read auth:clients', [], [A, ISSUER]],
  [[A, ISSUER], 'auth:clients', [], [A, ISSUER]],
  [[A, B], 'read', [B], [B]],
  [[A, B], 'read', [B, A], [B, A]],
  [[A, B], 'read', [B, B], [B]],
  [[], 'read', [ISSUER], [ISSUER]],
  [[A], 'read auth:clients', [ISSUER], [ISSUER]],
  [[A], 'read auth:clients', [A, ISSUER], [A, ISSUER]],
  [[], 'read', [A], 'invalid_target'],
  [[A], 'read', [B], 'invalid_target'],
  [[A], 'read', [A, B], 'invalid_target'],
  [[A], 'read', [ISSUER], 'invalid_target'],
  [[A], 'read', [`${A}/`], 'invalid_target'],
  [[A], 'read', [A.toUpperCase()], 'invalid_target'],
  [[A], 'read', [`${A}#`], 'invalid_target'],
  [['orders', '/a', 'https://x.example#y'], 'read', ['orders'], 'invalid_target'],
  [['orders', '/a', 'https://x.example#y'], 'read', ['/a'], 'invalid_target'],
  [['orders', '/a', 'https://x.example#y'], 'read', ['https://x.example#y'], 'invalid_target'],
  [[A], 'auth:clients', [A], 'invalid_target'],
  [[A, ISSUER], 'read auth:audit', [A], 'invalid_target'],
];
for (const [registered, scope, resources, expected] of AUDIENCES) {
  const asked = `${resources.join(' ') || 'nothing'} of ${registered.join(' ') || 'the default'} for "${scope}"`;
  test(`RFC 8707 §2: asked for ${asked}: ${expected}`, () => {
    const audience = () => audienceOf({ registered, scope: scope.split(' '), resources }, ISSUER);
    if (expected === 'invalid_target') assert.throws(audience, { code: expected });
    else assert.deepEqual(audience(), expected);
  });
}
