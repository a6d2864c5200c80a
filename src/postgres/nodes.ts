/** The nodes that a revocation waits for in strict mode. */
import type { LiveNode, NodeRegistry } from '../coherence/ports.ts';
import type { Queries } from './db.ts';

/** Rows that ended so long ago were left by nodes that were killed. */
const FORGOTTEN_AFTER = '10 minutes';

interface NodeRow {
  readonly node_id: string;
  readonly applied_seq: number;
  readonly max_staleness_ms: number;
}

/**
 * @param own for this node's row
 * @param others for looking at the rest: who looks waits for its own requests only
 */
export function nodeRegistry(own: Queries, others: Queries): NodeRegistry {
  const known = new Set<string>();
  return {
    async renew(node, leaseMs) {
      // A row that is lost in a crash would be one that nobody waits for, so the first one is durable; what comes after only prolongs it.
      if (known.has(node.id) && (await prolong(own, node, leaseMs))) return;
      await insert(own, node, leaseMs);
      known.add(node.id);
    },
    async leave(id) {
      await own.query({ name: 'delete-node', text: 'delete from node where node_id = $1', values: [id] });
    },
    async live() {
      const rows = await others.query<NodeRow>({
        name: 'list-live-nodes',
        text: 'select node_id, applied_seq, max_staleness_ms from node where live_until > clock_timestamp()',
      });
      return rows.map((row) => ({ id: row.node_id, appliedSeq: row.applied_seq, maxStalenessMs: row.max_staleness_ms }));
    },
  };
}

async function insert(db: Queries, { id, appliedSeq, maxStalenessMs }: LiveNode, leaseMs: number): Promise<void> {
  await db.query({
    name: 'insert-node',
    text: `with forgotten as (delete from node where live_until < clock_timestamp() - interval '${FORGOTTEN_AFTER}')
      insert into node (node_id, live_until, applied_seq, max_staleness_ms)
      values ($1, clock_timestamp() + $2 * interval '1 ms', $3, $4)
      on conflict (node_id) do update set live_until = excluded.live_until, applied_seq = excluded.applied_seq`,
    values: [id, leaseMs, appliedSeq, maxStalenessMs],
  });
}

/**
 * Without waiting for the disk: a crash of PostgreSQL loses what was prolonged in the last 0.6 s. Only while most of the lease is left, for the row
 * must then still be live for the half of a lease that the node relies on (src/coherence/membership.ts).
 *
 * @returns whether there was such a row
 */
async function prolong(db: Queries, { id, appliedSeq }: LiveNode, leaseMs: number): Promise<boolean> {
  const rows = await db.query({
    name: 'prolong-node',
    text: `with soon as (select set_config('synchronous_commit', 'off', true) as value)
      update node set live_until = clock_timestamp() + $2 * interval '1 ms', applied_seq = $3
      from soon where node_id = $1 and live_until > clock_timestamp() + $2 * interval '0.7 ms' and soon.value = 'off'
      returning node_id`,
    values: [id, leaseMs, appliedSeq],
  });
  return rows.length > 0;
}
