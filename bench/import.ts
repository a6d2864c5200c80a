/**
 * `npm run bench:import`: 100,000 clients by `auth client import`, first alone, then beside introspections: how long it takes, what is left of the
 * introspections, and how the memory of server and command grows. Ends with status 1 if a target is missed.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { createClient, issueToken } from '../test/support/client.ts';
import { temporaryFolder } from '../test/support/server.ts';
import type { LoadOrder, LoadResult } from './load.ts';
import { memoryBytes } from './process-cost.ts';
import { facts, median, rate, table, whole } from './report.ts';
import { readSurroundings, type Surroundings, save, say, usualFile } from './saved.ts';
import { durablePostgres, launchAuth, stopAuth } from './servers.ts';
import { formRequest } from './wire.ts';

const PROGRAM = fileURLToPath(new URL('../src/main.js', import.meta.url));
const SECONDS_MAX = 60;
const SHARE_MIN = 0.7;
/** What a resident set may grow by from the second quarter of an import to its last. */
const GROWTH_MAX = 1.25;
const CONNECTIONS = 16;
const ROUND_MS = 2_000;
const ROUNDS = 5;
/** Longer than the server waits for imports to end (src/postgres/search-indexing.ts). */
const INDEXING_AFTER_MS = 12_000;
const SAMPLE_MS = 500;

interface Import {
  readonly seconds: number;
  /** resident sets, samples of each quarter: the highest */
  readonly serverBytes: readonly number[];
  readonly commandBytes: readonly number[];
}

interface Result extends Surroundings {
  readonly clients: number;
  readonly postgres: string;
  readonly alone: Import;
  readonly beside: Import;
  /** introspections a second */
  readonly before: readonly number[];
  readonly meanwhile: readonly number[];
  /** while the clients become part of the index of the search */
  readonly indexing: readonly number[];
  readonly indexedPerSecond: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { clients: { type: 'string' }, out: { type: 'string' } } });
  const clients = Number(values.clients ?? 100_000);
  const surroundings = readSurroundings();
  const dataDir = await temporaryFolder();
  const { child, port } = await launchAuth(dataDir);
  const generator = fork(fileURLToPath(new URL('./load.js', import.meta.url)), { execArgv: [] });
  const database = new pg.Client({ host: join(dataDir, 'postgres'), user: 'auth', database: 'auth' });
  try {
    await database.connect();
    const { version } = await durablePostgres(join(dataDir, 'postgres'));
    const load = await introspections(port, child.pid ?? 0, dataDir, generator);
    await load();
    const before: number[] = [];
    while (before.length < ROUNDS) before.push(await load());
    const [meanwhile, indexing]: [number[], number[]] = [[], []];
    const files = [await fileOf(clients, dataDir), await fileOf(clients, dataDir)] as const;
    say(`${clients} clients, beside ${whole(median(before))} introspections a second`);
    const importing = importFile(files[0], dataDir, child);
    await during(importing, async () => void meanwhile.push(await load()));
    const beside = await importing;
    say(`${beside.seconds.toFixed(1)} s; as many, alone`);
    const alone = await importFile(files[1], dataDir, child);
    say(`${alone.seconds.toFixed(1)} s; the index of the search`);
    await sleep(INDEXING_AFTER_MS);
    const [from, since] = [await waiting(database), performance.now()];
    while (indexing.length < ROUNDS) indexing.push(await load());
    const indexedPerSecond = ((from - (await waiting(database))) * 1000) / (performance.now() - since);
    report(
      { ...surroundings, clients, postgres: version, alone, beside, before, meanwhile, indexing, indexedPerSecond },
      values.out ?? usualFile('import'),
    );
  } finally {
    generator.disconnect();
    await database.end();
    await stopAuth(child);
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** @returns a measurement of {@link ROUND_MS}: introspections a second */
async function introspections(port: number, pid: number, dataDir: string, generator: ChildProcess): Promise<() => Promise<number>> {
  const url = `http://127.0.0.1:${port}`;
  const { client_id, client_secret } = JSON.parse(await readFile(join(dataDir, 'admin.json'), 'utf8'));
  const client = await createClient({ url, admin: { clientId: client_id, clientSecret: client_secret } }, { scope: 'read' });
  const tokens = await Promise.all(Array.from({ length: 100 }, () => issueToken(url, client)));
  const requests = tokens.map((token) => formRequest({ port, path: '/introspect', form: { token }, credentials: client }));
  const order: LoadOrder = {
    port,
    pids: [pid],
    requests,
    expected: '"active":true',
    connections: CONNECTIONS,
    leadInMs: 100,
    measureMs: ROUND_MS,
  };
  return async () => {
    generator.send(order);
    const [result]: [LoadResult] = (await once(generator, 'message', { signal: AbortSignal.timeout(60_000) })) as [LoadResult];
    if (result.errors > 0) throw new Error(`${result.errors} errors: ${result.errorSamples.join('\n')}`);
    return rate(result);
  };
}

/** Again and again, until `work` is done; at least once. */
async function during(work: Promise<unknown>, again: () => Promise<void>): Promise<void> {
  let isDone = false;
  const end = () => {
    isDone = true;
  };
  work.then(end, end);
  do await again();
  while (!isDone);
}

async function fileOf(clients: number, folder: string): Promise<string> {
  const path = join(folder, `${randomUUID()}.jsonl`);
  const file = createWriteStream(path);
  for (let index = 0; index < clients; index++) {
    const hash = `sha256:${createHash('sha256').update(randomBytes(32)).digest('base64url')}`;
    const line = {
      client_id: randomUUID(),
      client_name: `Service ${index}`,
      scope: `read tenant:${index % 100}`,
      audience: ['https://api.example.com'],
      claims: { tenant: index % 100 },
      contacts: ['ops@example.com'],
      secrets: [{ name: 'imported', hash }],
    };
    if (!file.write(`${JSON.stringify(line)}\n`)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'finish');
  return path;
}

async function importFile(file: string, dataDir: string, server: ChildProcess): Promise<Import> {
  const [serverBytes, commandBytes]: [number[], number[]] = [[], []];
  const since = performance.now();
  const command = spawn(process.execPath, [PROGRAM, 'client', 'import', file, '--data-dir', dataDir], {
    env: { PATH: process.env.PATH, NODE_ENV: 'production' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const sampling = setInterval(() => {
    try {
      commandBytes.push(memoryBytes(command.pid ?? 0).node);
      serverBytes.push(memoryBytes(server.pid ?? 0).node);
    } catch {
      // it has just ended
    }
  }, SAMPLE_MS);
  const [code] = await once(command, 'exit');
  clearInterval(sampling);
  if (code !== 0) throw new Error(`auth client import ended with ${code}`);
  return { seconds: (performance.now() - since) / 1000, serverBytes: quarters(serverBytes), commandBytes: quarters(commandBytes) };
}

function quarters(samples: readonly number[]): readonly number[] {
  const size = Math.ceil(samples.length / 4);
  return [0, 1, 2, 3].map((quarter) => Math.max(0, ...samples.slice(quarter * size, (quarter + 1) * size)));
}

/** @returns how many clients are not in the index of the search */
async function waiting(database: pg.Client): Promise<number> {
  const { rows } = await database.query<{ count: string }>('select count(*) as count from client where not searchable');
  return Number(rows[0]?.count);
}

function report(result: Result, file: string): void {
  const { alone, beside, before, meanwhile, indexing } = result;
  const [usual, share, later] = [median(before), mean(meanwhile) / median(before), mean(indexing) / median(before)];
  const mib = (bytes: readonly number[]) => bytes.map((value) => whole(value / 1024 / 1024)).join(', ');
  const rows = [
    ['seconds', alone.seconds.toFixed(1), beside.seconds.toFixed(1), `< ${SECONDS_MAX}`],
    ['introspections a second ÷ those before', '', share.toFixed(2), `≥ ${SHARE_MIN}`],
    ['the same while the index is filled', '', later.toFixed(2), ''],
    ['server, MiB, each quarter', mib(alone.serverBytes), mib(beside.serverBytes), 'flat'],
    ['command, MiB, each quarter', mib(alone.commandBytes), mib(beside.commandBytes), 'flat'],
  ];
  const title = `${facts(result)}, PostgreSQL ${result.postgres}, ${whole(usual)} introspections a second before, ${whole(result.indexedPerSecond)} clients a second into the index afterwards`;
  process.stdout.write(`\n${title}\n\n${table([`${result.clients} clients`, 'alone', 'beside introspections', 'target'], rows)}\n`);
  save(file, result);
  const grows = ([, second = 0, , last = 0]: readonly number[]) => last > second * GROWTH_MAX;
  const missed = [
    ...([alone, beside].some(({ seconds }) => seconds >= SECONDS_MAX) ? ['seconds'] : []),
    ...(share < SHARE_MIN ? ['introspections'] : []),
    ...([alone.serverBytes, alone.commandBytes, beside.serverBytes, beside.commandBytes].some(grows) ? ['memory'] : []),
  ];
  for (const what of missed) say(`MISSED: ${what}`);
  if (missed.length > 0) process.exitCode = 1;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// An exit of its own, so that servers.ts can take the server along.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
await main();
