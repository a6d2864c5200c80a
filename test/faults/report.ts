/** A recorded history in figures. */
import { longestStaleness } from './checks.ts';
import type { Kind, Operation, RecordedHistory } from './operations.ts';

export function figures({ operations, windows, maxStalenessMs }: RecordedHistory): string[] {
  const lines = [
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
      if (of('introspect').length > 0) lines.push(`${when}, ${consistency}: introspect ${latencies(of('introspect'))}`);
      if (of('revoke').length > 0) lines.push(`${when}, ${consistency}: revoke ${latencies(of('revoke'))}`);
    }
  }
  return lines;
}

/** 503s and answers that did not come, by fault. */
export function errorsByFault({ operations, windows }: RecordedHistory): string[] {
  const counts = new Map<string, { unavailable: number; unanswered: number; all: number }>();
  for (const { what, from, to } of windows) {
    const count = counts.get(what) ?? { unavailable: 0, unanswered: 0, all: 0 };
    for (const { at, end, outcome } of operations) {
      if (end < from || at > to) continue;
      count.all++;
      if (outcome === 'unavailable') count.unavailable++;
      if (outcome === 'unknown' || outcome === 'unreached') count.unanswered++;
    }
    counts.set(what, count);
  }
  return [...counts].map(
    ([what, { all, unavailable, unanswered }]) => `${what}: ${all} operations, ${unavailable} × 503, ${unanswered} without an answer`,
  );
}

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
