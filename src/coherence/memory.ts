/**
 * What a node answers from memory, and how it knows that it may (docs/coherence.md): the stores of the core, with records kept in front of the
 * ones that ask PostgreSQL. A token's record never changes; whether it has ended is in the deny set, which the follower fills from the change log;
 * and nothing is said while the freshness lease has run out.
 */
import type { AccessTokenRecord } from '../core/access-token.ts';
import type { Client } from '../core/clients.ts';
import {
  type AccessTokenStore,
  type ChangeEntry,
  type ChangeLog,
  type ClientAdministration,
  type ClientDirectory,
  type KeyStore,
  type KnownClient,
  type RevocationStore,
  type SigningKeys,
  Unavailable,
} from '../core/ports.ts';
import type { TokenHash } from '../core/reference-token.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { type Audit, audit } from './audit.ts';
import { DenySet } from './deny-set.ts';
import { Follower, HistoryChanged } from './follower.ts';
import { Freshness } from './freshness.ts';
import { GenerationCache } from './generation-cache.ts';
import { Membership } from './membership.ts';
import type { Level, MemoryNumbers } from './numbers.ts';
import type { Announcement, Bus, Clocks, NodeRegistry, Observer, SharedCache, Sleep } from './ports.ts';
import { RecentChanges } from './recent-changes.ts';
import { rememberedKeys } from './remembered-keys.ts';
import { singleFlight } from './single-flight.ts';
import { TokenCache } from './token-cache.ts';

export interface MemoryOptions extends Clocks {
  readonly log: ChangeLog;
  /** the stores behind; what they commit is told to {@link Memory.announced} */
  readonly tokens: AccessTokenStore;
  readonly clients: ClientDirectory;
  readonly administration: ClientAdministration;
  readonly revocations: RevocationStore;
  readonly signingKeys: KeyStore;
  readonly nodes: NodeRegistry;
  /** `undefined`: there is none, and nodes hear from the log alone */
  readonly bus?: Bus | undefined;
  readonly cache?: SharedCache | undefined;
  /** of this process, never used again */
  readonly nodeId: string;
  readonly consistency: 'bounded' | 'strict';
  readonly cacheBytesMax: number;
  readonly maxStalenessMs: number;
  readonly sleep: Sleep;
  readonly observer: Observer;
  /** A look at the log has succeeded: all up to this position is applied. */
  readonly onApplied?: ((seq: number) => void) | undefined;
  /** Once: nothing is answered from memory any more, and never will be by this node. */
  readonly onHistoryChanged: (error: Error) => void;
}

export interface Memory {
  /** Answers at most {@link MemoryOptions.maxStalenessMs} behind PostgreSQL; in strict mode, not behind any revocation that was answered. */
  readonly tokens: AccessTokenStore;
  /** Those that this node has met: to be accepted from memory. "Not there", or a wrong secret, says nothing: {@link Memory.clientRecords} decides. */
  readonly clients: ClientDirectory;
  /** The store behind, which is asked each time; what it says is kept for `clients`. */
  readonly clientRecords: ClientDirectory;
  /** Whoever is answered finds the change on this node at once. */
  readonly administration: ClientAdministration;
  readonly revocations: RevocationStore;
  readonly signingKeys: SigningKeys;
  readonly keyAdministration: Pick<KeyStore, 'rotate'>;
  /** After it, answers are as of a moment after the call. All who wait meanwhile share one look at the change log. @throws Unavailable */
  prove(): Promise<void>;
  /** Resolves when a look at the change log has succeeded a moment ago, or does now: however many ask, there are forty a second at most. @throws Unavailable */
  ready(): Promise<void>;
  /** One look at the change log; to be called again and again. @throws Unavailable */
  follow(): Promise<void>;
  /** A store of this node has committed a change. */
  announced(entry: ChangeEntry): void;
  /** Another node's change, from the bus. */
  heard(announcement: Announcement): void;
  /** Another node has applied a change of this one, says the bus. */
  acknowledged(announcement: Announcement, nodeId: string): void;
  /** Of the change log that is followed; `undefined` before it was read. */
  epoch(): string | undefined;
  /** By the change log's clock, epoch seconds; never goes back. */
  now(): number;
  numbers(): MemoryNumbers;
  /**
   * Compares a little of memory with the record. After a difference all of memory is void and filled anew, and the shared cache is asked no more.
   *
   * @param find asks the record, and no cache
   * @throws Unavailable
   */
  audit(find: AccessTokenStore['find']): Promise<Audit>;
  /** The shared cache is empty: what is known here of clients goes there again. */
  refillCache(): void;
  /** Nothing is answered from memory any more, and nobody needs to wait for this node. @throws Unavailable */
  leave(): Promise<void>;
}

const CLIENT_BYTES = 4_000;
/** Clients share an eighth of what the tokens have. */
const CLIENTS_SHARE = 1 / 8;
/** A node in strict mode says at least so often that it is there. */
const RENEW_MS = 500;
/** Short, since "ready" is to mean now; long enough that a storm of health checks is forty looks a second. */
const MOMENT_MS = 25;

export function openMemory(options: MemoryOptions): Memory {
  const { monotonic, wall, bus, cache, nodeId, administration: behind } = options;
  let denied = new DenySet();
  const records = new TokenCache(options.cacheBytesMax);
  const clients = new GenerationCache<string, KnownClient>(options.cacheBytesMax * CLIENTS_SHARE, clientBytes);
  /** Where a client last changed: a record that was read before it may arrive after it, and is not kept. */
  const changed = new RecentChanges(monotonic);
  const keys = rememberedKeys(options.signingKeys, ensureFresh, now);
  const follower = new Follower(options.log, {
    get denied() {
      return denied;
    },
    onRebuilt(rebuilt) {
      denied = rebuilt;
    },
    onClient(clientId, seq) {
      changed.note(clientId, seq);
      if ((clients.get(clientId)?.asOfSeq ?? seq) < seq) clients.delete(clientId);
    },
    onKeys: keys.forget,
  });
  let history: HistoryChanged | undefined;
  let isDoubted = false;
  let isCacheTrusted = true;
  let turn = 0;
  let latest = 0;
  /** the log's clock, and this node's when it was read: taken together, or a catch-up that fails halfway would put it ahead */
  let clock: { readonly nowMs: number; readonly readAt: number } | undefined;
  const freshness = new Freshness({
    ...options,
    async probe() {
      if (history) throw new Unavailable(history.message, { reason: 'history_changed' });
      // Here, because a reading that was under way when the doubt arose would have gone on where it was.
      if (isDoubted) follower.rewind();
      isDoubted = false;
      try {
        await follower.catchUp();
      } catch (error) {
        if (!(error instanceof HistoryChanged)) throw error;
        if (!history) options.onHistoryChanged(error);
        history = error;
        freshness.discard();
        records.clear();
        clients.clear();
        throw new Unavailable(error.message, { cause: error, reason: 'history_changed' });
      }
      clock = { nowMs: follower.nowMs, readAt: monotonic() };
      // By the log's clock: with one that runs ahead for a while, what is revoked would be forgotten and come back to life.
      denied.prune(turn++, follower.nowMs / 1000);
      options.onApplied?.(follower.applied);
    },
  });
  const acknowledgements = new Acknowledgements(options);
  const membership = options.consistency === 'strict' ? new Membership({ ...options, onJoined: () => freshness.discard() }) : undefined;
  let renewAt = Number.NEGATIVE_INFINITY;
  let saidSeq = -1;
  const lookUps: Record<Level, number> = { memory: 0, etcd: 0, postgresql: 0 };
  let waits = 0;

  /** To be followed by the answer, without an `await` in between. @throws Unavailable */
  async function ensureFresh(): Promise<void> {
    if (mayAnswer()) return;
    waits++;
    // Whom the others do not wait for has to look each time: a look that begins now is as good as their waiting.
    if (membership && !membership.isLive()) return freshness.prove();
    return membership ? freshness.prove() : freshness.ensure();
  }
  const mayAnswer = () => freshness.isFresh() && (membership?.isLive() ?? true);

  /** By the log's clock, which is the same for all nodes, carried on by this one's monotonic one: set wall clocks change nothing. */
  function now(): number {
    // Not kept: a clock that is wrong when the node starts would end good tokens for as long as it is ahead.
    if (!clock) return Math.floor(wall() / 1000);
    const nowMs = clock.nowMs + (monotonic() - clock.readAt);
    latest = Math.max(latest, Math.floor(nowMs / 1000));
    return latest;
  }

  const fill = singleFlight(async (tokenHash: TokenHash, at: number) => {
    const cached = isCacheTrusted ? await cache?.findToken(tokenHash) : undefined;
    if (cached) return { record: cached, revoked: false, level: 'etcd' as const };
    const found = await options.tokens.find(tokenHash, at);
    if (found?.revoked) {
      denied.denyToken(tokenHash, found.record.expiresAt); // or the shared cache, asked next, would have this node take it back
    } else if (found) {
      cache?.keepToken(found.record);
    }
    return found && { ...found, level: 'postgresql' as const };
  });

  const tokens: AccessTokenStore = {
    async find(tokenHash, at) {
      let record = records.get(tokenHash);
      if (record) {
        lookUps.memory++;
      } else {
        const found = await fill(tokenHash, at);
        lookUps[found?.level ?? 'postgresql']++;
        if (!found) return undefined;
        record = found.record;
        if (found.revoked) return { record, revoked: true };
        records.set(record);
      }
      if (!mayAnswer()) await ensureFresh();
      // No `await` from here on: what is judged is what is answered. The question may have waited since `at`.
      return record.expiresAt > Math.max(at, now()) ? { record, revoked: denied.denies(record) } : undefined;
    },
    async insert(record, limit) {
      await options.tokens.insert(record, limit);
      records.set(record);
      cache?.keepToken(record);
    },
    async revoke(record, by) {
      const entry = await options.tokens.revoke(record, by);
      if (entry) {
        await acknowledgements.settle([entry.seq]);
      } else {
        await settleBefore();
      }
      return entry;
    },
  };

  async function known<T>(work: () => Promise<T>): Promise<T> {
    const result = await work();
    // Done is done: if the log cannot be read now, nothing is answered from memory until it can.
    await freshness.prove().catch(() => freshness.discard());
    return result;
  }
  const settled = <T>(work: () => Promise<T>) => acknowledgements.settling(() => known(work));

  const clientRecords: ClientDirectory = {
    async find(clientId) {
      const known = await options.clients.find(clientId);
      if (known) follower.seen(known.asOfSeq);
      if (known && known.asOfSeq >= changed.at(clientId)) {
        clients.set(clientId, known);
        cache?.keepClient(clientId, known);
      }
      return known;
    },
  };

  return {
    tokens,
    clients: {
      async find(clientId) {
        if (!mayAnswer()) await ensureFresh();
        return clients.get(clientId);
      },
    },
    clientRecords,
    administration: {
      list: (...page) => behind.list(...page),
      // What only adds ends nothing, and its answer is the only one that shows the secret: it waits for nobody.
      insert: (...change) => known(() => behind.insert(...change)),
      async addSecret(...change) {
        const [, { othersExpireAt }] = change;
        if (!othersExpireAt) return known(() => behind.addSecret(...change));
        let added: Awaited<ReturnType<ClientAdministration['addSecret']>>;
        // The others are to know when the secrets of before end. That they may not is no reason to keep back the new one, which is shown now or never.
        const adding = settled(async () => (added = await behind.addSecret(...change)));
        return adding.catch((error: unknown) => added ?? Promise.reject(error));
      },
      async update(id, change, actor) {
        let wasDisabled = false;
        const seen = (current: Client) => {
          wasDisabled = current.disabled;
          return change(current);
        };
        const updated = await settled(() => behind.update(id, seen, actor));
        if (wasDisabled && updated?.disabled) await settleBefore();
        return updated;
      },
      delete: (...change) => settled(() => behind.delete(...change)),
      removeSecret: (...change) => settled(() => behind.removeSecret(...change)),
    },
    revocations: {
      async append(...order) {
        const result = await settled(() => options.revocations.append(...order));
        if (result.outcome === 'ended_before') await settleBefore();
        return result;
      },
      count: (target) => options.revocations.count(target),
      list: (after, limit) => options.revocations.list(after, limit),
    },
    signingKeys: keys,
    keyAdministration: { rotate: (...change) => settled(() => options.signingKeys.rotate(...change)) },
    prove: () => freshness.prove(),
    async ready() {
      if (!mayAnswer() || freshness.ageMs > MOMENT_MS) await freshness.prove();
    },
    async follow() {
      await freshness.prove();
      if (!membership || (saidSeq === follower.applied && monotonic() < renewAt)) return;
      const { applied } = follower;
      await membership.renew(applied);
      saidSeq = applied;
      renewAt = monotonic() + RENEW_MS;
    },
    announced(entry) {
      follower.hear(entry);
      follower.seen(entry.seq);
      acknowledgements.announced(entry);
      if (follower.epoch !== undefined) bus?.publish({ epoch: follower.epoch, from: nodeId, entry });
      if (cache && (entry.kind === 'client' || entry.kind === 'client_record')) void mirrorClient(entry.key).catch(() => undefined);
    },
    heard(announcement) {
      if (announcement.epoch !== follower.epoch || announcement.from === nodeId) return;
      follower.hear(announcement.entry);
      if (membership?.isLive()) bus?.acknowledge(announcement, nodeId);
    },
    acknowledged({ epoch, from, entry }, by) {
      if (epoch === follower.epoch && from === nodeId) acknowledgements.acknowledged(entry, by);
    },
    epoch: () => follower.epoch,
    now,
    numbers: () => ({
      isFresh: mayAnswer(),
      freshnessAgeMs: freshness.ageMs,
      appliedSeq: follower.applied,
      lag: follower.lastSeq - follower.applied,
      unheard: follower.unheard,
      lookUps,
      waits,
      deniedTokens: { count: denied.size, bytes: denied.bytes },
      cachedTokens: { count: records.size, bytes: records.bytes },
      cachedClients: { count: clients.size, bytes: clients.bytes },
    }),
    async audit(find) {
      const audited = {
        next: () => records.next(),
        denies: (record: AccessTokenRecord) => denied.denies(record),
        prove: () => freshness.prove(),
        now,
      };
      const result = await audit(audited, find);
      if (result.mismatches.length > 0) {
        isDoubted = true;
        isCacheTrusted = false; // the record may have come from there, and would come again
        freshness.discard();
        records.clear();
        clients.clear();
        keys.forget();
      }
      return result;
    },
    refillCache() {
      for (const known of clients.values()) cache?.keepClient(known.client.id, known);
    },
    async leave() {
      await membership?.leave();
    },
  };

  /** Somebody has ended it before, and may still be waiting: no answer before theirs (DR2b). @throws Unavailable */
  async function settleBefore(): Promise<void> {
    await freshness.prove();
    await acknowledgements.settleAll(follower.applied);
  }

  async function mirrorClient(clientId: string): Promise<void> {
    const known = await clientRecords.find(clientId);
    if (!known) cache?.keepClient(clientId, undefined);
  }
}

function clientBytes({ client }: KnownClient): number {
  return CLIENT_BYTES + JSON.stringify(client).length * 4;
}
