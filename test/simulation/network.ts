/** Who reaches whom, and how quickly. One direction may be cut without the other. */
import type { Random } from './random.ts';

export class Network {
  readonly #random: Random;
  readonly #cuts = new Set<string>();
  /** mean of one way, milliseconds; by `from>to`, `from>` or for all */
  readonly #slow = new Map<string, number>();
  readonly #meanMs: number;

  constructor(random: Random, meanMs: number) {
    this.#random = random;
    this.#meanMs = meanMs;
  }

  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  slow(from: string, to: string, meanMs: number): void {
    this.#slow.set(`${from}>${to}`, meanMs);
  }

  heal(): void {
    this.#cuts.clear();
    this.#slow.clear();
  }

  mend(from: string, to: string): void {
    this.#cuts.delete(`${from}>${to}`);
    this.#slow.delete(`${from}>${to}`);
  }

  /** @returns milliseconds of one way; `undefined`: it is lost */
  way(from: string, to: string): number | undefined {
    if (this.#cuts.has(`${from}>${to}`)) return undefined;
    return 0.05 + this.#random.around(this.#slow.get(`${from}>${to}`) ?? this.#meanMs);
  }
}
