import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import { Unavailable } from '../../src/core/ports.ts';
import { forgetAssertions, spendAssertion } from '../../src/postgres/assertions.ts';
import { openDb } from '../../src/postgres/db.ts';
import { insist } from '../contracts/stores.ts';
import { sha256 } from '../support/assertions.ts';
import { createDatabase } from '../support/database.ts';

async function fixture(t: TestContext) {
  const database = await createDatabase();
  t.after(() => database.drop());
  return database;
}
const soon = () => Math.floor(Date.now() / 1000) + 60;
const use = (jti: string, clientId = 'billing', endsAt = soon()) => ({ clientId, jtiHash: sha256(jti), endsAt });

test('once for each client, whatever its end (RFC 7523 §3)', async (t) => {
  const spend = spendAssertion((await fixture(t)).db);
  assert.equal(await spend(use('a')), true);
  assert.equal(await spend(use('a')), false);
  assert.equal(await spend(use('a', 'billing', soon() + 300)), false);
  assert.equal(await spend(use('a', 'other')), true);
  assert.equal(await spend(use('b', 'billing', soon() + 0.5)), true);
});

test('twenty at once by two nodes, again and again: one', async (t) => {
  const database = await fixture(t);
  const other = openDb(database.connection, () => undefined);
  t.after(() => other.close());
  const nodes = [spendAssertion(database.db), spendAssertion(other)] as const;
  for (let round = 0; round < 20; round++) {
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => nodes[n % 2 === 0 ? 0 : 1](use(`round ${round}`))));
    assert.equal(answers.filter(Boolean).length, 1);
  }
});

test('an answer that was lost is an outage, and the use may count: it is never accepted twice', async (t) => {
  const { db } = await fixture(t);
  const lossy = spendAssertion({
    ...db,
    async query(statement) {
      await db.query(statement);
      throw new Unavailable('the answer was lost');
    },
  });
  await assert.rejects(lossy(use('a')), Unavailable);
  assert.equal(await spendAssertion(db)(use('a')), false);
});

test('a table that is locked is an outage', async (t) => {
  const database = await fixture(t);
  const holder = new pg.Client(database.connection);
  await holder.connect();
  await holder.query('begin; lock table client_assertion in access exclusive mode');
  await assert.rejects(spendAssertion(database.db)(use('a')), Unavailable);
  await holder.end();
  assert.equal(await insist(() => spendAssertion(database.db)(use('a'))), true, 'it was not used');
});

test('what has ended long ago is forgotten, all of it, and nothing else', async (t) => {
  const database = await fixture(t);
  const spend = spendAssertion(database.db);
  await spend(use('alive'));
  await spend(use('ended a moment ago', 'billing', soon() - 120));
  await database.query(
    `insert into client_assertion select 'billing', sha256(n::text::bytea), clock_timestamp() - interval '11 minutes' from generate_series(1, 25000) n`,
  );
  await Promise.all([forgetAssertions(database.db), forgetAssertions(database.db)]);
  const rows = await database.query<{ count: number }>('select count(*)::integer as count from client_assertion');
  assert.equal(rows[0]?.count, 2);
  assert.equal(await spend(use('ended a moment ago', 'billing', soon())), false);
});
