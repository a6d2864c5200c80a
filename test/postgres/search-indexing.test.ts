import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { parseClientMetadata } from '../../src/core/client-metadata.ts';
import { clientImporter } from '../../src/postgres/client-import.ts';
import { clientAdministration, clientDirectory } from '../../src/postgres/clients.ts';
import { searchIndexing } from '../../src/postgres/search-indexing.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/server.ts';

let database: TestDatabase;
before(async () => {
  database = await createDatabase();
});
after(() => database.drop());

const ACTOR = { clientId: 'admin', address: undefined, scope: [] };
const secret = { name: undefined, verifier: 'sha256:x', expiresAt: undefined };

test('imported clients are found before they are in the index and afterwards; that they get there is no change of them', async () => {
  const { db } = database;
  let woken = 0;
  const importer = clientImporter(db, 'open', () => woken++);
  const clients = Array.from({ length: 60 }, (_, index) => ({
    id: `imported-${String(index).padStart(2, '0')}`,
    settings: parseClientMetadata({ client_name: `Name ${index}`, scope: 'read' }),
    secrets: [secret],
  }));
  assert.equal(await importer.insert(clients, ACTOR), 'done');
  assert.equal(await importer.insert(clients.slice(0, 1), ACTOR), 'raced');
  assert.equal(woken, 1);
  const administration = clientAdministration(db, () => undefined);
  const find = async (filter: object) => (await administration.list({ after: undefined, limit: 100 }, filter)).map(({ id }) => id);
  const filters = [{ text: 'name 42' }, { text: 'NAME 5' }, { scope: 'read' }, { text: 'nobody' }, { scope: 'read', disabled: true }];
  const results = await Promise.all(filters.map(find));
  assert.deepEqual(
    results.map(({ length }) => length),
    [1, 11, 60, 0, 0],
  );
  const waiting = async () => (await database.query<{ n: number }>('select count(*)::int as n from client where not searchable'))[0]?.n;
  assert.equal(await waiting(), 60);
  const indexing = searchIndexing(db, assert.ifError, 1);
  indexing.wake();
  await until(async () => (await waiting()) === 0, 10_000);
  await indexing.close();
  assert.deepEqual(await Promise.all(filters.map(find)), results);
  const known = await clientDirectory(db).find('imported-07');
  assert.equal(known?.client.version, 1);
  await administration.addSecret('imported-07', secret, () => undefined, ACTOR);
  assert.equal((await clientDirectory(db).find('imported-07'))?.client.version, 2, 'a change is one');
});

test('what is locked meanwhile is passed over, and found the next time', async () => {
  const { db } = database;
  const importer = clientImporter(db, 'open', () => undefined);
  await importer.insert(
    [
      { id: 'locked', settings: parseClientMetadata({}), secrets: [] },
      { id: 'free', settings: parseClientMetadata({}), secrets: [] },
    ],
    ACTOR,
  );
  const isSearchable = async (id: string) =>
    (await database.query<{ s: boolean }>('select searchable as s from client where client_id = $1', [id]))[0]?.s;
  const indexing = searchIndexing(db, assert.ifError, 1);
  await db.transaction(async (tx) => {
    await tx.query({ text: "select from client where client_id = 'locked' for update" });
    indexing.wake();
    await until(async () => (await isSearchable('free')) === true, 10_000);
    assert.equal(await isSearchable('locked'), false);
  });
  indexing.wake();
  await until(async () => (await isSearchable('locked')) === true, 10_000);
  await indexing.close();
});
