/** Faults of the servers themselves. */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { MAX_STALENESS_MS } from './cluster.ts';
import { type Budget, errorsOf, NO_ERRORS } from './operations.ts';
import type { Fault, FaultRun } from './run.ts';

/** What a revocation may take besides, on a busy machine. */
const STORE_MS_MAX = 1_500;

export function killNode({ cluster, random }: FaultRun): Fault {
  const node = random.below(cluster.nodes.length);
  return {
    what: 'a node is killed and started again',
    budget: errorsOf(node),
    async harm() {
      await cluster.nodes[node]?.kill();
      await pause(200 + random.below(800));
      await cluster.nodes[node]?.start();
    },
  };
}

/**
 * Its own connections to PostgreSQL may have been waiting for longer than it is patient. And if it was in the middle of a change it has the counter of
 * the change log, until PostgreSQL ends its transaction after a second.
 */
const pausing = (node: number): Budget => ({ introspections: [node], changes: 'any' });

/** Nobody is refused: who asks meanwhile waits. What the node says first is what the checkers look at. */
export function pauseNode({ cluster, random }: FaultRun, longestMs = 3_000): Fault {
  const node = random.below(cluster.nodes.length);
  return {
    what: 'a node is paused',
    budget: pausing(node),
    async harm() {
      for (const ms of [100 + random.below(300), 500 + random.below(Math.max(1, longestMs - 500))]) {
        cluster.nodes[node]?.pause();
        await pause(ms);
        cluster.nodes[node]?.resume();
        await pause(300);
      }
    },
  };
}

/** In strict mode the others wait for it, as long as it may still answer from what it knew. */
export function pauseStrictNode({ cluster, workload, random }: FaultRun): Fault {
  const node = random.below(cluster.nodes.length);
  return {
    what: 'a node in strict mode is paused while others revoke',
    budget: pausing(node),
    async harm() {
      const others = cluster.nodes.map(({ index }) => index).filter((index) => index !== node);
      cluster.nodes[node]?.pause();
      const took = (await Promise.all(others.map((other) => workload.revokeAt(other, others)))).filter((ms) => ms !== undefined);
      cluster.nodes[node]?.resume();
      assert.ok(took.length > 0, 'nothing was revoked');
      const [shortest, longest] = [Math.min(...took), Math.max(...took)];
      assert.ok(shortest > MAX_STALENESS_MS / 2, `a revocation did not wait for the paused node: ${Math.round(shortest)} ms`);
      assert.ok(longest < MAX_STALENESS_MS * 1.01 + STORE_MS_MAX, `a revocation took ${Math.round(longest)} ms`);
    },
  };
}

export function nothing(ms: number): Fault {
  return { what: 'no fault', budget: NO_ERRORS, harm: () => pause(ms) };
}
