import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TokenCache } from '../../src/coherence/token-cache.ts';
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import { type AccessToken, hashToken, type TokenHash } from '../../src/core/reference-token.ts';
import { NOW, tokenRecord } from '../contracts/stores.ts';

const hashOf = (n: number): TokenHash => hashToken(`token ${n}` as AccessToken);
const AMPLE = 10_000_000;

/** Few of each, so that records have shapes in common. JSON writes -0 as 0, and so does PostgreSQL. */
const claims = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 2 }).map((value) => JSON.parse(JSON.stringify(value)));
const shapes = fc.array(
  fc.record({
    clientId: fc.string(),
    subject: fc.string(),
    scope: fc.array(fc.string(), { maxLength: 3 }),
    audience: fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: 2 }),
    claims,
    secretId: fc.option(fc.uuid(), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 4 },
);
const position = fc.oneof(fc.nat(), fc.maxSafeNat());
const fixed = fc.record({
  tokenHash: fc.oneof(
    fc.nat(20).map(hashOf),
    fc.constantFrom('', 'short', '__proto__', 'é'.repeat(43)).map((text) => text as TokenHash),
  ),
  jti: fc.oneof(fc.uuid(), fc.string()),
  issuedAt: position,
  expiresAt: position,
  issuedSeq: position,
});
const records: fc.Arbitrary<AccessTokenRecord[]> = shapes.chain((some) =>
  fc.array(
    fc.tuple(fixed, fc.constantFrom(...some)).map(([own, shape]) => ({ ...own, ...shape })),
    { maxLength: 60 },
  ),
);

test('what comes out is what went in, whatever its texts look like', () => {
  fc.assert(
    fc.property(records, (all) => {
      const cache = new TokenCache(AMPLE);
      const expected = new Map<TokenHash, AccessTokenRecord>();
      for (const record of all) {
        cache.set(structuredClone(record));
        expected.set(record.tokenHash, record);
        assert.deepEqual(cache.get(record.tokenHash), record);
      }
      assert.equal(cache.size, expected.size);
      for (const [tokenHash, record] of expected) assert.deepEqual(cache.get(tokenHash), record);
      assert.equal(cache.get(hashOf(-1)), undefined);
      cache.clear();
      assert.deepEqual([cache.size, cache.bytes], [0, 0]);
    }),
  );
});

test('under a tight bound: the latest or nothing, and never more bytes than the bound', () => {
  fc.assert(
    fc.property(records, fc.integer({ min: 0, max: 12_000 }), (all, bytesMax) => {
      const cache = new TokenCache(bytesMax);
      const latest = new Map<TokenHash, AccessTokenRecord>();
      for (const record of all) {
        cache.set(record);
        latest.set(record.tokenHash, record);
        const other = all[latest.size]?.tokenHash ?? record.tokenHash;
        for (const tokenHash of [record.tokenHash, other]) {
          const got = cache.get(tokenHash);
          if (got) assert.deepEqual(got, latest.get(tokenHash));
        }
        assert.ok(cache.bytes >= 0 && cache.bytes <= bytesMax, `${cache.bytes} > ${bytesMax}`);
      }
    }),
  );
});

test('nobody changes what is kept: neither who put it in nor who got it', () => {
  const cache = new TokenCache(AMPLE);
  const record = tokenRecord({ scope: ['read'], claims: { tenant: { roles: ['a'] } } });
  const before = structuredClone(record);
  cache.set(record);
  (record.scope as string[]).push('admin');
  Object.assign(record.claims, { tenant: 'another' });
  const first = cache.get(record.tokenHash);
  assert.ok(first);
  assert.deepEqual(first, before);
  Object.assign(first, { clientId: 'another', expiresAt: 0 });
  const { roles } = first.claims.tenant as { roles: string[] };
  for (const list of [first.scope, first.audience, roles]) assert.throws(() => (list as string[]).push('admin'), TypeError);
  assert.throws(() => Object.assign(first.claims, { tenant: 'another' }), TypeError);
  assert.deepEqual(cache.get(record.tokenHash), before);
});

test('what equal tokens have in common counts once, what others have counts with each', () => {
  const bytesOf = (clients: number) => {
    const cache = new TokenCache(AMPLE);
    for (let n = 0; n < 1_000; n++) cache.set(tokenRecord({ tokenHash: hashOf(n), clientId: `client-${1_000 + (n % clients)}` }));
    return cache.bytes;
  };
  assert.ok(bytesOf(1_000) > bytesOf(1) * 3);
});

test('a token that is used stays while a thousand others pass by', () => {
  const cache = new TokenCache(20_000);
  const used = tokenRecord({ tokenHash: hashOf(0), expiresAt: NOW });
  cache.set(used);
  for (let n = 1; n < 1_000; n++) {
    cache.set(tokenRecord({ tokenHash: hashOf(n), clientId: `client ${n}` }));
    assert.deepEqual(cache.get(used.tokenHash), used);
  }
  assert.ok(cache.size < 50);
});
