/**
 * Was every promise kept? Judges a recorded history after the fact (docs/coherence.md): K1 nothing that was ended is active, K2 what was inactive
 * stays so, K3 an id is given once, K4 nothing is invented or lost, K6 errors only where a fault excuses them.
 *
 * An end without an answer, or with a 503, may have happened, at any time: it binds nothing and excuses all.
 */
import type { Excused, FaultWindow, Operation, RecordedHistory } from './operations.ts';

export interface Violation {
  readonly rule: 'K1' | 'K2' | 'K3' | 'K4' | 'K6';
  readonly why: string;
  readonly operation: Operation;
  /** what it contradicts */
  readonly against?: Operation;
}

/** Clocks may run at rates that differ by this much. */
const RATE = 1.01;

export function check(history: RecordedHistory): Violation[] {
  const { operations } = history;
  const ofTokens = groupBy(operations, ({ token }) => token);
  const ofClients = groupBy(operations, ({ client }) => client);
  const bound = history.maxStalenessMs * RATE;
  const violations: Violation[] = [];
  for (const [client, all] of ofClients) {
    const tokens = new Set(all.flatMap(({ token }) => token ?? []));
    const wide = all.filter(endsAllTokens);
    for (const token of tokens) violations.push(...checkToken(ofTokens.get(token) ?? [], wide, bound));
    violations.push(...checkClient(all, bound), ...checkId(client, all));
  }
  violations.push(...checkAnswers(operations), ...checkIdentity(operations), ...checkBudgets(history));
  return violations.sort((a, b) => a.operation.end - b.operation.end);
}

/** How long after an end somebody else may not know of it. */
function limit(asked: Operation, end: Operation, bound: number): number {
  return asked.consistency === 'bounded' && asked.node !== end.node ? bound : 0;
}

const endsAllTokens = ({ kind }: Operation) => kind === 'disable' || kind === 'delete' || kind === 'end_secret';
const mayHaveHappened = ({ outcome }: Operation) => outcome !== 'refused' && outcome !== 'unreached';
const isDone = ({ outcome }: Operation) => outcome === 'done';

function* checkToken(own: readonly Operation[], wide: readonly Operation[], bound: number): Generator<Violation> {
  const issued = own.find(({ kind, outcome }) => kind === 'issue' && outcome === 'done');
  const answers = own.filter(({ kind, active }) => kind === 'introspect' && active !== undefined).sort((a, b) => a.at - b.at);
  if (!issued || answers.length === 0) return;
  const revocations = own.filter(({ kind }) => kind === 'revoke').filter(mayHaveHappened);
  // A grant that began before the end was known where it was given may be dead from the start.
  const ends = [
    ...revocations,
    ...wide.filter(mayHaveHappened).filter((end) => !isDone(end) || issued.at <= end.end + limit(issued, end, bound)),
  ];
  const binding = [...revocations, ...wide.filter((end) => issued.end <= end.at)].filter(isDone);
  const firstInactive = answers.filter(({ active }) => !active).sort((a, b) => a.end - b.end)[0];
  for (const answer of answers) {
    if (!answer.active) {
      if (!ends.some((end) => end.at <= answer.end)) {
        yield { rule: 'K4', why: 'inactive, and nobody has ended it', operation: answer, against: issued };
      }
      continue;
    }
    const broken = binding.find((end) => answer.at > end.end + limit(answer, end, bound));
    if (broken) {
      const why = `active ${Math.round(answer.at - broken.end)} ms after its end was answered`;
      yield { rule: 'K1', why, operation: answer, against: broken };
    }
    // Whoever looks in the log sees what another has seen there. A node in strict mode knows before the end is answered, not before another node does.
    const allowed = answer.consistency === 'preferred' ? 0 : bound;
    if (firstInactive && answer.at > firstInactive.end + allowed) {
      yield { rule: 'K2', why: 'active, and was inactive before', operation: answer, against: firstInactive };
    }
  }
}

/** Issues and refusals of one client: its id and its secrets count from when they were given until they are taken away. */
function* checkClient(all: readonly Operation[], bound: number): Generator<Violation> {
  const changes = all.filter(mayHaveHappened);
  for (const issue of all) {
    if (issue.kind !== 'issue' && issue.kind !== 'revoke') continue;
    const closings = changes.filter(
      ({ kind, secret }) =>
        kind === 'disable' || kind === 'delete' || ((kind === 'remove_secret' || kind === 'end_secret') && secret === issue.secret),
    );
    const openings = changes.filter(({ kind }) => kind === 'enable');
    const isReopened = (closing: Operation, by: (opening: Operation) => boolean) =>
      closing.kind === 'disable' && openings.some((opening) => opening.at >= closing.end && by(opening));
    if (issue.kind === 'issue' && isDone(issue)) {
      const broken = closings.find(
        (closing) =>
          isDone(closing) &&
          issue.at > closing.end + limit(issue, closing, bound) &&
          !isReopened(closing, (opening) => opening.at <= issue.end),
      );
      if (broken)
        yield { rule: 'K1', why: `a token for a client or secret that had ended (${broken.kind})`, operation: issue, against: broken };
    }
    if (issue.outcome === 'refused') {
      const excuse = closings.find(
        (closing) => closing.at <= issue.end && !isReopened(closing, (opening) => isDone(opening) && opening.end <= issue.at),
      );
      if (!excuse) yield { rule: 'K4', why: `a good secret was refused (${issue.status})`, operation: issue };
    }
  }
}

function* checkId(client: string, all: readonly Operation[]): Generator<Violation> {
  const [first, ...more] = all.filter(({ kind, outcome }) => kind === 'create' && outcome === 'done');
  for (const operation of more) yield { rule: 'K3', why: `${client} was given twice`, operation, ...(first && { against: first }) };
}

/** What no answer may be, whatever happened before. */
function* checkAnswers(operations: readonly Operation[]): Generator<Violation> {
  for (const operation of operations) {
    const { kind, outcome, status, problem } = operation;
    if (problem) yield { rule: 'K4', why: problem, operation };
    if (outcome === 'broken') yield { rule: 'K6', why: `answered ${status}`, operation };
    // The rest are looked at with what may have ended before.
    if (outcome === 'refused' && kind !== 'create' && kind !== 'issue' && kind !== 'revoke') {
      yield { rule: 'K4', why: `${kind} was refused (${status})`, operation };
    }
  }
}

/** A token is always shown with the same claims, of its own client, and no other is shown with them. */
function* checkIdentity(operations: readonly Operation[]): Generator<Violation> {
  const claimsOf = new Map<string, Operation>();
  const tokenOf = new Map<string, Operation>();
  for (const operation of operations) {
    const { token, claims } = operation;
    if (token === undefined || claims === undefined) continue;
    const before = claimsOf.get(token);
    const other = tokenOf.get(claims);
    if (before && before.claims !== claims) yield { rule: 'K4', why: 'other claims than before', operation, against: before };
    if (other && other.token !== token) yield { rule: 'K4', why: "another token's claims", operation, against: other };
    if (!claims.includes(`"client_id":"${operation.client}"`)) yield { rule: 'K4', why: "another client's claims", operation };
    if (!before) claimsOf.set(token, operation);
    if (!other) tokenOf.set(claims, operation);
  }
}

const excuses = (excused: Excused, node: number) => excused === 'any' || (excused !== 'none' && excused.includes(node));
const isWithin = ({ at, end }: Operation, { from, to }: FaultWindow) => end >= from && at <= to;

function* checkBudgets({ operations, windows }: RecordedHistory): Generator<Violation> {
  for (const operation of operations) {
    const { outcome, node, kind, status } = operation;
    if (outcome !== 'unavailable' && outcome !== 'unknown' && outcome !== 'unreached') continue;
    const around = windows.filter((window) => isWithin(operation, window));
    if (around.some(({ budget }) => excuses(kind === 'introspect' ? budget.introspections : budget.changes, node))) continue;
    const faults = around.map(({ what }) => what).join(', ') || 'no fault';
    yield { rule: 'K6', why: `${kind} at node ${node}: ${status === 0 ? `no answer (${outcome})` : status} during ${faults}`, operation };
  }
}

/** @returns how long after an answered end a node still said active, at most: milliseconds, 0 if none did */
export function longestStaleness({ operations }: Pick<RecordedHistory, 'operations'>): number {
  const ends = new Map<string, number>();
  for (const { kind, outcome, token, end } of operations) {
    if (kind === 'revoke' && outcome === 'done' && token) ends.set(token, Math.min(end, ends.get(token) ?? end));
  }
  let longest = 0;
  for (const { token, active, at } of operations) {
    const end = token === undefined ? undefined : ends.get(token);
    if (active && end !== undefined) longest = Math.max(longest, at - end);
  }
  return longest;
}

function groupBy(operations: readonly Operation[], keyOf: (operation: Operation) => string | undefined): Map<string, Operation[]> {
  const groups = new Map<string, Operation[]>();
  for (const operation of operations) {
    const key = keyOf(operation);
    if (key === undefined) continue;
    const group = groups.get(key);
    if (group) group.push(operation);
    else groups.set(key, [operation]);
  }
  return groups;
}
