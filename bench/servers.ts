/** The servers under test: each a process of its own, on loopback, with one client that both issues and introspects. */
import { type ChildProcess, fork, type StdioOptions, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { createClient } from '../test/support/client.ts';
import { type Credentials, freePort, temporaryFolder } from '../test/support/server.ts';
import { type PeerOptions, SCOPE } from './peers/peer.ts';

export const SERVER_NAMES = ['auth', 'oidc-provider', 'bare'] as const;
export type ServerName = (typeof SERVER_NAMES)[number];

export interface RunningServer {
  readonly name: ServerName;
  readonly port: number;
  /** the root of its process tree */
  readonly pid: number;
  readonly client: Credentials;
  /** SIGTERM, and the end awaited. */
  stop(): Promise<void>;
}

/** What decides how durable a commit is, as the running PostgreSQL says it. */
export interface PostgresFacts {
  readonly version: string;
  readonly fsync: string;
  readonly synchronousCommit: string;
}

const AUTH = fileURLToPath(new URL('../src/main.js', import.meta.url));
const OUTPUT_ONLY: StdioOptions = ['ignore', 'pipe', 'pipe'];
const READY_MS_MAX = 30_000;
const READY_POLL_MS = 2;
/** Longer than a drain and a shutdown of PostgreSQL take. */
const STOP_MS_MAX = 30_000;

/**
 * auth as an operator runs it: `node dist/src/main.js serve`, with its private PostgreSQL in `dataDir` unless `environment` names another one.
 *
 * @returns `startMs` from spawn to the first 200 of `/health/ready`
 */
export async function launchAuth(
  dataDir: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<{ child: ChildProcess; port: number; startMs: number }> {
  const port = await freePort();
  const startedAt = performance.now();
  const child = spawn(process.execPath, [AUTH, 'serve'], {
    cwd: tmpdir(),
    env: { PATH: process.env.PATH, NODE_ENV: 'production', AUTH_PORT: String(port), AUTH_DATA_DIR: dataDir, ...environment },
    stdio: OUTPUT_ONLY,
  });
  const output = watch(child);
  while (!(await isReady(port))) {
    if (hasEnded(child) || performance.now() - startedAt > READY_MS_MAX) throw new Error(`auth did not start:\n${output()}`);
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
  return { child, port, startMs: performance.now() - startedAt };
}

/** @throws Error — its PostgreSQL would not keep what it confirmed */
export async function startAuth(): Promise<RunningServer & { readonly postgres: PostgresFacts }> {
  const dataDir = await temporaryFolder();
  const { child, port } = await launchAuth(dataDir);
  const stop = async () => {
    await stopAuth(child);
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    const postgres = await durablePostgres(join(dataDir, 'postgres'));
    const admin = JSON.parse(await readFile(join(dataDir, 'admin.json'), 'utf8'));
    const server = { url: `http://127.0.0.1:${port}`, admin: { clientId: admin.client_id, clientSecret: admin.client_secret } };
    const { clientId, clientSecret } = await createClient(server, { scope: SCOPE });
    return { name: 'auth', port, pid: child.pid ?? 0, client: { clientId, clientSecret }, postgres, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export async function startPeer(name: Exclude<ServerName, 'auth'>): Promise<RunningServer> {
  const client = { clientId: randomUUID(), clientSecret: randomBytes(32).toString('base64url') };
  const options: PeerOptions = { port: await freePort(), ...client };
  const program = fileURLToPath(new URL(`./peers/${name}.js`, import.meta.url));
  const child = fork(program, [JSON.stringify(options)], {
    env: { PATH: process.env.PATH, NODE_ENV: 'production' },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const output = watch(child);
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`${name} did not start:\n${output()}`)));
  await Promise.race([once(child, 'message'), ended]);
  ended.catch(() => undefined);
  return { name, port: options.port, pid: child.pid ?? 0, client, stop: () => stopProcess(child) };
}

/** @throws Error — it did not end as it should: then its PostgreSQL may still run, and a later start would adopt it instead of starting one */
export async function stopAuth(child: ChildProcess): Promise<void> {
  await stopProcess(child);
  if (child.exitCode !== 0) throw new Error(`auth ended with ${child.exitCode ?? child.signalCode}`);
}

export async function stopProcess(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
  await ended;
  clearTimeout(timer);
}

function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ port, host: '127.0.0.1', path: '/health/ready', agent: false, timeout: 1_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

/** @param host the folder of its socket @throws Error — it would not keep what it confirmed */
export async function durablePostgres(host: string, database = 'auth'): Promise<PostgresFacts> {
  const client = new pg.Client({ host, user: 'auth', database });
  await client.connect();
  try {
    const { rows } = await client.query<PostgresFacts>(
      `select current_setting('server_version') as version, current_setting('fsync') as fsync,
        current_setting('synchronous_commit') as "synchronousCommit"`,
    );
    const [facts] = rows;
    if (facts?.fsync !== 'on' || facts.synchronousCommit !== 'on') throw new Error(`not durable: ${JSON.stringify(facts)}`);
    return facts;
  } finally {
    await client.end();
  }
}

export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** Ends with this process at the latest, and its pipes are kept empty. @returns what was written, for the message of a failed start */
export function watch(child: ChildProcess): () => string {
  const end = () => child.kill('SIGTERM');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-10_000);
    });
  }
  return () => output;
}
