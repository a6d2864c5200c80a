/** What a node needs from outside to agree with the others: clocks, the table of nodes, the bus, the shared cache. All are given to it. */
import type { AccessTokenRecord } from '../core/access-token.ts';
import type { ChangeEntry, KnownClient } from '../core/ports.ts';
import type { TokenHash } from '../core/reference-token.ts';

export interface Clocks {
  /** milliseconds that only grow */
  readonly monotonic: () => number;
  /** milliseconds since the epoch */
  readonly wall: () => number;
}

/** A node that answers from memory in strict mode, as the store knows it. */
export interface LiveNode {
  readonly id: string;
  /** position of the change log up to which it has applied everything, when it last said so */
  readonly appliedSeq: number;
  /** how old what it answers from may be */
  readonly maxStalenessMs: number;
}

/** The nodes that a revocation has to wait for. Rows with a lease by the store's clock. */
export interface NodeRegistry {
  /** Makes the node's row live for `leaseMs` from a moment after this call. Durable when it is the first. @throws Unavailable */
  renew(node: LiveNode, leaseMs: number): Promise<void>;
  /** The node answers nothing any more. @throws Unavailable */
  leave(id: string): Promise<void>;
  /** Those whose lease has not ended, as of a moment after this call. @throws Unavailable */
  live(): Promise<readonly LiveNode[]>;
}

/** A change as the nodes tell each other. */
export interface Announcement {
  /** of the change log that the entry is in */
  readonly epoch: string;
  /** id of the node that made the change */
  readonly from: string;
  readonly entry: ChangeEntry;
}

/**
 * Carries changes from node to node, quicker than they are asked for. It may lose, repeat, delay and reorder, and nothing depends on it but time;
 * what it delivers is authentic. Neither call waits or throws.
 */
export interface Bus {
  publish(announcement: Announcement): void;
  /** Tells the node that made the change: this very entry is applied here. */
  acknowledge(announcement: Announcement, nodeId: string): void;
}

/** A cache that the nodes share. What it returns is authentic and of this history; it has its own deadline, and never throws. */
export interface SharedCache {
  findToken(tokenHash: TokenHash): Promise<AccessTokenRecord | undefined>;
  /** Never waits. */
  keepToken(record: AccessTokenRecord): void;
  /** Never waits. @param known `undefined`: there is no such client any more */
  keepClient(clientId: string, known: KnownClient | undefined): void;
}

/**
 * Is told what an operator may want to see, where numbers since the start do not say enough. To count and no more: it is called on the way of answers,
 * never throws, and nothing waits for it.
 */
export interface Observer {
  /** A look at the change log has succeeded. @param ageMs how old the proof before it had become; Infinity: there was none */
  proved(ageMs: number): void;
  proofFailed(): void;
  /** A change of this node has waited for the others. */
  settled(ms: number, endedBy: 'acknowledgement' | 'time'): void;
}

/** Resolves after so many milliseconds. */
export type Sleep = (ms: number) => Promise<void>;
