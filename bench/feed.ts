/** `npm run bench:feed`: how soon a resource server refuses what was revoked, and what 1,000 readers of the feed cost. Ends with status 1 if a target is missed. */
import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openResourceServer } from '../src/resource-server/resource-server.ts';
import { createClient, issueToken } from '../test/support/client.ts';
import { type Credentials, until } from '../test/support/server.ts';
import { Closers, type Cluster, startBench } from './cluster.ts';
import type { ReadersMessage, ReadersOrder } from './feed-readers.ts';
import {
  type FeedOptions,
  type FeedResult,
  feedMarkdown,
  type LoadRound,
  missedTargets,
  PLACES,
  type Place,
  type RefusalCase,
} from './feed-report.ts';
import type { LoadOrder, LoadResult } from './load.ts';
import { quantile } from './report.ts';
import { readSurroundings, save, say, usualFile } from './saved.ts';
import { durablePostgres, stopProcess } from './servers.ts';
import { formRequest, openConnection } from './wire.ts';

const USAGE = `npm run bench:feed -- [--quick] [--revocations 200] [--readers 1000] [--rounds 5] [--seconds 3] [--out bench/results/<date>-<commit>-feed.json]

  --quick    a smoke run: 20 revocations, 100 readers, 1 round of 0.5 s; saved only with --out
  ETCD_BIN   etcd's program, else the one on the PATH; without one the cases with etcd are left out
`;

const AUDIENCE = 'https://api.example.com';
const TOKENS = 32;
const CONNECTIONS = 16;
const WARM_UP_REVOCATIONS = 15;
const LEAD_IN_MS = 500;
/** What a load may take beyond its own time. */
const LOAD_SLACK_MS = 15_000;
const PATIENCE_MS = 10_000;
/** A run that takes longer hangs. */
const RUN_MS_MAX = 600_000;

const closers = new Closers();

async function main(): Promise<void> {
  if (process.platform !== 'linux') throw new Error('the bench reads /proc: it runs on Linux only');
  const { options, out } = readArguments();
  const surroundings = readSurroundings();
  say('starting the servers');
  const { postgres, clusters } = await startBench(closers, ['bounded', 'bounded with etcd']);
  const facts = await durablePostgres(postgres.connection.host);
  const refusals: RefusalCase[] = [];
  for (const cluster of clusters) {
    for (const library of ['introspection', 'jwt'] as const) {
      for (const place of PLACES) {
        const refusedMs = await measureRefusals(cluster, { library, place, count: options.revocations });
        refusals.push({ mode: cluster.mode, library, place, refusedMs });
        say(`${cluster.mode}, ${library}, ${place}: refused after ${quantile(Float64Array.from(refusedMs).sort(), 0.5).toFixed(1)} ms`);
      }
    }
  }
  const [cluster] = clusters as readonly [Cluster];
  const { loads, reached } = await measureReaders(cluster, postgres.pid, options);
  const result: FeedResult = { ...surroundings, postgres: facts, options, refusals, loads, reached };
  process.stdout.write(`\n${feedMarkdown(result)}\n`);
  if (out !== undefined) save(out, result);
  const misses = missedTargets(result);
  for (const miss of misses) say(`MISSED: ${miss}`);
  if (misses.length > 0) process.exitCode = 1;
}

/** One after the other, each on its own. @throws Error — an answer that is not as it should be */
async function measureRefusals(
  { nodes, admin }: Cluster,
  { library: mode, place, count }: { readonly library: 'introspection' | 'jwt'; readonly place: Place; readonly count: number },
): Promise<readonly number[]> {
  const [followed, other] = nodes;
  const revoker = place === PLACES[0] ? followed : other;
  if (!followed || !revoker) throw new Error('no nodes');
  const url = `http://127.0.0.1:${followed.port}`;
  const format = mode === 'jwt' ? 'jwt' : 'reference';
  const client = await createClient({ url, admin }, { scope: 'read', audience: [AUDIENCE], access_token_format: format });
  const reader = await createClient({ url, admin }, { scope: 'auth:revocations:read', resources: [AUDIENCE] });
  const library = openResourceServer({
    issuer: 'http://localhost:8080',
    url,
    ...idAndSecret(reader),
    mode,
    audience: AUDIENCE,
    whenSilent: 'refuse',
  });
  const connection = openConnection(revoker.port);
  try {
    await until(() => library.isFollowing, PATIENCE_MS);
    const refusedMs: number[] = [];
    for (let n = -WARM_UP_REVOCATIONS; n < count; n++) {
      const token = await issueToken(url, client);
      const before = await library.check(token);
      if (before.outcome !== 'active') throw new Error(`a new token is ${before.outcome}`);
      const { status, at } = await connection.ask(
        formRequest({ port: revoker.port, path: '/revoke', form: { token }, credentials: idAndSecret(client) }),
      );
      if (status !== 200) throw new Error(`/revoke: ${status}`);
      // Kept tokens are looked at without a question, so this only waits for the feed.
      while ((await library.check(token)).outcome === 'active') {
        if (performance.now() - at > PATIENCE_MS) throw new Error(`still accepted after ${PATIENCE_MS} ms`);
        await turn();
      }
      if (n >= 0) refusedMs.push(rounded(performance.now() - at));
    }
    return refusedMs;
  } finally {
    connection.close();
    library.close();
  }
}

/** The load with readers and without, in turns; then entries, one after the other, while all are there and nothing else is. */
async function measureReaders(cluster: Cluster, postgresPid: number, options: FeedOptions): Promise<Pick<FeedResult, 'loads' | 'reached'>> {
  const [node] = cluster.nodes;
  if (!node) throw new Error('no nodes');
  const generator = fork(fileURLToPath(new URL('./load.js', import.meta.url)), { execArgv: [] });
  closers.add(async () => generator.disconnect());
  const load = () => measureLoad(generator, cluster, postgresPid, options.seconds * 1000);
  await load();
  const loads: LoadRound[] = [];
  for (let round = 0; round < options.rounds; round++) {
    for (const readers of round % 2 === 0 ? [0, options.readers] : [options.readers, 0]) {
      const crowd = readers > 0 ? await openReaders(cluster, readers) : undefined;
      loads.push({ round, readers, ...(await load()) });
      await crowd?.close();
      say(`round ${round + 1}/${options.rounds}: ${loads.at(-1)?.requests} introspections with ${readers} readers`);
    }
  }
  const crowd = await openReaders(cluster, options.readers);
  const reached: { firstMs: number[]; lastMs: number[] } = { firstMs: [], lastMs: [] };
  const url = `http://127.0.0.1:${node.port}`;
  const connection = openConnection(node.port);
  for (let n = -WARM_UP_REVOCATIONS; n < options.revocations; n++) {
    const token = await issueToken(url, cluster.client);
    const arriving = crowd.reached(createHash('sha256').update(token).digest('base64url'));
    const { status, at } = await connection.ask(
      formRequest({ port: node.port, path: '/revoke', form: { token }, credentials: cluster.client }),
    );
    if (status !== 200) throw new Error(`/revoke: ${status}`);
    const { firstAt, lastAt } = await arriving;
    if (n < 0) continue;
    const answeredAt = performance.timeOrigin + at;
    // It may be there before the answer.
    reached.firstMs.push(rounded(firstAt - answeredAt));
    reached.lastMs.push(rounded(lastAt - answeredAt));
  }
  connection.close();
  await crowd.close();
  return { loads, reached };
}

interface Crowd {
  /** when the entry of this token has reached all of them */
  reached(tokenHash: string): Promise<{ readonly firstAt: number; readonly lastAt: number }>;
  close(): Promise<void>;
}

/** Resolves once all of them follow. */
async function openReaders({ nodes, admin }: Cluster, readers: number): Promise<Crowd> {
  const port = nodes[0]?.port ?? 0;
  const child = fork(fileURLToPath(new URL('./feed-readers.js', import.meta.url)), { execArgv: [] });
  closers.add(() => stopProcess(child));
  const order: ReadersOrder = { port, token: await issueToken(`http://127.0.0.1:${port}`, admin), readers };
  child.send(order);
  const next = async <K extends ReadersMessage['kind']>(kind: K): Promise<Extract<ReadersMessage, { kind: K }>> => {
    const [message] = (await once(child, 'message', { signal: AbortSignal.timeout(PATIENCE_MS * 6) })) as [ReadersMessage];
    if (message.kind !== kind) throw new Error(`a reader: ${message.kind === 'lost' ? message.why : message.kind}`);
    return message as Extract<ReadersMessage, { kind: K }>;
  };
  await next('ready');
  return {
    async reached(tokenHash) {
      const message = await next('reached');
      if (message.tokenHash !== tokenHash) throw new Error('an entry of another token');
      return message;
    },
    close: () => stopProcess(child),
  };
}

/** @throws Error — a wrong answer, a lost connection, or no result in time */
async function measureLoad(
  generator: ChildProcess,
  { nodes, client }: Cluster,
  postgresPid: number,
  measureMs: number,
): Promise<LoadResult> {
  const { port = 0, pid = 0 } = nodes[0] ?? {};
  const tokens: string[] = [];
  while (tokens.length < TOKENS) tokens.push(await issueToken(`http://127.0.0.1:${port}`, client));
  const order: LoadOrder = {
    port,
    pids: [pid, postgresPid],
    requests: tokens.map((token) => formRequest({ port, path: '/introspect', form: { token }, credentials: client })),
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

function idAndSecret({ clientId, clientSecret }: Credentials): Credentials {
  return { clientId, clientSecret };
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

function readArguments(): { readonly options: FeedOptions; readonly out: string | undefined } {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      revocations: { type: 'string' },
      readers: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  const revocations = Number(values.revocations ?? (values.quick ? 20 : 200));
  const readers = Number(values.readers ?? (values.quick ? 100 : 1_000));
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
  const seconds = Number(values.seconds ?? (values.quick ? 0.5 : 3));
  const isCount = (value: number) => Number.isInteger(value) && value >= 1 && value <= 5_000;
  if (![revocations, readers, rounds].every(isCount) || !(seconds >= 0.1 && seconds <= 60)) throw new Error(USAGE);
  const out = values.out ?? (values.quick ? undefined : usualFile('feed'));
  return { options: { revocations, readers, rounds, seconds, connections: CONNECTIONS }, out };
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
