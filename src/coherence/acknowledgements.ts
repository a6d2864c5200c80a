/**
 * Strict revocation: waits until no node can answer from before it. Either every live node has acknowledged it, on the bus or in its row, or so
 * much time has passed that what any of them knew before is void (docs/coherence.md).
 */

import type { ChangeEntry } from '../core/ports.ts';
import { Unavailable } from '../core/ports.ts';
import type { LiveNode, NodeRegistry, Observer, Sleep } from './ports.ts';
import { SharedRun } from './shared-run.ts';

/** Clocks may run at rates that differ by this much. */
const RATE = 1.01;
/** How often the rows are looked at while the bus is silent. */
const LOOK_MS = 25;

export interface AcknowledgementOptions {
  readonly nodeId: string;
  readonly nodes: Pick<NodeRegistry, 'live'>;
  readonly maxStalenessMs: number;
  readonly monotonic: () => number;
  readonly sleep: Sleep;
  readonly observer: Pick<Observer, 'settled'>;
}

export class Acknowledgements {
  readonly #options: AcknowledgementOptions;
  readonly #look: SharedRun<readonly LiveNode[]>;
  /** who has acknowledged what this node has committed and somebody waits for, by its position in the change log */
  readonly #acknowledged = new Map<number, { readonly entry: ChangeEntry; readonly nodeIds: Set<string> }>();
  readonly #collections = new Set<number[]>();
  readonly #waiting = new Set<() => void>();

  constructor(options: AcknowledgementOptions) {
    this.#options = options;
    this.#look = new SharedRun(() => options.nodes.live());
  }

  /** This node has committed a change; to be called before it is published. Somebody has to {@link settle} it. */
  announced(entry: ChangeEntry): void {
    this.#acknowledged.set(entry.seq, { entry, nodeIds: new Set() });
    for (const collection of this.#collections) collection.push(entry.seq);
  }

  /** A node has applied a change that this one made: this very one, since a number may have been another one's in a history that was lost. */
  acknowledged(entry: ChangeEntry, nodeId: string): void {
    const waiting = this.#acknowledged.get(entry.seq);
    if (!waiting || !isSame(waiting.entry, entry)) return;
    waiting.nodeIds.add(nodeId);
    for (const wake of this.#waiting) wake();
  }

  /** Does `work` and waits for all that this node has announced meanwhile, so for its changes, too. */
  async settling<T>(work: () => Promise<T>): Promise<T> {
    const collection: number[] = [];
    this.#collections.add(collection);
    try {
      return await work();
    } finally {
      this.#collections.delete(collection);
      await this.settle(collection);
    }
  }

  /** Waits until no node answers from before these changes, which this one has announced just now. @throws Unavailable — who would have to be waited for cannot be said */
  async settle(seqs: readonly number[]): Promise<void> {
    const mine = seqs.flatMap((seq) => {
      const waiting = this.#acknowledged.get(seq);
      return waiting ? [{ seq, nodeIds: waiting.nodeIds }] : [];
    });
    if (mine.length === 0) return;
    try {
      await this.#until((node) => mine.every(({ seq, nodeIds }) => node.appliedSeq >= seq || nodeIds.has(node.id)));
    } finally {
      for (const { seq } of mine) this.#acknowledged.delete(seq);
    }
  }

  /** Waits for whatever the log has up to `seq`, whoever made it. @throws Unavailable — as above */
  async settleAll(seq: number): Promise<void> {
    await this.#until((node) => node.appliedSeq >= seq);
  }

  async #until(hasApplied: (node: LiveNode) => boolean): Promise<void> {
    const { monotonic, observer } = this.#options;
    const since = monotonic();
    const endedBy = await this.#untilOrTime(since, hasApplied);
    observer.settled(monotonic() - since, endedBy);
  }

  async #untilOrTime(since: number, hasApplied: (node: LiveNode) => boolean): Promise<'acknowledgement' | 'time'> {
    const { nodeId, maxStalenessMs, monotonic } = this.#options;
    let late: readonly LiveNode[] | undefined;
    for (;;) {
      // Without an answer to this look the one before counts: whoever came later knows of the change.
      const live = await this.#look.after().catch(() => late);
      late = live?.filter((node) => node.id !== nodeId && !hasApplied(node));
      if (late?.length === 0) return 'acknowledgement';
      const until = since + Math.max(maxStalenessMs, ...(late ?? []).map((node) => node.maxStalenessMs)) * RATE;
      const lookAgainAt = monotonic() + LOOK_MS;
      while (monotonic() < lookAgainAt) {
        if (monotonic() >= until) {
          // One of them may answer from what is older than this node may.
          if (!late) throw new Unavailable('which nodes there are is not known');
          return 'time';
        }
        await this.#acknowledgementWithin(Math.min(lookAgainAt, until) - monotonic());
        if (late?.every(hasApplied)) return 'acknowledgement';
      }
    }
  }

  async #acknowledgementWithin(ms: number): Promise<void> {
    let wake: () => void = () => undefined;
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    this.#waiting.add(wake);
    await Promise.race([woken, this.#options.sleep(ms)]);
    this.#waiting.delete(wake);
  }
}

function isSame(a: ChangeEntry, b: ChangeEntry): boolean {
  const issuedBefore = (entry: ChangeEntry) => ('issuedBefore' in entry ? entry.issuedBefore : undefined);
  return a.kind === b.kind && a.key === b.key && a.expiresAt === b.expiresAt && issuedBefore(a) === issuedBefore(b);
}
