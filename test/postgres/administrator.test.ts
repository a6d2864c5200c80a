import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { authenticateClient } from '../../src/core/client-auth.ts';
import { OWN_SCOPES } from '../../src/core/scope.ts';
import { ensureAdministrator } from '../../src/postgres/administrator.ts';
import { clientAdministration, clientDirectory } from '../../src/postgres/clients.ts';
import { ACTOR, allow, NOW, newSecret } from '../contracts/stores.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

async function database(t: TestContext): Promise<TestDatabase> {
  const created = await createDatabase();
  t.after(() => created.drop());
  return created;
}

const secret = () => randomBytes(32).toString('hex');

/** Which of the secrets open the administrator's client. */
async function opens({ db }: TestDatabase, ...secrets: readonly string[]): Promise<readonly boolean[]> {
  const authenticate = (presented: string) =>
    authenticateClient({ method: 'client_secret_basic', clientId: 'admin', secrets: [presented] }, NOW, clientDirectory(db)).then(
      () => true,
      () => false,
    );
  return Promise.all(secrets.map(authenticate));
}

const countOf = async ({ query }: TestDatabase) =>
  (await query('select (select count(*)::int from audit) as audits, (select last_seq::int from change_log) as changes'))[0];

test('nothing configured: a secret is generated, said once, and opens a client with every own scope', async (t) => {
  const created = await database(t);
  const { clientId, generatedSecret } = await ensureAdministrator(created.db, 'admin', undefined);
  assert.equal(clientId, 'admin');
  assert.match(generatedSecret ?? '', /^[A-Za-z0-9_-]{43}$/);
  assert.deepEqual(await opens(created, generatedSecret ?? ''), [true]);
  const known = await clientDirectory(created.db).find('admin');
  assert.deepEqual(known?.client.scope, OWN_SCOPES);
  assert.deepEqual(await ensureAdministrator(created.db, 'admin', undefined), { clientId: 'admin', generatedSecret: undefined });
  assert.deepEqual(await opens(created, generatedSecret ?? ''), [true]);
  assert.deepEqual(await countOf(created), { audits: 1, changes: 1 });
  assert.deepEqual(await created.query('select actor_client_id, action, target from audit'), [
    { actor_client_id: null, action: 'client.create', target: 'admin' },
  ]);
});

test('the generated secret is nowhere in the database', async (t) => {
  const { db, query } = await database(t);
  const { generatedSecret = '' } = await ensureAdministrator(db, 'admin', undefined);
  const dump = JSON.stringify([
    await query('select * from client'),
    await query('select * from client_secret'),
    await query('select * from audit'),
  ]);
  assert.ok(!dump.includes(generatedSecret));
});

test('a start that tries again, because a commit was not answered, recognizes its secret; another start does not', async (t) => {
  const created = await database(t);
  const generated = secret();
  for (let attempt = 0; attempt < 2; attempt++) {
    assert.equal((await ensureAdministrator(created.db, 'admin', undefined, generated)).generatedSecret, generated);
  }
  assert.equal((await ensureAdministrator(created.db, 'admin', undefined, secret())).generatedSecret, undefined);
  assert.deepEqual(await opens(created, generated), [true]);
  assert.equal((await created.query('select from client_secret')).length, 1);
});

test('ten nodes that start at once: one secret is generated, by the one that made the client', async (t) => {
  const created = await database(t);
  const administrators = await Promise.all(Array.from({ length: 10 }, () => ensureAdministrator(created.db, 'admin', undefined)));
  const generated = administrators.flatMap(({ generatedSecret }) => generatedSecret ?? []);
  assert.equal(generated.length, 1);
  assert.deepEqual(await opens(created, ...generated), [true]);
  assert.deepEqual(await countOf(created), { audits: 1, changes: 1 });
});

test('ten nodes that start at once with a configured secret: it is there once', async (t) => {
  const created = await database(t);
  const configured = secret();
  await Promise.all(Array.from({ length: 10 }, () => ensureAdministrator(created.db, 'admin', configured)));
  assert.equal((await created.query('select from client_secret')).length, 1);
  assert.deepEqual(await countOf(created), { audits: 1, changes: 1 });
});

test('a configured secret is the administrator’s; another value at the next start replaces it, and no other secret', async (t) => {
  const created = await database(t);
  const [first, second, added] = [secret(), secret(), secret()];
  assert.equal((await ensureAdministrator(created.db, 'admin', first)).generatedSecret, undefined);
  await clientAdministration(created.db, () => undefined).addSecret('admin', newSecret(added, { name: 'mine' }), allow, ACTOR);
  assert.deepEqual(await opens(created, first, second, added), [true, false, true]);
  const before = await countOf(created);
  await ensureAdministrator(created.db, 'admin', first);
  assert.deepEqual(await countOf(created), before, 'the same value changes nothing');
  await ensureAdministrator(created.db, 'admin', second);
  assert.deepEqual(await opens(created, first, second, added), [false, true, true]);
  assert.deepEqual(await countOf(created), { audits: 3, changes: 3 });
});

test('a configured secret that was given an end, as by a rotation, is good again after the next start', async (t) => {
  const created = await database(t);
  const configured = secret();
  await ensureAdministrator(created.db, 'admin', configured);
  await created.query("update client_secret set expires_at = now() - interval '1 s'");
  assert.deepEqual(await opens(created, configured), [false]);
  await ensureAdministrator(created.db, 'admin', configured);
  assert.deepEqual(await opens(created, configured), [true]);
  assert.equal((await created.query('select from client_secret')).length, 1);
});

test('without the variable the secret that came from it stays', async (t) => {
  const created = await database(t);
  const configured = secret();
  await ensureAdministrator(created.db, 'admin', configured);
  await ensureAdministrator(created.db, 'admin', undefined);
  assert.deepEqual(await opens(created, configured), [true]);
});

test('configured after one was generated: both open', async (t) => {
  const created = await database(t);
  const { generatedSecret = '' } = await ensureAdministrator(created.db, 'admin', undefined);
  const configured = secret();
  await ensureAdministrator(created.db, 'admin', configured);
  assert.deepEqual(await opens(created, generatedSecret, configured), [true, true]);
});

test('what an administrator changed of the client stays: scope, name, disabled', async (t) => {
  const { db } = await database(t);
  await ensureAdministrator(db, 'admin', undefined);
  await ensureAdministrator(db, 'other', undefined); // the last one could not be disabled
  const change = { scope: ['auth:clients'], disabled: true, registration: { client_name: 'Root' } };
  const changed = await clientAdministration(db, () => undefined).update('admin', (current) => ({ ...current, ...change }), ACTOR);
  await ensureAdministrator(db, 'admin', secret());
  const known = await clientDirectory(db).find('admin');
  const settingsOnly = { secrets: [], version: 0 }; // a secret was added
  assert.deepEqual({ ...known?.client, ...settingsOnly }, { ...changed, ...settingsOnly });
});

for (const [why, configured] of [
  ['', undefined],
  [', not even with a configured secret', secret()],
] as const) {
  test(`a deleted administrator does not come back${why}`, async (t) => {
    const created = await database(t);
    await ensureAdministrator(created.db, 'admin', configured);
    await ensureAdministrator(created.db, 'other', undefined); // the last one could not be deleted
    await clientAdministration(created.db, () => undefined).delete('admin', allow, ACTOR);
    const before = await countOf(created);
    assert.deepEqual(await ensureAdministrator(created.db, 'admin', configured), { clientId: 'admin', generatedSecret: undefined });
    assert.equal(await clientDirectory(created.db).find('admin'), undefined);
    assert.deepEqual(await created.query("select from client_secret where client_id = 'admin'"), []);
    assert.deepEqual(await countOf(created), before);
  });
}

test('another id makes another administrator', async (t) => {
  const { db } = await database(t);
  await ensureAdministrator(db, 'admin', undefined);
  assert.ok((await ensureAdministrator(db, 'rescue', undefined)).generatedSecret);
  assert.equal((await clientAdministration(db, () => undefined).list({ after: undefined, limit: 10 })).length, 2);
});
