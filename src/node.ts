/** One node: its memory, what it follows, and what it shares with the others. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Difference } from './coherence/audit.ts';
import { type Memory, openMemory } from './coherence/memory.ts';
import type { MemoryNumbers } from './coherence/numbers.ts';
import type { Observer } from './coherence/ports.ts';
import type { Config } from './config.ts';
import { type ChangeEntry, type RegistrationStore, Unavailable } from './core/ports.ts';
import { maintainKeys } from './database.ts';
import { openSeal } from './etcd/seal.ts';
import { openShared, type Shared } from './etcd/shared.ts';
import { isBelowFloor } from './etcd/version.ts';
import { Feed } from './http/feed.ts';
import type { NodeState } from './http/health.ts';
import { accessTokenStore, auditedToken } from './postgres/access-tokens.ts';
import { changeLog } from './postgres/changes.ts';
import { clientAdministration, clientDirectory } from './postgres/clients.ts';
import type { Db } from './postgres/db.ts';
import { countExpiring, type ExpiringSecrets } from './postgres/expiring-secrets.ts';
import { keyStore } from './postgres/keys.ts';
import { nodeRegistry } from './postgres/nodes.ts';
import { registrationStore } from './postgres/registration.ts';
import { revocationStore } from './postgres/revocations.ts';
import { type SecretUses, secretUses } from './postgres/secret-uses.ts';

/** How often the change log is asked for what is new. */
const FOLLOW_MS = 100;
/** How often a little of memory is compared with PostgreSQL. */
const AUDIT_MS = 1_000;
/** Enough to find the row; a hash is no secret, but no log needs all of it. */
const HASH_SHOWN = 12;
const TEND_MS = 5_000;
/** A change, from the entry in the log to its commit: what the time-outs of its statements allow (src/postgres/db.ts). */
const TRANSACTION_MS_MAX = 4_000;
/** Of the feed: docs/revocation.md promises it. */
const HEARTBEAT_MS = 15_000;
/** How often the schedule of the signing keys is looked at: late by so much at most. */
const TEND_KEYS_MS = 300_000;
/** How often it is counted which secrets end soon: a look at each of them. */
const EXPIRING_MS = 300_000;
/** How often the times are written at which secrets were used. A process that is killed loses so much of them. */
const USES_MS = 10_000;

export interface Node {
  readonly memory: Memory;
  readonly feed: Feed;
  readonly registrations: RegistrationStore;
  /** `undefined`: there is no etcd */
  readonly shared: Shared | undefined;
  readonly numbers: () => MemoryNumbers;
  readonly audits: AuditCounts;
  readonly state: () => NodeState;
  readonly secretUsed: SecretUses['used'];
  /** as of some minutes ago; `undefined`: not counted yet */
  readonly expiringSecrets: () => ExpiringSecrets | undefined;
  /** Nothing may be asked any more. */
  close(): Promise<void>;
}

/** Since the start. */
export interface AuditCounts {
  comparisons: number;
  readonly mismatches: Record<Difference, number>;
}

export interface NodeDeps {
  /** for requests */
  readonly db: Db;
  /** for the change log, and for nothing that a request waits for */
  readonly followerDb: Db;
  readonly log: Logger;
  readonly observer: Observer;
  /** see {@link Memory} */
  readonly onHistoryChanged: (error: Error) => void;
}

export function openNode(
  config: Config,
  encryptionKeys: readonly Buffer[],
  { db, followerDb, log, observer, onHistoryChanged }: NodeDeps,
): Node {
  /** Somebody waits for it, and only the log says what comes in which order. */
  const hurry = () => {
    if (feed.isFollowed) memory.prove().catch(() => undefined);
  };
  const announce = (entry: ChangeEntry) => {
    memory.announced(entry);
    hurry();
  };
  const shared =
    config.etcd &&
    openShared({
      etcd: config.etcd,
      seal: openSeal(encryptionKeys, config.issuer),
      epoch: () => memory.epoch(),
      now: () => memory.now(),
      log,
      onAnnouncement(announcement) {
        memory.heard(announcement);
        hurry();
      },
      onAcknowledgement: (announcement, nodeId) => memory.acknowledged(announcement, nodeId),
      onWiped: () => memory.refillCache(),
      tendMs: TEND_MS,
    });
  const keys = { db, encryptionKeys, policy: config.keyPolicy, announce };
  const memory: Memory = openMemory({
    log: changeLog(followerDb),
    tokens: accessTokenStore(db, announce),
    clients: clientDirectory(db),
    administration: clientAdministration(db, announce, config.scopePolicy),
    revocations: revocationStore(db, announce),
    signingKeys: keyStore(keys),
    nodes: nodeRegistry(followerDb, db),
    bus: shared?.bus,
    cache: shared?.cache,
    nodeId: randomUUID(),
    consistency: config.consistency,
    cacheBytesMax: config.cacheBytes,
    maxStalenessMs: config.maxStalenessMs,
    sleep: (ms) => sleep(ms, undefined, { ref: false }),
    monotonic: () => performance.now(),
    wall: () => Date.now(),
    observer,
    onApplied: (seq) => feed.applied(seq),
    onHistoryChanged,
  });
  const marginSeconds = Math.ceil((TRANSACTION_MS_MAX + config.maxStalenessMs) / 1000) + 1;
  const feed = new Feed({ store: memory.revocations, isFresh: () => memory.numbers().isFresh, heartbeatMs: HEARTBEAT_MS, marginSeconds });
  const following = follow(memory, log);
  const audits: AuditCounts = { comparisons: 0, mismatches: { missing: 0, record: 0, revoked: 0, active: 0 } };
  const auditing = keepAuditing(memory, db, audits, log);
  const tendKeys = () =>
    maintainKeys(keys, log).catch((error: unknown) => log.warn({ err: error }, 'the signing keys could not be tended'));
  const tending = setInterval(tendKeys, TEND_KEYS_MS).unref();
  const uses = secretUses(db);
  const writeUses = () =>
    uses.write().catch((error: unknown) => log.debug({ err: error }, 'when secrets were used was not written this time'));
  const writing = setInterval(() => void writeUses(), USES_MS).unref();
  let expiring: ExpiringSecrets | undefined;
  const countSecrets = async () => {
    try {
      expiring = await countExpiring(db);
    } catch (error) {
      log.debug({ err: error }, 'which secrets end soon was not counted this time');
    }
  };
  void countSecrets();
  const counting = setInterval(() => void countSecrets(), EXPIRING_MS).unref();
  return {
    memory,
    feed,
    // What only adds ends nothing, so memory has no part in it.
    registrations: registrationStore(db, announce, config.scopePolicy),
    shared,
    numbers: memory.numbers,
    audits,
    state: () => ({ ...memory.numbers(), ...etcdState(shared) }),
    secretUsed: uses.used,
    expiringSecrets: () => expiring,
    async close() {
      clearInterval(following);
      clearInterval(auditing);
      clearInterval(tending);
      clearInterval(writing);
      clearInterval(counting);
      await memory.leave().catch((error: unknown) => log.warn({ err: error }, 'revocations will wait a while for this node'));
      shared?.close();
      await writeUses();
    },
  };
}

/** While all is well and nobody waits for a connection: an audit is never in the way of a request, and never adds to an outage. */
function keepAuditing(memory: Memory, db: Db, counts: AuditCounts, log: Logger): NodeJS.Timeout {
  const find = auditedToken(db);
  let isAuditing = false;
  const audit = async () => {
    if (isAuditing || !memory.numbers().isFresh || db.connections().waiting > 0) return;
    isAuditing = true;
    try {
      const { compared, mismatches } = await memory.audit(find);
      counts.comparisons += compared;
      for (const { tokenHash, found } of mismatches) {
        counts.mismatches[found]++;
        log.error(
          { tokenHash: tokenHash.slice(0, HASH_SHOWN), found },
          'memory does not agree with PostgreSQL: it is emptied. Please report this',
        );
      }
    } catch (error) {
      if (error instanceof Unavailable) log.debug({ err: error }, 'memory was not compared with PostgreSQL this time');
      else log.error({ err: error }, 'memory could not be compared with PostgreSQL');
    } finally {
      isAuditing = false;
    }
  };
  return setInterval(() => void audit(), AUDIT_MS).unref();
}

function etcdState(shared: Shared | undefined): Pick<NodeState, 'etcd' | 'isEtcdVersionGood'> {
  const state = shared?.state();
  if (!state) return { etcd: 'none', isEtcdVersionGood: undefined };
  const version = state.status === 'connected' ? state.version : undefined;
  return {
    etcd: state.status === 'closed' ? 'unreachable' : state.status,
    isEtcdVersionGood: version === undefined ? undefined : !isBelowFloor(version),
  };
}

/** Asks for what is new, again and again; says once when that begins to fail and once when it works again. */
function follow(memory: Memory, log: Logger): NodeJS.Timeout {
  let isFollowing = true;
  let isAsking = false;
  const ask = async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      await memory.follow();
      if (!isFollowing) log.info('following the change log again');
      isFollowing = true;
    } catch (error) {
      if (isFollowing) log.warn({ err: error }, 'cannot follow the change log: soon nothing is answered from memory');
      isFollowing = false;
    } finally {
      isAsking = false;
    }
  };
  void ask();
  return setInterval(() => void ask(), FOLLOW_MS).unref();
}
