/** What every {@link SigningKeys} must do; run on each adapter. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { compactVerify, importJWK } from 'jose';
import type { SigningKeys } from '../../src/core/ports.ts';
import { SIGNING_ALGS, signJwt } from '../../src/core/signing-key.ts';

export interface KeyStore {
  readonly keys: SigningKeys;
  close(): Promise<void>;
}

/** @param open gives a store that had one key of each algorithm made, in the order of {@link SIGNING_ALGS}: the last one signs */
export function signingKeysContract(open: () => Promise<KeyStore>): void {
  describe('SigningKeys', () => {
    let store: KeyStore;
    before(async () => {
      store = await open();
    });
    after(() => store.close());

    test('the newest key signs, and is the first one that is published', async () => {
      const current = await store.keys.current();
      const [first] = await store.keys.all();
      assert.deepEqual([current.alg, first?.kid], [SIGNING_ALGS.at(-1), current.kid]);
    });

    test('all keys stay published, newest first, with public members only (RFC 7517 §4)', async () => {
      const published = await store.keys.all();
      assert.deepEqual(
        published.map(({ alg }) => alg),
        SIGNING_ALGS.toReversed(),
      );
      const members: Record<string, readonly string[]> = { EC: ['crv', 'x', 'y'], OKP: ['crv', 'x'], RSA: ['e', 'n'] };
      for (const jwk of published) {
        assert.deepEqual(Object.keys(jwk).sort(), [...(members[jwk.kty ?? ''] ?? []), 'alg', 'kid', 'kty', 'use'].sort());
        assert.equal(jwk.use, 'sig');
      }
    });

    test('what the current key signs, its published half verifies', async () => {
      const jwt = await signJwt(await store.keys.current(), 'at+jwt', { sub: 'x' });
      const [first] = await store.keys.all();
      const { payload } = await compactVerify(jwt, await importJWK({ ...first }));
      assert.deepEqual(JSON.parse(Buffer.from(payload).toString()), { sub: 'x' });
    });

    test('the current key is the same one at each call', async () => {
      const [a, b] = await Promise.all([store.keys.current(), store.keys.current()]);
      assert.equal(a.kid, b.kid);
    });
  });
}
