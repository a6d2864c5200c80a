/** Forward-only migrations: numbered SQL files, one transaction each, under an advisory lock. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { isLockTimeout, outageAware } from './db.ts';

const MIGRATIONS = new URL('../../../migrations/', import.meta.url);
const MIGRATION_LOCK = 0x61757468_01n;
const POSTGRESQL_VERSION_MIN = 140_000;
/** Less than the smallest bound of staleness has left after a look (src/config.ts). */
const LOCK_MS = 150;
const LOCK_PAUSE_MS = 1_000;
const LOCK_ATTEMPTS = 30;

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

export interface MigrationStatus {
  readonly applied: readonly string[];
  readonly pending: readonly string[];
}

/** The database cannot be brought to the form that this program needs; the message says why and what to do. */
export class MigrationError extends Error {}

export function readMigrations(): readonly Migration[] {
  return readdirSync(MIGRATIONS)
    .filter((file) => /^\d{6}_[a-z0-9_]+\.sql$/.test(file))
    .sort()
    .map((name) => {
      const sql = readFileSync(new URL(name, MIGRATIONS), 'utf8');
      return { version: Number(name.slice(0, 6)), name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    });
}

/**
 * Applies what is pending; others that start at the same moment wait and find it done.
 *
 * @returns what was applied before and now
 * @throws MigrationError — PostgreSQL too old, or a file that was applied differs from the one here
 */
export async function migrate(connection: pg.ClientConfig): Promise<MigrationStatus> {
  const migrations = readMigrations();
  return withConnection(connection, async (client) => {
    await takeTurn(client);
    await client.query(`create table if not exists migration (
      version integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default clock_timestamp())`);
    const { applied, pending } = await compare(client, migrations);
    for (const migration of pending) await apply(client, migration);
    return { applied: [...applied, ...pending.map((migration) => migration.name)], pending: [] };
  });
}

/** What `auth migrate --status` shows; changes nothing. */
export async function migrationStatus(connection: pg.ClientConfig): Promise<MigrationStatus> {
  const migrations = readMigrations();
  return withConnection(connection, async (client) => {
    const { rows } = await client.query<{ exists: boolean }>("select to_regclass('migration') is not null as exists");
    if (!rows[0]?.exists) return { applied: [], pending: migrations.map((migration) => migration.name) };
    const { applied, pending } = await compare(client, migrations);
    return { applied, pending: pending.map((migration) => migration.name) };
  });
}

/**
 * A session lock, not one per file: each file commits by itself, and nobody else may come between two of them. Asked for again and again
 * with a time-out for each answer: a wait inside PostgreSQL could not be told from a network that has gone silent.
 */
async function takeTurn(client: pg.Client): Promise<void> {
  const ask = { text: 'select pg_try_advisory_lock($1) as held', values: [MIGRATION_LOCK], query_timeout: 2_000 };
  while (!(await client.query<{ held: boolean }>(ask)).rows[0]?.held) await new Promise((resolve) => setTimeout(resolve, 50));
}

async function compare(
  client: pg.Client,
  migrations: readonly Migration[],
): Promise<{ readonly applied: readonly string[]; readonly pending: readonly Migration[] }> {
  const { rows } = await client.query<{ version: number; name: string; checksum: string }>(
    'select version, name, checksum from migration order by version',
  );
  for (const row of rows) {
    const migration = migrations.find(({ version }) => version === row.version);
    // A row without a file: a newer version of the program was here. Changes expand before they contract, so this one may go on.
    if (migration && migration.checksum !== row.checksum) {
      throw new MigrationError(
        `${migration.name} was changed after it had been applied: restore the file, and put the change into a new one`,
      );
    }
  }
  const pending = migrations.filter(({ version }) => !rows.some((row) => row.version === version));
  return { applied: rows.map((row) => row.name), pending };
}

/**
 * Who waits for a table makes all wait who come later, the servers of the version before among them, whose looks at the change log must not be late:
 * so it waits for a moment only, and tries again.
 */
async function apply(client: pg.Client, migration: Migration): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await applyOnce(client, migration);
      return;
    } catch (error) {
      if (!isLockTimeout(error) || attempt === LOCK_ATTEMPTS) throw error;
      await sleep(LOCK_PAUSE_MS);
    }
  }
}

async function applyOnce(client: pg.Client, { version, name, sql, checksum }: Migration): Promise<void> {
  await client.query('begin');
  try {
    await client.query(`set local lock_timeout = ${LOCK_MS}`);
    await client.query(sql);
    await client.query('insert into migration (version, name, checksum) values ($1, $2, $3)', [version, name, checksum]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

/** A connection of its own, without the pool's time-outs: a migration may take long, so TCP itself watches for a peer that is gone. Ending it frees the lock. */
async function withConnection<T>(connection: pg.ClientConfig, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return outageAware(async () => {
    const client = new pg.Client({
      ...connection,
      connectionTimeoutMillis: 2_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      application_name: 'auth migrate',
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      const { rows } = await client.query<{ version: number }>("select current_setting('server_version_num')::int as version");
      if ((rows[0]?.version ?? 0) < POSTGRESQL_VERSION_MIN) throw new MigrationError('PostgreSQL 14 or newer is needed');
      return await work(client);
    } finally {
      await client.end().catch(() => undefined);
    }
  });
}
