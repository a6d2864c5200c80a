/** What `npm run bench:coherence` and `npm run bench:feed` measure: for each mode three servers on a database of their own, all on one PostgreSQL, with etcd or without. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../src/postgres/embedded.ts';
import { createClient } from '../test/support/client.ts';
import { type Credentials, freePort, temporaryFolder, until } from '../test/support/server.ts';
import { hasEnded, launchAuth, stopProcess, watch } from './servers.ts';

export const MODES = ['bounded', 'bounded with etcd', 'strict with etcd', 'strict'] as const;
export type Mode = (typeof MODES)[number];

export interface Node {
  readonly port: number;
  readonly pid: number;
}

export interface Cluster {
  readonly mode: Mode;
  readonly nodes: readonly Node[];
  readonly admin: Credentials;
  /** may issue, introspect and revoke */
  readonly client: Credentials;
}

export interface Bench {
  readonly postgres: EmbeddedPostgres;
  readonly clusters: readonly Cluster[];
}

export const NODES = 3;
/** Each server has up to eleven. */
const POSTGRES_CONNECTIONS = 300;
const PROCESSES_MAX = 30;
const ETCD_READY_MS_MAX = 10_000;

/** Ends what was started, the last first; once, whoever asks for it, and all wait until it is done. */
export class Closers {
  readonly #works: (() => Promise<unknown>)[] = [];
  #running: Promise<void> | undefined;

  add(work: () => Promise<unknown>): void {
    this.#works.push(work);
  }

  run(): Promise<void> {
    this.#running ??= this.#runAll();
    return this.#running;
  }

  async #runAll(): Promise<void> {
    for (let work = this.#works.pop(); work; work = this.#works.pop()) {
      await work().catch((error: unknown) => process.stderr.write(`not ended: ${String(error)}\n`));
    }
  }
}

/** Without etcd's program the modes with etcd are left out. */
export async function startBench(closers: Closers, modes: readonly Mode[] = MODES): Promise<Bench> {
  const folder = await temporaryFolder();
  closers.add(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
  const settings = { max_connections: String(POSTGRES_CONNECTIONS) };
  const starting = startEmbeddedPostgres({ dataDir: join(folder, 'postgresql'), settings });
  // Before it has started: it is no child of this process, and would stay.
  closers.add(async () => (await starting).stop());
  const postgres = await starting;
  // Each child is ended by a listener of its own, should this process just exit.
  process.setMaxListeners(PROCESSES_MAX);
  const clusters: Cluster[] = [];
  for (const mode of modes) {
    const own = join(folder, mode.replaceAll(' ', '-'));
    await mkdir(own);
    // One for each: nodes of two databases must not meet.
    const etcd = mode.endsWith('with etcd') ? await startEtcd(own, closers) : '';
    if (etcd !== undefined) clusters.push(await startCluster(mode, postgres, own, etcd, closers));
  }
  return { postgres, clusters };
}

/** @param etcd its address, or nothing */
async function startCluster(mode: Mode, postgres: EmbeddedPostgres, folder: string, etcd: string, closers: Closers): Promise<Cluster> {
  const { host, user } = postgres.connection;
  const admin = { clientId: 'admin', clientSecret: randomBytes(32).toString('base64url') };
  const environment = {
    DATABASE_URL: `postgres://${user}@${encodeURIComponent(host)}/${mode.replaceAll(' ', '_')}`,
    AUTH_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
    AUTH_ADMIN_CLIENT_SECRET: admin.clientSecret,
    AUTH_ISSUER: 'http://localhost:8080',
    AUTH_CONSISTENCY: mode.startsWith('strict') ? 'strict' : 'bounded',
    ...(etcd !== '' && { ETCD_ENDPOINTS: etcd }),
  };
  const nodes: Node[] = [];
  // One after the other: the first makes the database, and two cores are not four.
  while (nodes.length < NODES) {
    const { child, port } = await launchAuth(folder, environment);
    closers.add(() => stopProcess(child));
    nodes.push({ port, pid: child.pid ?? 0 });
  }
  const url = `http://127.0.0.1:${nodes[0]?.port}`;
  const { clientId, clientSecret } = await createClient({ url, admin }, { scope: 'read write' });
  return { mode, nodes, admin, client: { clientId, clientSecret } };
}

/** @returns its address; nothing when there is no such program */
async function startEtcd(folder: string, closers: Closers): Promise<string | undefined> {
  const [client, peer] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
  const args = [
    ['--data-dir', join(folder, 'etcd')],
    ['--listen-client-urls', client],
    ['--advertise-client-urls', client],
    ['--listen-peer-urls', peer],
    ['--initial-advertise-peer-urls', peer],
    ['--initial-cluster', `default=${peer}`],
    ['--log-level', 'error'],
  ];
  const child = spawn(process.env.ETCD_BIN ?? 'etcd', args.flat(), { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = watch(child);
  if (!(await isSpawned(child))) return undefined;
  closers.add(() => stopProcess(child));
  await until(async () => {
    if (hasEnded(child)) throw new Error(`etcd ended:\n${output()}`);
    return (await fetch(`${client}/health`).catch(() => undefined))?.ok === true;
  }, ETCD_READY_MS_MAX);
  return client;
}

function isSpawned(child: ChildProcess): Promise<boolean> {
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(true));
    child.once('error', (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? resolve(false) : reject(error)));
  });
}
