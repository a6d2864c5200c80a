/**
 * The model of the table of nodes (src/postgres/nodes.ts): a first row is durable; what prolongs it is not for a while, and a crash of
 * PostgreSQL may lose it.
 */
import type { LiveNode } from '../../src/coherence/ports.ts';

interface Row extends LiveNode {
  readonly until: number;
}

/** The statements ask for this part of the lease to be left before they prolong it without waiting for the disk. */
const PROLONGED_ABOVE = 0.7;

export class NodeTable {
  readonly #nowMs: () => number;
  /** the share of its lease that a row must have left */
  readonly #prolongedAbove: number;
  #rows = new Map<string, Row>();
  #durable = new Map<string, Row>();

  /** @param nowMs the store's clock */
  constructor(nowMs: () => number, prolongedAbove = PROLONGED_ABOVE) {
    this.#nowMs = nowMs;
    this.#prolongedAbove = prolongedAbove;
  }

  /** @returns whether that is on disk; else {@link flush} will put it there */
  renew(node: LiveNode, leaseMs: number, isKnown: boolean): boolean {
    const nowMs = this.#nowMs();
    const isProlonged = isKnown && (this.#rows.get(node.id)?.until ?? 0) > nowMs + leaseMs * this.#prolongedAbove;
    this.#rows.set(node.id, { ...node, until: nowMs + leaseMs });
    if (!isProlonged) this.flush();
    return !isProlonged;
  }

  leave(id: string): void {
    this.#rows.delete(id);
    this.flush();
  }

  live(): readonly LiveNode[] {
    return [...this.#rows.values()].filter(({ until }) => until > this.#nowMs()).map(({ until: _, ...node }) => node);
  }

  /** What was done until now survives a crash. */
  flush(): void {
    this.#durable = new Map(this.#rows);
  }

  crash(): void {
    this.#rows = new Map(this.#durable);
  }

  /** @returns what brings the table back to what is on disk now */
  mark(): () => void {
    const marked = new Map(this.#durable);
    return () => {
      this.#durable = marked;
      this.crash();
    };
  }
}
