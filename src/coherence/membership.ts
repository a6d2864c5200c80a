/**
 * Strict mode: whether the others know that this node answers from memory, so that their revocations wait for it (docs/coherence.md).
 *
 * A revocation commits, and looks for live rows afterwards. So whoever has no live row at that moment must not answer from what it knew before:
 * after its row came (back) to life only probes that were sent later count.
 */
import { Lease } from './lease.ts';
import type { Clocks, NodeRegistry } from './ports.ts';

/** How long a row counts after its node has gone. */
const ROW_MS = 5_000;
/** The node itself relies on it for half of that: the two clocks need not agree. */
const RELIED_ON_MS = ROW_MS / 2;

export interface MembershipOptions extends Clocks {
  readonly nodeId: string;
  readonly nodes: NodeRegistry;
  readonly maxStalenessMs: number;
  /** What was proven before counts no more. */
  readonly onJoined: () => void;
}

export class Membership {
  readonly #options: MembershipOptions;
  readonly #lease: Lease;
  #renewal: Promise<void> | undefined;
  #hasLeft = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#lease = new Lease(options);
  }

  /** To be asked immediately before an answer, without an `await` in between. */
  isLive(): boolean {
    return this.#lease.holds();
  }

  /** @param appliedSeq what the others may take as acknowledged @throws Unavailable */
  async renew(appliedSeq: number): Promise<void> {
    if (this.#hasLeft) return;
    const { nodeId: id, nodes, maxStalenessMs, onJoined } = this.#options;
    const asked = this.#lease.ask();
    this.#renewal = nodes.renew({ id, appliedSeq, maxStalenessMs }, ROW_MS);
    await this.#renewal;
    if (!this.isLive()) onJoined();
    this.#lease.grant(asked, RELIED_ON_MS);
  }

  /** From now on nothing is answered from memory. @throws Unavailable — the others wait for a while, in vain */
  async leave(): Promise<void> {
    this.#hasLeft = true;
    this.#lease.discard();
    // Else the row would come back after it was removed.
    await this.#renewal?.catch(() => undefined);
    await this.#options.nodes.leave(this.#options.nodeId);
  }
}
