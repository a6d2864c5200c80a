/** The audit beside the requests: its lines in the log, its outage. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { issueToken, postForm, sendJson } from '../support/client.ts';
import { scrape } from '../support/metrics.ts';
import { type InProcessServer, openServer, until } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
before(async () => {
  server = await openServer({ AUTH_AUDIT_LOG: 'true' });
  administrator = await issueToken(server.url, server.admin);
});
after(() => server.stop());

const lines = () =>
  server
    .logged()
    .split('\n')
    .filter((line) => line.includes('"msg":"audit"'))
    .map((line) => JSON.parse(line).audit);

test('AUTH_AUDIT_LOG: each row is a line in the log once it is committed, as GET /audit shows it; what was not done is none', async () => {
  const created = await sendJson('POST', `${server.url}/clients`, administrator, { client_id: 'logged' });
  assert.equal(created.status, 201);
  assert.equal((await sendJson('POST', `${server.url}/clients`, administrator, { client_id: 'logged' })).status, 409);
  const token = await issueToken(server.url, { clientId: 'logged', clientSecret: created.body.client_secret });
  await postForm(`${server.url}/revoke`, { token }, { clientId: 'logged', clientSecret: created.body.client_secret });
  const { items } = (await sendJson('GET', `${server.url}/audit?after=0`, administrator)).body;
  assert.deepEqual(lines(), items);
  assert.deepEqual(
    items.map(({ action }: { readonly action: string }) => action),
    ['keys.create', 'client.create', 'client.create', 'token.revoke'],
  );
  assert.ok(!server.logged().includes(created.body.client_secret));
});

test('junk is refused as often as it comes, and written ten times a minute; the rest is counted', async () => {
  for (let n = 0; n < 15; n++) assert.equal((await sendJson('GET', `${server.url}/clients`, `junk${n}`)).status, 401);
  const unrecorded = async () => (await scrape(server.url)).values.get('auth_denied_unrecorded_total{reason="limit"}');
  assert.equal(await unrecorded(), 5);
  const rows = () => server.database.query("select from audit where action = 'denied'");
  await until(async () => (await rows()).length === 10, 10_000);
  assert.ok(!server.logged().includes('junk'));
});

test('without AUTH_AUDIT_LOG the log has none of it', async (t) => {
  const other = await openServer();
  t.after(() => other.stop());
  await sendJson('POST', `${other.url}/clients`, await issueToken(other.url, other.admin), {});
  assert.ok(!other.logged().includes('"audit"'));
});

test('while the audit cannot be written nothing is changed, nothing is read, and a refusal is answered all the same', async (t) => {
  const weak = await issueToken(server.url, server.admin, { scope: 'auth:clients:read' });
  const locker = new pg.Client(server.database.connection);
  await locker.connect();
  t.after(() => locker.end());
  await locker.query('begin; lock table audit in access exclusive mode');
  const calls = [
    sendJson('POST', `${server.url}/clients`, administrator, { client_id: 'unaudited' }),
    sendJson('GET', `${server.url}/audit`, administrator),
    sendJson('POST', `${server.url}/clients`, weak, {}),
    sendJson('GET', `${server.url}/audit`, weak),
  ];
  assert.deepEqual(
    (await Promise.all(calls)).map(({ status }) => status),
    [503, 503, 403, 403],
  );
  await locker.query('commit');
  assert.deepEqual(await server.database.query("select from client where client_id = 'unaudited'"), []);
  assert.ok(!server.logged().includes('unaudited'));
});
