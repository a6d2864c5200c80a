/**
 * Writes to etcd, off every request's path: what waits goes in one transaction while the one before is under way. If etcd is slow, away or nearly full,
 * writes are dropped, never queued without bound: whatever is missing there is read from PostgreSQL.
 */
import type { Etcd } from './client.ts';
import { type EtcdError, GRPC, toEtcdError } from './errors.ts';

export interface Write {
  readonly key: string;
  /** `undefined`: delete it */
  readonly value: string | undefined;
  /** epoch seconds: when it may go; `undefined`: it stays */
  readonly expiresAt?: number | undefined;
}

export interface WriterOptions {
  readonly etcd: Pick<Etcd, 'txn' | 'leaseGrant'>;
  /** epoch seconds */
  readonly now: () => number;
  readonly deadlineMs: number;
  /** `setImmediate`: whoever is being answered goes first; `queueMicrotask`: others wait for what is written */
  readonly begin: (write: () => void) => void;
  /** groups that wait at most; what comes then is dropped, and counted as one each */
  readonly waitingMax: number;
  readonly onDropped: (writes: number) => void;
  /** The outcome of a transaction. @param error `undefined`: done */
  readonly onWritten: (error: EtcdError | undefined) => void;
}

/** etcd allows 128 operations and 1.5 MB in a request. */
const OPERATIONS_MAX = 100;
const BYTES_MAX = 1_000_000;
/** A lease ends with the last key of its slot. There are at most `2 ** 6` slots in each doubling of what is left, so few leases for any number of keys. */
const SLOTS_PER_DOUBLING = 6;
const SLOT_SECONDS_MIN = 60;
const GRACE_SECONDS = 60;

export class Writer {
  readonly #options: WriterOptions;
  readonly #waiting: (() => readonly Write[])[] = [];
  /** by the second in which its slot ends */
  readonly #leases = new Map<number, Promise<bigint>>();
  #isWriting = false;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Never waits. @param make writes of different keys, done together or not at all; called when it is their turn, so that what is dropped costs nothing */
  write(make: () => readonly Write[]): void {
    if (this.#waiting.length >= this.#options.waitingMax) {
      this.#options.onDropped(1);
      return;
    }
    this.#waiting.push(make);
    if (!this.#isWriting) {
      this.#options.begin(() => void this.#drain().catch((error) => this.#options.onWritten(toEtcdError(error, GRPC.internal))));
    }
  }

  async #drain(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    try {
      while (this.#waiting.length > 0) {
        const batch = this.#take();
        if (batch.length > 0) await this.#writeOnce(batch);
      }
    } finally {
      this.#isWriting = false;
    }
  }

  /** As many groups as fit into a transaction, which may name a key only once. */
  #take(): Write[] {
    const batch = new Map<string, Write>();
    let bytes = 0;
    for (;;) {
      const make = this.#waiting.shift();
      if (!make) break;
      const group = make();
      const groupBytes = group.reduce((sum, { key, value = '' }) => sum + key.length + value.length, 0);
      bytes += groupBytes;
      if (groupBytes > BYTES_MAX) {
        this.#options.onDropped(1);
        bytes -= groupBytes;
      } else if (batch.size > 0 && (batch.size + group.length > OPERATIONS_MAX || bytes > BYTES_MAX)) {
        this.#waiting.unshift(() => group);
        break;
      } else {
        for (const write of group) batch.set(write.key, write);
      }
    }
    return [...batch.values()];
  }

  async #writeOnce(batch: readonly Write[]): Promise<void> {
    const { etcd, deadlineMs, onDropped, onWritten } = this.#options;
    try {
      const success = await Promise.all(
        batch.map(async ({ key, value, expiresAt }) =>
          value === undefined
            ? { requestDeleteRange: { key } }
            : { requestPut: { key, value: Buffer.from(value), lease: expiresAt === undefined ? 0n : await this.#leaseUntil(expiresAt) } },
        ),
      );
      await etcd.txn({ success }, { deadlineMs });
      onWritten(undefined);
    } catch (thrown) {
      const error = toEtcdError(thrown);
      // A lease that etcd does not know: it was wiped, or the lease ended early. New ones are asked for.
      if (error.code === GRPC.notFound) this.#leases.clear();
      onDropped(batch.length);
      onWritten(error);
    }
  }

  /** One lease for all keys of a slot; slots are the wider the further away. */
  #leaseUntil(expiresAt: number): Promise<bigint> {
    const now = this.#options.now();
    const left = Math.max(expiresAt - now, 1);
    const width = Math.max(SLOT_SECONDS_MIN, 2 ** (Math.ceil(Math.log2(left)) - SLOTS_PER_DOUBLING));
    const end = Math.ceil(expiresAt / width) * width;
    const known = this.#leases.get(end);
    if (known !== undefined) return known;
    for (const old of this.#leases.keys()) if (old < now) this.#leases.delete(old);
    const lease = this.#options.etcd
      .leaseGrant({ ttl: end - now + GRACE_SECONDS }, { deadlineMs: this.#options.deadlineMs })
      .then(({ id }) => id);
    this.#leases.set(end, lease);
    lease.catch(() => this.#leases.delete(end));
    return lease;
  }
}
