/** The scope catalogue: H01 to H04. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { OWN_SCOPES } from '../../src/core/scope.ts';
import { createClient, issueToken, request, sendJson } from '../support/client.ts';
import { rawRequest } from '../support/raw.ts';
import { type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let strict: InProcessServer;
let token: string;
let strictToken: string;
before(async () => {
  [server, strict] = await Promise.all([openServer(), openServer({ AUTH_SCOPES: 'catalogue' })]);
  token = await issueToken(server.url, server.admin);
  strictToken = await issueToken(strict.url, strict.admin);
});
after(() => Promise.all([server.stop(), strict.stop()]));

const call = (method: string, path: string, body?: unknown) => sendJson(method, `${server.url}${path}`, token, body);

/** Everything that a refusal must not have changed. */
async function state({ database }: InProcessServer): Promise<unknown> {
  return database.query(`select (select count(*) from audit where action <> 'denied') as audits, (select last_seq from change_log) as seq,
    (select array_agg(name order by name) from scope) as scopes, (select count(*) from client) as clients`);
}

test('H01 the catalogue has the scopes of this server from the beginning, and nobody changes those', async () => {
  const { body } = await call('GET', '/scopes');
  const own = body.items.filter(({ name }: { name: string }) => name.startsWith('auth:'));
  assert.deepEqual(own.map(({ name }: { name: string }) => name).sort(), [...OWN_SCOPES].sort());
  for (const { description, clients } of own) assert.ok(description !== undefined && clients === 1);
  const from = await state(server);
  for (const [method, path, body] of [
    ['DELETE', '/scopes/auth:keys', undefined],
    ['PATCH', '/scopes/auth:keys', { description: 'mine' }],
    ['POST', '/scopes', { name: 'auth:mine' }],
  ] as const) {
    assert.deepEqual([(await call(method, path, body)).status, path], [409, path]);
  }
  assert.deepEqual(await state(server), from);
});

test('H01 a scope is added, described, shown with a page of its holders, and removed when nobody holds it', async () => {
  const added = await call('POST', '/scopes', { name: 'parcels:read', description: 'see parcels' });
  assert.deepEqual([added.status, added.body.name, added.body.description, added.body.clients], [201, 'parcels:read', 'see parcels', 0]);
  assert.equal(added.headers.get('location'), `${server.url.replace('127.0.0.1', 'localhost')}/scopes/parcels%3Aread`);
  assert.equal((await call('POST', '/scopes', { name: 'parcels:read' })).status, 409);
  for (let n = 0; n < 5; n++) await createClient(server, { client_id: `h01-${n}`, scope: 'parcels:read', disabled: n === 2 });
  const pages: string[][] = [];
  let cursor: string | undefined;
  do {
    const page = await call('GET', `/scopes/parcels:read?limit=2${cursor ? `&cursor=${cursor}` : ''}`);
    assert.deepEqual([page.body.name, page.body.clients], ['parcels:read', 5]);
    pages.push(page.body.items);
    cursor = page.body.next_cursor;
  } while (cursor);
  assert.deepEqual(pages, [['h01-0', 'h01-1'], ['h01-2', 'h01-3'], ['h01-4']]);
  assert.equal((await call('PATCH', '/scopes/parcels:read', { description: 'look at parcels' })).body.description, 'look at parcels');
  assert.equal('description' in (await call('PATCH', '/scopes/parcels:read', { description: null })).body, false);
  assert.equal((await call('DELETE', '/scopes/parcels:read')).status, 409);
  for (let n = 0; n < 5; n++) await call('DELETE', `/clients/h01-${n}`);
  assert.equal((await call('DELETE', '/scopes/parcels:read')).status, 204);
  for (const method of ['GET', 'DELETE']) assert.equal((await call(method, '/scopes/parcels:read')).status, 404);
  const { body } = await sendJson('GET', `${server.url}/audit?target=parcels:read`, token);
  assert.deepEqual(
    body.items.map(({ action }: { action: string }) => action),
    ['scope.delete', 'scope.update', 'scope.update', 'scope.create'],
  );
});

test('H01 pages of the catalogue: each scope once, in the order of names', async () => {
  await createClient(server, { scope: 'page:c page:a page:b' });
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await call('GET', `/scopes?limit=3${cursor ? `&cursor=${cursor}` : ''}`);
    seen.push(...page.body.items.map(({ name }: { name: string }) => name));
    cursor = page.body.next_cursor;
  } while (cursor);
  assert.deepEqual(seen, [...new Set(seen)].sort());
  for (const name of ['page:a', 'page:b', 'page:c', ...OWN_SCOPES]) assert.ok(seen.includes(name), name);
});

for (const [method, path, body] of [
  ['GET', '/scopes?limit=0', undefined],
  ['GET', '/scopes?q=x', undefined],
  ['GET', '/scopes?cursor=%20', undefined],
  ['GET', '/scopes/auth:keys?cursor=%2F', undefined],
  ['POST', '/scopes', {}],
  ['POST', '/scopes', { name: 'a b' }],
  ['POST', '/scopes', { name: '' }],
  ['POST', '/scopes', { name: '..' }],
  ['POST', '/scopes', { name: 'ü' }],
  ['POST', '/scopes', { name: 'x'.repeat(257) }],
  ['POST', '/scopes', { name: 'a', description: 'a\nb' }],
  ['POST', '/scopes', { name: 'a', descripton: 'typing error' }],
  ['PATCH', '/scopes/page:a', {}],
  ['PATCH', '/scopes/page:a', { description: 1 }],
  ['PATCH', '/scopes/page:a', { name: 'page:z' }],
] as const) {
  test(`H01 ${method} ${path} ${JSON.stringify(body)?.slice(0, 40) ?? ''} is refused and writes nothing`, async () => {
    const from = await state(server);
    const answer = await call(method, path, body);
    assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_request']);
    assert.deepEqual(await state(server), from);
  });
}

test('H01 reading needs auth:clients:read or auth:clients, writing auth:clients', async () => {
  const reader = await issueToken(server.url, server.admin, { scope: 'auth:clients:read' });
  const other = await issueToken(server.url, server.admin, { scope: 'auth:audit' });
  const from = await state(server);
  for (const [method, path, body] of [
    ['POST', '/scopes', { name: 'never' }],
    ['PATCH', '/scopes/page:a', { description: 'never' }],
    ['DELETE', '/scopes/page:a', undefined],
  ] as const) {
    assert.equal((await sendJson(method, `${server.url}${path}`, reader, body)).status, 403);
    assert.equal((await sendJson(method, `${server.url}${path}`, undefined, body)).status, 401);
  }
  for (const path of ['/scopes', '/scopes/auth:keys']) {
    assert.deepEqual(
      [(await sendJson('GET', `${server.url}${path}`, reader)).status, (await sendJson('GET', `${server.url}${path}`, other)).status],
      [200, 403],
    );
  }
  assert.deepEqual(await state(server), from);
});

test('H02 a scope token is named in a path whatever it consists of', async () => {
  for (const name of ['https://api.example.com/mail.read', 'a?b#c', '50%', '%2F', "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", 'a+b', '...', '%']) {
    const path = `/scopes/${encodeURIComponent(name)}`;
    assert.equal((await call('POST', '/scopes', { name })).status, 201, name);
    assert.equal((await call('GET', path)).body.name, name);
    assert.equal((await call('DELETE', path)).status, 204, name);
  }
});

for (const target of [
  '/scopes/%61uth:keys',
  '/scopes/auth%3akeys',
  '/scopes/%2E%2E',
  '/scopes/..',
  '/scopes/%2e',
  '/scopes/%',
  '/scopes/%zz',
  '/scopes/%00',
  '/scopes/%C3%BC',
  '/scopes/%7F',
  '/scopes/auth:keys/x',
  '/scopes%2Fauth:keys',
  '/clients/a%2Fb',
  '/clients/a:b',
  '/x/../scopes/auth:keys',
]) {
  test(`H02 another spelling is refused: ${target}`, async () => {
    const lines = [`GET ${target} HTTP/1.1`, 'Host: localhost', `Authorization: Bearer ${token}`, 'Connection: close', '', ''];
    const { status } = await rawRequest(server.url, lines);
    assert.ok(status === 400 || status === 404, String(status));
  });
}

test('H03 open: a scope enters the catalogue with the client that gets it, by creation and by change', async () => {
  await createClient(server, { client_id: 'h03', scope: 'h03:one' });
  assert.equal((await call('GET', '/scopes/h03:one')).body.clients, 1);
  await call('PATCH', '/clients/h03', { scope: 'h03:two h03:three' });
  const counts = await Promise.all(['one', 'two', 'three'].map(async (end) => (await call('GET', `/scopes/h03:${end}`)).body.clients));
  assert.deepEqual(counts, [0, 1, 1]);
});

test('H03 catalogue: an unknown scope is refused by name, with what may have been meant, and nothing is written', async () => {
  const ask = (method: string, path: string, body: object) => sendJson(method, `${strict.url}${path}`, strictToken, body);
  assert.equal((await ask('POST', '/scopes', { name: 'invoices:read' })).status, 201);
  assert.equal((await ask('POST', '/clients', { client_id: 'h03', scope: 'invoices:read auth:introspect' })).status, 201);
  const from = await state(strict);
  for (const [method, path] of [
    ['POST', '/clients'],
    ['PUT', '/clients/h03'],
    ['PATCH', '/clients/h03'],
  ] as const) {
    const { status, body } = await ask(method, path, { scope: 'inovices:read invoices:read zebra' });
    assert.deepEqual([status, body.error], [400, 'invalid_client_metadata']);
    assert.deepEqual(body.errors, [
      { pointer: '/scope', detail: 'inovices:read is not in the scope catalogue; did you mean invoices:read?' },
      { pointer: '/scope', detail: 'zebra is not in the scope catalogue' },
    ]);
  }
  assert.deepEqual(await state(strict), from);
});

test('H03 catalogue: an import refuses the lines with an unknown scope, and a dry run says so', async () => {
  await sendJson('POST', `${strict.url}/scopes`, strictToken, { name: 'import:read' });
  const load = async (query: string, ...lines: readonly object[]) => {
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    const { status, body } = await sendJson('POST', `${strict.url}/clients/import${query}`, strictToken, text, 'application/jsonl');
    return [status, body.created, body.errors];
  };
  const from = await state(strict);
  const lines = [
    { client_id: 'known', scope: 'import:read' },
    { client_id: 'unknown', scope: 'import:raed' },
  ];
  const errors = [{ pointer: '/1/scope', detail: 'import:raed is not in the scope catalogue; did you mean import:read?' }];
  assert.deepEqual(await load('', ...lines), [400, undefined, errors]);
  assert.deepEqual(await load('?dry_run=true', ...lines), [200, 1, errors]);
  assert.deepEqual(await state(strict), from);
  assert.deepEqual(await load('?partial=true', ...lines), [200, 1, errors]);
});

test('H04 a scope that is given and removed at the same time is given and there, or neither', async () => {
  for (let round = 0; round < 10; round++) {
    const name = `h04-${round}`;
    await sendJson('POST', `${strict.url}/scopes`, strictToken, { name });
    const give = (n: number) => sendJson('POST', `${strict.url}/clients`, strictToken, { client_id: `${name}-${n}`, scope: name });
    const [first, removed, second] = await Promise.all([give(1), sendJson('DELETE', `${strict.url}/scopes/${name}`, strictToken), give(2)]);
    assert.ok([201, 400].includes(first.status) && [201, 400].includes(second.status), `${first.status} ${second.status}`);
    assert.equal(removed.status, [first, second].some(({ status }) => status === 201) ? 409 : 204);
  }
  assert.deepEqual(await strict.database.query('select scope from client_scope where scope not in (select name from scope)'), []);
});

test('H03 catalogue: an import says which lines have unknown scopes, before it as well, and the others can be created', async () => {
  await sendJson('POST', `${strict.url}/scopes`, strictToken, { name: 'imports' });
  const load = (query: string) =>
    request(`${strict.url}/clients/import${query}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${strictToken}`, 'content-type': 'application/x-ndjson' },
      body: '{"client_id":"h03-good","scope":"imports"}\n{"client_id":"h03-bad","scope":"imports inports"}',
    });
  const errors = [{ pointer: '/1/scope', detail: 'inports is not in the scope catalogue; did you mean imports?' }];
  const from = await state(strict);
  const [refused, dry] = [await load(''), await load('?dry_run=true')];
  assert.deepEqual([refused.status, refused.body.error, refused.body.errors], [400, 'invalid_client_metadata', errors]);
  assert.deepEqual(dry.body, { dry_run: true, created: 1, unchanged: 0, failed: 1, errors });
  assert.deepEqual(await state(strict), from);
  assert.deepEqual((await load('?partial=true')).body, { created: 1, unchanged: 0, failed: 1, errors });
  assert.deepEqual((await load('?dry_run=true')).body, { dry_run: true, created: 0, unchanged: 1, failed: 1, errors });
});
