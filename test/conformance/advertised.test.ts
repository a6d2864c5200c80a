/** The metadata says the truth: what it lists works, what it does not list does not (RFC 8414 §2). */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { assertion, keyPair, presented } from '../support/assertions.ts';
import { type Answer, createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
let metadata: Answer['body'];
before(async () => {
  server = await openServer();
  administrator = await issueToken(server.url, server.admin);
  metadata = (await request(`${server.url}/.well-known/oauth-authorization-server`)).body;
});
after(() => server.stop());

/** Where the metadata says, reached over the address that the test listens on. */
const local = (url: string) => url.replace('//localhost:', '//127.0.0.1:');

const AUTH_METHODS = [
  ...['client_secret_basic', 'client_secret_post', 'none', 'client_secret_jwt', 'private_key_jwt'],
  ...['tls_client_auth', 'self_signed_tls_client_auth'],
];
const ASSERTION = 'client_assertion=a.b.c&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

const KEY = keyPair();
const registered = (method: string) => ({
  token_endpoint_auth_method: method,
  ...(method === 'private_key_jwt' && { jwks: { keys: [KEY.jwk] } }),
});

async function authenticated(url: string, form: string, method: string, { clientId, clientSecret }: Credentials): Promise<Answer> {
  switch (method) {
    case 'client_secret_basic':
      return postForm(url, form, { clientId, clientSecret });
    case 'client_secret_post':
      return postForm(url, `${form}&client_id=${clientId}&client_secret=${clientSecret}`);
    case 'none':
      return postForm(url, `${form}&client_id=${clientId}`);
    case 'private_key_jwt':
      return postForm(url, presented(await assertion(clientId, metadata.issuer, KEY), Object.fromEntries(new URLSearchParams(form))));
    default:
      return postForm(url, `${form}&client_id=${clientId}&${ASSERTION}`);
  }
}

const ENDPOINTS = [
  ['token', 'grant_type=client_credentials'],
  ['introspection', 'token=x'],
  ['revocation', 'token=x'],
] as const;
for (const [endpoint, form] of ENDPOINTS) {
  test(`M02 RFC 8414 §2: the ${endpoint} endpoint takes the listed authentication methods and no other`, async () => {
    const listed: readonly string[] = metadata[`${endpoint}_endpoint_auth_methods_supported`];
    for (const method of AUTH_METHODS) {
      const isKnown = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'].includes(method);
      const client = await createClient(server, isKnown ? registered(method) : {});
      const answer = await authenticated(local(metadata[`${endpoint}_endpoint`]), form, method, client);
      if (listed.includes(method)) assert.equal(answer.status, 200, method);
      else assert.ok(['invalid_client', 'unauthorized_client'].includes(answer.body.error), `${method}: ${answer.text}`);
    }
  });
}

test('M02 RFC 7591 §2: a method that no endpoint takes cannot be registered', async () => {
  const listed = ENDPOINTS.flatMap(([endpoint]): readonly string[] => metadata[`${endpoint}_endpoint_auth_methods_supported`]);
  for (const method of [...AUTH_METHODS, 'CLIENT_SECRET_BASIC', '']) {
    const answer = await sendJson('POST', `${server.url}/clients`, administrator, registered(method));
    assert.equal(answer.status, listed.includes(method) ? 201 : 400, method);
  }
});

const GRANTS = [
  ...['client_credentials', 'authorization_code', 'refresh_token', 'password', 'implicit', 'CLIENT_CREDENTIALS', 'client_credentials '],
  ...['urn:ietf:params:oauth:grant-type:device_code', 'urn:ietf:params:oauth:grant-type:token-exchange', 'toString', '__proto__'],
  ...['urn:ietf:params:oauth:grant-type:jwt-bearer', 'urn:ietf:params:oauth:grant-type:saml2-bearer', 'urn:openid:params:grant-type:ciba'],
];
test('M02 RFC 6749 §5.2: the listed grant types work, every other is unsupported_grant_type and cannot be registered', async () => {
  const client = await createClient(server);
  const extra = { code: 'x', refresh_token: 'x', username: 'u', password: 'p', assertion: 'x', device_code: 'x', subject_token: 'x' };
  for (const grant_type of GRANTS) {
    const isListed = metadata.grant_types_supported.includes(grant_type);
    const answer = await postForm(`${server.url}/token`, { ...extra, grant_type }, client);
    const registration = await sendJson('POST', `${server.url}/clients`, administrator, { grant_types: [grant_type] });
    if (isListed) assert.deepEqual([answer.status, registration.status], [200, 201], grant_type);
    else assert.deepEqual([answer.body.error, registration.status], ['unsupported_grant_type', 400], grant_type);
  }
});

const OPTIONAL: readonly (readonly [member: string, paths: readonly string[]])[] = [
  ['authorization_endpoint', ['/authorize', '/auth', '/authorization']],
  ['registration_endpoint', ['/register']],
  ['pushed_authorization_request_endpoint', ['/par', '/request']],
  ['device_authorization_endpoint', ['/device_authorization', '/device']],
  ['userinfo_endpoint', ['/userinfo', '/me']],
  ['end_session_endpoint', ['/logout', '/session/end']],
];
test('M02 what has no place in the metadata is not there', async () => {
  for (const [member, paths] of OPTIONAL.filter(([name]) => metadata[name] === undefined)) {
    for (const path of paths) {
      for (const method of ['GET', 'POST']) assert.equal((await request(server.url + path, { method })).status, 404, `${member}: ${path}`);
    }
  }
  for (const [name, url] of Object.entries<string>(metadata).filter(([name]) => /_endpoint$|_uri$/.test(name))) {
    assert.ok(url.startsWith(`${metadata.issuer}/`), name);
    assert.notEqual((await request(local(url))).status, 404, name);
  }
});

for (const alg of ['ES256', 'RS256', 'EdDSA', 'PS256']) {
  test(`M02 RFC 9701 §7: with ${alg} configured, the metadata, the keys and every signature say ${alg}`, async () => {
    const other = await openServer({ AUTH_SIGNING_ALG: alg });
    try {
      const { body } = await request(`${other.url}/.well-known/oauth-authorization-server`);
      assert.deepEqual(body.introspection_signing_alg_values_supported, [alg]);
      const jwks = (await request(`${other.url}/jwks`)).body as JSONWebKeySet;
      assert.deepEqual(
        jwks.keys.map((key) => [key.alg, key.use]),
        [[alg, 'sig']],
      );
      for (const key of jwks.keys) for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) assert.ok(!(secret in key), secret);
      const client = await createClient(other, { access_token_format: 'jwt' });
      const token = await issueToken(other.url, client);
      const accept = 'application/token-introspection+jwt';
      const signed = (await postForm(`${other.url}/introspect`, { token }, client, { accept })).text;
      for (const [jwt, typ] of [
        [token, 'at+jwt'],
        [signed, 'token-introspection+jwt'],
      ] as const) {
        const { protectedHeader } = await jwtVerify(jwt, createLocalJWKSet(jwks), { issuer: body.issuer, typ, algorithms: [alg] });
        assert.deepEqual(protectedHeader, { alg, typ, kid: jwks.keys[0]?.kid });
      }
    } finally {
      await other.stop();
    }
  });
}
