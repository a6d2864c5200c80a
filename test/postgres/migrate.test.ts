import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import { Unavailable } from '../../src/core/ports.ts';
import { migrate, migrationStatus, readMigrations } from '../../src/postgres/migrate.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { copyProgram, type ProgramCopy } from '../support/program-copy.ts';
import { until } from '../support/server.ts';

const ROOT = new URL('../../../', import.meta.url);
const NAMES = readMigrations().map(({ name }) => name);

async function emptyDatabase(t: TestContext): Promise<TestDatabase> {
  const database = await createDatabase('template0');
  t.after(() => database.drop());
  return database;
}

async function program(t: TestContext, migrations: 'real' | 'none'): Promise<ProgramCopy> {
  const copy = await copyProgram(migrations);
  t.after(() => copy.remove());
  return copy;
}

async function tablesOf({ query }: TestDatabase): Promise<readonly string[]> {
  const rows = await query<{ name: string }>(
    "select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')",
  );
  return rows.map(({ name }) => name).sort();
}

const appliedIn = ({ query }: TestDatabase) =>
  query<{ name: string }>('select name from migration order by version').then((rows) => rows.map(({ name }) => name));

test('schema.sql is what the migrations build: run `npm run schema` and review the difference', async (t) => {
  const { describeSchema } = await import(new URL('scripts/schema.mjs', ROOT).href);
  const database = await emptyDatabase(t);
  await migrate(database.connection);
  // What the server makes as time goes by is no part of it.
  await database.query(
    "create table access_token_short_1800000000 partition of access_token_short for values from ('2027-01-15') to ('2027-01-16')",
  );
  const client = new pg.Client(database.connection);
  await client.connect();
  try {
    assert.equal(await describeSchema(client), readFileSync(new URL('schema.sql', ROOT), 'utf8'));
    await client.query('alter table client alter column claims drop not null');
    assert.notEqual(await describeSchema(client), readFileSync(new URL('schema.sql', ROOT), 'utf8'), 'it would notice');
  } finally {
    await client.end();
  }
});

test('an empty database: all is pending, then all is applied, then nothing is to do', async (t) => {
  const { connection, query } = await emptyDatabase(t);
  assert.deepEqual(await migrationStatus(connection), { applied: [], pending: NAMES });
  assert.deepEqual(await query("select from pg_class where relname = 'migration'"), [], 'the status changes nothing');
  assert.deepEqual(await migrate(connection), { applied: NAMES, pending: [] });
  assert.deepEqual(await migrationStatus(connection), { applied: NAMES, pending: [] });
  const before = await query('select * from migration');
  assert.deepEqual(await migrate(connection), { applied: NAMES, pending: [] });
  assert.deepEqual(await query('select * from migration'), before);
});

test('ten that start at once on an empty database: each file is applied once, and all say so', async (t) => {
  const database = await emptyDatabase(t);
  const results = await Promise.all(Array.from({ length: 10 }, () => migrate(database.connection)));
  for (const result of results) assert.deepEqual(result, { applied: NAMES, pending: [] });
  assert.deepEqual(await appliedIn(database), NAMES);
  assert.deepEqual(await database.query('select count(*)::int as logs from change_log'), [{ logs: 1 }]);
});

test('files are numbered without gaps, and others in the folder are not run', async (t) => {
  assert.deepEqual(
    readMigrations().map(({ version }) => version),
    NAMES.map((_, index) => index + 1),
  );
  const { module, write } = await program(t, 'none');
  for (const name of ['README.md', '1_short.sql', '000001_UPPER.sql', '000001_x.sql.orig', '.000001_x.sql']) await write(name, 'nonsense;');
  assert.deepEqual(module.readMigrations(), []);
});

test('a file that was changed after it had been applied is refused, by migrate and by the status; nothing is changed', async (t) => {
  const database = await emptyDatabase(t);
  const { module, write } = await program(t, 'real');
  await module.migrate(database.connection);
  await write(NAMES[0] ?? '', 'create table changed ();');
  await write('000999_next.sql', 'create table next ();');
  const before = await tablesOf(database);
  for (const run of [module.migrate, module.migrationStatus]) {
    await assert.rejects(
      run(database.connection),
      (error: Error) => error.name === 'Error' && error instanceof module.MigrationError && error.message.includes(NAMES[0] ?? '-'),
    );
  }
  assert.deepEqual(await tablesOf(database), before);
});

test('a broken migration is rolled back whole; those before it stay; repaired, it goes on', async (t) => {
  const database = await emptyDatabase(t);
  const { module, write } = await program(t, 'none');
  await write('000001_good.sql', 'create table good (); create table good_too ();');
  await write('000002_broken.sql', 'create table half (); insert into half default values; create table broken (nonsense nonsense);');
  await write('000003_never.sql', 'create table never ();');
  await assert.rejects(module.migrate(database.connection), { code: '42704' });
  assert.deepEqual(await tablesOf(database), ['good', 'good_too', 'migration']);
  assert.deepEqual(await module.migrationStatus(database.connection), {
    applied: ['000001_good.sql'],
    pending: ['000002_broken.sql', '000003_never.sql'],
  });
  await write('000002_broken.sql', 'create table half ();');
  await module.migrate(database.connection);
  assert.deepEqual(await tablesOf(database), ['good', 'good_too', 'half', 'migration', 'never']);
});

test('a migration that cannot be recorded has not happened', async (t) => {
  const database = await emptyDatabase(t);
  const { module, write } = await program(t, 'none');
  await write('000001_recorded.sql', "create table recorded (); insert into migration (version, name, checksum) values (1, 'x', 'x');");
  await assert.rejects(module.migrate(database.connection), { code: '23505' });
  assert.deepEqual([await tablesOf(database), await appliedIn(database)], [['migration'], []]);
});

test('ten at once with a broken migration: none hangs, none applies a part', async (t) => {
  const database = await emptyDatabase(t);
  const { module, write } = await program(t, 'none');
  await write('000001_broken.sql', 'create table half (); select 1 / 0;');
  const results = await Promise.allSettled(Array.from({ length: 10 }, () => module.migrate(database.connection)));
  for (const result of results) assert.equal(result.status === 'rejected' && result.reason.code, '22012');
  assert.deepEqual(await tablesOf(database), ['migration']);
});

test('a database that a newer version has migrated is left as it is: versions run side by side', async (t) => {
  const database = await emptyDatabase(t);
  const { module, write } = await program(t, 'real');
  await write('000999_of_tomorrow.sql', 'create table tomorrow ();');
  await module.migrate(database.connection);
  const expected = { applied: [...NAMES, '000999_of_tomorrow.sql'], pending: [] };
  assert.deepEqual(await migrate(database.connection), expected);
  assert.deepEqual(await migrationStatus(database.connection), expected);
});

// ENOENT is also what a Unix socket without a server says: the start would try again for ever and blame PostgreSQL.
test('a migrations folder that is missing is no outage', async (t) => {
  const { connection } = await emptyDatabase(t);
  const { module, removeMigrations } = await program(t, 'none');
  await removeMigrations();
  await assert.rejects(module.migrate(connection), (error: Error) => error.constructor.name !== 'Unavailable');
});

test('a PostgreSQL that does not answer is Unavailable', async () => {
  for (const run of [migrate, migrationStatus]) {
    await assert.rejects(run({ host: '127.0.0.1', port: 1, user: 'auth', database: 'auth' }), Unavailable);
  }
});

test('while another session migrates nothing is done, and then nothing is left to do', async (t) => {
  const database = await emptyDatabase(t);
  const other = new pg.Client(database.connection);
  await other.connect();
  await other.query('select pg_advisory_lock($1)', [0x61757468_01n]);
  let isDone = false;
  const waiting = migrate(database.connection).finally(() => {
    isDone = true;
  });
  // It is there and has asked for its turn.
  const asked =
    "select from pg_stat_activity where datname = current_database() and application_name = 'auth migrate' and query ~ 'advisory'";
  await until(async () => (await other.query(asked)).rowCount === 1, 10_000);
  assert.deepEqual([isDone, await tablesOf(database)], [false, []]);
  await other.end();
  assert.deepEqual(await waiting, { applied: NAMES, pending: [] });
});
