/**
 * Signing keys in memory: under the same lease as all the rest, and read again when the change log says that they changed. Which of them signs is
 * judged anew by the log's clock, which all nodes share.
 */
import { type KeyPlan, planKeys } from '../core/key-schedule.ts';
import type { KeyStore, SigningKeys, StoredKey } from '../core/ports.ts';

interface Judged {
  readonly records: readonly StoredKey[];
  /** epoch seconds */
  readonly at: number;
  readonly keys: readonly (StoredKey & KeyPlan)[];
}

/**
 * @param ensureFresh resolves when an answer from memory is allowed
 * @param now epoch seconds, by the log's clock
 */
export function rememberedKeys(
  store: Pick<KeyStore, 'list'>,
  ensureFresh: () => Promise<void>,
  now: () => number,
): SigningKeys & { forget(): void } {
  let known: readonly StoredKey[] | undefined;
  let changes = 0;
  /** the last judgement: no state changes within a second */
  let judged: Judged | undefined;

  async function read(): Promise<readonly StoredKey[]> {
    await ensureFresh();
    if (known) return known;
    const before = changes;
    const records = await store.list();
    if (before === changes) known = records; // else they may be those of before
    return records;
  }

  async function schedule(): Promise<Judged['keys']> {
    const records = await read();
    const at = now();
    if (judged?.records !== records || judged.at !== at) judged = { records, at, keys: planKeys(records, at * 1000) };
    return judged.keys;
  }

  return {
    schedule,
    async current() {
      const [signing] = await schedule();
      if (signing?.state !== 'active') throw new Error('there is no signing key');
      return signing.open();
    },
    forget() {
      changes++;
      known = undefined;
    },
  };
}
