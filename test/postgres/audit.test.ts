/** The audit in PostgreSQL: the order in which rows become visible, filters, partitions, the migration that made them. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import type { AuditEntry, AuditQuery } from '../../src/core/ports.ts';
import { auditLog, tellAudit, writeAudit } from '../../src/postgres/audit.ts';
import { appendRevocation } from '../../src/postgres/changes.ts';
import { migrate, readMigrations } from '../../src/postgres/migrate.ts';
import { maintainPartitions } from '../../src/postgres/partitions.ts';
import { ACTOR, insist, tokenRecord } from '../contracts/stores.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { copyProgram } from '../support/program-copy.ts';
import { until } from '../support/server.ts';

const DAY = 86_400;
const WEEK = 7 * DAY;

async function database(t: TestContext, template?: string): Promise<TestDatabase> {
  const created = await createDatabase(template);
  t.after(() => created.drop());
  return created;
}

const ALL: AuditQuery = {
  actor: undefined,
  action: undefined,
  target: undefined,
  since: undefined,
  until: undefined,
  from: { before: undefined, after: undefined },
  limit: 1_000,
};
const read = ({ db }: TestDatabase, query: Partial<AuditQuery> = {}) => auditLog(db).read({ ...ALL, ...query });
const targets = (entries: readonly AuditEntry[]) => entries.map(({ target }) => target).join(' ');

async function connected(t: TestContext, { connection }: TestDatabase): Promise<pg.Client> {
  const client = new pg.Client(connection);
  client.on('error', () => undefined);
  await client.connect();
  t.after(() => client.end());
  return client;
}

const waiting = ({ query }: TestDatabase) =>
  query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'");

const SECRET_ID = '5ad1f6ae-6ef1-4d2c-a3b0-6b3a4f1f6c0d';

test('a row is kept as it was written', async (t) => {
  const created = await database(t);
  const detail = { changes: { scope: { from: 'a', to: 'b' } } };
  await created.db.transaction((tx) =>
    writeAudit(tx, { ...ACTOR, secretId: SECRET_ID, requestId: 'r-1' }, 'client.update', 'billing', detail),
  );
  await created.db.transaction((tx) => writeAudit(tx, undefined, 'keys.create', 'kid'));
  const [server, client] = await read(created);
  assert.ok(server && client && server.at >= client.at && server.id > client.id);
  const { id, at, ...row } = client;
  const actor = { clientId: 'admin', secretId: SECRET_ID, address: '192.0.2.7', requestId: 'r-1' };
  assert.deepEqual(row, { ...actor, action: 'client.update', target: 'billing', detail });
  assert.deepEqual([server.clientId, server.secretId, server.address, server.requestId], [undefined, undefined, undefined, undefined]);
});

// Else whoever has seen 7 would never see 6, which was taken before and committed after it.
test('a row waits for the one before it to be committed or not: who follows the ids misses none', async (t) => {
  const created = await database(t);
  const slow = await connected(t, created);
  await slow.query('begin');
  await writeAudit(
    { query: async ({ text, values }) => (await slow.query(text, values as unknown[])).rows },
    ACTOR,
    'client.create',
    'first',
  );
  const second = created.db.transaction((tx) => writeAudit(tx, ACTOR, 'client.create', 'second'));
  await until(async () => (await waiting(created)).length === 1, 10_000);
  assert.equal(targets(await read(created)), '');
  await slow.query('commit');
  await second;
  assert.equal(targets(await read(created)), 'second first');
});

test('a listener is told of each row as it can be read, after its commit; of what was rolled back it hears nothing', async (t) => {
  const created = await database(t);
  const heard: AuditEntry[] = [];
  const db = tellAudit(created.db, (entry) => heard.push(entry));
  const origin = { clientId: 'billing', address: '192.0.2.7', requestId: 'r' };
  await db.transaction(async (tx) => {
    await writeAudit(tx, origin, 'client.create', 'one', { metadata: { scope: 'a' } });
    await writeAudit(tx, undefined, 'client.secret.add', 'two');
    assert.equal(heard.length, 0);
  });
  const undone = async () => {
    await db.transaction(async (tx) => {
      await writeAudit(tx, origin, 'client.create', 'undone');
      throw new Error('undone');
    });
  };
  await assert.rejects(undone(), /undone/);
  await auditLog(db).denied(origin, { route: 'three', clientId: 'nobody' }, { error: 'invalid_token' });
  const record = tokenRecord();
  for (let times = 0; times < 2; times++) await appendRevocation(db, record, origin);
  const entries = [...(await read(created))].reverse();
  assert.equal(targets(entries), 'one two three billing');
  assert.deepEqual(heard, entries);
});

test('while a hundred are written by ten at once, a follower sees each of them once, in the order of their ids', async (t) => {
  const created = await database(t);
  const seen: AuditEntry[] = [];
  const follow = async () => {
    seen.push(...(await read(created, { from: { before: undefined, after: seen.at(-1)?.id ?? 0 }, limit: 7 })));
  };
  let isWriting = true;
  const writer = async (_: unknown, number: number) => {
    for (let n = 0; n < 10; n++)
      await insist(() => auditLog(created.db).denied(ACTOR, { route: `${number}-${n}`, clientId: undefined }, {}));
  };
  const writing = Promise.all(Array.from({ length: 10 }, writer)).finally(() => {
    isWriting = false;
  });
  while (isWriting) await follow();
  await writing;
  for (let before = -1; before < seen.length; await follow()) before = seen.length;
  const all = await read(created);
  assert.deepEqual(
    seen.map(({ id }) => id),
    all.map(({ id }) => id).reverse(),
  );
  assert.equal(new Set(all.map(({ target }) => target)).size, 100);
});

test('each filter, alone and together', async (t) => {
  const created = await database(t);
  const rows = [
    ['a', 'client.create', 'x'],
    ['b', 'client.update', 'x'],
    ['a', 'client.secret.add', 'y'],
    ['a', 'clientele', 'z'],
    [null, 'keys.create', 'k'],
    ['a', 'a%c', 'percent'],
    ['a', 'abc', 'letters'],
  ];
  for (const [n, [actor, action, target]] of rows.entries()) {
    const at = new Date(Date.UTC(2027, 0, 1, n));
    await created.query('insert into audit (at, actor_client_id, action, target) values ($1, $2, $3, $4)', [at, actor, action, target]);
  }
  const hour = (n: number) => new Date(Date.UTC(2027, 0, 1, n));
  const cases: readonly [Partial<AuditQuery>, string][] = [
    [{}, 'letters percent k z y x x'],
    [{ actor: 'b' }, 'x'],
    [{ action: { is: 'client.create' } }, 'x'],
    [{ action: { is: 'client' } }, ''],
    [{ action: { beginsWith: 'client.' } }, 'y x x'],
    [{ action: { beginsWith: 'a%' } }, 'percent'],
    [{ target: 'x' }, 'x x'],
    [{ since: hour(5) }, 'letters percent'],
    [{ until: hour(1) }, 'x'],
    [{ since: hour(2), until: hour(4) }, 'z y'],
    [{ limit: 2 }, 'letters percent'],
    [{ limit: 2, from: { before: undefined, after: 0 } }, 'x x'],
    [{ actor: 'a', action: { beginsWith: 'client.' }, target: 'y' }, 'y'],
    [{ actor: 'nobody' }, ''],
  ];
  for (const [query, expected] of cases) assert.equal(targets(await read(created, query)), expected, JSON.stringify(query));
});

const partitionsOf = async ({ query }: TestDatabase) =>
  (await query<{ name: string }>("select inhrelid::regclass::text as name from pg_inherits where inhparent = 'audit'::regclass"))
    .map(({ name }) => name)
    .sort();

test('this week and the next have a partition; a week goes when all of it is older than it has to be, whole', async (t) => {
  const created = await database(t);
  await maintainPartitions(created.db, 30 * DAY);
  const now = Math.floor(Date.now() / 1000);
  const week = Math.floor(now / WEEK) * WEEK;
  const made = await partitionsOf(created);
  for (const start of [week, week + WEEK]) assert.ok(made.includes(`audit_${start}`), String(made));
  const ages = [90, 8, 6, 5, 3].map((weeks) => week - weeks * WEEK);
  for (const start of ages) {
    const [from, to] = [start, start + WEEK].map((seconds) => new Date(seconds * 1000).toISOString());
    await created.query(`create table audit_${start} partition of audit for values from ('${from}') to ('${to}')`);
    await created.query("insert into audit (at, action, target) values (to_timestamp($1), 'denied', $2)", [start + DAY, `w${start}`]);
  }
  await maintainPartitions(created.db);
  assert.equal((await read(created)).length, 5, 'without a limit all is kept');
  await maintainPartitions(created.db, 30 * DAY);
  const kept = ages.filter((start) => start + WEEK >= now - 30 * DAY);
  assert.ok(kept.length > 0 && kept.length < ages.length);
  assert.equal(
    targets(await read(created)),
    kept
      .map((start) => `w${start}`)
      .reverse()
      .join(' '),
  );
  assert.deepEqual(await partitionsOf(created), [...made, ...kept.map((start) => `audit_${start}`)].sort());
});

test('who reads the audit for long keeps no token from its partition', async (t) => {
  const created = await database(t);
  const reader = await connected(t, created);
  await reader.query('begin; select from audit');
  assert.equal(await maintainPartitions(created.db, 30 * DAY), false);
  assert.deepEqual(await partitionsOf(created), ['audit_other']);
  const tokens = await created.query("select from pg_inherits where inhparent = 'access_token_short'::regclass");
  assert.ok(tokens.length > 1, 'the default one, and those that are needed');
  await reader.query('commit');
  assert.equal(await maintainPartitions(created.db, 30 * DAY), true);
  assert.ok((await partitionsOf(created)).length > 1);
});

test("a row that comes while its partition is being made is in nobody's way: it stays in the default one", async (t) => {
  const created = await database(t);
  const writer = await connected(t, created);
  await writer.query("begin; insert into audit (action, target) values ('client.create', 'just now')");
  const maintaining = maintainPartitions(created.db, 30 * DAY);
  // It does not see the row, and waits for its table; a machine that is busy may be late for that.
  await until(async () => (await waiting(created)).length === 1, 5_000).catch(() => undefined);
  await writer.query('commit');
  await maintaining;
  assert.equal(await maintainPartitions(created.db, 30 * DAY), true);
  assert.equal(targets(await read(created)), 'just now');
  assert.ok((await partitionsOf(created)).length > 1, 'the next week has one');
});

test('what has no partition is kept, found, and goes in its time all the same', async (t) => {
  const created = await database(t);
  const insert = (days: number, target: string) =>
    created.query("insert into audit (at, action, target) values (clock_timestamp() - $1 * interval '1 day', 'denied', $2)", [
      days,
      target,
    ]);
  await insert(400, 'old');
  await insert(100, 'younger');
  await insert(0, 'now');
  for (let round = 0; round < 2; round++) assert.equal(await maintainPartitions(created.db, 365 * DAY), true);
  assert.equal(targets(await read(created)), 'now younger');
  await writeAudit(created.db, ACTOR, 'client.create', 'later');
  assert.equal(targets(await read(created)), 'later now younger');
});

test('a server of the version before goes on by its statement while the table is changed under it; no row is lost, no id given twice', async (t) => {
  const created = await database(t, 'template0');
  const before = await copyProgram('real');
  t.after(() => before.remove());
  for (const { name } of readMigrations()) if (name > '000002_node.sql') await before.write(name, undefined);
  await before.module.migrate(created.connection);
  const old = await connected(t, created);
  const insert = (target: string) =>
    old.query({
      name: 'write-audit',
      text: 'insert into audit (actor_client_id, actor_address, action, target, detail) values ($1, $2, $3, $4, $5)',
      values: ['admin', '127.0.0.1', 'client.create', target, {}],
    });
  for (const target of ['1', '2', '3']) await insert(target);
  await old.query('begin');
  await insert('4');
  const migrating = migrate(created.connection);
  await until(async () => (await waiting(created)).length === 1, 10_000);
  await insert('5');
  await old.query('commit');
  await migrating;
  await insert('6');
  await maintainPartitions(created.db, 365 * DAY);
  await insert('7');
  await writeAudit(created.db, ACTOR, 'client.create', '8');
  const entries = await read(created);
  assert.equal(targets(entries), '8 7 6 5 4 3 2 1');
  assert.deepEqual(
    [...entries].map(({ id }) => id).sort((a, b) => b - a),
    entries.map(({ id }) => id),
  );
  assert.equal(new Set(entries.map(({ id }) => id)).size, 8);
});
