/** `Idempotency-Key` where a secret is made: B08, B09. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Answer, createClient, issueToken, postForm, request } from '../support/client.ts';
import { createDatabase, testPostgres } from '../support/database.ts';
import { faultyNetwork } from '../support/faults.ts';
import { type InProcessServer, openServer, until } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
before(async () => {
  server = await openServer();
  administrator = await issueToken(server.url, server.admin);
});
after(() => server.stop());

function post(url: string, token: string, body: unknown, key: string): Promise<Answer> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': key };
  return request(url, { method: 'POST', headers, body: JSON.stringify(body) });
}

/** They wait for one another, and on a busy machine not all of them for long enough: who hears 503 asks again, which the key is for. */
async function insist(url: string, body: unknown, key: string): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await post(url, administrator, body, key);
    if (answer.status !== 503 || attempt === 10) return answer;
  }
}

const isSignedIn = async (clientId: string, clientSecret: string, { url }: InProcessServer = server) =>
  (await postForm(`${url}/token`, 'grant_type=client_credentials', { clientId, clientSecret })).status === 200;

test('B08 of twenty requests with one key one makes a client or a secret; the others are answered as it was, but for the secret', async () => {
  const { clientId } = await createClient(server);
  for (const path of ['/clients', `/clients/${clientId}/secrets`]) {
    const key = `"many-${path.length}"`;
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => insist(server.url + path, path === '/clients' ? { client_name: 'once' } : { name: 'once' }, key)),
    );
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201], path);
    const [first, ...more] = answers.filter(({ body }) => body.client_secret !== undefined);
    assert.ok(first && more.length === 0, 'the secret is shown once');
    assert.ok(await isSignedIn(first.body.client_id ?? clientId, first.body.client_secret));
    const { client_secret: _, client_secret_expires_at: __, ...rest } = first.body;
    for (const { body, headers } of answers.filter((answer) => answer !== first)) {
      const { notice, ...others } = body;
      assert.match(notice, /was shown then and is not kept\. POST \/clients\/[^ ]+\/secrets/);
      assert.deepEqual(others, rest);
      assert.deepEqual([headers.get('etag'), headers.get('location')], [first.headers.get('etag'), first.headers.get('location')]);
    }
    const other = await post(server.url + path, administrator, {}, key);
    assert.deepEqual([other.status, other.body.error], [422, 'idempotency_key_reused'], 'another request');
    assert.equal((await post(server.url + path, administrator, {}, 'a b')).status, 400);
  }
  const kept = await server.database.query('select answer::text from idempotency');
  assert.equal(kept.length, 2);
  assert.ok(!JSON.stringify(kept).includes('sha256:'), 'nor is what proves it kept');
});

test('B08 what was refused is not kept: the same key does it once it can be done', async () => {
  const taken = await createClient(server);
  const refused = await post(`${server.url}/clients`, administrator, { client_id: taken.clientId }, 'refused');
  assert.equal(refused.status, 409);
  assert.equal((await post(`${server.url}/clients/not-yet/secrets`, administrator, {}, 'early')).status, 404);
  assert.equal((await post(`${server.url}/clients`, administrator, { client_id: 'not-yet' }, 'refused')).status, 201);
  const late = await post(`${server.url}/clients/not-yet/secrets`, administrator, {}, 'early');
  assert.ok(await isSignedIn('not-yet', late.body.client_secret));
});

test('B09 the answer to the commit is lost: 503, and whoever repeats it has one client, and learns how to get a secret', async (t) => {
  const database = await createDatabase();
  const { host, port, user } = testPostgres();
  const network = await faultyNetwork(t, { host, port, user, database: '' });
  const name = String(database.connection.database);
  const far = await openServer({ DATABASE_URL: `postgres://${user}@127.0.0.1:${network.port}/${name}` });
  t.after(async () => {
    await far.stop();
    await database.drop();
  });
  const token = await issueToken(far.url, far.admin);
  let isCreating = false;
  network.loseAnswerTo((sent) => {
    isCreating ||= sent.includes('insert-client');
    return isCreating && /Q....commit\0/s.test(sent);
  });
  const create = () => post(`${far.url}/clients`, token, { client_name: 'lost' }, 'lost-1');
  const lost = await create();
  assert.deepEqual([lost.status, lost.headers.get('retry-after')], [503, '1'], lost.text);
  network.set('passing');
  await until(async () => (await request(`${far.url}/health/ready`)).status === 200, 10_000);
  const again = await create();
  assert.deepEqual([again.status, again.body.client_name, again.body.client_secret], [201, 'lost', undefined], again.text);
  const { client_id: id, notice } = again.body;
  assert.ok(notice.includes(`/clients/${id}/secrets`));
  const made = await database.query("select client_id from client where registration->>'client_name' = 'lost'");
  assert.deepEqual(made, [{ client_id: id }]);
  const { body } = await post(`${far.url}/clients/${id}/secrets`, token, {}, 'lost-2');
  assert.ok(await isSignedIn(id, body.client_secret, far));
});
