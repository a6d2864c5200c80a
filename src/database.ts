/** The database that the server runs on: its own private one or one at `DATABASE_URL`; opened, and prepared for serving. */
import type { ClientConfig } from 'pg';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { encryptionKey, type Hold, holdDataFolder, pendingAdminSecret, settleAdminSecret } from './data-folder.ts';
import { type Administrator, ensureAdministrator } from './postgres/administrator.ts';
import { forgetAssertions } from './postgres/assertions.ts';
import { connectionOf, ensureDatabase } from './postgres/connect.ts';
import type { Db } from './postgres/db.ts';
import { startEmbeddedPostgres } from './postgres/embedded.ts';
import { forgetIdempotencyKeys } from './postgres/idempotency.ts';
import { ensureSigningKey, type KeyDeps, tendKeys } from './postgres/keys.ts';
import { forgetLimitedTokens } from './postgres/limited-tokens.ts';
import { migrate } from './postgres/migrate.ts';
import { maintainPartitions } from './postgres/partitions.ts';
import { forgetInitialTokens } from './postgres/registration-tokens.ts';

const RETRY_MS = 1_000;
export const NOT_MAINTAINED = 'partitions could not be maintained: trying again in five minutes';

export interface Database {
  readonly connection: ClientConfig;
  readonly description: string;
  readonly encryptionKeys: readonly Buffer[];
  close(): Promise<void>;
}

/**
 * @param onDisplaced another server has taken the data folder
 * @throws EmbeddedPostgresError, DataFolderInUse
 */
export async function openDatabase(config: Config, log: Logger, onDisplaced: () => void): Promise<Database> {
  return config.databaseUrl === undefined ? openEmbedded(config, log, onDisplaced) : openExternal(config, config.databaseUrl);
}

/** @throws Unavailable, MigrationError, DecryptionError */
export async function prepareDatabase(
  config: Config,
  { connection, encryptionKeys }: Database,
  db: Db,
  log: Logger,
  newSecret: string,
): Promise<Administrator> {
  if (config.databaseUrl !== undefined) await ensureDatabase(connection);
  await migrate(connection);
  await maintain(db, config, log);
  const keys = { db, encryptionKeys, policy: config.keyPolicy, announce: () => undefined };
  await ensureSigningKey(keys);
  await maintainKeys(keys, log);
  if (encryptionKeys.length > 1) log.info('no signing key needs more than the first key of AUTH_ENCRYPTION_KEY');
  const { dataDir, adminClientId, adminClientSecret } = config;
  const isKept = config.databaseUrl === undefined && adminClientSecret === undefined;
  const secret = isKept ? await pendingAdminSecret(dataDir, adminClientId, newSecret) : newSecret;
  const administrator = await ensureAdministrator(db, adminClientId, adminClientSecret, secret);
  if (isKept) await settleAdminSecret(dataDir, administrator.generatedSecret !== undefined);
  return administrator;
}

/** Tables that a backup is reading are no reason not to start: partitions are made ahead, and the default one takes what has none. */
export async function maintain(db: Db, { auditKeptSeconds }: Config, log: Logger): Promise<void> {
  if (!(await maintainPartitions(db, auditKeptSeconds))) log.warn(NOT_MAINTAINED);
  await forgetIdempotencyKeys(db);
  await forgetLimitedTokens(db);
  await forgetInitialTokens(db);
  await forgetAssertions(db);
}

/** @throws Unavailable, DecryptionError */
export async function maintainKeys(keys: KeyDeps, log: Logger): Promise<void> {
  const { made, resealed, unreadable } = await tendKeys(keys);
  if (made !== undefined) log.info({ kid: made }, 'announced the next signing key: its time has come');
  if (resealed.length > 0) log.info({ kids: resealed }, 'encrypted signing keys under the first key of AUTH_ENCRYPTION_KEY');
  if (unreadable.length > 0) log.error({ kids: unreadable }, 'AUTH_ENCRYPTION_KEY does not open a signing key that is in use or will be');
}

async function openEmbedded(config: Config, log: Logger, onDisplaced: () => void): Promise<Database> {
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

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
