/**
 * A private PostgreSQL server in the data folder, so that `auth` runs without any set-up.
 *
 *   <dataDir>/postgres         the cluster (PGDATA), 0700, with its Unix socket inside; there is no TCP port
 *   <dataDir>/postgres.log     what the postmaster says, 0600
 *   <dataDir>/postgres.init-*  a first start under way: renamed to `postgres` once complete
 *   <dataDir>/postgres-*       what an installation lacks, see embedded-binaries.ts
 *
 * The postmaster is detached: Ctrl-C does not reach it, and it outlives a kill -9 of this process. So every start first looks for a live one,
 * as pg_ctl does, by postmaster.pid. PostgreSQL itself sees to it that a cluster has one postmaster; whoever loses that race adopts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import {
  type Account,
  type Cluster,
  commandFor,
  createCluster,
  EmbeddedPostgresError,
  findPrograms,
  isRoot,
  processExists,
  removeAbandoned,
} from './embedded-binaries.ts';

export { EmbeddedPostgresError };

export interface EmbeddedPostgres {
  /** Options for pg.Pool and pg.Client: the Unix socket's folder, the superuser, the database */
  readonly connection: {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly database: string;
    readonly ssl: false;
  };
  /** The postmaster was there already, most often because the process that started it was killed with kill -9 */
  readonly adopted: boolean;
  /** For example `18.4` */
  readonly version: string;
  readonly pid: number;
  /** Fast shutdown, of an adopted server too unless it is another container's; resolves once the postmaster is gone. Idempotent. */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  readonly dataDir: string;
  /** The folder with `postgres` and `initdb`; default: see {@link findPrograms} */
  readonly binDir?: string;
  /** Server settings over ours, for example `{ fsync: 'off' }` in tests. An adopted server keeps those it has. */
  readonly settings?: Readonly<Record<string, string>>;
}

interface Postmaster {
  readonly pid: number;
  readonly socketDir: string;
  /** From postmaster.pid: starting, ready, stopping; empty at first */
  readonly status: string;
}

interface Launched {
  readonly child: ChildProcess;
  /** Where its part of the log begins */
  readonly logOffset: number;
}

/** Postmasters that this process has started or adopted, and not stopped. */
const running = new Set<number>();

const NOBODY: Account = { uid: 65534, gid: 65534 };
const PORT = 5432;
const SOCKET = `.s.PGSQL.${PORT}`;
/** sun_path less its final zero: 107 on Linux, 103 on macOS. */
const SOCKET_PATH_BYTES_MAX = 103;
const POLL_MS = 10;
/** A killed postmaster may stay a zombie, and its children attached, for a second or two. */
const START_MS_MAX = 15_000;
/** Crash recovery replays up to 1 GB of WAL. */
const RECOVERY_MS_MAX = 120_000;
const LOG_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Starts the server of a data folder, or adopts the one that runs there; makes the cluster and the database `auth` if missing. Several calls,
 * in one process or many, end at the same server.
 *
 * @throws EmbeddedPostgresError no usable PostgreSQL, a folder of another user or version, or the server fails: with the end of its log
 */
export async function startEmbeddedPostgres({ dataDir, binDir, settings = {} }: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const cluster = await openCluster(dataDir).catch((error: Error) => {
    if (error instanceof EmbeddedPostgresError) throw error;
    throw new EmbeddedPostgresError(`The data folder ${dataDir} cannot be used: ${error.message}`, { cause: error });
  });
  if ((await majorOf(cluster)) === undefined) await createCluster(cluster, await findPrograms(cluster, binDir, undefined));
  const since = performance.now();
  let launched: Launched | undefined;
  let obstacle: Error | undefined;
  for (;;) {
    const postmaster = await livePostmaster(cluster);
    if (postmaster?.status === 'ready') {
      const greeting = await greet(postmaster.socketDir);
      if (typeof greeting === 'string') return serverOf(cluster, postmaster, greeting, launched?.child);
      obstacle = greeting;
    }
    if (postmaster === undefined && (launched === undefined || hasEnded(launched.child))) {
      if (launched !== undefined) await afterEnd(cluster, launched);
      launched = await launch(cluster, binDir, settings);
    }
    if (performance.now() - since > (postmaster?.status === 'starting' ? RECOVERY_MS_MAX : START_MS_MAX)) {
      throw new EmbeddedPostgresError(await describeSilence(cluster, postmaster, obstacle), { cause: obstacle });
    }
    await sleep(POLL_MS);
  }
}

/** For a process that has to end at once: tells its postmasters to end as well, those of a start under way too, and waits for nothing. */
export function abandonPostmasters(): void {
  for (const pid of running) sendSignal(pid, 'SIGINT');
}

async function describeSilence(cluster: Cluster, postmaster: Postmaster | undefined, obstacle: Error | undefined): Promise<string> {
  const { pgData } = cluster;
  const what =
    postmaster === undefined
      ? `PostgreSQL in ${pgData} does not start. If no other one serves that folder, remove ${join(pgData, 'postmaster.pid')}.`
      : `PostgreSQL in ${pgData} (process ${postmaster.pid}) does not answer: ${obstacle?.message ?? postmaster.status}.`;
  return `${what}\n${await endOfLog(cluster, 0)}`;
}

function serverOf(cluster: Cluster, { pid, socketDir }: Postmaster, version: string, launched: ChildProcess | undefined): EmbeddedPostgres {
  const child = launched?.pid === pid ? launched : undefined;
  let stopping: Promise<void> | undefined;
  running.add(pid);
  return {
    connection: { host: socketDir, port: PORT, user: 'auth', database: 'auth', ssl: false },
    adopted: child === undefined,
    version,
    pid,
    stop() {
      stopping ??= stop(cluster, pid, child).then(() => void running.delete(pid));
      return stopping;
    },
  };
}

async function openCluster(path: string): Promise<Cluster> {
  // Under root, `nobody` must get through to the cluster: it may enter, not list. The other files in here are 0600 each.
  const mode = isRoot() ? 0o711 : 0o700;
  if (await fs.mkdir(path, { recursive: true, mode })) await fs.chmod(path, mode);
  const dataDir = await fs.realpath(path);
  const pgData = join(dataDir, 'postgres');
  const account = await accountOf(pgData);
  await removeAbandoned(dataDir);
  return { dataDir, pgData, account, socketDir: await socketFolder(pgData, account) };
}

async function accountOf(pgData: string): Promise<Account> {
  const owner = await fs.lstat(pgData).catch(ifAbsent);
  // What a plain user made stays that user's, also when root comes along.
  if (isRoot()) return owner === undefined || owner.uid === 0 ? NOBODY : { uid: owner.uid, gid: owner.gid };
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  if (owner === undefined || owner.uid === self.uid) return self;
  throw new EmbeddedPostgresError(
    `${pgData} belongs to uid ${owner.uid}, and this is uid ${self.uid}. Start as that user (or as root), or choose another data folder.`,
  );
}

/** The cluster itself, unless the socket's path gets too long: then a folder in /tmp, found again by its name. */
async function socketFolder(pgData: string, { uid, gid }: Account): Promise<string> {
  if (Buffer.byteLength(join(pgData, SOCKET)) <= SOCKET_PATH_BYTES_MAX) return pgData;
  const folder = join(tmpdir(), `auth-postgres-${createHash('sha256').update(pgData).digest('hex').slice(0, 16)}`);
  try {
    await fs.mkdir(folder, { mode: 0o700 });
    if (isRoot()) await fs.chown(folder, uid, gid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  await assertPrivate(folder, uid);
  return folder;
}

/** Everybody may make a folder or a link in /tmp, and in it a server that we would trust with our tables. */
async function assertPrivate(folder: string, uid: number): Promise<void> {
  const found = await fs.lstat(folder);
  if (found.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0) return;
  throw new EmbeddedPostgresError(
    `${folder} should be a private folder of uid ${uid}. Remove it, or choose a data folder with a shorter path.`,
  );
}

async function majorOf({ pgData }: Cluster): Promise<number | undefined> {
  const text = await fs.readFile(join(pgData, 'PG_VERSION'), 'utf8').catch(ifAbsent);
  return text === undefined ? undefined : Number.parseInt(text, 10);
}

/** The postmaster that lives in this very folder, which may be a copy of another one's, or be shared with another container. */
async function livePostmaster({ pgData, socketDir, account }: Cluster): Promise<Postmaster | undefined> {
  const lock = await fs.readFile(join(pgData, 'postmaster.pid'), 'utf8').catch(ifAbsent);
  if (lock === undefined) return undefined;
  const [number, folder, , , recordedSocketDir = '', , , status = ''] = lock.split('\n').map((line) => line.trim());
  const pid = Number(number);
  if (folder === pgData && (await isPostmaster(pid, pgData))) {
    if (status === 'ready' && recordedSocketDir !== pgData) await assertPrivate(recordedSocketDir, account.uid);
    return { pid, socketDir: recordedSocketDir, status }; // recorded: TMPDIR may have been another one then
  }
  // PostgreSQL would start beside a server whose process cannot be seen from here, and ruin the cluster.
  return (await answers(join(socketDir, SOCKET))) ? { pid, socketDir, status: 'ready' } : undefined;
}

/**
 * The number may be another process by now, or a zombie. Only the command line may be read whoever we are: /proc/<pid>/cwd takes CAP_SYS_PTRACE,
 * which root in a container lacks.
 */
async function isPostmaster(pid: number, pgData: string): Promise<boolean> {
  if (!Number.isInteger(pid) || pid <= 1) return false;
  if (process.platform !== 'linux') return processExists(pid);
  const args = (await fs.readFile(`/proc/${pid}/cmdline`, 'utf8').catch(ifAbsent))?.split('\0') ?? [];
  return args[1] === '-D' && args[2] === pgData;
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** @returns the server's version once it serves and has our database, else what stands in the way */
async function greet(socketDir: string): Promise<string | Error> {
  // The database `postgres` is always there: to ask for `auth` before it is would leave an alarming line in the log.
  const timeouts = { connectionTimeoutMillis: 2_000, query_timeout: 10_000 };
  const client = new pg.Client({ host: socketDir, port: PORT, user: 'auth', database: 'postgres', ssl: false, ...timeouts });
  client.on('error', () => {}); // the query fails as well
  try {
    await client.connect();
    const { rows } = await client.query<{ version: string; complete: boolean }>(
      "select current_setting('server_version') as version, exists (select from pg_database where datname = 'auth') as complete",
    );
    if (!rows[0]?.complete) await client.query('create database auth').catch(ifDuplicate);
    return rows[0]?.version.split(' ')[0] ?? '';
  } catch (error) {
    return error as Error;
  } finally {
    await client.end().catch(() => {});
  }
}

async function launch(cluster: Cluster, binDir: string | undefined, settings: Readonly<Record<string, string>>): Promise<Launched> {
  const { dataDir, pgData } = cluster;
  const major = await majorOf(cluster);
  if (major === undefined)
    throw new EmbeddedPostgresError(`${pgData} is not a data folder of PostgreSQL. Move it away, or choose another data folder.`);
  const programs = await findPrograms(cluster, binDir, major);

  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = fs.constants;
  const log = await fs.open(join(dataDir, 'postgres.log'), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    if ((await log.stat()).size > LOG_BYTES_MAX) await log.truncate();
    const logOffset = (await log.stat()).size;
    const { file, args, options } = commandFor(programs, 'postgres', ['-D', pgData, ...settingArgs(cluster, major, settings)]);
    const child = spawn(file, args, { ...options, detached: true, stdio: ['ignore', log.fd, log.fd] });
    child.on('error', () => {}); // there is no process then: hasEnded() tells
    const { pid } = child;
    if (pid !== undefined) {
      running.add(pid);
      child.on('exit', () => running.delete(pid));
    }
    child.unref();
    return { child, logOffset };
  } finally {
    await log.close();
  }
}

function settingArgs({ socketDir }: Cluster, major: number, settings: Readonly<Record<string, string>>): string[] {
  const all = {
    max_connections: '60',
    shared_buffers: '64MB',
    huge_pages: 'off',
    jit: 'off',
    wal_level: 'minimal',
    max_wal_senders: '0',
    max_logical_replication_workers: '0',
    ...(major >= 18 ? { io_method: 'sync' } : {}), // three processes fewer
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_checkpoints: 'off',
    // Statements and rows hold names and hashes; the error itself is reported by whoever asked.
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    ...settings,
    // What keeps others out is not for settings to change.
    listen_addresses: '',
    port: `${PORT}`,
    unix_socket_directories: `"${socketDir.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
  };
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Returns if it is worth another try: another start was quicker, or a dead server is not quite gone. */
async function afterEnd(cluster: Cluster, { child, logOffset }: Launched): Promise<void> {
  if (child.exitCode === 0) return; // somebody adopted and stopped it
  const log = await endOfLog(cluster, logOffset);
  if (!/lock file .* (already exists|is empty)|shared memory block .* is still in use/.test(log)) {
    throw new EmbeddedPostgresError(`PostgreSQL in ${cluster.pgData} does not start.\n${log}`);
  }
  removeStaleLocks(cluster);
  await sleep(10 * POLL_MS);
}

/**
 * PostgreSQL takes any process of the number in a lock file for its predecessor. In a restarted container that is easily one of our own threads, and
 * then no start would ever succeed. Every process of a server works in the data folder, so /proc tells whether one is left.
 */
function removeStaleLocks({ pgData, socketDir, account }: Cluster): void {
  if (process.platform !== 'linux') return;
  const locks = [join(pgData, 'postmaster.pid'), join(socketDir, `${SOCKET}.lock`)].map((path) => ({ path, content: contentOf(path) }));
  if (isInhabited(pgData, account)) return;
  // No pause between comparison and removal: another start may be about to write its own.
  for (const { path, content } of locks) if (content !== undefined && contentOf(path) === content) rmSync(path, { force: true });
}

function isInhabited(folder: string, { uid }: Account): boolean {
  const home = statSync(folder);
  return readdirSync('/proc').some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      const cwd = statSync(`/proc/${entry}/cwd`);
      return cwd.ino === home.ino && cwd.dev === home.dev;
    } catch (error) {
      // Gone, a zombie or a stranger's. But one of the server's account that may not be looked at could be a server.
      return (error as NodeJS.ErrnoException).code === 'EACCES' && statSync(`/proc/${entry}`, { throwIfNoEntry: false })?.uid === uid;
    }
  });
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

async function stop(cluster: Cluster, pid: number, child: ChildProcess | undefined): Promise<void> {
  const isGone = async () => (child === undefined ? !(await isPostmaster(pid, cluster.pgData)) : hasEnded(child));
  for (const { signal, patienceMs } of [
    { signal: 'SIGINT', patienceMs: 8_000 },
    { signal: 'SIGQUIT', patienceMs: 6_000 },
  ] as const) {
    if (await isGone()) return;
    if ((await livePostmaster(cluster))?.pid === pid) sendSignal(pid, signal);
    for (const until = performance.now() + patienceMs; performance.now() < until; await sleep(POLL_MS)) if (await isGone()) return;
  }
  throw new EmbeddedPostgresError(`PostgreSQL (process ${pid}) in ${cluster.pgData} does not stop.`);
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    ifAbsent(error as NodeJS.ErrnoException);
  }
}

function hasEnded({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid === undefined || exitCode !== null || signalCode !== null;
}

async function endOfLog({ dataDir }: Cluster, offset: number): Promise<string> {
  const log = await fs.readFile(join(dataDir, 'postgres.log')).catch(ifAbsent);
  const lines = log?.subarray(offset).toString().trim().split('\n') ?? [];
  return lines.slice(-15).join('\n');
}

function ifAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error;
}

function ifDuplicate(error: { code?: string }): void {
  // duplicate_database, or the unique index of pg_database: another start made it
  if (error.code !== '42P04' && error.code !== '23505') throw error;
}
