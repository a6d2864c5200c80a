import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { Unavailable } from '../../src/core/ports.ts';
import { clientAdministration, clientDirectory } from '../../src/postgres/clients.ts';
import type { Db } from '../../src/postgres/db.ts';
import { secretUses } from '../../src/postgres/secret-uses.ts';
import { ACTOR, allow, NOW, newSecret, settings } from '../contracts/stores.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

async function fixture(t: TestContext) {
  const database = await createDatabase();
  t.after(() => database.drop());
  const administration = clientAdministration(database.db, () => undefined);
  await administration.insert('billing', settings(), newSecret('a'), ACTOR);
  await administration.addSecret('billing', newSecret('b'), allow, ACTOR);
  const client = async () => (await clientDirectory(database.db).find('billing'))?.client;
  const [a = '', b = ''] = (await client())?.secrets.map(({ id }) => id) ?? [];
  const lastUsed = async () => (await client())?.secrets.map(({ lastUsedAt }) => lastUsedAt && lastUsedAt.getTime() / 1000);
  return { database, administration, client, lastUsed, a, b };
}

/** What a management change would leave behind. */
const written = (database: TestDatabase) =>
  database.query('select (select last_seq from change_log), (select count(*) from audit), (select sum(version) from client)');

test('uses are written together, and are no change of a client', async (t) => {
  const { database, client, lastUsed, a, b } = await fixture(t);
  const statements: string[] = [];
  const db: Pick<Db, 'query'> = {
    query: (statement) => {
      statements.push(statement.name ?? '');
      return database.db.query(statement);
    },
  };
  const uses = secretUses(db);
  const before = [await written(database), (await client())?.version];
  await uses.write();
  assert.deepEqual(statements, [], 'nothing was used, nothing is asked');
  for (let second = 0; second < 1_000; second++) uses.used(a, NOW + second);
  uses.used(b, NOW);
  uses.used(randomUUID(), NOW); // removed meanwhile
  assert.deepEqual(await lastUsed(), [undefined, undefined], 'not on the way of a request');
  await uses.write();
  assert.deepEqual([statements, await lastUsed()], [['write-secret-uses'], [NOW + 999, NOW]]);
  await uses.write();
  assert.equal(statements.length, 1, 'once');
  assert.deepEqual([await written(database), (await client())?.version], before);
});

test('at most every minute for a secret, by whichever node, and never back', async (t) => {
  const { database, lastUsed, a } = await fixture(t);
  const nodes = [secretUses(database.db), secretUses(database.db)] as const;
  for (const [node, at, expected] of [
    [0, NOW, NOW],
    [1, NOW + 59, NOW],
    [0, NOW - 500, NOW],
    [1, NOW + 60, NOW + 60],
    [0, NOW + 61, NOW + 60],
  ] as const) {
    nodes[node].used(a, at);
    await nodes[node].write();
    assert.deepEqual(await lastUsed(), [expected, undefined], String(at - NOW));
  }
});

test('a secret that is being changed is passed over: nothing waits, and nobody is in the way of who changes it', async (t) => {
  const { database, administration, lastUsed, a, b } = await fixture(t);
  const uses = secretUses(database.db);
  await database.db.transaction(async (tx) => {
    await tx.query({ text: 'update client_secret set expires_at = now() where id = $1', values: [b] });
    uses.used(a, NOW);
    uses.used(b, NOW);
    await uses.write();
    assert.deepEqual(await lastUsed(), [NOW, undefined]);
  });
  const ids = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const client = await administration.insert(`race-${index}`, settings(), newSecret(`${index}`), ACTOR);
      return client?.secrets[0]?.id ?? '';
    }),
  );
  const writers = Array.from({ length: 4 }, (_, writer) => {
    const mine = secretUses(database.db);
    for (const id of writer % 2 ? ids : ids.toReversed()) mine.used(id, NOW);
    return mine.write();
  });
  const deletions = ids.slice(0, 10).map((_, index) => administration.delete(`race-${index}`, allow, ACTOR));
  assert.deepEqual(await Promise.all(deletions), Array(10).fill(true));
  await Promise.all(writers);
});

test('an outage loses what was kept, and no more: the next use is written', async (t) => {
  const { database, lastUsed, a } = await fixture(t);
  let isAway = true;
  const uses = secretUses({
    query: async (statement) => {
      if (isAway) throw new Unavailable('away');
      return database.db.query(statement);
    },
  });
  uses.used(a, NOW);
  await assert.rejects(uses.write(), Unavailable);
  isAway = false;
  await uses.write();
  assert.deepEqual(await lastUsed(), [undefined, undefined]);
  uses.used(a, NOW + 5);
  await uses.write();
  assert.deepEqual(await lastUsed(), [NOW + 5, undefined]);
});
