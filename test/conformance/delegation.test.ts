/** Administration of a part of the clients: H05 to H08; the last administrator: H09. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Answer, createClient, issueToken, request, sendJson } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let root: string;
/** with `auth:clients`, `auth:revocations`: of `team-a-`, and of what it made itself */
let teamA: string;
let maker: string;
before(async () => {
  server = await openServer();
  root = await issueToken(server.url, server.admin);
  const scope = 'auth:clients auth:clients:read auth:revocations';
  teamA = await tokenOf({ client_id: 'team-a-admin', scope, administers: { prefix: 'team-a-' } });
  maker = await tokenOf({ client_id: 'maker', scope, administers: { created: true } });
  for (const client_id of ['team-a-1', 'team-a-2', 'team-b-1']) await createClient(server, { client_id, scope: 'read' });
});
after(() => server.stop());

async function tokenOf(metadata: object): Promise<string> {
  return issueToken(server.url, await createClient(server, { ...metadata }));
}

const call = (token: string, method: string, path: string, body?: unknown) => sendJson(method, `${server.url}${path}`, token, body);
const ids = ({ body }: Answer) => body.items.map((client: { client_id: string }) => client.client_id);

/** Everything that a refusal must not have changed. */
async function state({ database }: InProcessServer): Promise<unknown> {
  return database.query(`select (select last_seq from change_log) as seq, (select count(*) from audit where action <> 'denied') as audits,
    (select count(*) from scope) as scopes, (select string_agg(c::text, ' ' order by client_id) from client c) as clients,
    (select string_agg(s::text, ' ' order by id) from (select id, client_id, name, verifier, expires_at from client_secret) s) as secrets`);
}

test('H05 a limited administrator sees its part in every list, and nothing else is there', async () => {
  assert.deepEqual(ids(await call(teamA, 'GET', '/clients')), ['team-a-1', 'team-a-2', 'team-a-admin']);
  assert.deepEqual(ids(await call(teamA, 'GET', '/clients?q=1')), ['team-a-1']);
  assert.deepEqual(ids(await call(teamA, 'GET', '/clients?scope=read')), ['team-a-1', 'team-a-2']);
  assert.deepEqual(ids(await call(teamA, 'GET', '/clients?scope=read&q=2&disabled=false')), ['team-a-2']);
  assert.deepEqual(ids(await call(maker, 'GET', '/clients')), []);
  assert.deepEqual((await call(teamA, 'GET', '/scopes/read')).body.items, ['team-a-1', 'team-a-2']);
  assert.equal((await call(teamA, 'GET', '/scopes/read')).body.clients, 2);
  assert.deepEqual((await call(maker, 'GET', '/scopes/read')).body.items, []);
  for (const [token, id, status] of [
    [teamA, 'team-a-1', 200],
    [teamA, 'team-b-1', 404],
    [teamA, 'admin', 404],
    [maker, 'team-a-1', 404],
    [maker, 'maker', 404],
  ] as const) {
    assert.deepEqual([id, (await call(token, 'GET', `/clients/${id}`)).status], [id, status]);
  }
});

test('H05 who made a client is written down, shown, and ignored when it comes back', async () => {
  const made = await call(maker, 'POST', '/clients', { client_id: 'made', scope: 'read', created_by: 'admin' });
  assert.deepEqual([made.status, made.body.created_by], [201, 'maker']);
  const read = await call(maker, 'GET', '/clients/made');
  assert.equal((await call(maker, 'PUT', '/clients/made', { ...read.body, created_by: 'admin' })).body.created_by, 'maker');
  assert.deepEqual(ids(await call(maker, 'GET', '/clients')), ['made']);
  assert.deepEqual(ids(await call(maker, 'GET', '/clients?scope=read&q=ma')), ['made']);
  assert.deepEqual((await call(maker, 'GET', '/scopes/read')).body.items, ['made']);
  assert.equal((await call(root, 'GET', '/clients/made')).body.created_by, 'maker');
  assert.equal((await call(maker, 'POST', '/clients/made/secrets')).status, 201);
  assert.equal((await call(maker, 'DELETE', '/clients/made')).status, 204);
});

test('H06 what is not of its part is not there for a change, with a wrong tag or not, and nothing is written', async () => {
  const secretId = (await call(root, 'GET', '/clients/team-b-1')).body.secrets[0].id;
  const from = await state(server);
  for (const token of [teamA, maker]) {
    for (const [method, path, body] of [
      ['PUT', '/clients/team-b-1', { scope: 'read' }],
      ['PATCH', '/clients/team-b-1', { disabled: true }],
      ['DELETE', '/clients/team-b-1', undefined],
      ['POST', '/clients/team-b-1/secrets', undefined],
      ['DELETE', `/clients/team-b-1/secrets/${secretId}`, undefined],
      ['DELETE', '/clients/admin', undefined],
      ['POST', '/revocations', { client_id: 'team-b-1' }],
      ['POST', '/revocations', { client_id: 'team-b-1', dry_run: true }],
    ] as const) {
      assert.deepEqual([path, (await call(token, method, path, body)).status], [path, 404]);
      const headers = { authorization: `Bearer ${token}`, 'if-match': '"1"', ...(body && { 'content-type': 'application/json' }) };
      const answer = await request(`${server.url}${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
      assert.equal(answer.status, 404, `${method} ${path} with a tag`);
    }
  }
  assert.deepEqual(await state(server), from);
});

test('H06 there is no way out of the limits: each try is 403 and writes nothing', async () => {
  await createClient(server, { client_id: 'team-a-root', scope: 'auth:clients' });
  await createClient(server, { client_id: 'team-a-retired', scope: 'read', administers: { prefix: 'team-a-' } });
  const rootSecret = (await call(root, 'GET', '/clients/team-a-root')).body.secrets[0].id;
  const from = await state(server);
  const administrator = (administers?: object) => ({ client_id: 'team-a-new', scope: 'auth:clients', ...(administers && { administers }) });
  for (const [method, path, body] of [
    // outside its prefix
    ['POST', '/clients', { client_id: 'team-b-2' }],
    ['POST', '/clients', { client_name: 'with an id that the server makes up' }],
    // wider than itself
    ['POST', '/clients', administrator()],
    ['POST', '/clients', administrator({ prefix: 'team-' })],
    ['POST', '/clients', administrator({ created: true })],
    ['POST', '/clients', { client_id: 'team-a-new', scope: 'auth:clients:read' }],
    ['POST', '/clients', { client_id: 'team-a-new', scope: 'auth:revocations', administers: { prefix: 'team-' } }],
    ['PATCH', '/clients/team-a-1', { scope: 'auth:clients' }],
    ['PATCH', '/clients/team-a-admin', { administers: null }],
    ['PATCH', '/clients/team-a-admin', { administers: { prefix: 'team-' } }],
    ['PUT', '/clients/team-a-admin', { scope: 'auth:clients' }],
    // of itself nothing, but its tokens are out
    ['PATCH', '/clients/team-a-admin', { scope: '', administers: null }],
    ['PUT', '/clients/team-a-admin', {}],
    ['PATCH', '/clients/team-a-retired', { administers: null }],
    // what it has not
    ['POST', '/clients', { client_id: 'team-a-new', scope: 'auth:keys' }],
    // an unlimited one that is in its part
    ['POST', '/clients/team-a-root/secrets', undefined],
    ['DELETE', `/clients/team-a-root/secrets/${rootSecret}`, undefined],
    ['PATCH', '/clients/team-a-root', { scope: 'read' }],
    ['DELETE', '/clients/team-a-root', undefined],
    // what is of all
    ['POST', '/scopes', { name: 'new' }],
    ['PATCH', '/scopes/read', { description: 'new' }],
    ['DELETE', '/scopes/read', undefined],
    ['POST', '/revocations', { sub: 'team-a-1' }],
    ['POST', '/revocations', { all: true, issued_before: 1 }],
    ['POST', '/revocations', { token: 'unknown' }],
    ['POST', '/revocations', { token_hash: 'A'.repeat(43), dry_run: true }],
  ] as const) {
    const answer = await call(teamA, method, path, body);
    assert.deepEqual([method, path, answer.status, answer.body.error], [method, path, 403, 'insufficient_scope'], JSON.stringify(body));
  }
  assert.deepEqual(await state(server), from);
});

test('H06 an export shows the hashes of its part, but not of administrators there that are limited less', async () => {
  await createClient(server, { client_id: 'team-a-boss', scope: 'auth:clients' });
  const hashed = async (token: string) => {
    const { body } = await call(token, 'POST', '/clients/export', {});
    const shown = body.items.map(({ client_id, secrets }: { client_id: string; secrets: object[] }) => [
      client_id,
      secrets.every((s) => 'hash' in s),
    ]);
    return new Map<string, boolean>(shown);
  };
  const ofTeam = await hashed(teamA);
  assert.deepEqual(
    ['team-a-1', 'team-a-admin', 'team-a-boss', 'team-b-1'].map((id) => ofTeam.get(id)),
    [true, true, false, undefined],
  );
  assert.equal((await hashed(root)).get('team-a-boss'), true);
  assert.equal((await call(root, 'DELETE', '/clients/team-a-boss')).status, 204);
});

test('H06 an import says nothing of clients outside of its part', async () => {
  const load = async (token: string, query: string, ...clients: readonly object[]) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' };
    const body = clients.map((client) => JSON.stringify(client)).join('\n');
    return request(`${server.url}/clients/import${query}`, { method: 'POST', headers, body });
  };
  const from = await state(server);
  for (const query of ['', '?dry_run=true', '?partial=true']) {
    const answers = await Promise.all(
      [
        { client_id: 'team-b-1', scope: 'read' },
        { client_id: 'team-b-1', scope: 'write' },
        { client_id: 'team-b-none', scope: 'read' },
      ].map((client) => load(teamA, query, client)),
    );
    const [same, ...others] = answers.map(({ status, body }) => [status, body]);
    for (const other of others) assert.deepEqual(other, same, query);
    assert.deepEqual([answers[0]?.status, answers[0]?.body.errors[0].pointer], [query === '' ? 403 : 200, '/0/client_id']);
  }
  const [same, other] = [{ scope: 'read' }, { scope: 'write' }].map((settings) => load(maker, '', { client_id: 'team-a-1', ...settings }));
  assert.deepEqual((await same)?.body, (await other)?.body);
  assert.equal((await same)?.status, 409);
  assert.deepEqual(await state(server), from);
  const mixed = await load(teamA, '?partial=true', { client_id: 'team-a-9' }, { client_id: 'team-b-9' });
  assert.deepEqual([mixed.body.created, mixed.body.failed, mixed.body.errors[0].pointer], [1, 1, '/1/client_id']);
  assert.equal((await load(teamA, '', { client_id: 'team-a-9' })).body.unchanged, 1);
  assert.equal((await call(teamA, 'DELETE', '/clients/team-a-9')).status, 204);
});

test('H06 within its limits it does all that an administrator does, and makes administrators of the same or less', async () => {
  assert.equal((await call(teamA, 'POST', '/clients', { client_id: 'team-a-3', scope: 'read' })).status, 201);
  assert.equal((await call(teamA, 'PATCH', '/clients/team-a-3', { client_name: 'Three' })).status, 200);
  assert.equal((await call(teamA, 'POST', '/clients/team-a-3/secrets')).status, 201);
  assert.equal((await call(teamA, 'POST', '/revocations', { client_id: 'team-a-3' })).status, 201);
  assert.equal((await call(teamA, 'POST', '/revocations', { client_id: 'team-a-3', dry_run: true })).status, 200);
  assert.equal((await call(teamA, 'DELETE', '/clients/team-a-3')).status, 204);
  const administers = { prefix: 'team-a-x-', created: true };
  const made = await call(teamA, 'POST', '/clients', { client_id: 'team-a-x', scope: 'auth:clients', administers });
  assert.deepEqual([made.status, made.body.administers], [201, administers]);
  const token = await issueToken(server.url, { clientId: 'team-a-x', clientSecret: made.body.client_secret });
  assert.deepEqual(ids(await call(token, 'GET', '/clients')), []);
  assert.equal((await call(token, 'POST', '/clients', { client_id: 'team-a-y' })).status, 403);
  assert.equal((await call(token, 'POST', '/clients', { client_id: 'team-a-x-1' })).status, 201);
  assert.equal((await call(token, 'GET', '/clients/team-a-1')).status, 404);
});

test('H06 an import creates nothing outside of the part, says so before, and does not tell how clients outside of it are', async () => {
  const load = async (query: string, ...lines: readonly object[]) => {
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    const { status, body } = await sendJson('POST', `${server.url}/clients/import${query}`, teamA, text, 'application/jsonl');
    return [status, body.created, body.unchanged, body.errors?.map(({ pointer }: { pointer: string }) => pointer)];
  };
  const before = await state(server);
  const outside = { client_id: 'team-b-2' };
  const wide = { client_id: 'team-a-wide', scope: 'auth:clients' };
  // Just as it is: to be told `unchanged` would be to be told that a guess is right.
  const theirs = { client_id: 'team-b-1', scope: 'read' };
  assert.deepEqual(await load('', outside, wide), [403, undefined, undefined, ['/0/client_id', '/1/scope']]);
  assert.deepEqual(await load('?dry_run=true', outside, wide, theirs), [200, 0, 0, ['/0/client_id', '/1/scope', '/2/client_id']]);
  assert.deepEqual(await load('', theirs), [403, undefined, undefined, ['/0/client_id']]);
  const another = await sendJson(
    'POST',
    `${server.url}/clients/import`,
    maker,
    '{"client_id":"team-a-1","scope":"read"}',
    'application/jsonl',
  );
  assert.equal(another.status, 409);
  assert.deepEqual(await state(server), before);
  assert.deepEqual(await load('?partial=true', outside, { client_id: 'team-a-imported' }), [200, 1, 0, ['/0/client_id']]);
});

test('H07 a limit counts at once, for tokens that were issued before it as well', async () => {
  const metadata = { client_id: 'late', scope: 'auth:clients auth:revocations' };
  const token = await tokenOf(metadata);
  assert.equal((await call(token, 'GET', '/clients/team-b-1')).status, 200);
  await call(root, 'PATCH', '/clients/late', { administers: { prefix: 'late-' } });
  const from = await state(server);
  assert.equal((await call(token, 'GET', '/clients/team-b-1')).status, 404);
  assert.deepEqual(ids(await call(token, 'GET', '/clients')), []);
  assert.equal((await call(token, 'PATCH', '/clients/team-b-1', { disabled: true })).status, 404);
  assert.equal((await call(token, 'POST', '/clients', { client_id: 'other' })).status, 403);
  assert.equal((await call(token, 'POST', '/scopes', { name: 'late' })).status, 403);
  assert.equal((await call(token, 'POST', '/revocations', { sub: 'team-b-1' })).status, 403);
  assert.deepEqual(await state(server), from);
});

test('H07 limits that are widened or taken away end the tokens that were issued before', async () => {
  const late = await createClient(server, { client_id: 'wide', scope: 'auth:clients', administers: { prefix: 'team-b-1' } });
  for (const change of [{ administers: { prefix: 'team-b-' } }, { administers: null }]) {
    const token = await issueToken(server.url, late);
    assert.equal((await call(root, 'PATCH', '/clients/wide', { client_name: 'Wide' })).status, 200);
    assert.equal((await call(token, 'GET', '/clients/team-b-1')).status, 200);
    assert.equal((await call(root, 'PATCH', '/clients/wide', change)).status, 200);
    assert.equal((await call(token, 'GET', '/clients/team-b-1')).status, 401);
    assert.equal((await call(await issueToken(server.url, late), 'GET', '/clients/team-b-1')).status, 200);
  }
});

test('H07 a limited administrator that becomes an ordinary client is not unlimited by its old tokens', async () => {
  for (const [index, changes] of [[{ scope: 'read', administers: null }], [{ scope: '' }, { administers: null }]].entries()) {
    const token = await tokenOf({ client_id: `demoted-${index}`, scope: 'auth:clients', administers: { prefix: 'team-b-' } });
    for (const change of changes) assert.equal((await call(root, 'PATCH', `/clients/demoted-${index}`, change)).status, 200);
    assert.equal((await call(token, 'GET', '/clients/admin')).status, 401);
    assert.equal((await call(token, 'PATCH', `/clients/demoted-${index}`, { scope: 'auth:clients' })).status, 401);
  }
});

for (const administers of [{}, { prefix: '' }, { prefix: '-a' }, { prefix: 'a b' }, { created: false }, { prefix: 'a', x: 1 }, true, []]) {
  test(`H08 administers ${JSON.stringify(administers)} is refused with a pointer`, async () => {
    const { status, body } = await call(root, 'POST', '/clients', { client_id: 'h08', administers });
    assert.deepEqual([status, body.error], [400, 'invalid_client_metadata']);
    assert.match(body.errors[0].pointer, /^\/administers/);
    assert.equal((await call(root, 'GET', '/clients/h08')).status, 404);
  });
}

const AN_HOUR = () => new Date(Date.now() + 3_600_000).toISOString();

test('H09 the last administrator stays: each way to lose it is 409 and writes nothing', async (t) => {
  const own = await openServer();
  t.after(() => own.stop());
  const token = await issueToken(own.url, own.admin);
  const ask = (method: string, path: string, body?: unknown) => sendJson(method, `${own.url}${path}`, token, body);
  // None of these administers everything.
  await createClient(own, { client_id: 'disabled', scope: 'auth:clients', disabled: true });
  await createClient(own, { client_id: 'limited', scope: 'auth:clients', administers: { created: true } });
  await createClient(own, { client_id: 'public', scope: 'auth:clients', token_endpoint_auth_method: 'none' });
  await createClient(own, { client_id: 'reader', scope: 'auth:clients:read' });
  await createClient(own, { client_id: 'without-grant', scope: 'auth:clients', grant_types: [] });
  const [{ id }] = (await ask('GET', '/clients/admin')).body.secrets;
  const from = await state(own);
  for (const [method, path, body] of [
    ['DELETE', '/clients/admin', undefined],
    ['PATCH', '/clients/admin', { disabled: true }],
    ['PATCH', '/clients/admin', { scope: 'auth:clients:read' }],
    ['PATCH', '/clients/admin', { token_endpoint_auth_method: 'none' }],
    ['PATCH', '/clients/admin', { grant_types: [] }],
    ['PATCH', '/clients/admin', { administers: { prefix: 'a' } }],
    ['PUT', '/clients/admin', {}],
    ['DELETE', `/clients/admin/secrets/${id}`, undefined],
    ['POST', '/clients/admin/secrets', { expires_at: AN_HOUR(), previous_expires_at: AN_HOUR() }],
  ] as const) {
    const answer = await ask(method, path, body);
    assert.deepEqual([method, path, answer.status, answer.body.error], [method, path, 409, 'conflict'], JSON.stringify(body));
    assert.match(answer.body.detail, /last administrator/);
  }
  assert.deepEqual(await state(own), from);
  // What leaves an administrator is done.
  assert.equal((await ask('PATCH', '/clients/admin', { token_endpoint_auth_method: 'client_secret_post' })).status, 200);
  assert.equal((await ask('POST', '/clients', { client_id: 'second', scope: 'auth:clients' })).status, 201);
  assert.equal((await ask('DELETE', '/clients/second')).status, 204);
  assert.equal((await ask('POST', '/clients/admin/secrets', { previous_expires_at: AN_HOUR() })).status, 201);
  assert.equal((await ask('DELETE', `/clients/admin/secrets/${id}`)).status, 204);
  assert.equal((await ask('POST', '/clients', { client_id: 'third', scope: 'auth:clients' })).status, 201);
  assert.equal((await ask('PATCH', '/clients/admin', { disabled: true })).status, 200);
});

test('H09 administrators that delete each other at the same time leave one', async (t) => {
  const own = await openServer();
  t.after(() => own.stop());
  const root = await issueToken(own.url, own.admin);
  const scope = String((await sendJson('GET', `${own.url}/clients/admin`, root)).body.scope);
  const others: Credentials[] = [];
  for (let n = 0; n < 7; n++) others.push(await createClient(own, { client_id: `root-${n}`, scope }));
  const all = [own.admin, ...others];
  const tokens = await Promise.all(all.map((credentials) => issueToken(own.url, credentials)));
  const answers = await Promise.all(
    all.map(({ clientId }, index) => sendJson('DELETE', `${own.url}/clients/${clientId}`, tokens[(index + 1) % all.length])),
  );
  const left = await own.database.query<{ client_id: string }>('select client_id from client where deleted_at is null');
  assert.ok(left.length >= 1, JSON.stringify(answers.map(({ status }) => status)));
  // Whose own client is gone is not known any more.
  for (const { status } of answers) assert.ok([204, 401, 409, 503].includes(status), String(status));
});
