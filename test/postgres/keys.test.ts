import assert from 'node:assert/strict';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { rememberedKeys } from '../../src/coherence/remembered-keys.ts';
import { Problem } from '../../src/core/errors.ts';
import { type KeyPolicy, publishedKeys, type Rotation } from '../../src/core/key-schedule.ts';
import type { ChangeEntry, SigningKeys } from '../../src/core/ports.ts';
import { SIGNING_ALGS, type SigningAlg } from '../../src/core/signing-key.ts';
import { DecryptionError } from '../../src/postgres/key-seal.ts';
import { ensureSigningKey, type KeyDeps, keyStore, tendKeys } from '../../src/postgres/keys.ts';
import { signingKeysContract } from '../contracts/signing-keys.ts';
import { ACTOR, insist } from '../contracts/stores.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

const [KEY, OTHER_KEY] = [randomBytes(32), randomBytes(32)];
const DAY = 86_400;
const PLANNED: Rotation = { kind: 'planned', activateAt: undefined };
const COMPROMISED: Rotation = { kind: 'compromised' };

async function database(t: TestContext): Promise<TestDatabase> {
  const created = await createDatabase();
  t.after(() => created.drop());
  return created;
}

function deps(
  db: TestDatabase['db'],
  { keys = [KEY], ...policy }: Partial<KeyPolicy> & { readonly keys?: readonly Buffer[] } = {},
): KeyDeps {
  const announced = { alg: 'ES256', rotationSeconds: 90 * DAY, announceSeconds: DAY } as const;
  return { db, encryptionKeys: keys, policy: { ...announced, ...policy }, announce: () => undefined };
}

/** As a node has them that always looks. */
function keysOf(given: KeyDeps): SigningKeys {
  const store = keyStore(given);
  const now = () => Math.floor(Date.now() / 1000);
  return {
    current: () => rememberedKeys(store, async () => undefined, now).current(),
    schedule: () => rememberedKeys(store, async () => undefined, now).schedule(),
  };
}

const statesOf = async (given: KeyDeps) => (await keysOf(given).schedule()).map(({ alg, state }) => `${alg} ${state}`);

/** Days go by. */
async function pass({ query }: TestDatabase, days: number): Promise<void> {
  const earlier = ['created_at', 'announced_at', 'active_from'].map((column) => `${column} = ${column} - $1 * interval '1 day'`);
  await query(`update signing_key set ${earlier.join(', ')}`, [days]);
}

describe('on PostgreSQL', () => {
  signingKeysContract(async () => {
    const created = await createDatabase();
    for (const alg of SIGNING_ALGS) {
      await ensureSigningKey(deps(created.db, { alg }));
      await pass(created, 2);
    }
    return { keys: keysOf(deps(created.db)), close: created.drop };
  });
});

test('ten nodes that start at once make one key, which signs; one entry in the change log, one in the audit', async (t) => {
  const { db, query } = await database(t);
  // Ten connections that are there already, else the first key is made before the last one has connected.
  await Promise.all(Array.from({ length: 10 }, () => db.query({ text: 'select pg_sleep(0.1)' })));
  await Promise.all(Array.from({ length: 10 }, () => ensureSigningKey(deps(db))));
  const [key] = await query<{ kid: string; active_from: Date }>('select kid, active_from from signing_key');
  assert.ok(key);
  assert.deepEqual(await statesOf(deps(db)), ['ES256 active']);
  assert.deepEqual(await query('select seq::int, kind, key from change'), [{ seq: 1, kind: 'keys', key: key.kid }]);
  assert.deepEqual(await query('select action, target, actor_client_id, detail from audit'), [
    { action: 'keys.create', target: key.kid, actor_client_id: null, detail: { alg: 'ES256', active_from: key.active_from.toISOString() } },
  ]);
});

test('the same algorithm at the next start changes nothing', async (t) => {
  const { db, query } = await database(t);
  await ensureSigningKey(deps(db, { alg: 'EdDSA' }));
  const before = await query('select * from signing_key');
  await ensureSigningKey(deps(db, { alg: 'EdDSA' }));
  assert.deepEqual(await query('select * from signing_key'), before);
  assert.deepEqual(await query('select last_seq::int from change_log'), [{ last_seq: 1 }]);
});

test('another algorithm is announced, signs after that, and takes the place of a key that was announced before', async (t) => {
  const created = await database(t);
  const { db } = created;
  await ensureSigningKey(deps(db));
  await keyStore(deps(db)).rotate(PLANNED, ACTOR);
  for (let start = 0; start < 2; start++) await ensureSigningKey(deps(db, { alg: 'RS256' }));
  assert.deepEqual(await statesOf(deps(db)), ['ES256 active', 'RS256 next', 'ES256 gone']);
  assert.equal((await keysOf(deps(db)).current()).alg, 'ES256');
  await pass(created, 1);
  assert.deepEqual(await statesOf(deps(db)), ['RS256 active', 'ES256 retiring', 'ES256 gone']);
  assert.equal((await keysOf(deps(db)).current()).alg, 'RS256');
});

test('twenty who rotate at once get one key, which one of them has made', async (t) => {
  const { db, query } = await database(t);
  await ensureSigningKey(deps(db));
  const told: ChangeEntry[] = [];
  const store = keyStore({ ...deps(db), announce: (entry) => told.push(entry) });
  const results = await Promise.all(Array.from({ length: 20 }, () => insist(() => store.rotate(PLANNED, ACTOR))));
  assert.equal(results.filter(({ outcome }) => outcome === 'made').length, 1);
  assert.equal(new Set(results.map(({ key }) => key.kid)).size, 1);
  assert.deepEqual(await statesOf(deps(db)), ['ES256 active', 'ES256 next']);
  assert.deepEqual(
    told.map(({ seq, kind, key }) => [seq, kind, key]),
    [[2, 'keys', results[0]?.key.kid]],
  );
  assert.deepEqual(
    await query("select action, target, actor_client_id, host(actor_address) as address from audit where actor_client_id = 'admin'"),
    [{ action: 'keys.create', target: results[0]?.key.kid, actor_client_id: 'admin', address: ACTOR.address }],
  );
});

test('the moment of the next key is put off and brought forward; what changes nothing writes nothing', async (t) => {
  const created = await database(t);
  const { db, query } = created;
  await ensureSigningKey(deps(db));
  const store = keyStore(deps(db));
  const { key } = await store.rotate(PLANNED, ACTOR);
  const later = new Date(Date.now() + 10 * DAY * 1000);
  for (const [activateAt, outcome] of [
    [later, 'moved'],
    [later, 'kept'],
    [undefined, 'kept'],
  ] as const) {
    const rotated = await store.rotate({ kind: 'planned', activateAt }, ACTOR);
    assert.deepEqual([rotated.outcome, rotated.key.kid, rotated.key.activeFrom], [outcome, key.kid, later]);
  }
  await assert.rejects(store.rotate({ kind: 'planned', activateAt: 'now' }, ACTOR), Problem, 'announced a moment ago');
  assert.deepEqual(await query('select action, target, detail from audit order by id offset 2'), [
    { action: 'keys.move', target: key.kid, detail: { active_from: later.toISOString() } },
  ]);
  assert.deepEqual(await query('select count(*)::int from change'), [{ count: 3 }]);
  await pass(created, 1);
  const rotated = await store.rotate({ kind: 'planned', activateAt: 'now' }, ACTOR);
  assert.deepEqual([rotated.outcome, rotated.key.state, rotated.key.kid], ['moved', 'active', key.kid]);
  assert.deepEqual(await statesOf(deps(db)), ['ES256 active', 'ES256 retiring']);
});

test('after a compromise a new key signs at once; those of before are gone, with their private parts', async (t) => {
  const created = await database(t);
  const { db, query } = created;
  await ensureSigningKey(deps(db));
  const store = keyStore(deps(db));
  await store.rotate(PLANNED, ACTOR);
  await pass(created, 2);
  await store.rotate(PLANNED, ACTOR);
  const before = (await keysOf(deps(db)).schedule()).map(({ kid }) => kid);
  const { key, outcome } = await store.rotate(COMPROMISED, ACTOR);
  assert.deepEqual([outcome, key.state, before.includes(key.kid)], ['made', 'active', false]);
  assert.deepEqual(await statesOf(deps(db)), ['ES256 active', 'ES256 gone', 'ES256 gone', 'ES256 gone']);
  assert.equal((await keysOf(deps(db)).current()).kid, key.kid);
  assert.deepEqual(await query('select kid from signing_key where private_key is not null'), [{ kid: key.kid }]);
  assert.deepEqual(
    await query("select target from audit where action = 'keys.end' order by target"),
    before.toSorted().map((target) => ({ target })),
  );
});

test('when it is time many nodes that look announce one key, by the server itself', async (t) => {
  const created = await database(t);
  const { db, query } = created;
  await ensureSigningKey(deps(db));
  await pass(created, 88.9);
  assert.equal((await tendKeys(deps(db))).made, undefined);
  await pass(created, 0.2);
  const tended = await Promise.all(Array.from({ length: 10 }, () => insist(() => tendKeys(deps(db)))));
  const made = tended.flatMap((one) => one.made ?? []);
  assert.equal(made.length, 1);
  assert.deepEqual(await statesOf(deps(db)), ['ES256 active', 'ES256 next']);
  assert.deepEqual(await query('select actor_client_id from audit where target = $1', [made[0]]), [{ actor_client_id: null }]);
});

test('an hour after its last signature a private key is deleted, and the public one stays until nothing that it signed is alive', async (t) => {
  const created = await database(t);
  const { db, query } = created;
  await ensureSigningKey(deps(db));
  await keyStore(deps(db)).rotate(PLANNED, ACTOR);
  await pass(created, 1.02);
  await tendKeys(deps(db));
  const sealed = async () => (await query('select kid from signing_key where private_key is not null')).length;
  assert.equal(await sealed(), 2);
  await pass(created, 0.04);
  await tendKeys(deps(db));
  assert.equal(await sealed(), 1);
  assert.equal(publishedKeys(await keysOf(deps(db)).schedule()).length, 2);
  assert.ok(await keysOf(deps(db)).current());
  await pass(created, 367.1);
  assert.deepEqual(await statesOf(deps(db)), ['ES256 active', 'ES256 gone']);
});

test('a server of the version before does not sign with a key that is only announced, and takes it over after the switch', async (t) => {
  const created = await database(t);
  const { db, query } = created;
  const signs = async () => (await query<{ kid: string }>('select kid from signing_key order by created_at desc, kid limit 1'))[0]?.kid;
  await ensureSigningKey(deps(db));
  const first = await signs();
  const { key } = await keyStore(deps(db)).rotate(PLANNED, ACTOR);
  await tendKeys(deps(db));
  assert.equal(await signs(), first);
  await pass(created, 2);
  await tendKeys(deps(db));
  assert.equal(await signs(), key.kid);
  // And what it makes itself signs at once, for all.
  await query(
    `insert into signing_key (kid, alg, public_jwk, private_key) select 'x', alg, public_jwk, private_key from signing_key limit 1`,
  );
  await pass(created, 0.001); // the clock is of whole seconds
  assert.equal((await keysOf(deps(db)).schedule())[0]?.kid, 'x');
});

test('the keys of before the schedule: the newest signs, the others are retiring', async (t) => {
  const created = await createDatabase('template0');
  t.after(() => created.drop());
  const files = readdirSync('migrations').sort();
  const schedule = files.findIndex((file) => file.endsWith('_key_schedule.sql'));
  const apply = async (file: string) => created.query(readFileSync(`migrations/${file}`, 'utf8'));
  for (const file of files.slice(0, schedule)) await apply(file);
  for (const [kid, days] of [
    ['b', 1],
    ['a', 3],
    ['c', 400],
  ] as const)
    await created.query(
      `insert into signing_key (kid, alg, public_jwk, private_key, created_at) values ($1, 'ES256', '{}', '', now() - $2 * interval '1 day')`,
      [kid, days],
    );
  await apply(files[schedule] ?? '');
  const keys = await keysOf(deps(created.db)).schedule();
  assert.deepEqual(
    keys.map(({ kid, state }) => `${kid} ${state}`),
    ['b active', 'a retiring', 'c retiring'],
    'what the oldest one has signed may be alive: it signed until three days ago',
  );
});

for (const [why, keys] of [
  ['another key', [OTHER_KEY]],
  ['no key', []],
] as const) {
  test(`${why} in AUTH_ENCRYPTION_KEY: a DecryptionError, at the start and at the use, and no key is made`, async (t) => {
    const { db, query } = await database(t);
    await ensureSigningKey(deps(db));
    for (const alg of ['ES256', 'RS256'] as const) await assert.rejects(ensureSigningKey(deps(db, { keys, alg })), DecryptionError);
    await assert.rejects(keysOf(deps(db, { keys })).current(), DecryptionError);
    assert.equal((await keysOf(deps(db, { keys })).schedule()).length, 1, 'what is public is served all the same');
    assert.equal((await tendKeys(deps(db, { keys }))).unreadable.length, 1);
    assert.equal((await query('select from signing_key')).length, 1);
  });
}

test('a next key that AUTH_ENCRYPTION_KEY does not open stops the start as well', async (t) => {
  const { db } = await database(t);
  await ensureSigningKey(deps(db));
  await keyStore(deps(db, { keys: [OTHER_KEY, KEY] })).rotate(PLANNED, ACTOR);
  await assert.rejects(ensureSigningKey(deps(db)), DecryptionError);
});

test('without any key nothing is made, not even the first one', async (t) => {
  const { db, query } = await database(t);
  await assert.rejects(ensureSigningKey(deps(db, { keys: [] })), DecryptionError);
  assert.deepEqual(await query('select from signing_key'), []);
});

test('under a new encryption key all private keys are encrypted anew while nodes run, and the old one is needed no more', async (t) => {
  const { db } = await database(t);
  await ensureSigningKey(deps(db));
  const running = keyStore(deps(db)); // a node that knows the old one only, and has signed
  const [before] = await running.list();
  before?.open();
  await running.rotate(PLANNED, ACTOR);
  await ensureSigningKey(deps(db, { keys: [OTHER_KEY, KEY] }));
  const tended = await Promise.all(Array.from({ length: 5 }, () => insist(() => tendKeys(deps(db, { keys: [OTHER_KEY, KEY] })))));
  const resealed = tended.flatMap((one) => one.resealed);
  assert.deepEqual([resealed.length, new Set(resealed).size], [2, 2], 'each once');
  await ensureSigningKey(deps(db, { keys: [OTHER_KEY] }));
  assert.deepEqual(await tendKeys(deps(db, { keys: [OTHER_KEY] })), { made: undefined, resealed: [], unreadable: [] });
  assert.equal((await keysOf(deps(db, { keys: [OTHER_KEY] })).current()).kid, before?.kid);
  const again = (await running.list()).find(({ kid }) => kid === before?.kid);
  assert.equal(again?.open().kid, before?.kid, 'the running node goes on');
  assert.equal((await tendKeys(deps(db))).unreadable.length, 2, 'and says what it could not do again');
});

test('the private part cannot be read in the table, and two seals of one key differ', async (t) => {
  const { db, query } = await database(t);
  await ensureSigningKey(deps(db));
  const [row] = await query<{ public_jwk: Record<string, string>; private_key: Buffer }>('select public_jwk, private_key from signing_key');
  assert.ok(row);
  const der = (await keysOf(deps(db)).current()).privateKey.export({ format: 'der', type: 'pkcs8' });
  const secret = Buffer.from(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' }).d ?? '', 'base64url');
  assert.equal(secret.length, 32);
  const dump = Buffer.from(JSON.stringify(await query('select t.*, encode(private_key, $1) as hex from signing_key t', ['hex'])));
  for (const form of ['hex', 'base64', 'base64url'] as const) assert.ok(!dump.includes(secret.toString(form)), form);
  assert.ok(!row.private_key.includes(secret));
  assert.throws(() => createPrivateKey({ key: row.private_key, format: 'der', type: 'pkcs8' }));
  assert.equal(row.private_key.length, 12 + der.length + 16);
  assert.ok(!('d' in row.public_jwk));
});

test('a sealed key that was changed, cut short or moved to another row is not opened', async (t) => {
  const { db, query } = await database(t);
  await ensureSigningKey(deps(db));
  const [row] = await query<{ private_key: Buffer }>('select private_key from signing_key');
  assert.ok(row);
  const changed = Buffer.from(row.private_key);
  changed[20] = (changed[20] ?? 0) ^ 1;
  for (const sealed of [changed, row.private_key.subarray(0, -1), Buffer.concat([row.private_key, Buffer.of(0)]), Buffer.of(0)]) {
    await query('update signing_key set private_key = $1', [sealed]);
    await assert.rejects(keysOf(deps(db)).current(), DecryptionError);
  }
  await query("update signing_key set private_key = $1, kid = 'another'", [row.private_key]);
  await assert.rejects(keysOf(deps(db)).current(), DecryptionError, 'bound to its kid');
});

test('a rotation makes a key of the configured algorithm', async (t) => {
  const { db } = await database(t);
  for (const alg of SIGNING_ALGS satisfies readonly SigningAlg[]) {
    await ensureSigningKey(deps(db, { alg }));
    const { key } = await keyStore(deps(db, { alg })).rotate(COMPROMISED, ACTOR);
    assert.deepEqual([key.alg, (await keysOf(deps(db)).current()).alg], [alg, alg]);
  }
});
