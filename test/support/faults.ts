/**
 * What can go wrong, made on purpose: servers as processes of their own that may be killed, a PostgreSQL that may stop, freeze or crash, a
 * network that may go silent. Linux only: it looks at processes through /proc. Everything ends with its test.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts';
import { DROP, openProxy } from './proxy.ts';
import { type Credentials, freePort, until } from './server.ts';

export const ENCRYPTION_KEY = Buffer.alloc(32, 7).toString('base64');
export const ADMIN = { clientId: 'admin', clientSecret: 'a-secret-of-the-administrator-for-tests' } as const;
export const IS_ROOT = process.getuid?.() === 0;
export const NEEDS_ROOT = { skip: IS_ROOT ? false : 'needs root' };
export const NOBODY = 65534;
/** This checkout. */
export const CHECKOUT = fileURLToPath(new URL('../../..', import.meta.url));

/** What a test hands its cleaning-up to. */
export interface Cleanup {
  after(work: () => Promise<void>): void;
}

/** For servers that the tests of a file share: to be run by its `after`. */
export function sharedCleanup(): Cleanup & { run(): Promise<void> } {
  const works: (() => Promise<void>)[] = [];
  return {
    after: (work) => void works.push(work),
    async run() {
      const results = await Promise.allSettled(works.map((work) => work()));
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    },
  };
}

/** A folder that every user may enter. Afterwards neither it nor a process that works in it exists. */
export async function scratch(t: Cleanup): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'auth-faults-')));
  await chmod(folder, 0o755);
  t.after(async () => {
    // Whoever starts others goes first, or it would start them again.
    await until(async () => {
      const left = processesOf(folder);
      for (const pid of left) signal(pid, 'SIGKILL');
      return left.length === 0;
    }, 10_000);
    await rm(folder, { recursive: true, force: true, maxRetries: 20 });
  });
  return folder;
}

/** Every process that has the folder in its command line or works below it; zombies do not count. */
export function processesOf(folder: string): number[] {
  const pids = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 1 && pid !== process.pid);
  return pids.filter((pid) => {
    try {
      return (
        `${readlinkSync(`/proc/${pid}/cwd`)}/`.startsWith(`${folder}/`) || readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder)
      );
    } catch {
      return false; // it has ended, or works for another user
    }
  });
}

/** Sends a signal to what may be gone. @param pid negative: to the group */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
  }
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Program {
  readonly url: string;
  readonly child: ChildProcess;
  /** what it wrote to stdout and stderr so far */
  readonly output: () => string;
  readonly exit: Promise<Exit>;
  isRunning(): boolean;
  /** the status of a GET, 0 without an answer */
  status(path: string): Promise<number>;
  /** until `/health/ready` answers 200 */
  ready(timeoutMs?: number): Promise<void>;
  /** until `/health/live` answers 200 */
  live(timeoutMs?: number): Promise<void>;
  /** Sends a signal and waits for the end. */
  end(signal: NodeJS.Signals, timeoutMs?: number): Promise<Exit>;
}

export interface Launch {
  /** working directory; it is found by {@link processesOf} through it */
  readonly folder: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly port?: number;
  /** default: this Node with `dist/src/main.js serve` */
  readonly command?: readonly [string, ...string[]];
  readonly cwd?: string;
  readonly uid?: number;
}

const PROGRAM = fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** Starts the program, in a process group of its own, and does not wait for it. Its data folder is `<folder>/data` unless the environment says otherwise. */
export async function launch(t: Cleanup, { folder, env = {}, command, cwd = folder, uid, ...options }: Launch): Promise<Program> {
  const port = options.port ?? (await freePort());
  const [file, ...args] = command ?? [process.execPath, PROGRAM, 'serve'];
  const child = spawn(file, args, {
    cwd,
    detached: true,
    env: { PATH: process.env.PATH, HOME: folder, AUTH_PORT: String(port), AUTH_DATA_DIR: join(folder, 'data'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid !== undefined && { uid, gid: uid }),
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exit = new Promise<Exit>((resolve) => child.once('close', (code, name) => resolve({ code, signal: name })));
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  t.after(async () => {
    if (child.pid !== undefined) signal(-child.pid, 'SIGKILL');
  });
  const url = `http://127.0.0.1:${port}`;
  const status = (path: string) =>
    fetch(url + path, { signal: AbortSignal.timeout(5_000) }).then(
      async (response) => {
        await response.arrayBuffer();
        return response.status;
      },
      () => 0,
    );
  const answers = (path: string, timeoutMs: number) =>
    until(async () => {
      assert.ok(isRunning(), `the server ended: ${output}`);
      return (await status(path)) === 200;
    }, timeoutMs);
  return {
    url,
    child,
    output: () => output,
    exit,
    isRunning,
    status,
    ready: (timeoutMs = 20_000) => answers('/health/ready', timeoutMs),
    live: (timeoutMs = 20_000) => answers('/health/live', timeoutMs),
    async end(name, timeoutMs = 15_000) {
      child.kill(name);
      return within(timeoutMs, exit, () => `no end after ${name}: ${output}`);
    },
  };
}

/** @throws what `problem` says, when `work` takes longer */
export async function within<T>(timeoutMs: number, work: Promise<T>, problem: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${timeoutMs} ms: ${problem()}`)), timeoutMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

export interface FaultyPostgres {
  /** for DATABASE_URL, over the Unix socket */
  readonly url: string;
  readonly connection: { readonly host: string; readonly port: number; readonly user: string; readonly database: string };
  query<Row extends pg.QueryResultRow>(text: string): Promise<Row[]>;
  /** A session that stays; ends with the test. */
  session(): Promise<pg.Client>;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** SIGSTOP of every process: connections are taken by the kernel, and nothing is ever said on them. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** kill -9 of every process */
  kill(): Promise<void>;
  /** As `pg_ctl stop -m immediate`: no checkpoint, so a recovery at the next start. */
  crash(): Promise<void>;
}

/** A PostgreSQL of the test's own, to do harm to. */
export async function faultyPostgres(t: Cleanup, folder: string, settings: Readonly<Record<string, string>> = {}): Promise<FaultyPostgres> {
  const dataDir = join(folder, 'postgresql');
  const start = () => startEmbeddedPostgres({ dataDir, settings });
  let postgres = await start();
  const { connection } = postgres;
  const signalAll = async (name: NodeJS.Signals) => {
    for (const pid of processesOf(dataDir)) signal(pid, name);
  };
  const session = async () => {
    const client = new pg.Client(connection);
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  t.after(() => signalAll('SIGKILL'));
  return {
    url: socketUrl(connection),
    connection,
    async query(text) {
      const client = await session();
      try {
        return (await client.query(text)).rows;
      } finally {
        await client.end();
      }
    },
    async session() {
      const client = await session();
      t.after(() => client.end().catch(() => undefined));
      return client;
    },
    async start() {
      postgres = await start();
    },
    stop: () => postgres.stop(),
    freeze: () => signalAll('SIGSTOP'),
    thaw: () => signalAll('SIGCONT'),
    kill: () => signalAll('SIGKILL'),
    async crash() {
      signal(Number(readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]), 'SIGQUIT');
      await until(() => processesOf(dataDir).length === 0, 10_000);
    },
  };
}

export function socketUrl({
  host,
  port,
  user,
  database,
}: {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}): string {
  return `postgres://${user}@${encodeURIComponent(host)}:${port}/${database}`;
}

export interface Network {
  readonly port: number;
  /**
   * `passing`; `silent`: who is connected now never hears anything again, new connections not until it passes again (a host that went away
   * does not even say so); `closed`: every connection is closed.
   */
  set(state: 'passing' | 'silent' | 'closed'): void;
  /** What a client sends next that fulfils the condition still arrives, but from then on the network is `silent`. */
  loseAnswerTo(condition: (sent: string) => boolean): void;
}

/** A TCP port in front of PostgreSQL's Unix socket. */
export async function faultyNetwork(t: Cleanup, { host, port }: FaultyPostgres['connection'], listenOn = 0): Promise<Network> {
  const proxy = await openProxy(t, { path: `${host}/.s.PGSQL.${port}` }, listenOn);
  let isLast: ((sent: string) => boolean) | undefined;
  const set = (state: 'passing' | 'silent' | 'closed') => {
    if (state === 'passing') proxy.heal();
    if (state === 'silent') proxy.set({ up: DROP, down: DROP });
    if (state === 'closed') {
      proxy.refuse(true);
      proxy.cut();
    }
  };
  proxy.onSent((chunk) => {
    if (!isLast?.(chunk.toString('latin1'))) return;
    isLast = undefined;
    set('silent');
  });
  return {
    port: proxy.port,
    set,
    loseAnswerTo(condition) {
      isLast = condition;
    },
  };
}

/** The administrator's secrets that were generated and shown. */
export function announcedSecrets(...programs: readonly Program[]): readonly string[] {
  return programs.flatMap((program) => [...program.output().matchAll(/"client_secret":"([^"]+)"/g)].map(([, secret = '']) => secret));
}

/** Waits for the secret, which has to be shown once among all of these. */
export async function announcedAdmin(...programs: readonly Program[]): Promise<Credentials> {
  await until(() => announcedSecrets(...programs).length > 0, 2_000).catch(() => assert.fail('no secret was shown'));
  const [clientSecret = '', ...more] = announcedSecrets(...programs);
  assert.deepEqual(more, [], 'shown once');
  return { clientId: 'admin', clientSecret };
}
