/** Signing keys in memory: under the same lease as all the rest, and read again when the change log says that they changed. */

import type { SigningKeys } from '../core/ports.ts';
import type { PublicJwk, SigningKey } from '../core/signing-key.ts';

/** @param ensureFresh resolves when an answer from memory is allowed */
export function rememberedKeys(store: SigningKeys, ensureFresh: () => Promise<void>): SigningKeys & { forget(): void } {
  let current: SigningKey | undefined;
  let all: readonly PublicJwk[] | undefined;
  let changes = 0;
  return {
    async current() {
      await ensureFresh();
      if (current) return current;
      const before = changes;
      const key = await store.current();
      if (before === changes) current = key; // else it may be the one before
      return key;
    },
    async all() {
      await ensureFresh();
      if (all) return all;
      const before = changes;
      const keys = await store.all();
      if (before === changes) all = keys;
      return keys;
    },
    forget() {
      changes++;
      current = undefined;
      all = undefined;
    },
  };
}
