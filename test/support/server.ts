/** Servers for tests: in this process on a cloned database, or the real program as a child process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { loadConfig } from '../../src/config.ts';
import { startServer as start } from '../../src/server.ts';
import { createDatabase, type TestDatabase } from './database.ts';

export interface Credentials {
  readonly clientId: string;
  readonly clientSecret: string;
}

export interface InProcessServer {
  readonly url: string;
  readonly admin: Credentials;
  readonly database: TestDatabase;
  /** everything that was logged so far, JSON lines */
  readonly logged: () => string;
  stop(): Promise<void>;
}

/** The whole server with a listener of its own, on a database cloned from the template. The quick way; the default choice. */
export async function openServer(environment: Readonly<Record<string, string>> = {}): Promise<InProcessServer> {
  const database = await createDatabase();
  const admin = { clientId: 'admin', clientSecret: randomBytes(32).toString('hex') };
  const port = await freePort();
  const { config } = loadConfig(
    {
      DATABASE_URL: database.url,
      AUTH_PORT: String(port),
      AUTH_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
      AUTH_ADMIN_CLIENT_SECRET: admin.clientSecret,
      ...environment,
    },
    tmpdir(),
  );
  const lines: string[] = [];
  const server = await start(config, pino({ level: 'trace' }, { write: (line) => void lines.push(line) }), {
    onAdministrator: () => undefined,
    onDisplaced: () => undefined,
    onHistoryChanged: () => undefined,
  });
  // Where a test has a database of its own, that may be away.
  if (environment.DATABASE_URL === undefined) await server.prepared;
  return {
    url: server.url,
    admin,
    database,
    logged: () => lines.join(''),
    async stop() {
      await server.stop();
      await database.drop();
    },
  };
}

export interface RunningServer {
  readonly url: string;
  readonly dataDir: string;
  readonly admin: Credentials;
  readonly process: ChildProcess;
  /** what it wrote to stdout and stderr */
  readonly output: () => string;
  /** SIGTERM, wait for the end, remove the data folder. */
  stop(): Promise<void>;
}

const PROGRAM = fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** The program as a child process with its own private PostgreSQL. @param options.dataDir an existing one is kept at the end */
export async function startServer(
  options: { readonly dataDir?: string; readonly env?: Readonly<Record<string, string>>; readonly port?: number } = {},
): Promise<RunningServer> {
  const dataDir = options.dataDir ?? (await temporaryFolder());
  const port = options.port ?? (await freePort());
  let output = '';
  const child = spawn(process.execPath, [PROGRAM, 'serve'], {
    cwd: tmpdir(),
    env: { PATH: process.env.PATH, AUTH_PORT: String(port), AUTH_DATA_DIR: dataDir, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const url = `http://127.0.0.1:${port}`;
  await until(async () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server ended: ${output}`);
    return (await fetch(`${url}/health/ready`).catch(() => undefined))?.ok === true;
  }, 20_000).catch((error: unknown) => {
    child.kill('SIGTERM');
    throw error;
  });
  return {
    url,
    dataDir,
    admin: await adminOf(dataDir, options.env),
    process: child,
    output: () => output,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        await ended(child);
      }
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function adminOf(dataDir: string, env: Readonly<Record<string, string>> = {}): Promise<Credentials> {
  if (env.AUTH_ADMIN_CLIENT_SECRET !== undefined) {
    return { clientId: env.AUTH_ADMIN_CLIENT_ID ?? 'admin', clientSecret: env.AUTH_ADMIN_CLIENT_SECRET };
  }
  const { client_id, client_secret } = JSON.parse(await readFile(join(dataDir, 'admin.json'), 'utf8'));
  return { clientId: client_id, clientSecret: client_secret };
}

export function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => child.once('exit', (code) => resolve(code)));
}

/** Below the system's folder for temporary files, so that an unprivileged PostgreSQL reaches it. */
export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'auth-test-'));
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

/** Polls until `condition` holds; for what another process does in its own time. */
export async function until(condition: () => Promise<boolean> | boolean, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
