/** The saved result of `npm run bench:feed` as Markdown tables, the targets beside the figures. */
import type { Mode } from './cluster.ts';
import type { LoadResult } from './load.ts';
import { facts, median, perRequestUs, quantile, rate, table, whole } from './report.ts';
import type { Surroundings } from './saved.ts';
import type { PostgresFacts } from './servers.ts';

export interface FeedOptions {
  readonly revocations: number;
  readonly readers: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
}

/** Where a token is revoked, as the resource server sees it that follows one node. */
export const PLACES = ['at the node that is followed', 'at another node'] as const;
export type Place = (typeof PLACES)[number];

export interface RefusalCase {
  readonly mode: Mode;
  readonly library: 'introspection' | 'jwt';
  readonly place: Place;
  /** from the answer of `/revoke` until the library refuses */
  readonly refusedMs: readonly number[];
}

export interface LoadRound extends LoadResult {
  readonly round: number;
  readonly readers: number;
}

export interface FeedResult extends Surroundings {
  readonly postgres: PostgresFacts;
  readonly options: FeedOptions;
  readonly refusals: readonly RefusalCase[];
  readonly loads: readonly LoadRound[];
  /** from the answer of `/revoke` until an entry has reached the first and the last of the readers */
  readonly reached: { readonly firstMs: readonly number[]; readonly lastMs: readonly number[] };
}

const REFUSED_P99_MS_MAX = 50;
const LAST_P99_MS_MAX = 100;
const RATE_MIN = 0.9;

export function feedMarkdown(result: FeedResult): string {
  const { postgres, options, loadAverage } = result;
  const head =
    `${facts(result)}, PostgreSQL ${postgres.version} (fsync ${postgres.fsync}, synchronous_commit ${postgres.synchronousCommit}). ` +
    `${options.revocations} revocations in each case; ${options.readers} readers; load: ${options.rounds} rounds of ${options.seconds} s with them and without, ` +
    `${options.connections} connections. Load average before it ${loadAverage.toFixed(1)}.`;
  return [head, refusalTable(result), readerTable(result)].join('\n\n');
}

/** Each target that was not met, one a line. */
export function missedTargets(result: FeedResult): readonly string[] {
  const misses: string[] = [];
  for (const refusal of result.refusals) {
    const p99 = quantile(sorted(refusal.refusedMs), 0.99);
    if (isTarget(refusal) && p99 > REFUSED_P99_MS_MAX)
      misses.push(`${nameOf(refusal)}: p99 ${p99.toFixed(1)} ms, target ≤ ${REFUSED_P99_MS_MAX}`);
  }
  const last = quantile(sorted(result.reached.lastMs), 0.99);
  if (last > LAST_P99_MS_MAX) misses.push(`the last reader: p99 ${last.toFixed(1)} ms, target ≤ ${LAST_P99_MS_MAX}`);
  const ratio = rateRatio(result);
  if (ratio < RATE_MIN) misses.push(`introspections with readers: ${ratio.toFixed(2)} of the rate without, target ≥ ${RATE_MIN}`);
  return misses;
}

function refusalTable({ refusals }: FeedResult): string {
  const rows = refusals.map((refusal) => {
    const ms = sorted(refusal.refusedMs);
    const p99 = quantile(ms, 0.99).toFixed(1);
    return [
      nameOf(refusal),
      quantile(ms, 0.5).toFixed(1),
      isTarget(refusal) ? `${p99} (≤ ${REFUSED_P99_MS_MAX})` : p99,
      quantile(ms, 1).toFixed(1),
    ];
  });
  return `**From the answer of \`/revoke\` until a resource server refuses**\n\n${table(['', 'p50 ms', 'p99', 'max'], rows)}`;
}

function readerTable(result: FeedResult): string {
  const { loads, options, reached } = result;
  const of = (readers: number) => loads.filter((entry) => entry.readers === readers);
  const [without, withThem] = [of(0), of(options.readers)];
  const cpu = (entries: readonly LoadRound[]) => whole(median(entries.map((entry) => perRequestUs(entry, entry.cpuMs.node))));
  const [first, last] = [sorted(reached.firstMs), sorted(reached.lastMs)];
  const rows = [
    ['introspections/s without readers', `${whole(median(without.map(rate)))}, ${cpu(without)} µs of CPU each`],
    ['introspections/s with them', `${whole(median(withThem.map(rate)))}, ${cpu(withThem)} µs of CPU each`],
    ['with ÷ without, median of the rounds', `${rateRatio(result).toFixed(2)} (≥ ${RATE_MIN})`],
    ['an entry at the first reader, ms: p50, p99', `${quantile(first, 0.5).toFixed(1)}, ${quantile(first, 0.99).toFixed(1)}`],
    ['at the last reader, ms: p50, p99', `${quantile(last, 0.5).toFixed(1)}, ${quantile(last, 0.99).toFixed(1)} (≤ ${LAST_P99_MS_MAX})`],
  ];
  return `**${whole(options.readers)} readers of one node's stream**\n\n${table(['', ''], rows)}`;
}

/** Nodes without etcd hear of each other by looking. */
function isTarget({ mode, place }: RefusalCase): boolean {
  return mode === 'bounded with etcd' || place === 'at the node that is followed';
}

function nameOf({ mode, library, place }: RefusalCase): string {
  return `${mode}, mode ${library}, revoked ${place}`;
}

/** The median of the ratios within a round. */
function rateRatio({ loads, options }: FeedResult): number {
  const without = loads.filter((entry) => entry.readers === 0);
  return median(
    without.map(
      (entry) => rate(loads.find(({ round, readers }) => round === entry.round && readers === options.readers) ?? entry) / rate(entry),
    ),
  );
}

function sorted(values: readonly number[]): Float64Array {
  return Float64Array.from(values).sort();
}
