/**
 * Follows the change log: applies its entries in the order of their numbers, which is the order of the commits (docs/decisions/0004). A number
 * that goes back, or another epoch, means another history: a restore, or a fail-over that lost commits.
 */
import type { ChangeEntry, ChangeLog } from '../core/ports.ts';
import { DenySet } from './deny-set.ts';

/** The change log is not the one that this node has followed: its memory is of a history that did not happen. */
export class HistoryChanged extends Error {}

export interface Followed {
  readonly denied: DenySet;
  /** After {@link Follower.rewind}: what the whole log says, in place of {@link Followed.denied}. */
  onRebuilt(denied: DenySet): void;
  /** The record of a client, or its secrets, changed at this position. */
  onClient(clientId: string, seq: number): void;
  /** The signing keys changed. */
  onKeys(): void;
}

const PAGE = 10_000;

export class Follower {
  readonly #log: ChangeLog;
  readonly #followed: Followed;
  /** heard on the bus, and not yet read from the log */
  readonly #heard = new Set<number>();
  #epoch: string | undefined;
  #applied = 0;
  /** position that the database is known to have had, by what else it has answered */
  #seen = 0;
  #lastSeq = 0;
  #nowMs = 0;
  #unheard = 0;
  #rebuilding: DenySet | undefined;
  /** the entry at the position that is applied, as the log told it */
  #tail: string | undefined;

  constructor(log: ChangeLog, followed: Followed) {
    this.#log = log;
    this.#followed = followed;
  }

  /** Position up to which everything is applied. */
  get applied(): number {
    return this.#applied;
  }

  /** Position that the log had when it was last read. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Of the log that is followed; `undefined` before it was read. */
  get epoch(): string | undefined {
    return this.#epoch;
  }

  /** The log's clock when it was last read, milliseconds since the epoch; never this node's, which may be wrong for a while. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** New entries that the log told before the bus did, or instead of it. What the log had at the start is not new. */
  get unheard(): number {
    return this.#unheard;
  }

  /**
   * Applies an entry of the same log that came another way. The position stays: only the log says what lies before it, so whatever else is lost,
   * late or out of order is read there.
   */
  hear(entry: ChangeEntry): void {
    if (entry.seq > this.#applied && this.#heard.size < PAGE) this.#heard.add(entry.seq);
    this.#apply(entry);
  }

  /** What was applied is not to be trusted: the next reading begins with the first entry. Not while one is under way. */
  rewind(): void {
    this.#applied = 0;
    this.#tail = undefined;
    // Beside what there is: who is judged meanwhile must not be judged by half a log.
    this.#rebuilding = new DenySet();
  }

  /** The database has answered something as of this position: a look that begins later must find it, or the log has gone back. */
  seen(seq: number): void {
    this.#seen = Math.max(this.#seen, seq);
  }

  /**
   * Brings memory to at least the position that the log has when this is called. One call at a time.
   *
   * @throws Unavailable
   * @throws HistoryChanged
   */
  async catchUp(): Promise<void> {
    const known = this.#epoch === undefined ? Number.POSITIVE_INFINITY : this.#lastSeq;
    for (;;) {
      const floor = Math.max(this.#lastSeq, this.#seen);
      const { epoch, lastSeq, readTo, nowMs, before, tail, entries } = await this.#log.read(this.#applied, PAGE);
      this.#epoch ??= epoch;
      if (epoch !== this.#epoch) throw new HistoryChanged(`the change log's epoch is ${epoch}, and was ${this.#epoch}`);
      if (lastSeq < floor) throw new HistoryChanged(`the change log ends at ${lastSeq}, and had got to ${floor}`);
      // After a fail-over that lost commits others may have their numbers by now.
      if (this.#tail !== undefined && before !== this.#tail) {
        throw new HistoryChanged(`entry ${this.#applied} of the change log is not the one that it was`);
      }
      for (const entry of entries) {
        if (entry.seq > known && !this.#heard.has(entry.seq)) this.#unheard++;
        this.#apply(entry);
      }
      this.#applied = readTo;
      this.#tail = tail;
      this.#lastSeq = lastSeq;
      this.#nowMs = nowMs;
      for (const seq of this.#heard) if (seq <= readTo) this.#heard.delete(seq);
      if (readTo >= lastSeq) break;
    }
    if (this.#rebuilding) this.#followed.onRebuilt(this.#rebuilding);
    this.#rebuilding = undefined;
  }

  #apply(entry: ChangeEntry): void {
    const { seq, kind, key } = entry;
    for (const denied of [this.#followed.denied, this.#rebuilding]) {
      if (kind === 'token') denied?.denyToken(key, entry.expiresAt);
      if (kind === 'client' || kind === 'subject' || kind === 'all') denied?.cutOff(entry);
    }
    // A client is the subject of its tokens: from here on they are to be issued as of a position behind the cut-off.
    if (kind === 'client' || kind === 'client_record' || kind === 'subject') this.#followed.onClient(key, seq);
    if (kind === 'keys') this.#followed.onKeys();
  }
}
