/** The table of nodes in memory; passes the contract suite as PostgreSQL's does. */
import type { LiveNode, NodeRegistry } from '../../src/coherence/ports.ts';

/** @param nowMs the store's clock */
export function memoryNodes(nowMs: () => number): NodeRegistry {
  const rows = new Map<string, LiveNode & { readonly until: number }>();
  return {
    async renew(node, leaseMs) {
      rows.set(node.id, { ...node, until: nowMs() + leaseMs });
    },
    async leave(id) {
      rows.delete(id);
    },
    async live() {
      return [...rows.values()].filter(({ until }) => until > nowMs()).map(({ until: _, ...node }) => node);
    },
  };
}
