/** The saved result of `npm run bench:coherence` as Markdown tables, the targets beside the figures. */
import { MODES, type Mode } from './cluster.ts';
import type { LoadResult } from './load.ts';
import { facts, median, perRequestUs, quantile, rate, table, whole } from './report.ts';
import type { Surroundings } from './saved.ts';
import type { PostgresFacts } from './servers.ts';

export interface CoherenceOptions {
  readonly rounds: number;
  /** in each mode, in all */
  readonly revocations: number;
  readonly connections: number;
  readonly seconds: number;
}

/** One mode in one round. */
export interface RevocationRound {
  readonly mode: Mode;
  readonly round: number;
  readonly revokeMs: readonly number[];
  readonly lastMs: readonly number[];
  readonly stale: number;
  readonly outages: number;
  readonly pollMs: { readonly median: number; readonly p99: number };
}

export interface ReadRound extends LoadResult {
  readonly mode: Mode;
  readonly round: number;
  /** with `Prefer: consistency=strict` */
  readonly strict: boolean;
}

export interface CoherenceResult extends Surroundings {
  readonly postgres: PostgresFacts;
  readonly options: CoherenceOptions;
  readonly revocations: readonly RevocationRound[];
  readonly reads: readonly ReadRound[];
}

interface Targets {
  readonly last?: { readonly p50?: number; readonly p99: number };
  readonly revokeMedian?: number;
  readonly stale?: number;
}

const TARGETS: Readonly<Record<Mode, Targets>> = {
  bounded: { last: { p99: 150 } },
  'bounded with etcd': { last: { p50: 5, p99: 25 } },
  'strict with etcd': { revokeMedian: 10, stale: 0 },
  strict: { stale: 0 },
};
const STRICT_READ_MIN = 0.6;

export function coherenceMarkdown(result: CoherenceResult): string {
  const { postgres, options, loadAverage } = result;
  const head =
    `${facts(result)}, PostgreSQL ${postgres.version} (fsync ${postgres.fsync}, synchronous_commit ${postgres.synchronousCommit}). ` +
    `${options.rounds} interleaved rounds, ${options.revocations} revocations in each mode; strict reads: ${options.connections} connections, ` +
    `${options.seconds} s a round. Load average before it ${loadAverage.toFixed(1)}.`;
  return [head, revocationTable(result), readTable(result)].join('\n\n');
}

/** Each target that was not met, one a line. */
export function missedTargets(result: CoherenceResult): readonly string[] {
  const misses: string[] = [];
  const check = (what: string, value: number, bound: number | undefined) => {
    if (bound !== undefined && value > bound) misses.push(`${what}: ${value.toFixed(1)}, target ≤ ${bound}`);
  };
  for (const mode of modesOf(result)) {
    const { last, revokeMedian, stale } = TARGETS[mode];
    const figures = figuresOf(result, mode);
    check(`${mode}, the last node, p50 ms`, quantile(figures.lastMs, 0.5), last?.p50);
    check(`${mode}, the last node, p99 ms`, quantile(figures.lastMs, 0.99), last?.p99);
    check(`${mode}, /revoke, median ms`, quantile(figures.revokeMs, 0.5), revokeMedian);
    check(`${mode}, stale answers`, figures.stale, stale);
  }
  for (const mode of readModes(result)) {
    const ratio = strictRatio(result, mode);
    if (ratio < STRICT_READ_MIN) misses.push(`${mode}, strict reads: ${ratio.toFixed(2)} of the others' rate, target ≥ ${STRICT_READ_MIN}`);
  }
  return misses;
}

/** In the modes that promise never to. */
export function staleInStrict(result: CoherenceResult): number {
  return result.revocations.filter(({ mode }) => mode.startsWith('strict')).reduce((sum, { stale }) => sum + stale, 0);
}

function revocationTable(result: CoherenceResult): string {
  const heads = [
    '',
    'last node inactive, ms: p50',
    'p99',
    'max',
    'answered active meanwhile',
    '/revoke, ms: median',
    'p99',
    'between two polls, ms: median',
    'p99',
    '503',
  ];
  const rows = modesOf(result).map((mode) => {
    const { last, revokeMedian, stale } = TARGETS[mode];
    const figures = figuresOf(result, mode);
    return [
      mode,
      withTarget(quantile(figures.lastMs, 0.5).toFixed(1), last?.p50),
      withTarget(quantile(figures.lastMs, 0.99).toFixed(1), last?.p99),
      quantile(figures.lastMs, 1).toFixed(1),
      withTarget(whole(figures.stale), stale),
      withTarget(quantile(figures.revokeMs, 0.5).toFixed(1), revokeMedian),
      quantile(figures.revokeMs, 0.99).toFixed(1),
      ...[figures.pollMs.median, figures.pollMs.p99].map((ms) => (figures.stale > 0 ? ms.toFixed(2) : '')),
      whole(figures.outages),
    ];
  });
  return `**After a revocation**\n\n${table(heads, rows)}`;
}

function readTable(result: CoherenceResult): string {
  const heads = ['', 'strict ÷ plain', 'plain, requests/s', 'strict', 'plain, CPU µs per request: node + PostgreSQL', 'strict'];
  const rows = readModes(result).map((mode) => {
    const of = (strict: boolean) => result.reads.filter((entry) => entry.mode === mode && entry.strict === strict);
    const cpu = (entries: readonly ReadRound[]) =>
      [
        median(entries.map((entry) => perRequestUs(entry, entry.cpuMs.node))),
        median(entries.map((entry) => perRequestUs(entry, entry.cpuMs.postgres))),
      ]
        .map(whole)
        .join(' + ');
    return [
      mode,
      `${strictRatio(result, mode).toFixed(2)} (≥ ${STRICT_READ_MIN})`,
      ...[of(false), of(true)].map((entries) => whole(median(entries.map(rate)))),
      ...[of(false), of(true)].map(cpu),
    ];
  });
  return `**\`Prefer: consistency=strict\` under load**\n\n${table(heads, rows)}`;
}

/** The median of the ratios within a round. */
function strictRatio({ reads }: CoherenceResult, mode: Mode): number {
  const plain = reads.filter((entry) => entry.mode === mode && !entry.strict);
  return median(
    plain.map(
      (entry) => rate(reads.find((other) => other.strict && other.mode === mode && other.round === entry.round) ?? entry) / rate(entry),
    ),
  );
}

function figuresOf({ revocations }: CoherenceResult, mode: Mode) {
  const own = revocations.filter((entry) => entry.mode === mode);
  return {
    lastMs: Float64Array.from(own.flatMap(({ lastMs }) => lastMs)).sort(),
    revokeMs: Float64Array.from(own.flatMap(({ revokeMs }) => revokeMs)).sort(),
    stale: own.reduce((sum, { stale }) => sum + stale, 0),
    outages: own.reduce((sum, { outages }) => sum + outages, 0),
    pollMs: { median: median(own.map(({ pollMs }) => pollMs.median)), p99: median(own.map(({ pollMs }) => pollMs.p99)) },
  };
}

function modesOf({ revocations }: CoherenceResult): readonly Mode[] {
  return MODES.filter((mode) => revocations.some((entry) => entry.mode === mode));
}

function readModes({ reads }: CoherenceResult): readonly Mode[] {
  return MODES.filter((mode) => reads.some((entry) => entry.mode === mode));
}

function withTarget(figure: string, bound: number | undefined): string {
  return bound === undefined ? figure : `${figure} (≤ ${bound})`;
}
