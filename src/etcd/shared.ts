/** etcd as the nodes share it: the bus and the cache on one connection. Without it, or while it is away, everything works, only not as quickly. */
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import type { Announcement, Bus, SharedCache } from '../coherence/ports.ts';
import { openBus } from './bus.ts';
import { type EtcdState, openEtcd } from './client.ts';
import { openMirror } from './mirror.ts';
import { watchRoom } from './room.ts';
import type { Seal } from './seal.ts';
import { isBelowFloor } from './version.ts';
import { Writer } from './writer.ts';

export interface EtcdConfig {
  /** `http://…` or `https://…`, or without a scheme */
  readonly endpoints: readonly string[];
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** PEM, each of them */
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** ends with a slash */
  readonly prefix: string;
}

export interface SharedOptions {
  readonly etcd: EtcdConfig;
  readonly seal: Seal;
  /** of the change log; `undefined` as long as it is not known */
  readonly epoch: () => string | undefined;
  /** epoch seconds */
  readonly now: () => number;
  readonly log: Logger;
  readonly onAnnouncement: (announcement: Announcement) => void;
  readonly onAcknowledgement: (announcement: Announcement, nodeId: string) => void;
  /** The cache is empty. */
  readonly onWiped: () => void;
  /** how often it is looked whether the cache is still ours and has room */
  readonly tendMs: number;
}

/** Since the start. */
export interface SharedCounts {
  /** look-ups of tokens; `ignored`: what was there is not ours; `failed`: no answer in time */
  readonly reads: Record<'hit' | 'miss' | 'ignored' | 'failed', number>;
  readonly transactions: Record<'done' | 'failed', number>;
  /** of the cache and of the bus, that were not done */
  dropped: number;
  /** messages on the bus that no node of ours wrote */
  ignored: number;
  /** times that the bus may have lost something */
  gaps: number;
}

export interface Shared {
  readonly bus: Bus;
  readonly cache: SharedCache;
  readonly counts: SharedCounts;
  readonly state: () => EtcdState;
  /** whether the cache is written to: etcd has room */
  readonly hasRoom: () => boolean;
  close(): void;
}

const WRITE_MS = 2_000;
const WAITING_MAX = 10_000;

/** Starts to connect, and returns at once. @throws Error — settings that cannot be used */
export function openShared({
  etcd: config,
  seal,
  epoch,
  now,
  log,
  onAnnouncement,
  onAcknowledgement,
  onWiped,
  tendMs,
}: SharedOptions): Shared {
  const counts: SharedCounts = {
    reads: { hit: 0, miss: 0, ignored: 0, failed: 0 },
    transactions: { done: 0, failed: 0 },
    dropped: 0,
    ignored: 0,
    gaps: 0,
  };
  const etcd = openEtcd({
    ...config,
    onState: describe(log),
    onHandlerError: (error) => log.error({ err: error }, 'an event from etcd could not be handled'),
  });
  const room = watchRoom(
    etcd,
    config.ca || config.cert ? createSecureContext({ ca: config.ca, cert: config.cert, key: config.key }) : undefined,
  );
  const common = { etcd, now, deadlineMs: WRITE_MS, waitingMax: WAITING_MAX };
  const onWritten = (error: Error | undefined) => {
    counts.transactions[error ? 'failed' : 'done']++;
  };
  // Two, so that a change never waits behind the cache.
  const changes = new Writer({ ...common, begin: queueMicrotask, onWritten, onDropped: (writes) => (counts.dropped += writes) });
  const entries = new Writer({
    ...common,
    begin: setImmediate,
    onWritten,
    onDropped(writes) {
      counts.dropped += writes;
      mirror.forget();
    },
  });
  const monotonic = () => performance.now();
  const onRead = (outcome: keyof SharedCounts['reads']) => counts.reads[outcome]++;
  const mirror = openMirror({ etcd, writer: entries, seal, prefix: config.prefix, epoch, hasRoom: room.isThere, monotonic, onRead });
  const bus = openBus({
    etcd,
    writer: changes,
    seal,
    prefix: config.prefix,
    now,
    onAnnouncement,
    onAcknowledgement,
    onIgnored: () => counts.ignored++,
    onGap(reason) {
      counts.gaps++;
      log.info({ reason }, 'changes may be missing on the bus: they are read from the change log');
    },
  });

  let isTending = false;
  let saidOther = false;
  const tend = async () => {
    if (isTending || etcd.state().status !== 'connected') return;
    isTending = true;
    try {
      await room.look();
      const found = await mirror.claim();
      if (found === 'wiped') onWiped();
      if (found === 'other' && !saidOther)
        log.warn({ prefix: config.prefix }, 'another history is under this prefix of etcd: give each database its own');
      saidOther ||= found === 'other';
    } catch (error) {
      log.debug({ err: error }, 'etcd could not be looked after');
    } finally {
      isTending = false;
    }
  };
  const tending = setInterval(() => void tend(), tendMs).unref();
  return {
    bus,
    cache: mirror,
    counts,
    state: () => etcd.state(),
    hasRoom: room.isThere,
    close() {
      clearInterval(tending);
      bus.close();
      etcd.close();
    },
  };
}

/** Says once when etcd goes, and once when it comes; attempts go on in between without a word. */
function describe(log: Logger): (state: EtcdState) => void {
  let said: EtcdState['status'] | undefined;
  const old = new Set<string>();
  return (state) => {
    if (state.status === 'connecting' || state.status === 'closed') return;
    if (state.status === 'connected' && state.version && isBelowFloor(state.version) && !old.has(state.version)) {
      old.add(state.version);
      log.warn({ version: state.version }, 'this etcd has known defects: see docs/operations.md. What is answered does not depend on it');
    }
    if (state.status === said) return;
    said = state.status;
    if (state.status === 'connected') log.info({ endpoint: state.endpoint, version: state.version }, 'etcd is there');
    if (state.status === 'unreachable') log.warn({ reason: state.reason }, 'etcd cannot be reached: going on without it');
    if (state.status === 'refused') log.error({ reason: state.reason }, 'etcd refuses this server: going on without it');
  };
}
