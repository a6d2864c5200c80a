/** From `DATABASE_URL` to a database that exists. */
import pg from 'pg';
import { outageAware } from './db.ts';
import { MigrationError } from './migrate.ts';

const DATABASE_DEFAULT = 'auth';

/** What pg needs to connect. A URL that names no database means `auth`. */
export function connectionOf(databaseUrl: string): pg.ClientConfig {
  const url = new URL(databaseUrl);
  if (url.pathname === '' || url.pathname === '/') url.pathname = `/${DATABASE_DEFAULT}`;
  return { connectionString: url.href };
}

/**
 * Creates the database if it is missing and the role may.
 *
 * @throws MigrationError — it is missing and the role may not, the credentials are wrong, or TLS is; the message says what to do
 * @throws Unavailable — no answer
 */
export async function ensureDatabase(connection: pg.ClientConfig): Promise<void> {
  const problem = await tryConnect(connection);
  if (problem === undefined) return;
  const { database = DATABASE_DEFAULT, user } = new pg.Client(connection);
  if (problem === '28P01' || problem === '28000') throw new MigrationError('PostgreSQL refuses the user or the password in DATABASE_URL');
  const name = pg.escapeIdentifier(database);
  const maintenance = new pg.Client({ ...connection, connectionString: withDatabase(connection.connectionString ?? '', 'postgres') });
  maintenance.on('error', () => undefined);
  try {
    await outageAware(() => maintenance.connect());
    await maintenance.query(`create database ${name}`);
  } catch (error) {
    // Another process that starts at the same moment may have been first.
    if ((await tryConnect(connection)) === undefined) return;
    const command = `create database ${name} owner ${pg.escapeIdentifier(user ?? 'auth')};`;
    throw new MigrationError(`the database ${name} does not exist and could not be created; as a superuser run: ${command}`, {
      cause: error,
    });
  } finally {
    await maintenance.end().catch(() => undefined);
  }
}

/** @returns `undefined` when it worked, else the SQLSTATE: 3D000 no such database, 28xxx refused */
async function tryConnect(connection: pg.ClientConfig): Promise<string | undefined> {
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return undefined;
  } catch (error) {
    if (error instanceof pg.DatabaseError && /^(3D000|28P01|28000)$/.test(error.code ?? '')) return error.code;
    return await outageAware(() => Promise.reject(isOfTls(error) ? refusalOfTls(error) : error));
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** The server has no TLS, or its certificate is not accepted: to try again would not help. */
function isOfTls(error: unknown): error is Error {
  if (!(error instanceof Error) || error instanceof pg.DatabaseError) return false;
  return /does not support SSL/.test(error.message) || ('code' in error && /CERT|_SIGNATURE$|^ERR_(TLS|SSL)/.test(String(error.code)));
}

function refusalOfTls(error: Error): MigrationError {
  return new MigrationError(`no TLS connection to PostgreSQL (sslmode and sslrootcert in DATABASE_URL): ${error.message}`, {
    cause: error,
  });
}

function withDatabase(connectionString: string, database: string): string {
  const url = new URL(connectionString);
  url.pathname = `/${database}`;
  return url.href;
}
