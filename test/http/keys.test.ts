/** `/keys`: who may, what is refused, and what a rotation does to tokens, on two nodes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Answer, createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type InProcessServer, openServer, until } from '../support/server.ts';

let database: TestDatabase;
let server: InProcessServer;
let other: InProcessServer;
let bearer: string;
before(async () => {
  database = await createDatabase();
  const shared = {
    DATABASE_URL: database.url,
    AUTH_ISSUER: 'https://auth.example.com',
    AUTH_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
    AUTH_ADMIN_CLIENT_SECRET: randomBytes(32).toString('hex'),
  };
  [server, other] = [await openServer(shared), await openServer(shared)];
  server = { ...server, admin: { clientId: 'admin', clientSecret: shared.AUTH_ADMIN_CLIENT_SECRET } };
  bearer = await issueToken(server.url, server.admin, { scope: 'auth:keys' });
});
after(async () => {
  await Promise.all([server.stop(), other.stop()]);
  await database.drop();
});

const rotate = (body?: unknown, token: string | undefined = bearer) => sendJson('POST', `${server.url}/keys/rotate`, token, body);
/** Many at once on a busy machine may wait longer than an outage may take to be said. */
async function insist(call: () => Promise<Answer>): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await call();
    if (answer.status !== 503 || attempt === 20) return answer;
  }
}
const list = async (url = server.url) => (await sendJson('GET', `${url}/keys`, bearer)).body.items as Record<string, string>[];
const jwks = async (url = server.url) => (await request(`${url}/jwks`)).body.keys as Record<string, string>[];
const written = async () => [
  await database.query('select * from signing_key order by kid'),
  await database.query('select last_seq from change_log'),
  await database.query("select count(*) from audit where action <> 'denied'"),
];

const REFUSALS: readonly [why: string, body: unknown, status: number, pointer: string | undefined][] = [
  ['no JSON', '{', 400, undefined],
  ['no object', [], 400, undefined],
  ['an unknown member', { at: 'now' }, 400, '/at'],
  ['a time that is none', { activate_at: 'tomorrow' }, 400, '/activate_at'],
  ['a time in seconds', { activate_at: 1_900_000_000 }, 400, '/activate_at'],
  ['a day that does not exist', { activate_at: '2030-02-30T00:00:00Z' }, 400, '/activate_at'],
  ['null', { activate_at: null }, 400, '/activate_at'],
  ['the past', { activate_at: '2020-01-01T00:00:00Z' }, 400, '/activate_at'],
  ['too far', { activate_at: '9999-01-01T00:00:00Z' }, 400, '/activate_at'],
  ['a moment at which nobody knows the key', { activate_at: 'now' }, 400, '/activate_at'],
  ['a compromise that is no boolean', { compromised: 'yes' }, 400, '/compromised'],
  ['a compromise that can wait', { compromised: true, activate_at: '2030-01-01T00:00:00Z' }, 400, '/activate_at'],
];

for (const [why, body, status, pointer] of REFUSALS) {
  test(`POST /keys/rotate refuses ${why}, and writes nothing (RFC 9457)`, async () => {
    const before = await written();
    const answer = await rotate(body);
    assert.deepEqual([answer.status, answer.body.errors?.[0]?.pointer], [status, pointer], answer.text);
    assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
    assert.deepEqual(await written(), before);
  });
}

test('only with auth:keys (RFC 6750 §3.1)', async () => {
  const before = await written();
  const lacking = await issueToken(server.url, server.admin, { scope: 'auth:clients auth:audit' });
  for (const [token, status] of [
    [undefined, 401],
    ['at_junk', 401],
    [lacking, 403],
  ] as const) {
    const answers = [await sendJson('POST', `${server.url}/keys/rotate`, token), await sendJson('GET', `${server.url}/keys`, token)];
    for (const answer of answers) assert.equal(answer.status, status);
  }
  assert.equal((await rotate({}, lacking)).headers.get('www-authenticate')?.includes('scope="auth:keys"'), true);
  assert.equal((await sendJson('POST', `${server.url}/keys/rotate`, bearer, 'x=1', 'application/x-www-form-urlencoded')).status, 415);
  assert.deepEqual(await written(), before);
});

test('a store that does not answer is 503, and nothing is written', async () => {
  const before = await written();
  const client = new pg.Client(database.connection);
  await client.connect();
  await client.query('begin; lock table signing_key in access exclusive mode');
  const answer = await rotate();
  await client.query('rollback');
  await client.end();
  assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '1']);
  assert.deepEqual(await written(), before);
});

test('twenty at once: one key is made, all are told which; then it is moved, and nothing private is ever shown', async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => insist(() => rotate())));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array.from({ length: 19 }, () => 200), 201]);
  assert.equal(new Set(answers.map(({ body }) => body.kid)).size, 1);
  const [made] = answers;
  assert.deepEqual(Object.keys(made?.body).sort(), ['active_from', 'alg', 'created_at', 'kid', 'state']);
  const activateAt = new Date(Date.now() + 3_600_000).toISOString();
  const moved = await rotate({ activate_at: activateAt });
  assert.deepEqual([moved.status, moved.body.kid, moved.body.active_from], [200, made?.body.kid, activateAt]);
  const items = await list();
  assert.deepEqual(
    items.map(({ state }) => state),
    ['active', 'next'],
  );
  assert.equal(items[0]?.retiring_from, activateAt);
  for (const item of items)
    for (const name of Object.keys(item)) assert.match(name, /^(kid|alg|state|(created|gone)_at|(active|retiring)_from)$/);
  await until(async () => (await jwks(other.url)).length === 2, 5_000);
  assert.deepEqual(
    (await jwks(other.url)).map(({ kid }) => kid),
    items.map(({ kid }) => kid),
    'the signing key first',
  );
});

test('after a compromise its JWTs are inactive, on both nodes and at our own doors; reference tokens live on', async () => {
  const settings = { scope: 'read auth:keys', audience: ['https://api.example.com'] };
  const [client, plain] = [await createClient(server, { ...settings, access_token_format: 'jwt' }), await createClient(server, settings)];
  const [jwt, reference] = [await issueToken(server.url, client), await issueToken(server.url, plain)];
  const isActive = async (url: string, token: string, who = client) => (await postForm(`${url}/introspect`, { token }, who)).body.active;
  for (const { url } of [server, other]) assert.deepEqual([await isActive(url, jwt), await isActive(url, reference, plain)], [true, true]);
  assert.equal((await sendJson('GET', `${server.url}/keys`, jwt)).status, 200);

  const before = (await jwks()).map(({ kid }) => kid);
  const { status, body } = await rotate({ compromised: true });
  assert.deepEqual([status, body.state], [201, 'active']);
  assert.equal(await isActive(server.url, jwt), false, 'where it was asked for: at once');
  assert.equal((await sendJson('GET', `${server.url}/keys`, jwt)).status, 401);
  await until(async () => !(await isActive(other.url, jwt)), 5_000);
  for (const { url } of [server, other]) {
    assert.equal(await isActive(url, reference, plain), true);
    assert.deepEqual(
      (await jwks(url)).map(({ kid }) => kid),
      [body.kid],
    );
  }
  const fresh = await issueToken(other.url, client);
  for (const { url } of [server, other]) assert.equal(await isActive(url, fresh), true);
  const gone = (await list()).filter(({ state }) => state === 'gone').map(({ kid }) => kid);
  assert.deepEqual(gone.toSorted(), before.toSorted());
});
