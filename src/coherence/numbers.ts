/** A node's memory in numbers, for an operator. Counts are since the start. */

/** Who knew the token that was asked for: this node's memory, the cache that the nodes share, or the record. */
export const LEVELS = ['memory', 'etcd', 'postgresql'] as const;

export type Level = (typeof LEVELS)[number];

export interface MemoryNumbers {
  readonly isFresh: boolean;
  /** how old what is proven is; Infinity before the first proof */
  readonly freshnessAgeMs: number;
  /** position of the change log up to which everything is applied */
  readonly appliedSeq: number;
  /** positions that the log had beyond it, when it was last read */
  readonly lag: number;
  /** changes that were read from the log and had not been heard on the bus before */
  readonly unheard: number;
  readonly lookUps: Readonly<Record<Level, number>>;
  /** questions that had to wait for a look at the change log */
  readonly waits: number;
  readonly deniedTokens: Amount;
  readonly cachedTokens: Amount;
  readonly cachedClients: Amount;
}

export interface Amount {
  readonly count: number;
  readonly bytes: number;
}
