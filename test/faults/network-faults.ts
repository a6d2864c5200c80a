/** Faults between a node and PostgreSQL, or etcd: each direction by itself. */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { DROP, type FaultyProxy, HOLD, PASS, type Rules } from '../support/proxy.ts';
import { MAX_STALENESS_MS } from './cluster.ts';
import { errorsOf, NO_ERRORS } from './operations.ts';
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
    budget: errorsOf(node?.index ?? 0),
    async harm() {
      if (!node) return;
      const from = performance.now();
      await disturb([node.postgres], way, ms);
      if (!(way in SILENT)) return;
      const until = performance.now();
      const late = workload.operations.filter(
        (each) => each.kind === 'introspect' && each.node === node.index && each.at > from + MAX_STALENESS_MS * 1.01 && each.end < until,
      );
      assert.deepEqual([...new Set(late.map(({ status }) => status))], [503], 'after the bound, cut off from PostgreSQL');
    },
  };
}
