/** Faults of the servers themselves. */
import { setTimeout as pause } from 'node:timers/promises';
import { errorsOf, NO_ERRORS } from './operations.ts';
import type { Fault, FaultRun } from './run.ts';

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

/** Nobody is refused: who asks meanwhile waits. What the node says first is what the checkers look at. */
export function pauseNode({ cluster, random }: FaultRun, longestMs = 3_000): Fault {
  const node = random.below(cluster.nodes.length);
  return {
    what: 'a node is paused',
    // Its connections to PostgreSQL may have been waiting for longer than it is patient.
    budget: errorsOf(node),
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

export function nothing(ms: number): Fault {
  return { what: 'no fault', budget: NO_ERRORS, harm: () => pause(ms) };
}
