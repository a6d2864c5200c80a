import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DenySet } from '../../src/coherence/deny-set.ts';
import { Follower } from '../../src/coherence/follower.ts';
import { changeLog } from '../../src/postgres/changes.ts';
import { FOLLOWER, openDb } from '../../src/postgres/db.ts';
import { changeLogContract } from '../contracts/change-log.ts';
import { tokenRecord } from '../contracts/stores.ts';
import { createDatabase } from '../support/database.ts';
import { postgresStores } from '../support/postgres-stores.ts';

changeLogContract(postgresStores);

test('entries of tokens that ended more than ten minutes ago are left out; the position is still that of the whole log', async (t) => {
  const database = await createDatabase();
  t.after(() => database.drop());
  const insert = `with next as (update change_log set last_seq = last_seq + 1 returning last_seq)
    insert into change (seq, kind, key, expires_at) select last_seq, 'token', $1, now() - $2::interval from next`;
  const hashes = [tokenRecord().tokenHash, tokenRecord().tokenHash, tokenRecord().tokenHash];
  for (const [index, age] of ['11 minutes', '9 minutes', '1 year'].entries()) await database.query(insert, [hashes[index], age]);
  const { lastSeq, entries } = await changeLog(database.db).read(0, 10);
  assert.deepEqual([lastSeq, entries.map(({ key }) => key)], [3, [hashes[1]]]);
});

test('a log of 300,000 entries that have expired is no obstacle to a start: each page is a short statement', async (t) => {
  const database = await createDatabase();
  const db = openDb(database.connection, () => undefined, FOLLOWER);
  t.after(async () => {
    await db.close();
    await database.drop();
  });
  await database.query(`insert into change (seq, kind, key, expires_at)
    select n, 'token', md5(n::text), now() - interval '1 day' from generate_series(1, 300000) n`);
  await database.query('update change_log set last_seq = 300000');
  const denied = new DenySet();
  const follower = new Follower(changeLog(db), { denied, onClient: () => undefined, onKeys: () => undefined });
  await follower.catchUp();
  assert.deepEqual([follower.applied, denied.size], [300_000, 0]);
});

test('any role may write the message that makes a reading wait for a standby', async (t) => {
  const database = await createDatabase();
  t.after(() => database.drop());
  const [row] = await database.query<{ may: boolean }>(
    "select bool_and(has_function_privilege('pg_monitor', oid, 'execute')) as may from pg_proc where proname = 'pg_logical_emit_message'",
  );
  assert.equal(row?.may, true);
});
