/** Databases for tests: each a clone of a migrated template on the PostgreSQL that test/run.mjs started. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { type Db, openDb } from '../../src/postgres/db.ts';

export interface TestDatabase {
  readonly connection: pg.ClientConfig;
  /** for DATABASE_URL */
  readonly url: string;
  readonly db: Db;
  /** One query on a connection of its own, as an operator would. */
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  drop(): Promise<void>;
}

/** Socket folder, user and template of the run's PostgreSQL. */
export function testPostgres(): { readonly host: string; readonly port: number; readonly user: string; readonly template: string } {
  const given = process.env.TEST_POSTGRES;
  if (given === undefined) throw new Error('run the tests by `npm test` (or `node test/run.mjs test/core/scope.test.ts`)');
  return JSON.parse(given);
}

/** @param template an empty database is made when it is `template0` */
export async function createDatabase(template?: string): Promise<TestDatabase> {
  const { host, port, user, ...run } = testPostgres();
  const database = `test_${randomBytes(6).toString('hex')}`;
  await query({ host, port, user, database: 'postgres' }, `create database ${database} template ${template ?? run.template}`);
  const connection = { host, port, user, database };
  const db = openDb(connection, () => undefined);
  return {
    connection,
    url: `postgres://${user}@${encodeURIComponent(host)}:${port}/${database}`,
    db,
    query: (text, values) => query(connection, text, values),
    async drop() {
      await db.close();
      await query({ host, port, user, database: 'postgres' }, `drop database if exists ${database} with (force)`);
    },
  };
}

async function query<Row extends pg.QueryResultRow>(connection: pg.ClientConfig, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client(connection);
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}
