import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import { Unavailable } from '../../src/core/ports.ts';
import { connectionOf, ensureDatabase } from '../../src/postgres/connect.ts';
import { outageAware } from '../../src/postgres/db.ts';
import { MigrationError } from '../../src/postgres/migrate.ts';
import { testPostgres } from '../support/database.ts';

const { host, port, user } = testPostgres();
const server = (role = user, database = '') => `postgres://${role}@${encodeURIComponent(host)}:${port}/${encodeURIComponent(database)}`;

async function asOperator(text: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ host, port, user, database: 'postgres' });
  await client.connect();
  try {
    return await client.query(text);
  } finally {
    await client.end();
  }
}

/** A database that does not exist, and will not after the test. */
function missing(t: TestContext, suffix = ''): string {
  const database = `test_${randomBytes(6).toString('hex')}${suffix}`;
  t.after(() => asOperator(`drop database if exists ${pg.escapeIdentifier(database)} with (force)`));
  return database;
}

const exists = async (database: string) =>
  (await asOperator(`select from pg_database where datname = ${pg.escapeLiteral(database)}`)).rowCount === 1;

for (const [url, database] of [
  ['postgres://u@h', 'auth'],
  ['postgres://u@h/', 'auth'],
  ['postgres://u:p@h:5433/other', 'other'],
  ['postgresql://u@h/a%20b', 'a b'],
  ['postgres://u@h?sslmode=disable', 'auth'],
] as const) {
  test(`${url} means the database ${database}`, () => {
    assert.equal(new pg.Client(connectionOf(url)).database, database);
  });
}

for (const suffix of ['', ' with "quotes" and é', '-x']) {
  test(`a missing database is created: test_…${suffix}`, async (t) => {
    const database = missing(t, suffix);
    const connection = connectionOf(server(user, database));
    await ensureDatabase(connection);
    assert.ok(await exists(database));
    await ensureDatabase(connection);
  });
}

test('ten that start at once create it together', async (t) => {
  const database = missing(t);
  await Promise.all(Array.from({ length: 10 }, () => ensureDatabase(connectionOf(server(user, database)))));
  assert.ok(await exists(database));
});

/** @param options of `create role` */
async function role(t: TestContext, options: string): Promise<string> {
  const name = `role_${randomBytes(4).toString('hex')}`;
  await asOperator(`create role ${name} ${options}`);
  t.after(() => asOperator(`drop role ${name}`));
  return name;
}

test('a role that may not create it: the message says what to run, and nothing is created', async (t) => {
  const name = await role(t, 'login');
  const database = missing(t);
  await assert.rejects(
    ensureDatabase(connectionOf(server(name, database))),
    (error) => error instanceof MigrationError && error.message.includes(`create database "${database}" owner "${name}";`),
  );
  assert.equal(await exists(database), false);
});

test('a role that may not log in, or does not exist: the message says so, without a value', async (t) => {
  const name = await role(t, 'nologin');
  for (const refused of [name, 'nobody_at_all']) {
    await assert.rejects(
      ensureDatabase(connectionOf(server(refused, 'auth_template'))),
      (error) =>
        error instanceof MigrationError && /refuses the user or the password/.test(error.message) && !error.message.includes(refused),
    );
  }
});

test('no answer is Unavailable: to be tried again, not to be given up', async () => {
  await assert.rejects(ensureDatabase(connectionOf('postgres://auth@127.0.0.1:1/auth')), Unavailable);
  await assert.rejects(ensureDatabase(connectionOf('postgres://auth@auth.invalid/auth')), Unavailable);
});

test('TLS that PostgreSQL does not speak is for the operator, and not tried again', async () => {
  const { host, port, user } = testPostgres();
  const url = `postgres://${user}@${encodeURIComponent(host)}:${port}/postgres?sslmode=verify-full`;
  await assert.rejects(ensureDatabase(connectionOf(url)), (error) => error instanceof MigrationError && /TLS/.test(error.message));
});

for (const code of ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND', 'ENETDOWN', 'EAI_AGAIN']) {
  test(`${code} is an outage`, async () => {
    await assert.rejects(
      outageAware(() => Promise.reject(Object.assign(new Error(code), { code }))),
      Unavailable,
    );
  });
}

for (const error of [
  new Error('something else'),
  new TypeError('x is not a function'),
  Object.assign(new Error(), { code: 'ERR_INVALID_ARG_TYPE' }),
]) {
  test(`${error} is a bug and stays what it is`, async () => {
    await assert.rejects(
      outageAware(() => Promise.reject(error)),
      error,
    );
  });
}
