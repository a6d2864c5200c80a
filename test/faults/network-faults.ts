/** Faults between a node and PostgreSQL, or etcd: each direction by itself. */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { DROP, type FaultyProxy, HOLD, PASS, type Rules } from '../support/proxy.ts';
import { until } from '../support/server.ts';
import { MAX_STALENESS_MS } from './cluster.ts';
import { NO_ERRORS, type Operation } from './operations.ts';
import type { Fault, FaultRun } from './run.ts';

/** Nothing is heard: of these PostgreSQL cannot prove anything to the node. */
const SILENT = {
  'nothing passes until it does': { up: HOLD, down: HOLD },
  'the connection is forgotten on the way': { up: DROP, down: DROP },
  'questions arrive, answers are late': { up: PASS, down: HOLD },
  'questions are late': { up: HOLD, down: PASS },
  'answers are lost, half-open': { up: PASS, down: DROP },
} as const satisfies Record<string, Rules>;
const SLOW = {
  'everything is late': { up: { kind: 'delay', ms: 40, jitterMs: 40 }, down: { kind: 'delay', ms: 40, jitterMs: 40 } },
  'half of the packets are lost': { up: { kind: 'lossy', share: 0.5 }, down: { kind: 'lossy', share: 0.5 } },
  'a narrow line': { up: { kind: 'throttle', bytesPerSecond: 20_000 }, down: { kind: 'throttle', bytesPerSecond: 20_000 } },
} as const satisfies Record<string, Rules>;
export const WAYS = [...Object.keys(SILENT), ...Object.keys(SLOW), 'reset', 'refused'] as (
  | keyof typeof SILENT
  | keyof typeof SLOW
  | 'reset'
  | 'refused'
)[];
export type Way = (typeof WAYS)[number];

/** A transaction that is idle for a second is ended; then there may be a queue, and the load has to come by. */
const FREED_MS_MAX = 4_000;

async function disturb(proxies: readonly FaultyProxy[], way: Way, ms: number): Promise<void> {
  const rules = { ...SILENT, ...SLOW }[way as keyof typeof SILENT];
  for (const proxy of proxies) {
    if (rules) proxy.set(rules);
    else {
      proxy.refuse(way === 'refused');
      proxy.cut();
    }
  }
  if (way !== 'reset') return pause(ms);
  for (let time = 0; time < 4; time++) {
    await pause(ms / 4);
    for (const proxy of proxies) proxy.cut();
  }
}

/** Costs nobody anything: freshness is PostgreSQL's to prove. */
export function betweenNodeAndEtcd({ cluster, random }: FaultRun, way = random.pick(WAYS) ?? 'reset', ms = 2_000): Fault {
  const node = cluster.nodes[random.below(cluster.nodes.length)];
  return {
    what: `between a node and etcd: ${way}`,
    budget: NO_ERRORS,
    async harm() {
      if (node) await disturb(node.etcd, way, ms);
      for (const proxy of node?.etcd ?? []) proxy.heal();
      await pause(500);
    },
  };
}

/** Costs this node its answers, once what it knew is too old. The others go on; in strict mode they wait for it as long as it may answer. */
export function betweenNodeAndPostgres({ cluster, workload, random }: FaultRun, way = random.pick(WAYS) ?? 'reset', ms = 2_600): Fault {
  const node = cluster.nodes[random.below(cluster.nodes.length)];
  return {
    what: `between a node and PostgreSQL: ${way}`,
    // A change of the node's that is held up holds the change log's counter, for a while, and the others' changes wait for it.
    budget: { introspections: [node?.index ?? 0], changes: 'any' },
    async harm() {
      if (!node) return;
      const from = performance.now();
      await disturb([node.postgres], way, ms);
      if (!(way in SILENT)) return;
      const to = performance.now();
      const late = workload.operations.filter(
        (each) => each.kind === 'introspect' && each.node === node.index && each.at > from + MAX_STALENESS_MS * 1.01 && each.end < to,
      );
      const answers = new Set(late.map(({ status }) => status));
      // The load may have nobody left to ask this node.
      answers.add(await node.program.status('/health/ready'));
      assert.deepEqual([...answers], [503], 'after the bound, cut off from PostgreSQL');
    },
  };
}

/**
 * The network goes while a node's transaction has the counter of the change log. PostgreSQL never hears of the node again, and has to give the others
 * the counter all the same.
 */
export function silenceInTransaction({ cluster, workload, random }: FaultRun): Fault {
  const node = cluster.nodes[random.below(cluster.nodes.length)];
  return {
    what: 'a node is cut off from PostgreSQL in the middle of a change',
    budget: { introspections: [node?.index ?? 0], changes: 'any' },
    async harm() {
      if (!node) return;
      let isArmed = true;
      node.postgres.onSent((chunk) => {
        if (!isArmed || !chunk.includes('append-change')) return;
        isArmed = false;
        node.postgres.set({ up: DROP, down: DROP });
      });
      await until(() => !isArmed, 10_000);
      const since = performance.now();
      const isChange = ({ kind, node: at, outcome }: Operation) =>
        kind !== 'introspect' && kind !== 'issue' && at !== node.index && outcome === 'done';
      await until(() => workload.operations.some((each) => isChange(each) && each.at > since), FREED_MS_MAX).catch(() =>
        assert.fail(`the others could change nothing for ${FREED_MS_MAX} ms`),
      );
    },
  };
}
