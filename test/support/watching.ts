/** A watch that writes down what it hears. */
import type { Etcd } from '../../src/etcd/client.ts';
import type { WatchEvent, WatchRequest } from '../../src/etcd/watch.ts';
import { until } from './server.ts';

export interface Watching {
  readonly events: WatchEvent[];
  /** how many events each call brought */
  readonly batches: number[];
  readonly gaps: string[];
  /** the first revision of each time that it was in place; the first one is that of `onCreated` */
  readonly starts: number[];
  /** everything in the order in which it was told: `created`, `gap`, `again`, keys */
  readonly told: string[];
  keys(): string[];
  isCreated(): Promise<void>;
  /** until an event of this key has come */
  hears(key: string, timeoutMs?: number): Promise<void>;
  close(): void;
}

/** @param listener the same as `told`, with the reasons of gaps */
export function watching(etcd: Pick<Etcd, 'watch'>, request: WatchRequest, listener?: (what: string) => void): Watching {
  const events: WatchEvent[] = [];
  const batches: number[] = [];
  const gaps: string[] = [];
  const starts: number[] = [];
  const told: string[] = [];
  const tell = (what: string, detail = '') => {
    told.push(what);
    listener?.(what + detail);
  };
  const watch = etcd.watch(request, {
    onEvents(some) {
      events.push(...some);
      batches.push(some.length);
      for (const { kv } of some) tell(kv.key.toString());
    },
    onGap(reason) {
      gaps.push(reason);
      tell('gap', `: ${reason}`);
    },
    onCreated(revision) {
      starts.push(revision);
      tell('created');
    },
    onReconnect(revision) {
      starts.push(revision);
      tell('again');
    },
  });
  const keys = () => events.map(({ kv }) => kv.key.toString());
  return {
    events,
    batches,
    gaps,
    starts,
    told,
    keys,
    isCreated: () => until(() => starts.length > 0, 5_000),
    hears: (key, timeoutMs = 5_000) => until(() => keys().includes(key), timeoutMs),
    close: () => watch.close(),
  };
}
