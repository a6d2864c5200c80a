/**
 * `npm run bench:coherence`: how soon a revocation counts on every node, what strict costs. Ends with status 1 if a strict answer was stale.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { issueToken } from '../test/support/client.ts';
import { Closers, type Cluster, MODES, type Node, startBench } from './cluster.ts';
import {
  type CoherenceOptions,
  type CoherenceResult,
  coherenceMarkdown,
  missedTargets,
  type ReadRound,
  type RevocationRound,
  staleInStrict,
} from './coherence-report.ts';
import type { LoadOrder, LoadResult } from './load.ts';
import { quantile } from './report.ts';
import { measureRevocations, type Revocation } from './revocation.ts';
import { readSurroundings, save, say, usualFile } from './saved.ts';
import { durablePostgres } from './servers.ts';
import { formRequest } from './wire.ts';

const USAGE = `npm run bench:coherence -- [--quick] [--rounds 4] [--revocations 200] [--seconds 1] [--out bench/results/<date>-<commit>-coherence.json]

  --quick    a smoke run: 1 round of 24 revocations and 0.5 s of load; saved only with --out
  ETCD_BIN   etcd's program, else the one on the PATH; without one the modes with etcd are left out
`;

const TOKENS = 32;
const CONNECTIONS = 64;
const WARM_UP_REVOCATIONS = 15;
const LEAD_IN_MS = 300;
/** What a load may take beyond its own time. */
const LOAD_SLACK_MS = 10_000;
/** A run that takes longer hangs. */
const RUN_MS_MAX = 300_000;

const closers = new Closers();

async function main(): Promise<void> {
  if (process.platform !== 'linux') throw new Error('the bench reads /proc: it runs on Linux only');
  const { options, out } = readArguments();
  const surroundings = readSurroundings();
  say('starting the servers');
  const { postgres, clusters } = await startBench(closers);
  if (clusters.length < MODES.length) say('no etcd: without the modes that need it');
  const facts = await durablePostgres(postgres.connection.host);
  const generator = fork(fileURLToPath(new URL('./load.js', import.meta.url)), { execArgv: [] });
  closers.add(async () => generator.disconnect());
  const revocations: RevocationRound[] = [];
  const reads: ReadRound[] = [];
  const read = (cluster: Cluster, strict: boolean) => measureRead(generator, cluster, strict, postgres.pid, options.seconds * 1000);
  for (const cluster of clusters) await measureRevocations(cluster, WARM_UP_REVOCATIONS);
  for (const cluster of clusters.filter(isRead)) for (const strict of [false, true]) await read(cluster, strict);
  for (let round = 0; round < options.rounds; round++) {
    for (const cluster of rotated(clusters, round)) {
      const { mode } = cluster;
      const measured = await measureRevocations(cluster, Math.ceil(options.revocations / options.rounds));
      revocations.push({ mode, round, ...summary(measured) });
      say(`round ${round + 1}/${options.rounds} ${mode}: last node after ${quantile(sorted(measured, 'lastMs'), 0.5).toFixed(1)} ms`);
      if (!isRead(cluster)) continue;
      for (const strict of round % 2 === 0 ? [false, true] : [true, false]) {
        reads.push({ mode, round, strict, ...(await read(cluster, strict)) });
      }
    }
  }
  const result: CoherenceResult = { ...surroundings, postgres: facts, options, revocations, reads };
  process.stdout.write(`\n${coherenceMarkdown(result)}\n`);
  if (out !== undefined) save(out, result);
  for (const miss of missedTargets(result)) say(`MISSED: ${miss}`);
  if (staleInStrict(result) > 0) process.exitCode = 1;
}

/** Where every read is strict there is nothing to compare. */
function isRead({ mode }: Cluster): boolean {
  return !mode.startsWith('strict');
}

/** One node under load; the others only follow. @throws Error — a wrong answer, a lost connection, or no result in time */
async function measureRead(
  generator: ChildProcess,
  { nodes, client }: Cluster,
  strict: boolean,
  postgresPid: number,
  measureMs: number,
): Promise<LoadResult> {
  const [{ port, pid }] = nodes as readonly [Node];
  const tokens: string[] = [];
  while (tokens.length < TOKENS) tokens.push(await issueToken(`http://127.0.0.1:${port}`, client));
  const headers = strict ? ['Prefer: consistency=strict'] : [];
  const order: LoadOrder = {
    port,
    pids: [pid, postgresPid],
    requests: tokens.map((token) => formRequest({ port, path: '/introspect', form: { token }, credentials: client, headers })),
    expected: '"active":true',
    connections: CONNECTIONS,
    leadInMs: LEAD_IN_MS,
    measureMs,
  };
  generator.send(order);
  const signal = AbortSignal.timeout(LEAD_IN_MS + measureMs + LOAD_SLACK_MS);
  const [result] = (await once(generator, 'message', { signal })) as [LoadResult];
  if (result.errors > 0 || result.requests === 0) throw new Error(`under load: ${result.errors} errors\n${result.errorSamples.join('\n')}`);
  return result;
}

function summary(measured: readonly Revocation[]): Omit<RevocationRound, 'mode' | 'round'> {
  const polls = Float64Array.from(measured.flatMap(({ pollMs }) => pollMs)).sort();
  return {
    revokeMs: measured.map(({ revokeMs }) => rounded(revokeMs)),
    lastMs: measured.map(({ lastMs }) => rounded(lastMs)),
    stale: measured.reduce((sum, { stale }) => sum + stale, 0),
    outages: measured.reduce((sum, { outages }) => sum + outages, 0),
    pollMs: { median: rounded(quantile(polls, 0.5)), p99: rounded(quantile(polls, 0.99)) },
  };
}

function sorted(measured: readonly Revocation[], figure: 'lastMs' | 'revokeMs'): Float64Array {
  return Float64Array.from(measured.map((entry) => entry[figure])).sort();
}

function rotated<T>(items: readonly T[], by: number): readonly T[] {
  const first = by % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

function readArguments(): { readonly options: CoherenceOptions; readonly out: string | undefined } {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      revocations: { type: 'string' },
      seconds: { type: 'string' },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 4));
  const revocations = Number(values.revocations ?? (values.quick ? 24 : 200));
  const seconds = Number(values.seconds ?? (values.quick ? 0.5 : 1));
  const isCount = (value: number) => Number.isInteger(value) && value >= 1 && value <= 1_000;
  if (!(isCount(rounds) && isCount(revocations) && seconds >= 0.1 && seconds <= 60)) throw new Error(USAGE);
  const out = values.out ?? (values.quick ? undefined : usualFile('coherence'));
  return { options: { rounds, revocations, seconds, connections: CONNECTIONS }, out };
}

/** The private PostgreSQL is no child of this process: whatever happens it is stopped, and waited for. */
async function end(status: number): Promise<never> {
  await closers.run();
  process.exit(status);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end(1));
setTimeout(() => {
  say(`given up after ${RUN_MS_MAX / 1000} s`);
  void end(1);
}, RUN_MS_MAX).unref();
try {
  await main();
} finally {
  await closers.run();
}
