import assert from 'node:assert/strict';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import { SIGNING_ALGS } from '../../src/core/signing-key.ts';
import { DecryptionError, ensureSigningKey, signingKeys } from '../../src/postgres/keys.ts';
import { signingKeysContract } from '../contracts/signing-keys.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

const [KEY, OTHER_KEY] = [randomBytes(32), randomBytes(32)];

async function database(t: TestContext): Promise<TestDatabase> {
  const created = await createDatabase();
  t.after(() => created.drop());
  return created;
}

describe('on PostgreSQL', () => {
  signingKeysContract(async () => {
    const { db, drop } = await createDatabase();
    for (const alg of SIGNING_ALGS) await ensureSigningKey(db, alg, [KEY]);
    return { keys: signingKeys(db, [KEY]), close: drop };
  });
});

test('ten nodes that start at once make one key, one entry in the change log, one in the audit', async (t) => {
  const { db, query } = await database(t);
  // Ten connections that are there already, else the first key is made before the last one has connected.
  await Promise.all(Array.from({ length: 10 }, () => db.query({ text: 'select pg_sleep(0.1)' })));
  await Promise.all(Array.from({ length: 10 }, () => ensureSigningKey(db, 'ES256', [KEY])));
  const [key] = await query<{ kid: string }>('select kid from signing_key');
  assert.ok(key);
  assert.equal((await signingKeys(db, [KEY]).all()).length, 1);
  assert.deepEqual(await query('select seq::int, kind, key from change'), [{ seq: 1, kind: 'keys', key: key.kid }]);
  assert.deepEqual(await query('select action, target, actor_client_id, detail from audit'), [
    { action: 'keys.create', target: key.kid, actor_client_id: null, detail: { alg: 'ES256' } },
  ]);
});

test('the same algorithm at the next start changes nothing', async (t) => {
  const { db, query } = await database(t);
  await ensureSigningKey(db, 'EdDSA', [KEY]);
  const before = await query('select * from signing_key');
  await ensureSigningKey(db, 'EdDSA', [KEY]);
  assert.deepEqual(await query('select * from signing_key'), before);
  assert.deepEqual(await query('select last_seq::int from change_log'), [{ last_seq: 1 }]);
});

test('another algorithm makes another key, which signs; the first one stays published', async (t) => {
  const { db } = await database(t);
  const keys = signingKeys(db, [KEY]);
  await ensureSigningKey(db, 'ES256', [KEY]);
  const first = await keys.current();
  await ensureSigningKey(db, 'RS256', [KEY]);
  const second = await keys.current();
  assert.deepEqual([first.alg, second.alg], ['ES256', 'RS256']);
  assert.deepEqual(
    (await keys.all()).map(({ kid }) => kid),
    [second.kid, first.kid],
  );
});

for (const [why, keys] of [
  ['another key', [OTHER_KEY]],
  ['no key', []],
] as const) {
  test(`${why} in AUTH_ENCRYPTION_KEY: a DecryptionError, at the start and at the use, and no key is made`, async (t) => {
    const { db, query } = await database(t);
    await ensureSigningKey(db, 'ES256', [KEY]);
    for (const alg of ['ES256', 'RS256'] as const) await assert.rejects(ensureSigningKey(db, alg, keys), DecryptionError);
    await assert.rejects(signingKeys(db, keys).current(), DecryptionError);
    assert.equal((await signingKeys(db, keys).all()).length, 1, 'what is public is served all the same');
    assert.equal((await query('select from signing_key')).length, 1);
  });
}

test('without any key nothing is made, not even the first one', async (t) => {
  const { db, query } = await database(t);
  await assert.rejects(ensureSigningKey(db, 'ES256', []), DecryptionError);
  assert.deepEqual(await query('select from signing_key'), []);
});

test('while the encryption key is rotated the second one of the list opens what it sealed', async (t) => {
  const { db } = await database(t);
  await ensureSigningKey(db, 'ES256', [KEY]);
  await ensureSigningKey(db, 'ES256', [OTHER_KEY, KEY]);
  assert.equal((await signingKeys(db, [OTHER_KEY, KEY]).current()).alg, 'ES256');
  await ensureSigningKey(db, 'EdDSA', [OTHER_KEY, KEY]);
  assert.equal((await signingKeys(db, [OTHER_KEY]).current()).alg, 'EdDSA', 'the first one seals what is made from now on');
});

test('the private part cannot be read in the table, and two seals of one key differ', async (t) => {
  const { db, query } = await database(t);
  await ensureSigningKey(db, 'ES256', [KEY]);
  const [row] = await query<{ public_jwk: Record<string, string>; private_key: Buffer }>('select public_jwk, private_key from signing_key');
  assert.ok(row);
  const der = (await signingKeys(db, [KEY]).current()).privateKey.export({ format: 'der', type: 'pkcs8' });
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
  await ensureSigningKey(db, 'ES256', [KEY]);
  const [row] = await query<{ private_key: Buffer }>('select private_key from signing_key');
  assert.ok(row);
  const changed = Buffer.from(row.private_key);
  changed[20] = (changed[20] ?? 0) ^ 1;
  for (const sealed of [changed, row.private_key.subarray(0, -1), Buffer.concat([row.private_key, Buffer.of(0)])]) {
    await query('update signing_key set private_key = $1', [sealed]);
    await assert.rejects(signingKeys(db, [KEY]).current(), DecryptionError);
  }
  await query("update signing_key set private_key = $1, kid = 'another'", [row.private_key]);
  await assert.rejects(signingKeys(db, [KEY]).current(), DecryptionError, 'bound to its kid');
});

test('a sealed key that is hardly there is not opened either', async (t) => {
  const { db, query } = await database(t);
  await ensureSigningKey(db, 'ES256', [KEY]);
  await query(String.raw`update signing_key set private_key = '\x00'`);
  await assert.rejects(signingKeys(db, [KEY]).current(), DecryptionError);
});
