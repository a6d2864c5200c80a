/** Group commit: what comes while a batch is on its way to PostgreSQL goes together in the next one, so that a commit is shared and nobody waits for more. */
import { Unavailable } from '../core/ports.ts';

export interface GroupCommitOptions<T, R> {
  /** All of them are done or none; resolves once that is durable. @returns one result an item, in their order */
  readonly write: (items: readonly T[]) => Promise<readonly R[]>;
  readonly itemsMax: number;
  /** So many may wait; more would wait in vain, and their memory would grow with the load. */
  readonly waitingMax: number;
}

interface Waiting<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * An item that cannot be written fails by itself. An outage fails all that wait as well: they would only hear of it later.
 *
 * @throws Unavailable — it was not written, or nobody knows; `queue_full`: too many wait
 */
export function groupCommit<T, R>({ write, itemsMax, waitingMax }: GroupCommitOptions<T, R>): (item: T) => Promise<R> {
  let waiting: Waiting<T, R>[] = [];
  let isWriting = false;

  async function writeAll(): Promise<void> {
    isWriting = true;
    while (waiting.length > 0) {
      const batch = waiting.slice(0, itemsMax);
      waiting = waiting.slice(itemsMax);
      const error = await settle(batch, write);
      if (!(error instanceof Unavailable)) continue;
      const others = waiting;
      waiting = [];
      for (const { reject } of others) reject(error);
    }
    isWriting = false;
  }

  return (item) =>
    new Promise((resolve, reject) => {
      if (waiting.length >= waitingMax) {
        reject(new Unavailable('too much waits to be written', { reason: 'queue_full' }));
        return;
      }
      waiting.push({ item, resolve, reject });
      if (!isWriting) void writeAll();
    });
}

/** @returns why it failed, if it did for all */
async function settle<T, R>(batch: readonly Waiting<T, R>[], write: GroupCommitOptions<T, R>['write']): Promise<unknown> {
  try {
    const results = await write(batch.map(({ item }) => item));
    for (const [at, { resolve }] of batch.entries()) resolve(results[at] as R);
    return undefined;
  } catch (error) {
    if (batch.length > 1 && !(error instanceof Unavailable)) {
      // One of them is at fault, and nothing was written.
      return settleOneByOne(batch, write);
    }
    for (const { reject } of batch) reject(error);
    return error;
  }
}

/** An outage that begins meanwhile is said at once to the rest: each of them would wait for a time-out, and all that come after them. */
async function settleOneByOne<T, R>(batch: readonly Waiting<T, R>[], write: GroupCommitOptions<T, R>['write']): Promise<unknown> {
  for (const [at, one] of batch.entries()) {
    const error = await settle([one], write);
    if (!(error instanceof Unavailable)) continue;
    for (const { reject } of batch.slice(at + 1)) reject(error);
    return error;
  }
  return undefined;
}
