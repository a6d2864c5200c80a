/**
 * What a node answers from memory, and how it knows that it may (docs/coherence.md): the stores of the core, with records kept in front of the
 * ones that ask PostgreSQL. A token's record never changes; whether it has ended is in the deny set, which the follower fills from the change log;
 * and nothing is said while the freshness lease has run out.
 */
import {
  type AccessTokenStore,
  type ChangeLog,
  type ClientAdministration,
  type ClientDirectory,
  type KnownClient,
  Unavailable,
} from '../core/ports.ts';
import type { TokenHash } from '../core/reference-token.ts';
import { DenySet } from './deny-set.ts';
import { Follower, HistoryChanged } from './follower.ts';
import { Freshness } from './freshness.ts';
import { GenerationCache } from './generation-cache.ts';
import { TokenCache } from './token-cache.ts';

export interface MemoryOptions {
  readonly log: ChangeLog;
  /** the stores behind */
  readonly tokens: AccessTokenStore;
  readonly clients: ClientDirectory;
  readonly administration: ClientAdministration;
  readonly cacheBytesMax: number;
  readonly maxStalenessMs: number;
  readonly monotonic: () => number;
  readonly wall: () => number;
  /** Once: nothing is answered from memory any more, and never will be by this node. */
  readonly onHistoryChanged: (error: Error) => void;
}

export interface Memory {
  /** Answers at most {@link MemoryOptions.maxStalenessMs} behind PostgreSQL. */
  readonly tokens: AccessTokenStore;
  /** Each answer is as of a moment after the question: it waits for a probe of the change log that all who ask meanwhile share. */
  readonly strict: { readonly tokens: AccessTokenStore; readonly clients: ClientDirectory };
  /** Those that this node has met: to be accepted from memory. "Not there", or a wrong secret, says nothing: {@link Memory.clientRecords} decides. */
  readonly clients: ClientDirectory;
  /** The store behind, which is asked each time; what it says is kept for `clients`. */
  readonly clientRecords: ClientDirectory;
  /** Whoever is answered finds the change on this node at once. */
  readonly administration: ClientAdministration;
  /** One probe; to be called again and again. @throws Unavailable */
  follow(): Promise<void>;
}

const CLIENT_BYTES = 4_000;
/** Clients share an eighth of what the tokens have. */
const CLIENTS_SHARE = 1 / 8;

export function openMemory(options: MemoryOptions): Memory {
  const denied = new DenySet();
  const records = new TokenCache(options.cacheBytesMax);
  const clients = new GenerationCache<string, KnownClient>(options.cacheBytesMax * CLIENTS_SHARE, clientBytes);
  /** Where a client last changed: a record that was read before it may arrive after it, and is not kept. */
  const changedAt = new Map<string, number>();
  const follower = new Follower(options.log, {
    denied,
    onClient(clientId, seq) {
      changedAt.set(clientId, seq);
      if ((clients.get(clientId)?.asOfSeq ?? seq) < seq) clients.delete(clientId);
    },
  });
  let history: HistoryChanged | undefined;
  let turn = 0;
  const freshness = new Freshness({
    ...options,
    async probe() {
      if (history) throw new Unavailable(history.message);
      try {
        await follower.catchUp();
      } catch (error) {
        if (!(error instanceof HistoryChanged)) throw error;
        if (!history) options.onHistoryChanged(error);
        history = error;
        freshness.discard();
        records.clear();
        clients.clear();
        throw new Unavailable(error.message, { cause: error });
      }
      // By the log's clock: with one that runs ahead for a while, what is revoked would be forgotten and come back to life.
      denied.prune(turn++, follower.now);
    },
  });
  const fill = singleFlight((tokenHash: TokenHash, now: number) => options.tokens.find(tokenHash, now));

  async function find(tokenHash: TokenHash, now: number): ReturnType<AccessTokenStore['find']> {
    let record = records.get(tokenHash);
    if (!record) {
      const found = await fill(tokenHash, now);
      if (!found || found.revoked) return found;
      record = found.record;
      records.set(record);
    }
    if (!freshness.isFresh()) await freshness.ensure();
    // No `await` from here on: what is judged is what is answered. The question may have waited since `now`.
    const later = Math.max(now, Math.floor(options.wall() / 1000));
    return record.expiresAt > later ? { record, revoked: denied.denies(record) } : undefined;
  }

  const tokens: AccessTokenStore = {
    find,
    async insert(record) {
      await options.tokens.insert(record);
      records.set(record);
    },
    async revoke(record) {
      await options.tokens.revoke(record);
      denied.denyToken(record.tokenHash, record.expiresAt);
    },
  };

  return {
    tokens,
    strict: {
      tokens: {
        ...tokens,
        async find(tokenHash, now) {
          await freshness.prove();
          return find(tokenHash, now);
        },
      },
      clients: {
        async find(clientId) {
          await freshness.prove();
          return clients.get(clientId);
        },
      },
    },
    clients: {
      async find(clientId) {
        if (!freshness.isFresh()) await freshness.ensure();
        return clients.get(clientId);
      },
    },
    clientRecords: {
      async find(clientId) {
        const known = await options.clients.find(clientId);
        if (known && known.asOfSeq >= (changedAt.get(clientId) ?? 0)) clients.set(clientId, known);
        return known;
      },
    },
    administration: followed(options.administration, async () => {
      // Done is done: if the log cannot be read now, nothing is answered from memory until it can.
      await freshness.prove().catch(() => freshness.discard());
    }),
    follow: () => freshness.prove(),
  };
}

/**
 * One question for all who ask the same at the same time. "Not there" from a question that was under way already says nothing to who came later: the
 * token may have been issued in between.
 */
function singleFlight<Key, Argument, Result>(
  ask: (key: Key, argument: Argument) => Promise<Result | undefined>,
): (key: Key, argument: Argument) => Promise<Result | undefined> {
  const flights = new Map<Key, Promise<Result | undefined>>();
  return async (key, argument) => {
    const before = flights.get(key);
    const joined = await before;
    if (joined !== undefined) return joined;
    const later = flights.get(key);
    if (later && later !== before) return later;
    const flight = ask(key, argument).finally(() => {
      if (flights.get(key) === flight) flights.delete(key);
    });
    flights.set(key, flight);
    return flight;
  };
}

function followed(administration: ClientAdministration, after: () => Promise<void>): ClientAdministration {
  const then = async <T>(work: Promise<T>): Promise<T> => {
    const result = await work;
    await after();
    return result;
  };
  return {
    list: (page) => administration.list(page),
    insert: (...change) => then(administration.insert(...change)),
    update: (...change) => then(administration.update(...change)),
    delete: (...change) => then(administration.delete(...change)),
    addSecret: (...change) => then(administration.addSecret(...change)),
    removeSecret: (...change) => then(administration.removeSecret(...change)),
  };
}

function clientBytes({ client }: KnownClient): number {
  return CLIENT_BYTES + JSON.stringify(client).length * 4;
}
