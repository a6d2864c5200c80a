/**
 * The keys at the `jwks_uri`s of clients, as they were fetched. How often a client makes this server fetch does not depend on how often it is asked: one fetch
 * at a time of each, rests in between, and few at a time of all.
 */
import type { ClientKey } from '../core/client-keys.ts';
import { type ClientKeysAt, Unavailable } from '../core/ports.ts';
import type { FetchedKeys } from './fetch-key-set.ts';

export interface KeySetsOptions {
  readonly fetch: (uri: string) => Promise<FetchedKeys>;
  /** milliseconds that only grow */
  readonly monotonic: () => number;
  readonly onFailure: (uri: string, error: Error) => void;
}

/** After an answer: for a `kid` that was not in it nobody asks again so soon. */
const REST_MS = 30_000;
/** After none. */
const REST_AFTER_FAILURE_MS = 5_000;
/** How long keys are used after they should have been fetched again, and could not be: an outage of the client's server is none of ours at once. */
const OUTLIVED_MS = 3_600_000;
const FETCHES_MAX = 16;
const SETS_MAX = 1_000;

interface KeySet {
  keys: readonly ClientKey[] | undefined;
  freshUntil: number;
  usableUntil: number;
  restsUntil: number;
  hasFailed: boolean;
  /** resolves when it is done, however it ended */
  fetching: Promise<void> | undefined;
}

export function openKeySets({ fetch, monotonic, onFailure }: KeySetsOptions): ClientKeysAt {
  const sets = new Map<string, KeySet>();
  let fetches = 0;

  async function refresh(uri: string, set: KeySet): Promise<void> {
    fetches++;
    try {
      const { keys, maxAgeSeconds } = await fetch(uri);
      const now = monotonic();
      // In place of those of before: a key that was taken away is trusted no longer.
      set.keys = keys;
      set.freshUntil = now + maxAgeSeconds * 1000;
      set.usableUntil = set.freshUntil + OUTLIVED_MS;
      set.restsUntil = now + REST_MS;
      set.hasFailed = false;
    } catch (error) {
      set.restsUntil = monotonic() + REST_AFTER_FAILURE_MS;
      set.hasFailed = true;
      onFailure(uri, error instanceof Error ? error : new Error(String(error)));
    } finally {
      fetches--;
      set.fetching = undefined;
    }
  }

  return async (uri, kid) => {
    const set = sets.get(uri) ?? unknownSet();
    // The one that was asked for longest ago goes first.
    sets.delete(uri);
    sets.set(uri, set);
    const oldest = sets.keys().next();
    if (sets.size > SETS_MAX && !oldest.done) sets.delete(oldest.value);
    const knows = () => kid === undefined || (set.keys?.some((key) => key.kid === kid) ?? false);

    const isGood = set.keys !== undefined && monotonic() < set.freshUntil && knows();
    if (!isGood) {
      if (!set.fetching && monotonic() >= set.restsUntil && fetches < FETCHES_MAX) set.fetching = refresh(uri, set);
      await set.fetching;
    }
    // A key that is not among those of before an outage may be a new one: nobody can tell.
    if (set.keys && monotonic() < set.usableUntil && (knows() || !set.hasFailed)) return set.keys;
    throw new Unavailable('the keys of a client cannot be fetched', { reason: 'client_keys' });
  };
}

function unknownSet(): KeySet {
  return { keys: undefined, freshUntil: 0, usableUntil: 0, restsUntil: 0, hasFailed: false, fetching: undefined };
}
