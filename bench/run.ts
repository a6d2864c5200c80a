/** `npm run bench`: starts the servers, interleaves the rounds, prints the tables, saves the result. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { issueToken } from '../test/support/client.ts';
import { measureMemory, measurePackages, measureStarts } from './footprint.ts';
import type { LoadOrder, LoadResult } from './load.ts';
import { CASES, type Case, type Measurement, markdown, type Options, type Result } from './report.ts';
import { readSurroundings, save, say, usualFile } from './saved.ts';
import { type RunningServer, startAuth, startPeer } from './servers.ts';
import { formRequest } from './wire.ts';

const USAGE = `npm run bench -- [--quick] [--rounds 5] [--seconds 3] [--out bench/results/<date>-<commit>.json]

  --quick    a smoke run of about 20 s: 1 round of 1 s; saved only with --out
`;

/** Tokens that the introspection rounds take in turn: few enough for any cache, and for the 1,000 entries of oidc-provider's store. */
const TOKENS = 64;
const CONNECTIONS = 16;
const LEAD_IN_MS = 500;
/** What a round may take beyond its own time before the run is given up. */
const ROUND_SLACK_MS = 15_000;

interface Arguments {
  readonly options: Options;
  readonly warmUpMs: number;
  readonly out: string | undefined;
}

async function main(): Promise<void> {
  if (process.platform !== 'linux') throw new Error('the bench reads /proc: it runs on Linux only');
  const { options, warmUpMs, out } = readArguments();
  const surroundings = readSurroundings();
  say(`start time: ${options.starts} first and later starts`);
  const starts = await measureStarts(options.starts);
  const generator = fork(fileURLToPath(new URL('./load.js', import.meta.url)), { execArgv: [] });
  const servers: RunningServer[] = [];
  try {
    const auth = await startAuth();
    servers.push(auth);
    servers.push(await startPeer('oidc-provider'));
    servers.push(await startPeer('bare'));
    const idle = await measureMemory(servers);
    for (const name of CASES) for (const server of servers) await measure(generator, server, name, warmUpMs);
    const measurements = await runRounds(generator, servers, options);
    const afterLoad = await measureMemory(servers);
    const memory = { idle, afterLoad };
    const { postgres } = auth;
    const packages = await measurePackages();
    const result: Result = { ...surroundings, postgres, options, measurements, starts, memory, packages };
    process.stdout.write(`\n${markdown(result)}\n`);
    if (out !== undefined) save(out, result);
  } finally {
    generator.disconnect();
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** In every round each server has its turn at each case, and each round begins with another one. */
async function runRounds(generator: ChildProcess, servers: readonly RunningServer[], { rounds, seconds }: Options): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const name of CASES) {
      const first = round % servers.length;
      for (const server of [...servers.slice(first), ...servers.slice(0, first)]) {
        const result = await measure(generator, server, name, seconds * 1000);
        measurements.push({ server: server.name, case: name, round, ...result });
        say(`round ${round + 1}/${rounds} ${name} ${server.name}: ${Math.round((result.requests * 1000) / result.elapsedMs)} requests/s`);
      }
    }
  }
  return measurements;
}

/** @throws Error — a wrong answer, a lost connection, or no result in time */
async function measure(generator: ChildProcess, server: RunningServer, name: Case, measureMs: number): Promise<LoadResult> {
  const order: LoadOrder = {
    port: server.port,
    pids: [server.pid],
    requests: await requestsOf(server, name),
    expected: name === 'introspect' ? '"active":true' : '"access_token":"',
    connections: CONNECTIONS,
    leadInMs: LEAD_IN_MS,
    measureMs,
  };
  generator.send(order);
  const signal = AbortSignal.timeout(LEAD_IN_MS + measureMs + ROUND_SLACK_MS);
  const [result]: [LoadResult] = (await once(generator, 'message', { signal })) as [LoadResult];
  if (result.errors > 0 || result.requests === 0) {
    throw new Error(`${server.name}, ${name}: ${result.errors} errors, ${result.requests} answers\n${result.errorSamples.join('\n')}`);
  }
  return result;
}

/** Fresh tokens each time: the issue rounds push older ones out of oidc-provider's store. */
async function requestsOf({ port, client }: RunningServer, name: Case): Promise<readonly string[]> {
  const post = (path: string, form: Readonly<Record<string, string>>) => formRequest({ port, path, form, credentials: client });
  if (name === 'issue') return [post('/token', { grant_type: 'client_credentials', scope: 'read write' })];
  const url = `http://127.0.0.1:${port}`;
  const tokens = Array.from({ length: TOKENS }, () => issueToken(url, client, { scope: 'read write' }));
  return (await Promise.all(tokens)).map((token) => post('/introspect', { token }));
}

function readArguments(): Arguments {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
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
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
  const seconds = Number(values.seconds ?? (values.quick ? 1 : 3));
  if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100 && seconds >= 0.1 && seconds <= 60)) throw new Error(USAGE);
  const out = values.out ?? (values.quick ? undefined : usualFile());
  return {
    options: { rounds, seconds, connections: CONNECTIONS, starts: values.quick ? 1 : 5 },
    warmUpMs: values.quick ? 500 : 3_000,
    out,
  };
}

// An exit of its own, so that servers.ts can take the servers along.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
await main();
