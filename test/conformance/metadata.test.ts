/** Metadata, keys, and the bearer tokens of the management: M01–M05, M07, M08; health. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
before(async () => {
  server = await openServer();
});
after(() => server.stop());

const WELL_KNOWN = '/.well-known/oauth-authorization-server';

test('M01 RFC 8414 §3.1: the well-known part comes before the path of the issuer, the endpoints behind it', async () => {
  const issuer = 'https://auth.example.com/tenant';
  const other = await openServer({ AUTH_ISSUER: issuer });
  try {
    const root = other.url.replace(/\/tenant$/, '');
    const { status, body } = await request(`${root}${WELL_KNOWN}/tenant`);
    assert.deepEqual([status, body.issuer, body.token_endpoint, body.jwks_uri], [200, issuer, `${issuer}/token`, `${issuer}/jwks`]);
    assert.equal((await request(root + WELL_KNOWN)).status, 404);
    assert.equal((await request(`${root}/token`)).status, 404);
    assert.equal((await request(`${root}/health/ready`)).status, 200, 'health stays at the root');
    assert.ok(await issueToken(`${root}/tenant`, other.admin));
    assert.equal((await request(`${root}/tenant/jwks`)).body.keys.length, 1);
  } finally {
    await other.stop();
  }
});

test('M02 RFC 8414 §2: what is advertised is there, what is not is not, empty arrays are omitted', async () => {
  const { body } = await request(server.url + WELL_KNOWN);
  for (const [name, value] of Object.entries(body)) assert.ok(!Array.isArray(value) || value.length > 0, name);
  assert.deepEqual(body.grant_types_supported, ['client_credentials']);
  for (const method of ['client_secret_basic', 'client_secret_post']) {
    assert.ok(body.token_endpoint_auth_methods_supported.includes(method));
    const client = await createClient(server, { token_endpoint_auth_method: method });
    const form = {
      grant_type: 'client_credentials',
      ...(method.endsWith('post') && { client_id: client.clientId, client_secret: client.clientSecret }),
    };
    assert.equal((await postForm(`${server.url}/token`, form, method.endsWith('basic') ? client : undefined)).status, 200);
  }
  const iss = (await postForm(`${server.url}/introspect`, { token: await issueToken(server.url, server.admin) }, server.admin)).body.iss;
  assert.equal(iss, body.issuer);
  for (const absent of ['authorization_endpoint', 'registration_endpoint', 'device_authorization_endpoint'])
    assert.equal(body[absent], undefined);
});

test('M03 RFC 8414 §2: private_key_jwt with its algorithms at each endpoint, never none and never a MAC', async () => {
  const { body } = await request(server.url + WELL_KNOWN);
  for (const endpoint of ['token', 'introspection', 'revocation']) {
    assert.ok(body[`${endpoint}_endpoint_auth_methods_supported`].includes('private_key_jwt'), endpoint);
    const algs: readonly string[] = body[`${endpoint}_endpoint_auth_signing_alg_values_supported`];
    assert.ok(algs.includes('RS256') && algs.includes('ES256'), endpoint);
    assert.ok(!algs.some((alg) => /none|^HS/i.test(alg)), endpoint);
  }
  assert.deepEqual(body.introspection_signing_alg_values_supported, ['ES256']);
});

test('M05 RFC 7517: public keys only, each kid once, cacheable', async () => {
  const { body, headers } = await request(`${server.url}/jwks`);
  assert.deepEqual(Object.keys(body.keys[0]).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
  assert.match(headers.get('cache-control') ?? '', /max-age=\d+/);
});

test('M07 RFC 6750 §3: no token, a bad one, a lacking scope, a malformed header', async () => {
  const reader = await createClient(server, { scope: 'auth:clients:read' });
  const token = await issueToken(server.url, reader);
  const get = (authorization?: string, query = '') =>
    request(`${server.url}/clients${query}`, authorization === undefined ? {} : { headers: { authorization } });
  const none = await get();
  assert.deepEqual([none.status, none.headers.get('www-authenticate')], [401, 'Bearer realm="auth"']);
  for (const bad of ['at_junk', `${token}x`, 'eyJa.b.c']) {
    const answer = await get(`Bearer ${bad}`);
    assert.equal(answer.status, 401);
    assert.match(answer.headers.get('www-authenticate') ?? '', /error="invalid_token"/);
  }
  assert.equal((await get(`Bearer ${token}`)).status, 200);
  const lacking = await sendJson('POST', `${server.url}/clients`, token, {});
  assert.equal(lacking.status, 403);
  assert.match(lacking.headers.get('www-authenticate') ?? '', /error="insufficient_scope", scope="auth:clients"/);
  for (const malformed of ['Bearer', 'Bearer a b', 'Bearer "x"']) assert.equal((await get(malformed)).status, 400);
  assert.equal((await get(`Bearer ${token}`, `?access_token=${token}`)).status, 400);
});

test('M08 RFC 8414 §2: revocation and introspection endpoints with their methods', async () => {
  const { body } = await request(server.url + WELL_KNOWN);
  assert.deepEqual(body.revocation_endpoint_auth_methods_supported, [
    'client_secret_basic',
    'client_secret_post',
    'private_key_jwt',
    'none',
  ]);
  assert.deepEqual(body.introspection_endpoint_auth_methods_supported, ['client_secret_basic', 'client_secret_post', 'private_key_jwt']);
  assert.deepEqual([body.revocation_endpoint, body.introspection_endpoint], [`${body.issuer}/revoke`, `${body.issuer}/introspect`]);
});

test('health: live and ready', async () => {
  for (const path of ['live', 'ready']) assert.equal((await request(`${server.url}/health/${path}`)).status, 200);
});
