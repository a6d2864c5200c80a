/** How many tokens of a client may be alive: T06. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm, sendJson } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer, until } from '../support/server.ts';

let server: InProcessServer;
let other: InProcessServer;
let administrator: string;
before(async () => {
  const keys = { AUTH_ENCRYPTION_KEY: randomBytes(32).toString('base64') };
  server = await openServer(keys);
  other = await openServer({ ...keys, DATABASE_URL: server.database.url, AUTH_ADMIN_CLIENT_SECRET: server.admin.clientSecret });
  administrator = await issueToken(server.url, server.admin);
});
after(async () => {
  await other?.stop();
  await server.stop();
});

const ask = (client: Credentials, url = server.url) => postForm(`${url}/token`, { grant_type: 'client_credentials' }, client);
const statuses = async (client: Credentials, times: number) => {
  const answers = [];
  for (let n = 0; n < times; n++) answers.push((await ask(client)).status);
  return answers;
};
const limited = (limit: number, metadata: object = {}) => createClient(server, { access_token_limit: limit, ...metadata });

test('T06 beyond the limit it is 429 with Retry-After, and nothing is issued; other clients are not concerned', async () => {
  const client = await limited(3, { access_token_ttl: 100 });
  assert.equal(client.document.access_token_limit, 3);
  assert.deepEqual(await statuses(client, 3), [200, 200, 200]);
  const refused = await ask(client);
  assert.deepEqual([refused.status, refused.body.error, refused.headers.get('cache-control')], [429, 'slow_down', 'no-store']);
  const seconds = Number(refused.headers.get('retry-after'));
  assert.ok(seconds > 90 && seconds <= 100, `${seconds}`);
  const [row] = await server.database.query<{ n: number }>('select count(*)::int as n from access_token where client_id = $1', [
    client.clientId,
  ]);
  assert.equal(row?.n, 3);
  assert.deepEqual(await statuses(await createClient(server), 5), [200, 200, 200, 200, 200]);
});

test('T06 what has ended makes room, however it ended: revoked, by a cut-off, expired', async () => {
  const client = await limited(2);
  const token = await issueToken(server.url, client);
  assert.deepEqual(await statuses(client, 2), [200, 429]);
  assert.equal((await postForm(`${server.url}/revoke`, { token }, client)).status, 200);
  assert.deepEqual(await statuses(client, 2), [200, 429]);
  assert.equal((await sendJson('POST', `${server.url}/revocations`, administrator, { sub: client.clientId })).status, 201);
  assert.deepEqual(await statuses(client, 3), [200, 200, 429]);
  const brief = await limited(1, { access_token_ttl: 1 });
  assert.deepEqual(await statuses(brief, 1), [200]);
  await until(async () => (await ask(brief)).status === 200, 5_000);
  const jwts = await limited(1, { access_token_format: 'jwt' });
  assert.deepEqual(await statuses(jwts, 2), [200, 429]);
});

test('T06 thirty requests at once at two nodes: as many as the limit says, to the token', async () => {
  const client = await limited(7);
  const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => ask(client, n % 2 === 0 ? server.url : other.url)));
  const issued = answers.filter(({ status }) => status === 200).length;
  // They wait for one another, and on a busy machine not all of them for long enough.
  assert.ok(answers.every(({ status }) => [200, 429, 503].includes(status)) && issued > 0 && issued <= 7, `${issued}`);
  await until(async () => (await ask(client)).status === 429, 5_000);
  const [row] = await server.database.query<{ n: number }>('select count(*)::int as n from access_token where client_id = $1', [
    client.clientId,
  ]);
  assert.equal(row?.n, 7);
});

test('T06 a limit counts what is issued under it; without it nothing is counted', async () => {
  const client = await createClient(server);
  assert.deepEqual(await statuses(client, 2), [200, 200]);
  const set = (limit: number | null) =>
    sendJson('PATCH', `${server.url}/clients/${client.clientId}`, administrator, { access_token_limit: limit });
  assert.equal((await set(1)).status, 200);
  assert.deepEqual(await statuses(client, 2), [200, 429]);
  assert.equal((await set(null)).body.access_token_limit, undefined);
  assert.deepEqual(await statuses(client, 3), [200, 200, 200]);
  const [row] = await server.database.query<{ n: number }>('select count(*)::int as n from limited_token where client_id = $1', [
    client.clientId,
  ]);
  assert.equal(row?.n, 1);
});

test('T06 a client with a limit that asks as often as it can holds one connection of a node, so that others are answered', async () => {
  const [greedy, other] = [await limited(5), await createClient(server)];
  let isOver = false;
  const asking = Array.from({ length: 60 }, async () => {
    while (!isOver) await ask(greedy);
  });
  const waiting: unknown[] = [];
  for (let n = 0; n < 10; n++) {
    await ask(other);
    waiting.push(
      ...(await server.database.query(
        `select pid from pg_locks where locktype = 'advisory' and not granted
          and database = (select oid from pg_database where datname = current_database())`,
      )),
    );
  }
  isOver = true;
  await Promise.all(asking);
  assert.deepEqual(waiting, [], 'none waits for the turn of another one');
});
