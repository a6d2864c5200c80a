/**
 * A machine that is busy with something else makes servers late, which is no fault of theirs. PostgreSQL is asked directly all the time, past all
 * proxies and servers: when it, or this process itself, is late, then so may everybody be.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { FaultyPostgres } from '../support/faults.ts';
import { ANY_ERRORS, type FaultWindow } from './operations.ts';

export const SLOW_MACHINE = 'a slow machine';
/** Servers give up after 450 ms. */
const LATE_MS = 200;
const EVERY_MS = 50;
/** What is late now may have been asked for earlier, and is answered later. */
export const AROUND_MS = 1_000;

export interface Watching {
  stop(): Promise<void>;
}

export function watchMachine(postgres: Pick<FaultyPostgres, 'session'>, windows: FaultWindow[]): Watching {
  let isOver = false;
  const watch = async () => {
    let session = await postgres.session().catch(() => undefined);
    while (!isOver) {
      const asked = performance.now();
      try {
        session ??= await postgres.session();
        await session.query('select 1');
      } catch {
        session = undefined;
      }
      await pause(EVERY_MS);
      const now = performance.now();
      if (now - asked < EVERY_MS + LATE_MS) continue;
      windows.push({ what: SLOW_MACHINE, from: asked - AROUND_MS, mended: now, to: now + AROUND_MS, budget: ANY_ERRORS });
    }
    await session?.end().catch(() => undefined);
  };
  const watching = watch();
  return {
    async stop() {
      isOver = true;
      await watching;
    },
  };
}
