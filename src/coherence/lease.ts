/**
 * A right that ends by itself. It counts from the moment BEFORE what grants it was asked for, by the monotonic clock. A wall clock that disagrees
 * with it says that this machine was asleep, or that its clock was set: then the right is void until it is granted anew.
 */
import type { Clocks } from './ports.ts';

/** The two clocks may move apart by this much. */
const CLOCKS_APART_MS_MAX = 200;

/** When something was asked for. */
export interface Asked {
  readonly at: number;
  readonly clocksApart: number;
  readonly discards: number;
}

export class Lease {
  readonly #clocks: Clocks;
  #until = Number.NEGATIVE_INFINITY;
  #clocksApart: number;
  #discards = 0;

  constructor(clocks: Clocks) {
    this.#clocks = clocks;
    this.#clocksApart = this.#difference();
  }

  /** To be asked immediately before the right is used, without an `await` in between. */
  holds(): boolean {
    return this.#clocks.monotonic() <= this.#until && Math.abs(this.#difference() - this.#clocksApart) <= CLOCKS_APART_MS_MAX;
  }

  /** To be called before the question is sent. */
  ask(): Asked {
    return { at: this.#clocks.monotonic(), clocksApart: this.#difference(), discards: this.#discards };
  }

  /** The question was answered: the right holds for `ms` after it was asked. Not if there was a doubt meanwhile. */
  grant({ at, clocksApart, discards }: Asked, ms: number): void {
    if (discards !== this.#discards) return;
    this.#until = Math.max(this.#until, at + ms);
    this.#clocksApart = clocksApart;
  }

  /** After a doubt: only what is asked from now on counts. */
  discard(): void {
    this.#until = Number.NEGATIVE_INFINITY;
    this.#discards++;
  }

  #difference(): number {
    return this.#clocks.wall() - this.#clocks.monotonic();
  }
}
