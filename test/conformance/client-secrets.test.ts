/** Secrets over their life: rotation in one call, and when they were used: E07, E08. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm, sendJson } from '../support/client.ts';
import { createDatabase } from '../support/database.ts';
import { type Credentials, type InProcessServer, openServer, startServer, until } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
before(async () => {
  server = await openServer();
  administrator = await issueToken(server.url, server.admin);
});
after(() => server.stop());

const send = (method: string, path: string, body?: unknown) => sendJson(method, server.url + path, administrator, body);
const statusOf = async (who: Credentials) => (await postForm(`${server.url}/token`, 'grant_type=client_credentials', who)).status;
const secretsOf = async (clientId: string) => (await send('GET', `/clients/${clientId}`)).body.secrets;

test('E07 a rotation is one call and one change: a new secret, and an end for the others, which no token loses by', async () => {
  const client = await createClient(server);
  const path = `/clients/${client.clientId}/secrets`;
  const sooner = (await send('POST', path, { expires_at: '2998-01-01T00:00:00Z' })).body;
  const token = await issueToken(server.url, client);
  const log = async () => (await server.database.query('select kind, key from change order by seq')).length;
  const before = await log();
  const rotated = await send('POST', path, { name: 'next', previous_expires_at: '2999-01-01T01:00:00+01:00' });
  assert.deepEqual([rotated.status, rotated.body.name, rotated.body.expires_at], [201, 'next', undefined]);
  assert.equal(await log(), before + 1);
  assert.deepEqual(
    (await secretsOf(client.clientId)).map(({ id, expires_at }: Record<string, string>) => [id, expires_at]),
    [
      [(client.document.secrets as { id: string }[])[0]?.id, '2999-01-01T00:00:00.000Z'],
      [sooner.id, '2998-01-01T00:00:00.000Z'],
      [rotated.body.id, undefined],
    ],
  );
  for (const clientSecret of [client.clientSecret, sooner.client_secret, rotated.body.client_secret])
    assert.equal(await statusOf({ clientId: client.clientId, clientSecret }), 200);
  assert.equal((await postForm(`${server.url}/introspect`, { token }, client)).body.active, true);
  const [audited] = await server.database.query<{ detail: object }>('select detail from audit order by id desc limit 1');
  assert.deepEqual(audited?.detail, { secret_id: rotated.body.id, previous_expires_at: '2999-01-01T00:00:00.000Z' });
});

test('E07 from the end on the old secret is wrong, and the new one goes on', async () => {
  const client = await createClient(server);
  assert.equal(await statusOf(client), 200, 'it is in memory');
  const previous_expires_at = new Date(Date.now() + 2_000).toISOString();
  const rotated = await send('POST', `/clients/${client.clientId}/secrets`, { previous_expires_at });
  await until(async () => (await statusOf(client)) === 401, 10_000);
  assert.ok(Date.now() >= Math.floor(Date.parse(previous_expires_at) / 1000) * 1000, 'not before its end');
  assert.equal(await statusOf({ clientId: client.clientId, clientSecret: rotated.body.client_secret }), 200);
});

test('E07 an end that is no time in the future is refused, whatever else is right, and nothing is written', async () => {
  const { clientId } = await createClient(server);
  const written = () => server.database.query('select (select last_seq from change_log), (select count(*) from client_secret)');
  const before = await written();
  for (const previous_expires_at of [new Date().toISOString(), '2020-01-01T00:00:00Z', 'now', '', null, 0]) {
    const answer = await send('POST', `/clients/${clientId}/secrets`, { name: 'x', previous_expires_at });
    assert.deepEqual([answer.status, answer.body.errors?.[0]?.pointer], [400, '/previous_expires_at'], String(previous_expires_at));
  }
  assert.deepEqual(await written(), before);
});

test('E07 a client is rotated for ever: what has ended makes place, what has not does not', async () => {
  const { clientId } = await createClient(server);
  const path = `/clients/${clientId}/secrets`;
  const rotate = () => send('POST', path, { previous_expires_at: '2999-01-01T00:00:00Z' });
  for (let count = 1; count < 10; count++) assert.equal((await rotate()).status, 201);
  const full = await rotate();
  assert.deepEqual([full.status, full.body.error, (await secretsOf(clientId)).length], [409, 'conflict', 10]);
  await server.database.query(
    "update client_secret set expires_at = now() - interval '1 s' where client_id = $1 and expires_at is not null",
    [clientId],
  );
  assert.equal((await rotate()).status, 201);
  assert.equal((await secretsOf(clientId)).length, 2);
});

test('E08 last_used_at: when a secret was last right; written at the end of the process at the latest, and no change of the client', async () => {
  const database = await createDatabase();
  const environment = {
    DATABASE_URL: database.url,
    AUTH_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
    AUTH_ADMIN_CLIENT_SECRET: randomBytes(32).toString('hex'),
  };
  const first = await startServer({ env: environment });
  const client = await createClient(first);
  const read = async (url: string) => {
    const token = await issueToken(url, { clientId: 'admin', clientSecret: environment.AUTH_ADMIN_CLIENT_SECRET });
    return sendJson('GET', `${url}/clients/${client.clientId}`, token);
  };
  const tag = (await read(first.url)).headers.get('etag');
  const spare = await sendJson('POST', `${first.url}/clients`, await issueToken(first.url, first.admin), { client_id: 'never-used' });
  const since = Date.now();
  assert.equal((await postForm(`${first.url}/introspect`, { token: 'at_x' }, client)).status, 200);
  await postForm(`${first.url}/token`, 'grant_type=client_credentials', { clientId: 'never-used', clientSecret: 'wrong' });
  await first.stop();
  const second = await openServer(environment);
  try {
    const { headers, body } = await read(second.url);
    const usedAt = Date.parse(body.secrets[0].last_used_at);
    assert.ok(usedAt >= since - 2_000 && usedAt <= Date.now() + 2_000, body.secrets[0].last_used_at);
    assert.equal(headers.get('etag'), tag);
    const [row] = await database.query<{ last_used_at: Date | null }>('select last_used_at from client_secret where client_id = $1', [
      spare.body.client_id,
    ]);
    assert.equal(row?.last_used_at, null, 'a wrong secret is no use of the right one');
  } finally {
    await second.stop();
    await database.drop();
  }
});
