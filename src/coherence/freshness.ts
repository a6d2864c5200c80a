/**
 * The freshness lease: until when this node may answer from memory without asking (docs/coherence.md).
 *
 * A probe reads the change log and applies what was missing. What it proves counts from the moment BEFORE it was sent, so whatever was
 * committed at most {@link FreshnessOptions.maxStalenessMs} ago may be missing, and nothing older. Time is monotonic: a wall clock that is set
 * changes nothing, but one that disagrees says that this machine was asleep, and then nothing is known.
 */
import { Unavailable } from '../core/ports.ts';

export interface FreshnessOptions {
  readonly maxStalenessMs: number;
  /** milliseconds that only grow */
  readonly monotonic: () => number;
  /** milliseconds since the epoch */
  readonly wall: () => number;
  /** Reads the change log and applies it. @throws Unavailable */
  readonly probe: () => Promise<void>;
}

/** The two clocks may move apart by this much between two probes. */
const CLOCKS_APART_MS_MAX = 200;

export class Freshness {
  readonly #options: FreshnessOptions;
  #freshUntil = Number.NEGATIVE_INFINITY;
  #clocksApart: number;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(options: FreshnessOptions) {
    this.#options = options;
    this.#clocksApart = this.#difference();
  }

  /** To be asked immediately before an answer, without an `await` in between. */
  isFresh(): boolean {
    return this.#options.monotonic() <= this.#freshUntil && Math.abs(this.#difference() - this.#clocksApart) <= CLOCKS_APART_MS_MAX;
  }

  /** After a doubt: nothing is proven any more. */
  discard(): void {
    this.#freshUntil = Number.NEGATIVE_INFINITY;
  }

  /**
   * A probe that is sent after this call: one that is under way may have read before whatever the caller knows of. All who wait meanwhile share
   * the next one.
   *
   * @throws Unavailable
   */
  prove(): Promise<void> {
    if (!this.#running) return this.#start();
    // By then somebody else may have begun one, later than this call as well.
    this.#next ??= this.#running.catch(() => undefined).then(() => this.#running ?? this.#start());
    return this.#next;
  }

  /** Resolves when an answer from memory is allowed: a probe that is under way is as good as the next one. @throws Unavailable — no proof is to be had */
  async ensure(): Promise<void> {
    if (this.isFresh()) return;
    await (this.#running ?? this.prove());
    // It may have begun before the clocks disagreed, or taken longer than its proof is worth.
    if (!this.isFresh()) await this.prove();
    if (!this.isFresh()) throw new Unavailable('the state of this node is too old to answer from');
  }

  #start(): Promise<void> {
    this.#next = undefined;
    this.#running = this.#probe().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #probe(): Promise<void> {
    const { monotonic, maxStalenessMs, probe } = this.#options;
    const sentAt = monotonic();
    const clocksApart = this.#difference();
    await probe();
    this.#freshUntil = Math.max(this.#freshUntil, sentAt + maxStalenessMs);
    this.#clocksApart = clocksApart;
  }

  #difference(): number {
    return this.#options.wall() - this.#options.monotonic();
  }
}
