/** Clients that manage their own record, RFC 7592: C05–C08; outages, and client libraries: N05, N06. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';
import pg from 'pg';
import { createClient, issueToken, postForm, sendJson } from '../support/client.ts';
import { initialToken, metadataOf, type Registered, register, registered, written } from '../support/registration.ts';
import { type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
/** good for all tests of this file */
let initial: string;
before(async () => {
  server = await openServer({ AUTH_REGISTRATION: 'token' });
  administrator = await issueToken(server.url, server.admin);
  initial = await initialToken(server, { uses: 1000 });
});
after(() => server.stop());

const send = (method: string, path: string, token: string | undefined, body?: unknown) => sendJson(method, server.url + path, token, body);
const stored = async (id: string) => (await send('GET', `/clients/${id}`, administrator)).body;

/** What RFC 7592 §2.2 has a client send back of what it has read. */
function writable(read: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const {
    registration_access_token: _,
    registration_client_uri: __,
    client_id_issued_at: ___,
    client_secret_expires_at: ____,
    ...rest
  } = read;
  return rest;
}

test('C05 RFC 7592 §2.1: a client reads what is registered, the secret excepted', async () => {
  const { access, path, document } = await registered(server, { client_name: 'A', scope: 'a' }, initial);
  const { client_secret, client_secret_expires_at, ...expected } = document;
  const answer = await send('GET', path, access);
  assert.deepEqual([answer.status, answer.body, answer.headers.get('cache-control')], [200, expected, 'no-store']);
});

test('C05 RFC 7592 §2: a wrong token, another client’s, one of another kind, one of nobody: 401 alike for each method, and nothing is written', async () => {
  const [own, other] = [await registered(server, {}, initial), await registered(server, {}, initial)];
  const gone = await registered(server, {}, initial);
  assert.equal((await send('DELETE', gone.path, gone.access)).status, 204);
  const before = await written(server);
  const attempts: readonly [path: string, token: string | undefined][] = [
    [own.path, other.access],
    [own.path, administrator],
    [own.path, initial],
    [own.path, own.clientSecret],
    [own.path, `${own.access}x`],
    [gone.path, gone.access],
    [gone.path, own.access],
    ['/register/nobody', own.access],
    ['/register/admin', own.access],
    ['/register/-', own.access],
  ];
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const texts = new Set<string>();
    for (const [path, token] of attempts) {
      const { status, text, headers } = await send(method, path, token, method === 'PUT' ? { client_id: own.clientId } : undefined);
      assert.deepEqual([status, headers.get('www-authenticate')], [401, 'Bearer realm="auth", error="invalid_token"'], `${method} ${path}`);
      texts.add(text);
    }
    assert.equal(texts.size, 1);
    const { status, headers } = await send(method, own.path, undefined, method === 'PUT' ? {} : undefined);
    assert.deepEqual([status, headers.get('www-authenticate')], [401, 'Bearer realm="auth"']);
  }
  assert.deepEqual(await written(server), before);
});

test('C06 RFC 7592 §2.2: what was read can be written back without loss; what is omitted, or null, is removed', async () => {
  const { access, path, clientId } = await registered(
    server,
    { client_name: 'A', 'client_name#de': 'Ä', scope: 'a b', contacts: ['x'], jwks: { keys: [{ kty: 'RSA', n: 'x', e: 'AQAB' }] } },
    initial,
  );
  const read = (await send('GET', path, access)).body;
  const same = await send('PUT', path, access, writable(read));
  assert.deepEqual([same.status, same.body], [200, read]);
  const replaced = (await send('PUT', path, access, { client_id: clientId, client_name: null, scope: 'b' })).body;
  assert.deepEqual(
    [replaced.client_name, replaced['client_name#de'], replaced.contacts, replaced.jwks, replaced.scope],
    [undefined, undefined, undefined, undefined, 'b'],
  );
  assert.equal(replaced.registration_access_token, access, 'it is not rotated: a lost answer locks nobody out');
  assert.deepEqual((await send('GET', path, access)).body, replaced);
});

test('C06 what an administrator decides stays as it is, whatever the client writes', async () => {
  const { access, path, clientId } = await registered(server, { scope: 'a' }, initial);
  const decided = {
    audience: ['https://api.example'],
    resources: ['https://own.example'],
    claims: { tenant: 'acme' },
    access_token_ttl: 60,
    access_token_format: 'jwt',
    introspection_max_age: 5,
  };
  await send('PATCH', `/clients/${clientId}`, administrator, decided);
  const wish = { client_id: clientId, scope: 'a', audience: [], resources: ['https://victim.example'], claims: {}, access_token_ttl: 9e6 };
  const { status, body } = await send('PUT', path, access, { ...wish, access_token_format: 'reference', disabled: true });
  assert.equal(status, 200);
  for (const [name, value] of Object.entries(decided)) assert.deepEqual(body[name], value, name);
  assert.equal((await stored(clientId)).disabled, false);
});

const REFUSED_CHANGES: readonly [why: string, change: (own: Registered) => Readonly<Record<string, unknown>>, says: RegExp][] = [
  ['no client_id', () => ({ client_id: undefined }), /\/client_id must be that/],
  ['another client_id', () => ({ client_id: 'admin' }), /\/client_id must be that/],
  ['a secret of its own', () => ({ client_secret: 'x'.repeat(43) }), /\/client_secret/],
  ['the registration access token', ({ access }) => ({ registration_access_token: access }), /\/registration_access_token/],
  ['the registration URI', () => ({ registration_client_uri: 'https://a.example' }), /\/registration_client_uri/],
  ['the end of the secret', () => ({ client_secret_expires_at: 0 }), /\/client_secret_expires_at/],
  ['the time of its registration', () => ({ client_id_issued_at: 1 }), /\/client_id_issued_at/],
  ['a scope that was not allowed', () => ({ scope: 'read write' }), /\/scope/],
  ['a scope of this server', () => ({ scope: 'auth:clients' }), /\/scope/],
  ['no secret any more', () => ({ token_endpoint_auth_method: 'none' }), /\/token_endpoint_auth_method/],
  ['another grant', () => ({ grant_types: ['authorization_code'] }), /\/grant_types/],
  ['a redirect that runs', () => ({ redirect_uris: ['javascript:x'] }), /\/redirect_uris/],
  ['a software statement', () => ({ software_statement: 'a.b.c' }), /software statements/],
];
for (const [why, change, says] of REFUSED_CHANGES) {
  test(`C06 RFC 7592 §2.2: a change with ${why} is refused, and nothing is written`, async () => {
    const own = await registered(server, { scope: 'read' }, await initialToken(server, { scope: 'read other' }));
    const before = await written(server);
    const answer = await send('PUT', own.path, own.access, { client_id: own.clientId, scope: 'read', ...change(own) });
    assert.equal(answer.status, 400, answer.text);
    assert.match(answer.body.error_description, says);
    assert.deepEqual(await written(server), before);
    const good = { client_id: own.clientId, client_secret: own.clientSecret, scope: 'read other' };
    assert.equal((await send('PUT', own.path, own.access, good)).body.scope, 'read other', 'what was allowed may be asked for later');
  });
}

test('C06 what an administrator has taken away the client does not take back; what he has given it may keep', async () => {
  const { access, path, clientId } = await registered(server, { scope: 'a b' }, initial);
  const put = (scope: string) => send('PUT', path, access, { client_id: clientId, scope });
  assert.equal((await put('a c')).status, 200);
  await send('PATCH', `/clients/${clientId}`, administrator, { scope: 'a' });
  assert.deepEqual([(await put('a b')).status, (await put('a')).status], [400, 200]);
  await send('PATCH', `/clients/${clientId}`, administrator, { scope: 'x,y' });
  await send('PATCH', `/clients/${clientId}`, administrator, { scope: 'x y' });
  assert.equal((await put('x,y')).status, 400, 'a comma is part of a scope');
  await send('PATCH', `/clients/${clientId}`, administrator, { scope: 'a d' });
  assert.deepEqual([(await put('a d')).status, (await put('a')).status, (await put('a d')).status], [200, 200, 200]);
});

test('C06 who registered when registration was open gives himself no further scopes once it is not', async () => {
  const { clientId, access, path } = await registered(server, { scope: 'a' }, initial);
  const write = (scope: string) => send('PUT', path, access, { client_id: clientId, scope });
  assert.equal((await write('a b')).status, 200);
  // As one that needed no initial token.
  await server.database.query('update registration_access set registration_token_id = null where client_id = $1', [clientId]);
  const refused = await write('a b c');
  assert.deepEqual([refused.status, refused.body.error], [400, 'invalid_client_metadata']);
  assert.equal((await write('b')).body.scope, 'b');
  assert.equal((await send('PATCH', `/clients/${clientId}`, administrator, { scope: 'b d' })).status, 200);
  assert.equal((await write('d')).body.scope, 'd');
  assert.equal((await write('b d')).body.scope, 'b d');
});

test('C07 RFC 7592 §2.3: DELETE ends the client, its tokens and its registration access token, as an administrator’s does', async () => {
  const own = await registered(server, { scope: 'a' }, initial);
  const token = await issueToken(server.url, own);
  const active = async () => (await postForm(`${server.url}/introspect`, { token }, server.admin)).body.active;
  assert.equal(await active(), true);
  const { status, text } = await send('DELETE', own.path, own.access);
  assert.deepEqual([status, text], [204, '']);
  assert.equal(await active(), false);
  assert.equal((await postForm(`${server.url}/token`, { grant_type: 'client_credentials' }, own)).status, 401);
  assert.equal((await send('GET', own.path, own.access)).status, 401);
  assert.equal((await send('GET', `/clients/${own.clientId}`, administrator)).status, 404);
  const [change] = await server.database.query('select kind, key from change order by seq desc limit 1');
  assert.deepEqual(change, { kind: 'client', key: own.clientId });
  const [entry] = (await send('GET', `/audit?target=${own.clientId}`, administrator)).body.items;
  assert.deepEqual([entry.action, entry.actor], ['client.delete', { client_id: own.clientId, address: '127.0.0.1' }]);
  assert.deepEqual(await server.database.query('select from registration_access where client_id = $1', [own.clientId]), []);
});

test('C07 ten deletions at once: one is done, the others are 401; an administrator’s ends the token, too', async () => {
  const own = await registered(server, {}, initial);
  const statuses = await Promise.all(Array.from({ length: 10 }, async () => (await send('DELETE', own.path, own.access)).status));
  // On a busy machine some wait for the row in vain.
  assert.deepEqual([...new Set(statuses.filter((status) => status !== 503))].sort(), [204, 401]);
  assert.equal(statuses.filter((status) => status === 204).length, 1);
  assert.equal((await server.database.query("select from audit where action = 'client.delete' and target = $1", [own.clientId])).length, 1);
  const other = await registered(server, {}, initial);
  assert.equal((await send('DELETE', `/clients/${other.clientId}`, administrator)).status, 204);
  assert.equal((await send('GET', other.path, other.access)).status, 401);
});

test('C08 RFC 7592 §2.1–2.3: a disabled client’s token opens nothing: 403, until an administrator enables it', async () => {
  const own = await registered(server, { scope: 'a' }, initial);
  await send('PATCH', `/clients/${own.clientId}`, administrator, { disabled: true });
  const before = await written(server);
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const { status, body } = await send(
      method,
      own.path,
      own.access,
      method === 'PUT' ? { client_id: own.clientId, disabled: false } : undefined,
    );
    assert.deepEqual([status, body.error], [403, 'insufficient_scope'], method);
  }
  assert.deepEqual(await written(server), before);
  assert.equal((await postForm(`${server.url}/token`, { grant_type: 'client_credentials' }, own)).status, 401);
  await send('PATCH', `/clients/${own.clientId}`, administrator, { disabled: false });
  assert.equal((await send('GET', own.path, own.access)).status, 200);
});

test('C08 RFC 7592 §2.2: eight changes by the client while an administrator disables it: it stays disabled, and has no token', async () => {
  const own = await registered(server, { scope: 'a' }, initial);
  const token = await issueToken(server.url, own);
  const change = () => send('PUT', own.path, own.access, { client_id: own.clientId, scope: 'a', disabled: false });
  const changes = Array.from({ length: 8 }, change);
  const disabling = send('PATCH', `/clients/${own.clientId}`, administrator, { disabled: true });
  for (const { status } of await Promise.all(changes)) assert.ok([200, 403, 503].includes(status), String(status));
  // On a busy machine it may have waited for the row in vain.
  if ((await disabling).status === 503) await send('PATCH', `/clients/${own.clientId}`, administrator, { disabled: true });
  assert.equal((await change()).status, 403);
  assert.equal((await stored(own.clientId)).disabled, true);
  assert.equal((await postForm(`${server.url}/introspect`, { token }, server.admin)).body.active, false);
});

test('C08 a client that was given an auth: scope is changed and deleted by an administrator only', async () => {
  const own = await registered(server, { scope: 'a' }, initial);
  await send('PATCH', `/clients/${own.clientId}`, administrator, { scope: 'a auth:introspect' });
  assert.equal((await send('GET', own.path, own.access)).body.scope, 'a auth:introspect');
  assert.equal((await send('PUT', own.path, own.access, { client_id: own.clientId, scope: 'a auth:introspect' })).status, 403);
  assert.equal((await send('DELETE', own.path, own.access)).status, 403);
  assert.equal((await stored(own.clientId)).scope, 'a auth:introspect');
});

test('C08 a client that administers others, or did, has its own record for its registration access token all the same', async () => {
  const { clientId, access, path } = await registered(server, {}, initial);
  const limit = (scope: string) => send('PATCH', `/clients/${clientId}`, administrator, { scope, administers: { prefix: 'team-' } });
  assert.equal((await limit('auth:clients')).status, 200);
  assert.equal((await send('PUT', path, access, { client_id: clientId })).status, 403);
  assert.equal((await send('DELETE', path, access)).status, 403);
  assert.equal((await limit('')).status, 200);
  const written = await send('PUT', path, access, { client_id: clientId, administers: null });
  assert.deepEqual([written.status, written.body.administers], [200, { prefix: 'team-' }]);
  assert.equal((await send('DELETE', path, access)).status, 204);
});

test('C08 a client that an administrator made has no registration access token', async () => {
  const { clientId } = await createClient(server);
  const { access } = await registered(server, {}, initial);
  assert.equal((await send('GET', `/register/${clientId}`, access)).status, 401);
});

test('N05 an outage is 503 with Retry-After, nothing is half written, and the same initial token does it later', async () => {
  const token = await initialToken(server);
  const own = await registered(server, { scope: 'a' }, initial);
  const before = await written(server);
  const session = new pg.Client(server.database.connection);
  await session.connect();
  try {
    // The client is written before it, and the change log after it.
    await session.query('begin; lock table registration_access in access exclusive mode');
    const calls = [
      register(server.url, {}, token),
      send('GET', own.path, own.access),
      send('PUT', own.path, own.access, { client_id: own.clientId }),
      send('DELETE', own.path, own.access),
    ];
    for (const { status, headers } of await Promise.all(calls)) assert.deepEqual([status, headers.get('retry-after')], [503, '1']);
    await session.query('rollback; begin; select from change_log for update');
    assert.equal((await register(server.url, {}, token)).status, 503);
    await session.query('rollback');
  } finally {
    await session.end();
  }
  assert.deepEqual(await written(server), before);
  assert.equal((await register(server.url, {}, token)).status, 201);
  assert.equal((await send('GET', own.path, own.access)).status, 200);
});

test('N06 openid-client registers, and the client that it gets works', async () => {
  const configuration = await openid.dynamicClientRegistration(
    new URL(server.url.replace('127.0.0.1', 'localhost')),
    { client_name: 'openid-client', scope: 'read', token_endpoint_auth_method: 'client_secret_post' },
    undefined,
    { algorithm: 'oauth2', initialAccessToken: initial, execute: [openid.allowInsecureRequests] },
  );
  const { client_id, registration_access_token: access } = configuration.clientMetadata() as Record<string, string>;
  const tokens = await openid.clientCredentialsGrant(configuration, { scope: 'read' });
  assert.equal((await openid.tokenIntrospection(configuration, tokens.access_token)).client_id, client_id);
  assert.equal((await send('GET', `/register/${client_id}`, access)).status, 200);
});

test('N06 oauth4webapi registers, and the client that it gets works', async () => {
  const insecure = { [oauth.allowInsecureRequests]: true } as const;
  const as = (await metadataOf(server.url)) as oauth.AuthorizationServer;
  const metadata = { scope: 'read', token_endpoint_auth_method: 'client_secret_post' };
  const response = await oauth.dynamicClientRegistrationRequest(as, metadata, { ...insecure, initialAccessToken: initial });
  const client = await oauth.processDynamicClientRegistrationResponse(response);
  const authentication = oauth.ClientSecretPost(String(client.client_secret));
  const grant = await oauth.clientCredentialsGrantRequest(as, client, authentication, {}, insecure);
  assert.equal((await oauth.processClientCredentialsResponse(as, client, grant)).scope, 'read');
});
