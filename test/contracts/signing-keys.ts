/** What every {@link SigningKeys} must do; run on each adapter. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { compactVerify, importJWK } from 'jose';
import { ACCESS_TOKEN_TTL_MAX_SECONDS } from '../../src/core/clients.ts';
import { publishedKeys } from '../../src/core/key-schedule.ts';
import type { SigningKeys } from '../../src/core/ports.ts';
import { SIGNING_ALGS, signJwt } from '../../src/core/signing-key.ts';

export interface KeyStore {
  readonly keys: SigningKeys;
  close(): Promise<void>;
}

/** @param open gives a store with one key of each algorithm, which have signed in the order of {@link SIGNING_ALGS}: the last one does now */
export function signingKeysContract(open: () => Promise<KeyStore>): void {
  describe('SigningKeys', () => {
    let store: KeyStore;
    before(async () => {
      store = await open();
    });
    after(() => store.close());
    const published = async () => publishedKeys(await store.keys.schedule());

    test('the newest key signs, and is the first one that is published', async () => {
      const current = await store.keys.current();
      const [first] = await published();
      assert.deepEqual([current.alg, first?.kid], [SIGNING_ALGS.at(-1), current.kid]);
    });

    test('the keys of before stay published, newest first, with public members only (RFC 7517 §4)', async () => {
      const all = await published();
      assert.deepEqual(
        all.map(({ alg }) => alg),
        SIGNING_ALGS.toReversed(),
      );
      const members: Record<string, readonly string[]> = { EC: ['crv', 'x', 'y'], OKP: ['crv', 'x'], RSA: ['e', 'n'] };
      for (const jwk of all) {
        assert.deepEqual(Object.keys(jwk).sort(), [...(members[jwk.kty ?? ''] ?? []), 'alg', 'kid', 'kty', 'use'].sort());
        assert.equal(jwk.use, 'sig');
      }
    });

    test('what the current key signs, its published half verifies', async () => {
      const jwt = await signJwt(await store.keys.current(), 'at+jwt', { sub: 'x' });
      const [first] = await published();
      const { payload } = await compactVerify(jwt, await importJWK({ ...first }));
      assert.deepEqual(JSON.parse(Buffer.from(payload).toString()), { sub: 'x' });
    });

    test('one is active, those of before it are retiring, until nothing that they signed can be alive', async () => {
      const [active, ...others] = await store.keys.schedule();
      assert.deepEqual([active?.state, active?.retiringFrom, active?.goneAt], ['active', undefined, undefined]);
      assert.deepEqual(new Set(others.map(({ state }) => state)), new Set(['retiring']));
      for (const [index, { retiringFrom, goneAt }] of others.entries()) {
        assert.deepEqual(retiringFrom, (others[index - 1] ?? active)?.activeFrom);
        assert.ok(retiringFrom && goneAt && goneAt.getTime() - retiringFrom.getTime() > ACCESS_TOKEN_TTL_MAX_SECONDS * 1000);
      }
    });

    test('the current key is the same one at each call', async () => {
      const [a, b] = await Promise.all([store.keys.current(), store.keys.current()]);
      assert.equal(a.kid, b.kid);
    });
  });
}
