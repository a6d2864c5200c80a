/** Choices that a seed repeats. What they are used for is concurrent, so a seed repeats a plan and not a run. */
export interface Random {
  /** @returns an integer from 0 to `limit - 1` */
  below(limit: number): number;
  pick<T>(items: readonly T[]): T | undefined;
}

/** mulberry32 */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  const below = (limit: number) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
  return { below, pick: (items) => items[below(items.length)] };
}
