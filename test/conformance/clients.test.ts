/** Client management: RFC 9457 problems, RFC 7396 patches, who may do what. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm, sendJson } from '../support/client.ts';
import { type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
before(async () => {
  server = await openServer();
  administrator = await issueToken(server.url, server.admin);
});
after(() => server.stop());

const send = (method: string, path: string, body?: unknown, token = administrator) => sendJson(method, server.url + path, token, body);

test('RFC 9457: a problem per field, with its JSON pointer, and nothing is written', async () => {
  const count = async () => (await server.database.query('select count(*) from client'))[0];
  const earlier = await count();
  const answer = await send('POST', '/clients', { scope: 'a  b', access_token_ttl: 0, audience: 'x', tpyo: 1, claims: { sub: 'x' } });
  assert.deepEqual(
    [answer.status, answer.headers.get('content-type'), answer.body.error],
    [400, 'application/problem+json', 'invalid_client_metadata'],
  );
  const pointers = answer.body.errors.map((problem: { pointer: string }) => problem.pointer).sort();
  assert.deepEqual(pointers, ['/access_token_ttl', '/audience', '/claims/sub', '/scope', '/tpyo']);
  const bodies = [
    '[]',
    '5',
    '{',
    '{"a":1e999}',
    '{"claims":{"__proto__":{}}}',
    '{"client_name":"\\u0000"}',
    '{"client_name":"\\ud800"}',
    `{"claims":${'{"a":'.repeat(50)}1${'}'.repeat(50)}}`,
  ];
  for (const body of bodies) assert.equal((await send('POST', '/clients', body)).status, 400, body.slice(0, 40));
  assert.equal((await sendJson('POST', `${server.url}/clients`, administrator, '{}', 'text/plain')).status, 415);
  assert.equal((await send('POST', '/clients', `{"client_name":"${'x'.repeat(70_000)}"}`)).status, 413);
  assert.deepEqual(await count(), earlier);
});

test('what was read can be written: GET, then PUT, is lossless', async () => {
  const made = await createClient(server, {
    client_name: 'Orders',
    'client_name#de': 'Bestellungen',
    scope: 'a b',
    claims: { x: { y: [1] } },
    access_token_ttl: 60,
    contacts: ['ops@example.com'],
  });
  const path = `/clients/${made.clientId}`;
  const read = (await send('GET', path)).body;
  const { updated_at, ...written } = (await send('PUT', path, read)).body;
  const { updated_at: earlier, ...expected } = read;
  assert.ok(updated_at >= earlier);
  assert.deepEqual(written, expected);
  assert.equal('client_secret' in read, false, 'a secret is shown once');
  assert.equal((await send('PUT', path, {})).body.client_name, undefined, 'what is omitted is removed');
  assert.equal((await send('PUT', path, { client_id: 'other' })).status, 400);
});

test('RFC 7396: a merge patch changes what it names, null removes, two at once both count', async () => {
  const { clientId } = await createClient(server, { client_name: 'x', claims: { a: 1, b: { c: 1 } }, access_token_ttl: 60 });
  const path = `/clients/${clientId}`;
  const patched = await sendJson(
    'PATCH',
    server.url + path,
    administrator,
    { client_name: null, claims: { a: null, b: { d: 2 } }, access_token_ttl: null },
    'application/merge-patch+json',
  );
  assert.deepEqual(
    [patched.body.client_name, patched.body.claims, patched.body.access_token_ttl],
    [undefined, { b: { c: 1, d: 2 } }, undefined],
  );
  await Promise.all(Array.from({ length: 8 }, (_, index) => send('PATCH', path, { claims: { [`k${index}`]: index } })));
  assert.equal(Object.keys((await send('GET', path)).body.claims).length, 9);
});

test('pages: every client once, while others come and go', async () => {
  await Promise.all(Array.from({ length: 7 }, (_, index) => send('POST', '/clients', { client_id: `page-${index}` })));
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await send('GET', `/clients?limit=3${cursor ? `&cursor=${cursor}` : ''}`);
    seen.push(...page.body.items.map((client: { client_id: string }) => client.client_id));
    cursor = page.body.next_cursor;
    await send('DELETE', `/clients/${seen[0]}x`);
  } while (cursor);
  assert.equal(new Set(seen).size, seen.length);
  for (let index = 0; index < 7; index++) assert.ok(seen.includes(`page-${index}`));
  for (const query of [
    'limit=0',
    'limit=501',
    'limit=x',
    'cursor=%27',
    'cursor=YQ==',
    `cursor=${Buffer.from("a'; drop table client").toString('base64url')}`,
  ]) {
    assert.equal((await send('GET', `/clients?${query}`)).status, 400, query);
  }
});

test('secrets: several at a time, each ends by itself and ends no token', async () => {
  const client = await createClient(server, { scope: 'a' });
  const path = `/clients/${client.clientId}/secrets`;
  const added = await send('POST', path, { name: 'second', expires_at: '2999-01-01T00:00:00Z' });
  assert.deepEqual([added.status, added.body.name, added.body.expires_at], [201, 'second', '2999-01-01T00:00:00.000Z']);
  const second = { clientId: client.clientId, clientSecret: added.body.client_secret };
  const token = await issueToken(server.url, client);
  assert.ok(await issueToken(server.url, second));
  const [first] = (await send('GET', `/clients/${client.clientId}`)).body.secrets;
  assert.equal((await send('DELETE', `${path}/${first.id}`)).status, 204);
  assert.equal((await send('DELETE', `${path}/${first.id}`)).status, 404);
  assert.equal((await postForm(`${server.url}/token`, 'grant_type=client_credentials', client)).status, 401);
  assert.equal((await postForm(`${server.url}/introspect`, { token }, second)).body.active, true);
  for (const body of [{ expires_at: '2020-01-01T00:00:00Z' }, { expires_at: 'tomorrow' }, { name: 5 }, { client_secret: 'chosen' }])
    assert.equal((await send('POST', path, body)).status, 400);
  for (let count = 1; count < 10; count++) assert.equal((await send('POST', path)).status, 201);
  assert.equal((await send('POST', path)).status, 409, 'ten at most');
});

test('O09 a secret that has leaked: with revoke_tokens=true its end is the end of the client’s tokens, by one change; nothing but true and false is taken', async () => {
  const client = await createClient(server);
  const path = `/clients/${client.clientId}/secrets`;
  const leaked = (await send('GET', `/clients/${client.clientId}`)).body.secrets[0];
  const second = { clientId: client.clientId, clientSecret: (await send('POST', path, {})).body.client_secret };
  const token = await issueToken(server.url, client);
  const isActive = async () => (await postForm(`${server.url}/introspect`, { token }, second)).body.active;
  for (const query of ['yes', '', 'TRUE', 'true&revoke_tokens=true', 'true&revoke_tokens=false']) {
    assert.equal((await send('DELETE', `${path}/${leaked.id}?revoke_tokens=${query}`)).status, 400, query);
  }
  assert.equal(await isActive(), true, 'a refusal ends nothing');
  const changes = () => server.database.query<{ kind: string }>('select kind from change order by seq');
  const before = (await changes()).length;
  assert.equal((await send('DELETE', `${path}/${leaked.id}?revoke_tokens=true`)).status, 204);
  assert.deepEqual((await changes()).slice(before), [{ kind: 'client' }]);
  assert.equal(await isActive(), false);
  assert.ok(await issueToken(server.url, second), 'the client goes on with its other secret');
  const kept = await issueToken(server.url, second);
  const [last] = (await send('GET', `/clients/${client.clientId}`)).body.secrets;
  await send('POST', path, {});
  assert.equal((await send('DELETE', `${path}/${last.id}?revoke_tokens=false`)).status, 204);
  assert.equal((await postForm(`${server.url}/introspect`, { token: kept }, server.admin)).body.active, true);
});

test('nobody gives what he has not: auth:* scopes, and clients that hold them', async () => {
  const operator = await issueToken(server.url, await createClient(server, { scope: 'auth:clients read' }));
  const ours = (await send('POST', '/clients', { scope: 'write auth:clients' }, operator)).body.client_id;
  assert.ok(ours, 'it may give what it holds, and any scope that is not auth:*');
  assert.equal((await send('POST', '/clients', { scope: 'auth:audit' }, operator)).status, 403);
  assert.equal((await send('PATCH', `/clients/${ours}`, { scope: 'auth:keys' }, operator)).status, 403);
  const attempts: readonly [string, string, unknown?][] = [
    ['POST', '/clients/admin/secrets', {}],
    ['PATCH', '/clients/admin', { disabled: true }],
    ['PUT', '/clients/admin', {}],
    ['DELETE', '/clients/admin'],
  ];
  for (const [method, path, body] of attempts) {
    const answer = await send(method, path, body, operator);
    assert.deepEqual([answer.status, answer.body.error], [403, 'insufficient_scope'], `${method} ${path}`);
  }
});

test('every change has its audit row, with who did it and no secret', async () => {
  const before = (await server.database.query<{ n: number }>('select coalesce(max(id), 0) n from audit'))[0]?.n;
  const { clientId } = await createClient(server);
  const secret = (await send('POST', `/clients/${clientId}/secrets`, {})).body;
  await send('PATCH', `/clients/${clientId}`, { disabled: true });
  await send('DELETE', `/clients/${clientId}/secrets/${secret.id}`);
  await send('DELETE', `/clients/${clientId}`);
  const rows = await server.database.query<{ action: string; actor_client_id: string }>('select * from audit where id > $1 order by id', [
    before,
  ]);
  assert.deepEqual(
    rows.map((row) => row.action),
    ['client.create', 'client.secret.add', 'client.update', 'client.secret.remove', 'client.delete'],
  );
  assert.ok(rows.every((row) => row.actor_client_id === 'admin') && !JSON.stringify(rows).includes(secret.client_secret));
});
