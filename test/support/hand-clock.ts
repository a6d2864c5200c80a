/** Clocks and a sleep that a test drives by hand: time passes when it says so, and everybody who waits has his turn. */
import type { Clocks, Sleep } from '../../src/coherence/ports.ts';

export interface HandClock extends Clocks {
  readonly sleep: Sleep;
  /** Both clocks go on; whoever slept long enough wakes up, in order. */
  pass(ms: number): Promise<void>;
  /** The machine is asleep: its monotonic clock stands still. */
  suspend(ms: number): void;
  /** Somebody sets the wall clock. */
  setWall(ms: number): void;
  /** All who wait for nothing but each other go on. */
  turn(): Promise<void>;
}

const STEP_MS = 1;

export function handClock(startMs = 10_000): HandClock {
  let monotonicMs = startMs;
  let wallMs = 1_800_000_000_000;
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    monotonic: () => monotonicMs,
    wall: () => wallMs,
    sleep: (ms) => new Promise((wake) => sleepers.add({ at: monotonicMs + ms, wake })),
    turn,
    async pass(ms) {
      await turn();
      for (let left = ms; left > 0; left -= STEP_MS) {
        const step = Math.min(STEP_MS, left);
        monotonicMs += step;
        wallMs += step;
        const due = [...sleepers].filter(({ at }) => at <= monotonicMs);
        for (const sleeper of due) {
          sleepers.delete(sleeper);
          sleeper.wake();
        }
        if (due.length > 0) await turn();
      }
      await turn();
    },
    suspend(ms) {
      wallMs += ms;
    },
    setWall(ms) {
      wallMs += ms;
    },
  };
}
