/** One node: its memory, what it follows, and what it shares with the others. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Memory, openMemory } from './coherence/memory.ts';
import type { MemoryNumbers } from './coherence/numbers.ts';
import type { Observer } from './coherence/ports.ts';
import type { Config } from './config.ts';
import type { ChangeEntry } from './core/ports.ts';
import { openSeal } from './etcd/seal.ts';
import { openShared, type Shared } from './etcd/shared.ts';
import { isBelowFloor } from './etcd/version.ts';
import type { NodeState } from './http/health.ts';
import { accessTokenStore } from './postgres/access-tokens.ts';
import { changeLog } from './postgres/changes.ts';
import { clientAdministration, clientDirectory } from './postgres/clients.ts';
import type { Db } from './postgres/db.ts';
import { signingKeys } from './postgres/keys.ts';
import { nodeRegistry } from './postgres/nodes.ts';

/** How often the change log is asked for what is new. */
const FOLLOW_MS = 100;
const TEND_MS = 5_000;

export interface Node {
  readonly memory: Memory;
  /** `undefined`: there is no etcd */
  readonly shared: Shared | undefined;
  readonly numbers: () => MemoryNumbers;
  readonly state: () => NodeState;
  /** Nothing may be asked any more. */
  close(): Promise<void>;
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
  const announce = (entry: ChangeEntry) => memory.announced(entry);
  const shared =
    config.etcd &&
    openShared({
      etcd: config.etcd,
      seal: openSeal(encryptionKeys, config.issuer),
      epoch: () => memory.epoch(),
      now: () => memory.now(),
      log,
      onAnnouncement: (announcement) => memory.heard(announcement),
      onAcknowledgement: (announcement, nodeId) => memory.acknowledged(announcement, nodeId),
      onWiped: () => memory.refillCache(),
      tendMs: TEND_MS,
    });
  const memory: Memory = openMemory({
    log: changeLog(followerDb),
    tokens: accessTokenStore(db, announce),
    clients: clientDirectory(db),
    administration: clientAdministration(db, announce),
    signingKeys: signingKeys(db, encryptionKeys),
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
    onHistoryChanged,
  });
  const following = follow(memory, log);
  return {
    memory,
    shared,
    numbers: memory.numbers,
    state: () => ({ ...memory.numbers(), ...etcdState(shared) }),
    async close() {
      clearInterval(following);
      await memory.leave().catch((error: unknown) => log.warn({ err: error }, 'revocations will wait a while for this node'));
      shared?.close();
    },
  };
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
