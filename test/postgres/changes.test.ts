/** The change log's promise: numbers without gaps, in the order in which they become visible (docs/decisions/0004). */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import { accessTokenStore } from '../../src/postgres/access-tokens.ts';
import { appendChange } from '../../src/postgres/changes.ts';
import { clientAdministration } from '../../src/postgres/clients.ts';
import { openDb, type Queries } from '../../src/postgres/db.ts';
import { ACTOR, allow, insist, newSecret, settings, tokenRecord } from '../contracts/stores.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/server.ts';

async function database(t: TestContext): Promise<TestDatabase> {
  const created = await createDatabase();
  t.after(() => created.drop());
  return created;
}

async function seqsOf({ query }: TestDatabase): Promise<readonly number[]> {
  const rows = await query<{ seq: string | number }>('select seq from change order by seq');
  return rows.map(({ seq }) => Number(seq));
}

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

/** Reads again and again until told to stop. @returns each reading: the numbers that were visible */
function poll(db: TestDatabase['db']): () => Promise<readonly (readonly number[])[]> {
  let isDone = false;
  const readings: (readonly number[])[] = [];
  const polling = (async () => {
    while (!isDone) {
      const rows = await insist(() =>
        db.query<{ seqs: readonly string[] }>({ text: 'select array(select seq from change order by seq) as seqs' }),
      );
      readings.push((rows[0]?.seqs ?? []).map(Number));
    }
  })();
  return async () => {
    isDone = true;
    await polling;
    return readings;
  };
}

test('twenty writers at once: no gap, and a reader that has seen a number never sees a lower one appear later', async (t) => {
  const created = await database(t);
  const { connection } = created;
  // Two nodes, each with its pool.
  const nodes = [created.db, openDb(connection, () => undefined)] as const;
  const reader = openDb(connection, () => undefined);
  t.after(() => Promise.all([nodes[1].close(), reader.close()]));
  const stop = poll(reader);
  const write = async (writer: number) => {
    const db = nodes[writer % 2] ?? created.db;
    const [administration, tokens, id] = [clientAdministration(db, () => undefined), accessTokenStore(db, () => undefined), `c${writer}`];
    await insist(() => administration.insert(id, settings(), undefined, ACTOR));
    await insist(() => tokens.revoke(tokenRecord()));
    await insist(() => administration.update(id, (current) => ({ ...current, disabled: true }), ACTOR));
    await insist(() => administration.addSecret(id, newSecret('s'), allow, ACTOR));
    await administration.update(id, () => assert.fail('refused'), ACTOR).catch(() => undefined);
    await insist(() => administration.delete(id, allow, ACTOR));
  };
  await Promise.all(upTo(20).map(write));
  const readings = await stop();
  assert.ok(new Set(readings.map((seqs) => seqs.length)).size > 5, 'the reader was there while it happened');
  for (const seqs of readings) assert.deepEqual(seqs, upTo(seqs.at(-1) ?? 0));
  const written = await seqsOf(created);
  assert.ok(written.length >= 100);
  assert.deepEqual(written, upTo(written.length));
  assert.deepEqual(await created.query('select last_seq::int from change_log'), [{ last_seq: written.length }]);
});

test('a transaction that has a number and has not committed holds the next one back', async (t) => {
  const created = await database(t);
  const [slow, other] = [new pg.Client(created.connection), new pg.Client(created.connection)];
  await Promise.all([slow.connect(), other.connect()]);
  await slow.query('begin');
  await slow.query(
    "with next as (update change_log set last_seq = last_seq + 1 returning last_seq) insert into change select last_seq, 'keys', 'slow', now(), now() from next",
  );
  // Without the pool's time-outs: it has to wait for as long as this test needs.
  const patient: Queries = { query: async ({ text, values }) => (await other.query(text, values as unknown[])).rows };
  const second = appendChange(patient, 'keys', 'second');
  const waiting = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
  await until(async () => (await slow.query(waiting)).rowCount !== 0, 10_000);
  assert.deepEqual(await seqsOf(created), []);
  await slow.query('commit');
  await second;
  await Promise.all([slow.end(), other.end()]);
  assert.deepEqual(await created.query('select seq::int, key from change order by seq'), [
    { seq: 1, key: 'slow' },
    { seq: 2, key: 'second' },
  ]);
});

test('a number whose transaction is rolled back, or whose connection dies, is given again', async (t) => {
  const created = await database(t);
  await appendChange(created.db, 'keys', 'first');
  const rollBack = created.db.transaction(async (tx) => {
    await appendChange(tx, 'keys', 'never');
    throw new Error('rolled back');
  });
  await assert.rejects(rollBack, /rolled back/);
  const dying = created.db.transaction(async (tx) => {
    await appendChange(tx, 'keys', 'never');
    await tx.query({ text: 'select pg_terminate_backend(pg_backend_pid())' });
  });
  await assert.rejects(dying);
  await appendChange(created.db, 'keys', 'second');
  assert.deepEqual(await created.query('select seq::int, key from change order by seq'), [
    { seq: 1, key: 'first' },
    { seq: 2, key: 'second' },
  ]);
});

test('an entry says when nothing that it could end is alive any more: a token’s end; for a client’s cut-off a year and a day', async (t) => {
  const { db, query } = await database(t);
  const record = tokenRecord();
  await accessTokenStore(db, () => undefined).revoke(record);
  await clientAdministration(db, () => undefined).insert('billing', settings(), undefined, ACTOR);
  await clientAdministration(db, () => undefined).delete('billing', allow, ACTOR);
  const entries = await query<{ kind: string; at: Date; expires_at: Date }>('select kind, at, expires_at from change order by seq');
  assert.equal(entries[0]?.expires_at.getTime(), record.expiresAt * 1000);
  const longest = 367 * 86_400_000;
  for (const { at, expires_at } of entries.slice(1)) assert.ok(Math.abs(expires_at.getTime() - at.getTime() - longest) < 60_000);
});

test('each database has an epoch of its own', async (t) => {
  const epochs = await Promise.all([createDatabase('template0'), createDatabase('template0')]);
  t.after(() => Promise.all(epochs.map((created) => created.drop())));
  const { migrate } = await import('../../src/postgres/migrate.ts');
  const values = await Promise.all(
    epochs.map(async ({ connection, query }) => {
      await migrate(connection);
      return (await query<{ epoch: string }>('select epoch from change_log'))[0]?.epoch;
    }),
  );
  assert.notEqual(values[0], values[1]);
});
