/** The saved result as Markdown tables, ready for docs/performance.md. */
import type { Packages, StartTimes } from './footprint.ts';
import type { LoadResult } from './load.ts';
import type { Cost } from './process-cost.ts';
import type { Surroundings } from './saved.ts';
import type { PostgresFacts, ServerName } from './servers.ts';

export const CASES = ['introspect', 'issue'] as const;
export type Case = (typeof CASES)[number];

export interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
  readonly starts: number;
}

/** One server and case in one round. */
export interface Measurement extends LoadResult {
  readonly server: ServerName;
  readonly case: Case;
  readonly round: number;
}

/** What is saved. */
export interface Result extends Surroundings {
  readonly postgres: PostgresFacts;
  readonly options: Options;
  readonly measurements: readonly Measurement[];
  readonly starts: readonly StartTimes[];
  /** bytes, by server */
  readonly memory: { readonly idle: Readonly<Record<string, Cost>>; readonly afterLoad: Readonly<Record<string, Cost>> };
  readonly packages: Packages;
}

const ROW_ORDER: readonly ServerName[] = ['auth', 'oidc-provider', 'bare'];
const TITLES: Readonly<Record<Case, string>> = {
  introspect: 'Introspection of a reference token, warm',
  issue: 'Issue by `client_credentials`',
};

export function markdown(result: Result): string {
  const { loadAverage, postgres, options } = result;
  const durability = `PostgreSQL ${postgres.version} (fsync ${postgres.fsync}, synchronous_commit ${postgres.synchronousCommit})`;
  const rounds = `Rounds: ${options.rounds} of ${options.seconds} s, ${options.connections} connections, load average before it ${loadAverage.toFixed(1)}.`;
  const head = `${facts(result)}, ${durability}. ${rounds}`;
  return [head, ...CASES.map((name) => caseTable(result, name)), footprintTable(result)].join('\n\n');
}

/** Where and on what it was measured. */
export function facts({ date, commit, machine, node }: Surroundings): string {
  const { cores, cpu, memoryBytes, os } = machine;
  return `${date.slice(0, 10)}, commit ${commit}, ${cores} cores of ${cpu}, ${mebibytes(memoryBytes)} MiB, ${os}, Node ${node}`;
}

function caseTable({ measurements }: Result, name: Case): string {
  const of = (server: ServerName) => measurements.filter((entry) => entry.case === name && entry.server === server);
  const rows = ROW_ORDER.map((server) => {
    const own = of(server);
    const rates = own.map(rate);
    const node = median(own.map((entry) => perRequestUs(entry, entry.cpuMs.node)));
    const postgres = median(own.map((entry) => perRequestUs(entry, entry.cpuMs.postgres)));
    return [
      server,
      `${whole(median(rates))} (${whole(Math.min(...rates))}–${whole(Math.max(...rates))})`,
      postgres > 0 ? `${whole(node)} + ${whole(postgres)}` : whole(node),
      median(own.map((entry) => entry.p50Ms)).toFixed(2),
      median(own.map((entry) => entry.p99Ms)).toFixed(2),
      pairedRatio(own, of('bare'), rate),
      pairedRatio(own, of('oidc-provider'), rate),
      pairedRatio(own, of('bare'), cpuUs),
      pairedRatio(own, of('oidc-provider'), cpuUs),
    ];
  });
  const generatorUs = median(measurements.filter((entry) => entry.case === name).map((entry) => perRequestUs(entry, entry.generatorCpuMs)));
  const heads = [
    '',
    'requests/s (min–max)',
    'CPU µs per request',
    'p50 ms',
    'p99 ms',
    'rate ÷ bare',
    '÷ oidc-provider',
    'CPU ÷ bare',
    '÷ oidc-provider',
  ];
  return `**${TITLES[name]}** (the generator itself: ${whole(generatorUs)} µs per request)\n\n${table(heads, rows)}`;
}

function footprintTable({ starts, memory, packages }: Result): string {
  const inMemory = (costs: Readonly<Record<string, Cost>>) =>
    ROW_ORDER.map((server) => {
      const { node, postgres } = costs[server] ?? { node: 0, postgres: 0 };
      return `${server} ${mebibytes(node)}${postgres > 0 ? ` + ${mebibytes(postgres)} PostgreSQL` : ''}`;
    }).join(', ');
  const rows = [
    ['first start, empty data folder, to ready', `${whole(median(starts.map(({ firstMs }) => firstMs)))} ms`],
    ['later start, to ready', `${whole(median(starts.map(({ laterMs }) => laterMs)))} ms`],
    ['memory, idle (MiB)', inMemory(memory.idle)],
    ['memory after the load (MiB)', inMemory(memory.afterLoad)],
    ['packages in production', `${packages.count}`],
    ['their size', `${mebibytes(packages.bytes)} MiB, without PostgreSQL ${mebibytes(packages.bytesWithoutPostgres)} MiB`],
  ];
  return `**Footprint**\n\n${table(['auth', ''], rows)}`;
}

/** The median of the ratios within a round: what disturbs the machine for a while disturbs both sides of it. */
function pairedRatio(own: readonly Measurement[], others: readonly Measurement[], quantity: (entry: Measurement) => number): string {
  if (own[0]?.server === others[0]?.server) return '1';
  const ratios = own.map((entry) => quantity(entry) / quantity(others.find(({ round }) => round === entry.round) ?? entry));
  return median(ratios).toFixed(2);
}

export function rate({ requests, elapsedMs }: LoadResult): number {
  return (requests * 1000) / elapsedMs;
}

function cpuUs(entry: Measurement): number {
  return perRequestUs(entry, entry.cpuMs.node + entry.cpuMs.postgres);
}

export function perRequestUs({ requests }: LoadResult, cpuMs: number): number {
  return (cpuMs * 1000) / requests;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** @param sorted ascending */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function mebibytes(bytes: number): string {
  return whole(bytes / 1024 ** 2);
}
