/** The composition root: configuration → adapters → core → listener. Start, drain, stop. */
import type { ClientConfig } from 'pg';
import type { Logger } from 'pino';
import { type Memory, openMemory } from './coherence/memory.ts';
import type { Config } from './config.ts';
import { mintClientSecret } from './core/client-auth.ts';
import { Unavailable } from './core/ports.ts';
import { encryptionKey, type Hold, holdDataFolder, pendingAdminSecret, settleAdminSecret, writeServerFile } from './data-folder.ts';
import { buildApp, type HttpDeps } from './http/app.ts';
import { listen } from './http/node-listener.ts';
import { FailureThrottle } from './http/throttle.ts';
import { accessTokenStore } from './postgres/access-tokens.ts';
import { type Administrator, ensureAdministrator } from './postgres/administrator.ts';
import { changeLog } from './postgres/changes.ts';
import { clientAdministration, clientDirectory } from './postgres/clients.ts';
import { connectionOf, ensureDatabase } from './postgres/connect.ts';
import { type Db, FOLLOWER, openDb } from './postgres/db.ts';
import { startEmbeddedPostgres } from './postgres/embedded.ts';
import { ensureSigningKey, signingKeys } from './postgres/keys.ts';
import { migrate } from './postgres/migrate.ts';
import { maintainPartitions } from './postgres/partitions.ts';

const DRAIN_MS = 10_000;
/** After this the listener opens without a database: live, not ready. */
const PREPARE_PATIENCE_MS = 3_000;
const RETRY_MS = 1_000;
/** How often the change log is asked for what is new. */
const FOLLOW_MS = 100;
const NOT_MAINTAINED = 'partitions could not be maintained: trying again in five minutes';
const MAINTENANCE_MS = 300_000;

export interface Server {
  /** where this machine reaches it, with the issuer's path */
  readonly url: string;
  /** for the operator: `PostgreSQL 18.4, private, in ./data`, or the host of `DATABASE_URL` */
  readonly database: string;
  /** Resolves once PostgreSQL has been reached and prepared; rejects, for good, with what {@link startServer} throws */
  readonly prepared: Promise<void>;
  /** Answers what is running (10 s at most), then closes everything. Idempotent. */
  stop(): Promise<void>;
}

export interface ServerEvents {
  /** Once: the database is ready. @param url where this machine will reach the server */
  onAdministrator(administrator: Administrator, url: string): void;
  /** Another server has taken the data folder while PostgreSQL was down: this one has to end, without touching PostgreSQL. */
  onDisplaced(): void;
  /** The database's change log is not the one that this process has followed: it has to end, and begin anew. */
  onHistoryChanged(error: Error): void;
}

interface Database {
  readonly connection: ClientConfig;
  readonly description: string;
  readonly encryptionKeys: readonly Buffer[];
  close(): Promise<void>;
}

/**
 * Resolves when the listener is open, which waits a while for the database and then goes on without: live, not ready.
 *
 * @throws EmbeddedPostgresError, DataFolderInUse, MigrationError, DecryptionError — with a message for the operator
 */
export async function startServer(config: Config, log: Logger, events: ServerEvents): Promise<Server> {
  const database = config.databaseUrl === undefined ? await openEmbedded(config, log, events) : openExternal(config, config.databaseUrl);
  const db = openDb(database.connection, ({ message }) => log.warn({ reason: message }, 'lost a connection to PostgreSQL'));
  const followerDb = openDb(
    database.connection,
    ({ message }) => log.warn({ reason: message }, 'lost the connection that follows'),
    FOLLOWER,
  );
  let deps: HttpDeps | undefined;
  let stopping: Promise<void> | undefined;
  let maintenance: NodeJS.Timeout | undefined;
  let following: NodeJS.Timeout | undefined;

  async function prepare(): Promise<void> {
    const newSecret = mintClientSecret();
    while (stopping === undefined) {
      try {
        const administrator = await prepareDatabase(config, database, db, log, newSecret);
        // At once: a generated secret is known to nobody else, and the listener may still fail.
        events.onAdministrator(administrator, localUrl(config));
        const memory = memoryOf(config, db, followerDb, events);
        following = follow(memory, log);
        deps = httpDeps(config, database, db, memory, log);
        const tryToMaintain = () => maintain(db, log).catch((error: unknown) => log.warn({ err: error }, NOT_MAINTAINED));
        maintenance = setInterval(tryToMaintain, MAINTENANCE_MS).unref();
        return;
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        log.warn({ err: error }, 'PostgreSQL cannot be reached: trying again');
        await delay(RETRY_MS);
      }
    }
  }

  try {
    const prepared = prepare();
    prepared.catch(() => undefined); // who awaits it hears of it
    await orAfter(PREPARE_PATIENCE_MS, prepared);
    // Whoever sees the server ready finds its files, too.
    let isPublished = config.databaseUrl !== undefined;
    const app = buildApp(config.issuer, log, () => (isPublished ? deps : undefined));
    const listener = await listen(app, config, (error) => log.warn({ err: error }, 'an answer could not be sent'));
    const url = localUrl(config);
    if (config.databaseUrl === undefined) await writeServerFile(config.dataDir, url);
    isPublished = true;
    const close = async () => {
      clearInterval(maintenance);
      clearInterval(following);
      await listener.drain(DRAIN_MS);
      await Promise.all([db.close(), followerDb.close()]);
      await database.close();
    };
    return {
      url,
      database: database.description,
      prepared,
      stop: () => (stopping ??= close()),
    };
  } catch (error) {
    stopping = Promise.resolve();
    await Promise.all([db.close(), followerDb.close()]);
    await database.close();
    throw error;
  }
}

async function openEmbedded(config: Config, log: Logger, { onDisplaced }: ServerEvents): Promise<Database> {
  let postgres = await startEmbeddedPostgres({ dataDir: config.dataDir });
  const { connection } = postgres;
  let hold: Hold | undefined;
  try {
    hold = await holdDataFolder(connection, config.dataDir, onDisplaced);
    if (postgres.adopted) log.warn({ pid: postgres.pid }, 'adopted the private PostgreSQL of a server that did not stop');
    const restart = async () => {
      postgres = await startEmbeddedPostgres({ dataDir: config.dataDir });
    };
    const stopSupervising = supervise(() => postgres.pid, log, restart);
    return {
      connection,
      description: `PostgreSQL ${postgres.version}, private, in ${config.dataDir}`,
      encryptionKeys: config.encryptionKeys.length > 0 ? config.encryptionKeys : [await encryptionKey(config.dataDir)],
      async close() {
        await stopSupervising();
        await hold?.release();
        await postgres.stop();
      },
    };
  } catch (error) {
    // Held by another server: its PostgreSQL is not ours to stop.
    if (hold) await postgres.stop();
    throw error;
  }
}

/** A private PostgreSQL that has died is started again. @returns ends that, after a start that is under way */
function supervise(pid: () => number, log: Logger, restart: () => Promise<void>): () => Promise<void> {
  let restarting: Promise<void> | undefined;
  const timer = setInterval(() => {
    if (restarting || isAlive(pid())) return;
    log.error({ pid: pid() }, 'the private PostgreSQL has died: starting it again');
    restarting = restart()
      .catch((error: unknown) => log.error({ err: error }, 'the private PostgreSQL could not be started'))
      .finally(() => {
        restarting = undefined;
      });
  }, RETRY_MS).unref();
  return async () => {
    clearInterval(timer);
    await restarting;
  };
}

function openExternal({ encryptionKeys }: Config, databaseUrl: string): Database {
  const { host } = new URL(databaseUrl);
  return {
    connection: connectionOf(databaseUrl),
    description: `PostgreSQL at ${host || 'a local socket'}`,
    encryptionKeys,
    close: async () => undefined,
  };
}

async function prepareDatabase(
  config: Config,
  { connection, encryptionKeys }: Database,
  db: Db,
  log: Logger,
  newSecret: string,
): Promise<Administrator> {
  if (config.databaseUrl !== undefined) await ensureDatabase(connection);
  await migrate(connection);
  await maintain(db, log);
  await ensureSigningKey(db, config.signingAlg, encryptionKeys);
  const { dataDir, adminClientId, adminClientSecret } = config;
  const isKept = config.databaseUrl === undefined && adminClientSecret === undefined;
  const secret = isKept ? await pendingAdminSecret(dataDir, adminClientId, newSecret) : newSecret;
  const administrator = await ensureAdministrator(db, adminClientId, adminClientSecret, secret);
  if (isKept) await settleAdminSecret(dataDir, administrator.generatedSecret !== undefined);
  return administrator;
}

/** Asks for what is new, again and again; says once when that begins to fail and once when it works again. */
function follow(memory: Memory, log: Logger): NodeJS.Timeout {
  let isFollowing = true;
  let isAsking = false;
  const ask = async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      await memory.follow();
      if (!isFollowing) log.info('following the change log again');
      isFollowing = true;
    } catch (error) {
      if (isFollowing) log.warn({ err: error }, 'cannot follow the change log: soon nothing is answered from memory');
      isFollowing = false;
    } finally {
      isAsking = false;
    }
  };
  void ask();
  return setInterval(() => void ask(), FOLLOW_MS).unref();
}

function memoryOf({ cacheBytes, maxStalenessMs }: Config, db: Db, followerDb: Db, { onHistoryChanged }: ServerEvents): Memory {
  return openMemory({
    log: changeLog(followerDb),
    tokens: accessTokenStore(db),
    clients: clientDirectory(db),
    administration: clientAdministration(db),
    cacheBytesMax: cacheBytes,
    maxStalenessMs,
    monotonic: () => performance.now(),
    wall: () => Date.now(),
    onHistoryChanged,
  });
}

function httpDeps(config: Config, { encryptionKeys }: Database, db: Db, memory: Memory, log: Logger): HttpDeps {
  const isStrict = config.consistency === 'strict';
  return {
    ...(isStrict ? memory.strict : { clients: memory.clients, tokens: memory.tokens }),
    strict: memory.strict,
    clientRecords: memory.clientRecords,
    administration: memory.administration,
    signingKeys: signingKeys(db, encryptionKeys),
    issuer: config.issuer,
    accessTokenTtlSeconds: config.accessTokenTtlSeconds,
    signingAlg: config.signingAlg,
    throttle: new FailureThrottle(),
    trustedProxies: config.trustedProxies,
    clock: () => Math.floor(Date.now() / 1000),
    probe: () => memory.follow(),
    log,
  };
}

/** Tables that a backup is reading are no reason not to start: partitions are made ahead, and the default one takes what has none. */
async function maintain(db: Db, log: Logger): Promise<void> {
  if (!(await maintainPartitions(db))) log.warn(NOT_MAINTAINED);
}

function localUrl({ host, port, tls, issuer }: Config): string {
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `${tls ? 'https' : 'http'}://${name}:${port}${new URL(issuer).pathname.replace(/\/$/, '')}`;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits for `work`, but no longer. */
async function orAfter(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, patience]).finally(() => clearTimeout(timer));
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
