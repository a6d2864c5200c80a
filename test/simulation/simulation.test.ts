/** Five hundred worlds (docs/reliability.md). More of them: `npm run simulate -- --seeds 20000`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemory } from '../../src/coherence/memory.ts';
import { simulate } from './run.ts';

const SEEDS = 500;

test(`${SEEDS} seeds: nothing is answered that may not be, and all nodes come back (K1, K2, K4, K5, K6)`, async () => {
  const failed: string[] = [];
  let judged = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = await simulate(seed, { openMemory });
    judged += result.judged;
    if (result.violations.length > 0) failed.push(`${result.violations[0]}\n  again: npm run simulate -- --seed ${seed} --trace`);
  }
  assert.deepEqual(failed, []);
  assert.ok(judged > SEEDS * 300, `only ${judged} answers were judged`);
});

test('the same seed gives the same trace, another seed another one', async () => {
  const traces = await Promise.all(
    [7, 7, 8].map(async (seed) => {
      const lines: string[] = [];
      const { hash } = await simulate(seed, { openMemory, trace: (line) => lines.push(line) });
      return { hash, lines };
    }),
  );
  const [one, again, other] = traces;
  assert.deepEqual(one, again);
  assert.notEqual(one?.hash, other?.hash);
});
