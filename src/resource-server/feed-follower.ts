/**
 * Follows the feed of revocations for ever. Each connection begins with pages, which say when nothing is missing; the stream then goes on from there.
 * So after an outage of whatever kind nothing is left out, and it is known at once.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type AuthServer, AuthServerError, feedEntry } from './auth-server.ts';
import type { FeedEntry } from './ended.ts';
import { EventStreamParser } from './event-stream.ts';

export interface FeedFollowerOptions {
  readonly server: Pick<AuthServer, 'feedPage' | 'feedStream' | 'feedTokenMs'>;
  /** `latest`: only what is still to come */
  readonly from: 'beginning' | 'latest';
  readonly maxSilenceMs: number;
  readonly timeoutMs: number;
  readonly onEntry: (entry: FeedEntry) => void;
  /** All that came so far is of another history of the database. */
  readonly onForget: () => void;
  readonly onProblem: (error: unknown) => void;
}

const PAGE = 500;
const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 5_000;

const TIMER_MS_MAX = 2 ** 31 - 1;
/** A shorter one is a failure. */
const STREAM_MS_MIN = 500;

export class FeedFollower {
  readonly #options: FeedFollowerOptions;
  readonly #closing = new AbortController();
  #connection: AbortController | undefined;
  #settle: () => void = () => undefined;
  /** The first attempt is over, well or badly. */
  readonly settled = new Promise<void>((resolve) => {
    this.#settle = resolve;
  });
  #isSettled = false;
  #cursor: string | undefined;
  /** nothing is missing that was revoked before this moment of `performance.now()` */
  #completeAt = Number.NEGATIVE_INFINITY;
  #history = 0;

  constructor(options: FeedFollowerOptions) {
    this.#options = options;
    void this.#run();
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** Which history the entries are of; 0 before there is a place in the feed. */
  get history(): number {
    return this.#cursor === undefined ? 0 : this.#history;
  }

  /** How long ago it was known that nothing is missing. */
  get silentMs(): number {
    return performance.now() - this.#completeAt;
  }

  get isAlive(): boolean {
    return this.silentMs <= this.#options.maxSilenceMs;
  }

  close(): void {
    this.#closing.abort();
    this.#connection?.abort();
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#closing.signal.aborted; ) {
      try {
        await this.#catchUp();
        if (this.#closing.signal.aborted) break;
        this.#hasSettled();
        const openedAt = performance.now();
        await this.#stream();
        const lastedMs = performance.now() - openedAt;
        // One that always ends at once is no better than one that fails.
        failures = lastedMs > STREAM_MS_MIN ? 0 : failures + 1;
        if (this.#connection?.signal.aborted && failures === 0) continue;
      } catch (error) {
        if (this.#closing.signal.aborted) break;
        if (error instanceof AuthServerError && error.status === 410) this.#forget();
        this.#options.onProblem(error);
        this.#hasSettled();
        failures++;
      }
      // Half of it at random: those that lost the same node do not come back together.
      const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.max(0, failures - 1)) * (0.5 + Math.random() / 2);
      await pause(backoffMs, undefined, { ref: false, signal: this.#closing.signal }).catch(() => undefined);
    }
    this.#hasSettled();
  }

  async #catchUp(): Promise<void> {
    for (;;) {
      const askedAt = performance.now();
      const { items, cursor, hasMore } = await this.#options.server.feedPage(this.#cursor ?? this.#start(), PAGE);
      if (this.#closing.signal.aborted) return;
      for (const entry of items) this.#options.onEntry(entry);
      if (this.#cursor === undefined) this.#history++;
      this.#cursor = cursor;
      if (hasMore) continue;
      this.#completeAt = askedAt;
      return;
    }
  }

  /** Until the server ends it, or until it is time for another one: this one is dead, or its token comes to its end. */
  async #stream(): Promise<void> {
    const { server, maxSilenceMs, timeoutMs } = this.#options;
    const own = new AbortController();
    this.#connection = own;
    // A token may live longer than a timer can wait.
    const abortAfter = (ms: number) => setTimeout(() => own.abort(), Math.min(ms, TIMER_MS_MAX)).unref();
    const renewal = abortAfter(Math.max(0, server.feedTokenMs));
    const opening = abortAfter(timeoutMs);
    let silence: NodeJS.Timeout | undefined;
    try {
      const body = await server.feedStream(this.#cursor ?? '', own.signal);
      clearTimeout(opening);
      // In time: another one has to be there before nothing is believed any more.
      silence = abortAfter((maxSilenceMs * 2) / 3);
      await this.#read(body, () => silence?.refresh());
    } catch (error) {
      if (!own.signal.aborted || this.#closing.signal.aborted) throw error;
    } finally {
      for (const timer of [renewal, opening, silence]) clearTimeout(timer);
    }
  }

  async #read(body: ReadableStream<Uint8Array>, onSign: () => void): Promise<void> {
    const parser = new EventStreamParser();
    const reader = body.getReader();
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        for (const item of parser.push(part.value)) {
          if (item !== 'comment') {
            const entry = feedEntry(JSON.parse(item.data));
            this.#options.onEntry(entry);
            this.#cursor = entry.cursor;
          }
          this.#completeAt = performance.now();
          onSign();
        }
      }
    } finally {
      // What cannot be read must not stay open.
      reader.cancel().catch(() => undefined);
    }
  }

  #forget(): void {
    this.#cursor = undefined;
    this.#completeAt = Number.NEGATIVE_INFINITY;
    this.#options.onForget();
  }

  #start(): string | undefined {
    return this.#options.from === 'latest' ? 'latest' : undefined;
  }

  #hasSettled(): void {
    this.#isSettled = true;
    this.#settle();
  }
}
