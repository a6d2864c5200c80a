/**
 * The freshness lease: until when this node may answer from memory without asking (docs/coherence.md).
 *
 * A probe reads the change log and applies what was missing. What it proves counts from the moment BEFORE it was sent, so whatever was
 * committed at most {@link FreshnessOptions.maxStalenessMs} ago may be missing, and nothing older.
 */
import { Unavailable } from '../core/ports.ts';
import { Lease } from './lease.ts';
import type { Clocks, Observer, Sleep } from './ports.ts';
import { SharedRun } from './shared-run.ts';

export interface FreshnessOptions extends Clocks {
  readonly maxStalenessMs: number;
  readonly sleep: Sleep;
  /** Reads the change log and applies it. @throws Unavailable */
  readonly probe: () => Promise<void>;
  readonly observer: Pick<Observer, 'proved' | 'proofFailed'>;
}

/** So long a question waits; a look itself may take longer, after a long absence above all, and goes on. */
const PATIENCE_MS = 1_500;

export class Freshness {
  readonly #options: FreshnessOptions;
  readonly #lease: Lease;
  readonly #probes: SharedRun<void>;
  #provenAt = Number.NEGATIVE_INFINITY;

  constructor(options: FreshnessOptions) {
    this.#options = options;
    this.#lease = new Lease(options);
    this.#probes = new SharedRun(() => this.#probe());
  }

  /** Milliseconds since the moment that is proven: so much may be missing. Infinite before the first proof. */
  get ageMs(): number {
    return this.#options.monotonic() - this.#provenAt;
  }

  /** To be asked immediately before an answer, without an `await` in between. */
  isFresh(): boolean {
    return this.#lease.holds();
  }

  /** After a doubt: nothing is proven any more, not by a probe that is under way either. */
  discard(): void {
    this.#lease.discard();
  }

  /** A probe that is sent after this call. All who wait meanwhile share it. @throws Unavailable */
  prove(): Promise<void> {
    return this.#patiently(this.#probes.after());
  }

  /** Resolves when an answer from memory is allowed: a probe that is under way is as good as the next one. @throws Unavailable — no proof is to be had */
  async ensure(): Promise<void> {
    if (!this.isFresh()) await this.#patiently(this.#ensure());
  }

  async #ensure(): Promise<void> {
    await (this.#probes.running ?? this.#probes.after());
    // It may have begun before the clocks disagreed, or taken longer than its proof is worth.
    if (!this.isFresh()) await this.#probes.after();
    if (!this.isFresh()) throw new Unavailable('the state of this node is too old to answer from', { reason: 'not_fresh' });
  }

  #patiently(work: Promise<void>): Promise<void> {
    const late = this.#options.sleep(PATIENCE_MS).then(() => {
      throw new Unavailable('it takes too long to bring this node up to date', { reason: 'not_fresh' });
    });
    return Promise.race([work, late]);
  }

  async #probe(): Promise<void> {
    const { probe, maxStalenessMs, observer } = this.#options;
    const asked = this.#lease.ask();
    try {
      await probe();
    } catch (error) {
      observer.proofFailed();
      throw error instanceof Unavailable && error.reason !== 'history_changed' ? notFresh(error) : error;
    }
    observer.proved(this.ageMs);
    this.#lease.grant(asked, maxStalenessMs);
    this.#provenAt = asked.at;
  }
}

/** Whatever kept the probe from its answer: to who asked it means that there is no proof. */
function notFresh(cause: Unavailable): Unavailable {
  return new Unavailable('the change log cannot be read, so this node cannot know that it is up to date', { cause, reason: 'not_fresh' });
}
