/**
 * A watch that outlives its streams. One stream of gRPC each, `hasleader`, in fragments.
 *
 * Each stream begins with a linearizable read of the revision, on the same session: it says whether this is still the history that was followed,
 * and where to begin if it is not. From then on the place to resume at moves with the events themselves. The header of etcd's answer `created`
 * says the present, before any event that was missed has come, so whoever resumes from it loses them (`etcd3` does); and a progress answer
 * overtakes events before etcd 3.4.25 and 3.5.8, so none is asked for.
 *
 * A gap is told after the new start has been fixed and before the stream is opened: what is read elsewhere after `onGap`, and the events, have
 * nothing between them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdError, GRPC, isRefusal, toEtcdError } from './errors.ts';
import { openStream, type Stream } from './grpc.ts';
import { type Key, type KeyRange, toRange } from './keys.ts';
import { type KeyValue, METHODS, type RangeResponse, WatchRequest as Request, WatchResponse as Response } from './messages.ts';
import type { EtcdSession, Live } from './session.ts';
import { decode, encode, type MessageOf } from './wire.ts';

export type WatchRequest = KeyRange & {
  /** The first revision to hear of; default: the one after the present at the time when the watch is first established. */
  readonly startRevision?: number;
  /** With what was there before. Dear: etcd 3.4 took 26 s for 20,000 deletions at once, and 0.5 s without. */
  readonly prevKv?: boolean;
};

export type WatchEvent =
  | { readonly type: 'PUT'; readonly kv: KeyValue; readonly prevKv?: KeyValue }
  /** of `kv` only `key` and `modRevision`, that of the deletion, mean something */
  | { readonly type: 'DELETE'; readonly kv: KeyValue; readonly prevKv?: KeyValue };

/** They are called one after the other and must not wait. What they throw goes to `onHandlerError`, and is followed by `onGap` if it was `onEvents`. */
export interface WatchHandlers {
  /**
   * In the order of their revisions. A large revision may come in parts; if the connection is lost between two of them it comes again from its
   * beginning, so to be told the same twice must do no harm.
   */
  onEvents(events: readonly WatchEvent[]): void;
  /** Events may be missing (compaction, another history, an answer that cannot be read), and there will be none of before this call. */
  onGap(reason: string): void;
  /** The watch is in place for the first time: every later change will be heard of. @param revision the first one that is watched */
  onCreated?(revision: number): void;
  /** It is in place again, and nothing was missed, or `onGap` was called before. @param revision the first one from now on */
  onReconnect?(revision: number): void;
}

export interface Watch {
  /** Nothing is called any more. Idempotent. */
  close(): void;
}

export interface WatchDeps {
  readonly session: EtcdSession;
  /** what the call has to carry */
  readonly metadata: () => Readonly<Record<string, string>>;
  /** there is another endpoint */
  readonly canMove: boolean;
  readonly range: (
    live: Live,
    request: { readonly key: Key; readonly limit: number; readonly keysOnly: boolean; readonly revision?: number | undefined },
    deadlineMs: number,
  ) => Promise<MessageOf<typeof RangeResponse>>;
  /** etcd does not allow this watch, or (`undefined`) does so now. */
  readonly onDenied: (reason: string | undefined) => void;
  readonly onHandlerError: (error: unknown) => void;
}

export function openWatch(request: WatchRequest, handlers: WatchHandlers, deps: WatchDeps): Watch {
  const watcher = new Watcher(request, handlers, deps);
  watcher.run().catch(deps.onHandlerError);
  return watcher;
}

const POSITION_MS_MAX = 2_000;
const CREATED_MS_MAX = 5_000;
const BACKOFF_MS = { first: 50, max: 1_000 };
const REFUSED_BACKOFF_MS = { first: 500, max: 10_000 };

interface History {
  readonly clusterId: bigint;
  readonly raftTerm: bigint;
  readonly revision: number;
}

class Watcher implements Watch {
  readonly #request: ReturnType<typeof toRange<WatchRequest>>;
  readonly #handlers: WatchHandlers;
  readonly #deps: WatchDeps;
  readonly #ended = new AbortController();
  /** the first revision that is not known to be complete here */
  #next: number | undefined;
  #history: History | undefined;
  /** why events may be missing; to be told once the new start is fixed */
  #gap: string | undefined;
  #wasCreated = false;
  #failures = 0;
  #isDenied = false;
  #stream: Stream | undefined;

  constructor(request: WatchRequest, handlers: WatchHandlers, deps: WatchDeps) {
    this.#request = toRange(request);
    this.#next = request.startRevision;
    this.#handlers = handlers;
    this.#deps = deps;
  }

  close(): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#deps.onDenied(undefined);
    this.#stream?.abort(new EtcdError(GRPC.cancelled, 'the watch is closed'));
  }

  /** Never rejects, and ends when the watch or the client is closed. */
  async run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const live = await this.#deps.session.wait().catch(() => undefined);
      if (!live) return;
      try {
        await this.#position(live);
        if (!signal.aborted) await this.#follow(live);
      } catch (error) {
        if (!signal.aborted) this.#judge(toEtcdError(error, GRPC.internal), live);
      }
      const { first, max } = this.#isDenied ? REFUSED_BACKOFF_MS : BACKOFF_MS;
      const delayMs = Math.min(first * 2 ** Math.min(this.#failures++, 16), max);
      await sleep(delayMs * (0.5 + Math.random() / 2), undefined, { ref: false, signal }).catch(() => undefined);
    }
  }

  #judge(error: EtcdError, live: Live): void {
    this.#isDenied = isRefusal(error);
    if (this.#isDenied) this.#deps.onDenied(`etcd does not allow the watch: ${error.message}`);
    // What cannot be read now cannot be read the next time either.
    if (error.code === GRPC.internal || error.code === GRPC.resourceExhausted || error.code === GRPC.unimplemented)
      this.#gap = error.message;
    // A member that is cut off from the others answers pings, and nothing else.
    const isOfNoUse = error.code === GRPC.unavailable || error.code === GRPC.deadlineExceeded;
    if (isOfNoUse && this.#deps.canMove)
      this.#deps.session.drop(live, new EtcdError(GRPC.unavailable, `${live.endpoint}: ${error.message}`));
  }

  async #position(live: Live): Promise<void> {
    const { header } = await this.#read(live);
    const gap = this.#gap ?? historyChange(this.#history, header) ?? (await this.#compaction(live, header.revision));
    if (this.#ended.signal.aborted) return;
    this.#history = header;
    this.#gap = undefined;
    if (gap !== undefined || this.#next === undefined) this.#next = header.revision + 1;
    if (gap !== undefined) this.#tell(() => this.#handlers.onGap(gap));
  }

  /**
   * etcd says that a watch is created before it says that its past is gone, and before 3.4.36 a watch from the very revision of a compaction may
   * lack deletions. So what was missed has to be there still, and the revision before it too.
   */
  async #compaction(live: Live, present: number): Promise<string | undefined> {
    const next = this.#next;
    if (next === undefined || next > present) return undefined;
    try {
      await this.#read(live, Math.max(1, next - 1));
      return undefined;
    } catch (error) {
      if (error instanceof EtcdError && error.code === GRPC.outOfRange) return `events from revision ${next} on are compacted`;
      throw error;
    }
  }

  #read(live: Live, revision?: number) {
    return this.#deps.range(live, { key: this.#request.key, limit: 1, keysOnly: true, revision }, POSITION_MS_MAX);
  }

  /** Rejects when the stream has ended. */
  #follow(live: Live): Promise<never> {
    const { key, rangeEnd, prevKv = false } = this.#request;
    return new Promise((_, reject) => {
      const metadata = { hasleader: 'true', ...this.#deps.metadata() };
      const stream = openStream(live.http2, METHODS.watch.path, metadata, {
        onMessage: (message) => {
          const response = decode(Response, message);
          if (response.created) clearTimeout(late);
          this.#take(response, stream);
        },
        onEnd: (error) => {
          clearTimeout(late);
          reject(error ?? new EtcdError(GRPC.unavailable, 'etcd ended the watch'));
        },
      });
      const tooLate = new EtcdError(GRPC.deadlineExceeded, 'etcd did not create the watch');
      const late = setTimeout(() => stream.abort(tooLate), CREATED_MS_MAX).unref();
      this.#stream = stream;
      stream.send(encode(Request, { createRequest: { key, rangeEnd, startRevision: this.#next, prevKv, fragment: true } }));
    });
  }

  #take({ created, canceled, cancelReason, compactRevision, events, fragment }: MessageOf<typeof Response>, stream: Stream): void {
    if (canceled) {
      if (compactRevision > 0) this.#gap = `events up to revision ${compactRevision} are compacted`;
      stream.abort(canceledWith(cancelReason));
      return;
    }
    if (created) this.#established();
    // A watch that starts in the future hears of the past before etcd 3.5.22 and 3.6.2.
    const wanted = events.filter(({ kv }) => kv.modRevision >= (this.#next ?? 0));
    const last = wanted.at(-1)?.kv.modRevision;
    if (last === undefined) return;
    // A revision may go on in the next fragment.
    this.#next = fragment ? last : last + 1;
    if (this.#history && last > this.#history.revision) this.#history = { ...this.#history, revision: last };
    if (!this.#tell(() => this.#handlers.onEvents(wanted))) this.#tell(() => this.#handlers.onGap('a handler of events failed'));
  }

  #established(): void {
    const revision = this.#next ?? 0;
    const { onCreated, onReconnect } = this.#handlers;
    this.#failures = 0;
    this.#deps.onDenied(undefined);
    this.#tell(() => (this.#wasCreated ? onReconnect : onCreated)?.call(this.#handlers, revision));
    this.#wasCreated = true;
  }

  /** @returns whether nothing was thrown */
  #tell(work: () => unknown): boolean {
    if (this.#ended.signal.aborted) return true;
    try {
      const result = work();
      // A handler that is async after all must not end the process either.
      if (result instanceof Promise) result.catch(this.#deps.onHandlerError);
      return true;
    } catch (error) {
      this.#deps.onHandlerError(error);
      return false;
    }
  }
}

/** Of a wiped etcd that was started with the same options the id of the cluster is the same, but revisions and terms begin anew. */
function historyChange(before: History | undefined, now: History): string | undefined {
  if (!before) return undefined;
  if (now.clusterId !== before.clusterId) return 'this is another cluster';
  if (now.revision < before.revision) return `the revision went back from ${before.revision} to ${now.revision}`;
  if (now.raftTerm < before.raftTerm) return `the term went back from ${before.raftTerm} to ${now.raftTerm}`;
  return undefined;
}

/** @param reason for example `rpc error: code = PermissionDenied desc = etcdserver: permission denied`; empty after a compaction */
function canceledWith(reason: string): EtcdError {
  const text = /desc = (.*)$/s.exec(reason)?.[1] ?? reason;
  if (/permission denied|user name is empty/.test(reason)) return new EtcdError(GRPC.permissionDenied, text);
  return new EtcdError(GRPC.failedPrecondition, `etcd cancelled the watch: ${text || 'compacted'}`);
}
