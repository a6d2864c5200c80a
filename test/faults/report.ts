/** A recorded history in figures. */
import { longestStaleness } from './checks.ts';
import { AROUND_MS, SLOW_MACHINE } from './machine.ts';
import type { Kind, Operation, Outcome, RecordedHistory } from './operations.ts';

export function figures({ operations, windows, maxStalenessMs }: RecordedHistory): string[] {
  const found = [
    `${operations.length} operations: ${countBy(operations, ({ kind }) => kind)}`,
    `outcomes: ${countBy(operations, ({ outcome }) => outcome)}`,
    `longest staleness: ${Math.round(longestStaleness({ operations }))} ms, at most ${maxStalenessMs} allowed`,
  ];
  const quiet = operations.filter(({ at, end }) => !windows.some(({ from, to }) => end >= from && at <= to));
  for (const [when, all] of [
    ['without a fault', quiet],
    ['in all', operations],
  ] as const) {
    for (const consistency of ['bounded', 'strict', 'preferred'] as const) {
      const of = (kind: Kind) => all.filter((each) => each.kind === kind && each.consistency === consistency && each.outcome === 'done');
      if (of('introspect').length > 0) found.push(`${when}, ${consistency}: introspect ${latencies(of('introspect'))}`);
      if (of('revoke').length > 0) found.push(`${when}, ${consistency}: revoke ${latencies(of('revoke'))}`);
    }
  }
  return found;
}

/** 503s, answers that did not come, and how long introspections took, by fault. */
export function errorsByFault({ operations, windows }: RecordedHistory): string[] {
  const during = new Map<string, Set<Operation>>();
  for (const { what, from, mended } of windows) {
    if (what === SLOW_MACHINE) continue;
    const all = during.get(what) ?? new Set();
    for (const operation of operations) if (operation.end >= from && operation.at <= mended) all.add(operation);
    during.set(what, all);
  }
  const slow = windows.filter(({ what }) => what === SLOW_MACHINE);
  const slowMs = slow.reduce((sum, { from, mended }) => sum + mended - from - AROUND_MS, 0);
  const machine = `the machine was late ${slow.length} times, ${Math.round(slowMs)} ms in all`;
  const faults = [...during].map(([what, set]) => {
    const all = [...set];
    const count = (...outcomes: readonly Outcome[]) => all.filter(({ outcome }) => outcomes.includes(outcome)).length;
    const answered = all.filter(
      ({ kind, outcome, consistency }) => kind === 'introspect' && outcome === 'done' && consistency !== 'preferred',
    );
    const errors = `${count('unavailable')} × 503, ${count('unknown', 'unreached')} without an answer`;
    return `${what}: ${all.length} operations, ${errors}; introspect ${latencies(answered)}`;
  });
  return [...faults, machine];
}

export const lines = (texts: readonly string[]): string => texts.join('\n');

export function latencies(operations: readonly Operation[]): string {
  const sorted = operations.map(({ at, end }) => end - at).sort((a, b) => a - b);
  const at = (share: number) => `${(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1)}`;
  return `p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)} ms (${sorted.length})`;
}

function countBy(operations: readonly Operation[], keyOf: (operation: Operation) => string): string {
  const counts = new Map<string, number>();
  for (const operation of operations) counts.set(keyOf(operation), (counts.get(keyOf(operation)) ?? 0) + 1);
  return [...counts].map(([key, count]) => `${key} ${count}`).join(', ');
}
