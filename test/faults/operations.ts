/** What was asked of a cluster and what it answered: the history that the checkers (checks.ts) judge, as it is kept and as it is written to a file. */

export type Kind =
  | 'create'
  | 'issue'
  | 'introspect'
  | 'revoke'
  | 'disable'
  | 'enable'
  | 'delete'
  | 'add_secret'
  | 'remove_secret'
  /** the same with `?revoke_tokens=true` */
  | 'end_secret';

/**
 * `done`: 2xx. `refused`: 4xx. `unavailable`: 503, so it may have happened. `unknown`: no answer, or not a whole one. `unreached`: no connection, so it
 * has not happened. `broken`: any other answer.
 */
export type Outcome = 'done' | 'refused' | 'unavailable' | 'unknown' | 'unreached' | 'broken';

/** Times are milliseconds by one clock, that of the process that asks. No tokens and no secrets, only their names. */
export interface Operation {
  readonly kind: Kind;
  readonly node: number;
  /** of the answer: the node's mode, or what was asked for by `Prefer` */
  readonly consistency: 'bounded' | 'strict' | 'preferred';
  /** before it was sent */
  readonly at: number;
  /** after it was answered */
  readonly end: number;
  readonly outcome: Outcome;
  /** 0: there was no answer */
  readonly status: number;
  readonly client: string;
  readonly token?: string;
  /** that was used, made, removed */
  readonly secret?: string;
  /** of an introspection that was answered */
  readonly active?: boolean;
  /** of an active answer: all but the verdict, in a canonical form */
  readonly claims?: string;
  /** what is wrong with the answer by itself */
  readonly problem?: string;
}

/** A time in which a fault was there, and what it excuses. */
export interface FaultWindow {
  readonly what: string;
  readonly from: number;
  /** when nothing was broken any more */
  mended: number;
  /** until when it excuses */
  to: number;
  readonly budget: Budget;
}

/** Which nodes may answer 503, or not at all: `none`, `any`, or these. */
export type Excused = 'none' | 'any' | readonly number[];

export interface Budget {
  readonly introspections: Excused;
  readonly changes: Excused;
}

export const NO_ERRORS: Budget = { introspections: 'none', changes: 'none' };
export const ANY_ERRORS: Budget = { introspections: 'any', changes: 'any' };
export const errorsOf = (...nodes: readonly number[]): Budget => ({ introspections: nodes, changes: nodes });

export interface RecordedHistory {
  readonly maxStalenessMs: number;
  readonly operations: readonly Operation[];
  readonly windows: readonly FaultWindow[];
}

/** One JSON value a line: first what is not an operation. */
export function writeHistory({ operations, ...rest }: RecordedHistory): string {
  return [rest, ...operations].map((value) => JSON.stringify(value)).join('\n');
}

export function readHistory(text: string): RecordedHistory {
  const [rest, ...operations] = text.split('\n').map((line) => JSON.parse(line));
  return { ...rest, operations };
}
