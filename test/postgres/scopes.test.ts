import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Unavailable } from '../../src/core/ports.ts';
import { clientAdministration } from '../../src/postgres/clients.ts';
import { openDb } from '../../src/postgres/db.ts';
import { scopeCatalogue } from '../../src/postgres/scopes.ts';
import { ACTOR, allow, insist, settings } from '../contracts/stores.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

async function database(t: TestContext): Promise<TestDatabase> {
  const created = await createDatabase();
  t.after(created.drop);
  return created;
}

/** Who holds which scope by the clients' own rows, and by the table beside them. */
async function assertKept({ query }: TestDatabase): Promise<void> {
  const meant = await query(
    `select distinct unnest(scope) as scope, disabled, client_id from client where deleted_at is null order by 1, 2, 3`,
  );
  assert.deepEqual(await query('select scope, disabled, client_id from client_scope order by 1, 2, 3'), meant);
  assert.deepEqual(await query('select scope from client_scope where scope not in (select name from scope)'), []);
}

/** As a server of the version before writes them. */
const INSERT = `insert into client (client_id, auth_method, grant_types, scope, audience, resources, claims, access_token_format, introspection_max_age,
    disabled, registration)
  select 'c-' || n, 'none', '{}', $1, '{}', '{}', '{}', 'jwt', 0, n % 3 = 0, '{}' from generate_series($2::int, $3::int) as n`;

test('who holds a scope is right after whatever statement, of this version, of the one before, by hand', async (t) => {
  const created = await database(t);
  const { query } = created;
  for (const [text, values] of [
    [INSERT, [['a', 'b'], 1, 100]],
    [INSERT, [['b', 'b', 'c'], 101, 120]],
    [INSERT, [[], 121, 130]],
    ["update client set scope = '{b,d}' where client_id like 'c-1%'", []],
    ["update client set disabled = not disabled where client_id like 'c-2%'", []],
    ["update client set scope = '{}', disabled = true where client_id = 'c-3'", []],
    ["update client set deleted_at = now(), disabled = true where client_id like 'c-4%'", []],
    ["update client set deleted_at = null where client_id = 'c-4'", []],
    ['update client set updated_at = now()', []],
  ] as const) {
    await query(text, values as unknown as unknown[]);
    await assertKept(created);
  }
});

test('clients that were there before the migration are in the table after it', async (t) => {
  const created = await createDatabase('template0');
  t.after(created.drop);
  const { readFile, readdir } = await import('node:fs/promises');
  const files = (await readdir('migrations')).filter((file) => file.endsWith('.sql')).sort();
  const [last = ''] = files.filter((file) => file.endsWith('_scopes.sql'));
  for (const file of files.filter((name) => name < last)) await created.query(await readFile(`migrations/${file}`, 'utf8'));
  await created.query(INSERT, [['a', 'auth:clients', 'a'], 1, 10]);
  await created.query("update client set deleted_at = now() where client_id = 'c-7'");
  await created.query(await readFile(`migrations/${last}`, 'utf8'));
  await assertKept(created);
  assert.equal((await created.query("select from client_scope where scope = 'a'")).length, 9);
});

test('twenty clients at once with scopes that nobody has named: each is made, and each scope is there once', async (t) => {
  const { db } = await database(t);
  const store = clientAdministration(db, () => undefined);
  const scope = (n: number) => (n % 2 ? 'x:a x:b x:c' : 'x:c x:b x:a');
  await Promise.all(
    Array.from({ length: 20 }, (_, n) => insist(() => store.insert(`c-${n}`, settings({ scope: scope(n) }), undefined, ACTOR))),
  );
  const found = await scopeCatalogue(db).list({ after: 'x', limit: 10 }, undefined);
  assert.deepEqual(
    found.map(({ name, clients }) => [name, clients]),
    [
      ['x:a', 20],
      ['x:b', 20],
      ['x:c', 20],
    ],
  );
});

test('open: what is removed and given at the same time is in the catalogue if anybody holds it', async (t) => {
  const created = await database(t);
  const store = clientAdministration(created.db, () => undefined);
  const catalogue = scopeCatalogue(created.db);
  for (let round = 0; round < 20; round++) {
    const name = `scope-${round}`;
    await catalogue.add({ name, description: undefined }, ACTOR);
    await Promise.all([
      insist(() => store.insert(`a-${round}`, settings({ scope: name }), undefined, ACTOR)),
      insist(() => catalogue.remove(name, ACTOR)),
      insist(() => store.insert(`b-${round}`, settings({ scope: name }), undefined, ACTOR)),
    ]);
    await assertKept(created);
  }
  assert.equal(await catalogue.remove('scope-0', ACTOR), 'held');
  for (const id of ['a-0', 'b-0']) await store.delete(id, allow, ACTOR);
  assert.equal(await catalogue.remove('scope-0', ACTOR), 'removed');
  assert.equal(await catalogue.remove('scope-0', ACTOR), 'absent');
});

test('a PostgreSQL that does not answer is Unavailable', async (t) => {
  const nowhere = openDb({ host: '/nowhere', port: 1 }, () => undefined);
  t.after(() => nowhere.close());
  const catalogue = scopeCatalogue(nowhere);
  for (const call of [
    () => catalogue.list({ after: undefined, limit: 1 }, undefined),
    () => catalogue.find('a', undefined),
    () => catalogue.holders('a', { after: undefined, limit: 1 }, undefined),
    () => catalogue.add({ name: 'a', description: undefined }, ACTOR),
    () => catalogue.describe('a', undefined, ACTOR),
    () => catalogue.remove('a', ACTOR),
  ]) {
    await assert.rejects(call, Unavailable);
  }
});
