/**
 * Where clients last changed, as long as a record that was read before may still arrive. Kept for ever it would be the one thing in memory that grows with
 * the history: 100,000 clients that are imported, each of them once.
 */
export class RecentChanges {
  readonly #monotonic: () => number;
  #young = new Map<string, number>();
  #old = new Map<string, number>();
  #turnsAt = Number.NEGATIVE_INFINITY;

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  note(clientId: string, seq: number): void {
    const now = this.#monotonic();
    // By what is noted and not by a timer: after a pause of the whole process what it had noted just before is still there when it goes on.
    if (now >= this.#turnsAt) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#turnsAt = now + KEPT_MS;
    }
    this.#young.set(clientId, Math.max(seq, this.at(clientId)));
  }

  /** @returns a position in the change log; 0: not lately */
  at(clientId: string): number {
    return this.#young.get(clientId) ?? this.#old.get(clientId) ?? 0;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }
}

/** At least. A record is asked for and answered within two seconds, or it is an outage (src/postgres/db.ts). */
const KEPT_MS = 15_000;
