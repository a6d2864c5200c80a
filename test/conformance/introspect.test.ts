/** Introspection: I01–I10 of docs/conformance.md. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer, until } from '../support/server.ts';

const API = 'https://api.example.com';
const SIGNED = 'application/token-introspection+jwt';
let server: InProcessServer;
let client: Credentials;
let stranger: Credentials;
let resourceServer: Credentials;
let token: string;
before(async () => {
  server = await openServer();
  client = await createClient(server, { scope: 'read', audience: [API, 'by-id'], claims: { tenant: 'acme' } });
  stranger = await createClient(server);
  resourceServer = await createClient(server, { grant_types: [], resources: [API] });
  token = await issueToken(server.url, client);
});
after(() => server.stop());

const introspect = (form: Readonly<Record<string, string>>, who?: Credentials, headers: Readonly<Record<string, string>> = {}) =>
  postForm(`${server.url}/introspect`, form, who, headers);

test('I01 RFC 7662 §2.1: the caller is authenticated; a bare client_id is not that; 400 where a signed answer is asked for', async () => {
  const open = await createClient(server, { token_endpoint_auth_method: 'none' });
  for (const form of [{ token }, { token, client_id: open.clientId }]) {
    const answer = await introspect(form);
    assert.equal(answer.status, 401);
    assert.ok(answer.headers.get('www-authenticate'));
    assert.equal((await introspect(form, undefined, { accept: SIGNED })).status, 400);
  }
  assert.equal((await introspect({ token }, { ...client, clientSecret: 'wrong' }, { accept: SIGNED })).status, 401);
});

test('I02 RFC 7662 §2.1: POST only, token required, hints change nothing', async () => {
  assert.equal((await request(`${server.url}/introspect?token=${token}`)).status, 405);
  assert.equal((await introspect({}, client)).body.error, 'invalid_request');
  for (const token_type_hint of ['refresh_token', 'nonsense'])
    assert.equal((await introspect({ token, token_type_hint }, client)).body.active, true);
});

test('I03 RFC 7662 §2.2: unknown, expired, revoked and foreign tokens are {"active":false} and nothing else', async () => {
  const short = await createClient(server, { access_token_ttl: 1 });
  const [expired, revoked] = [await issueToken(server.url, short), await issueToken(server.url, client)];
  await postForm(`${server.url}/revoke`, { token: revoked }, client);
  await until(async () => !(await introspect({ token: expired }, short)).body.active, 3_000);
  const cases: readonly [string, Credentials][] = [
    ['junk', client],
    [expired, short],
    [revoked, client],
    [token, stranger],
  ];
  for (const [text, who] of cases) {
    const answer = await introspect({ token: text }, who);
    assert.deepEqual([answer.status, answer.text, answer.headers.get('cache-control')], [200, '{"active":false}', 'no-store']);
  }
});

test('I04 RFC 7662 §4: a JWT with another signature, header or claims is another token', async () => {
  const signer = await createClient(server, { access_token_format: 'jwt' });
  const jwt = await issueToken(server.url, signer);
  const [header = '', payload = '', signature = ''] = jwt.split('.');
  assert.equal((await introspect({ token: jwt }, signer)).body.active, true);
  const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url');
  const forged = [
    `${none}.${payload}.`,
    `${none}.${payload}.${signature}`,
    `${header}.${payload}.${signature.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))}`,
    `${header}.${payload}x.${signature}`,
  ];
  for (const text of forged) assert.equal((await introspect({ token: text }, signer)).body.active, false);
});

test('I05 RFC 7662 §2.2: the members of an active answer', async () => {
  const { body, text } = await introspect({ token }, client);
  assert.ok(text.startsWith('{"active":true,"token_type":"Bearer",'), 'what is looked for comes first');
  const { exp, iat, jti, ...rest } = body;
  assert.deepEqual([exp - iat, Number.isInteger(iat), typeof jti], [3600, true, 'string']);
  const iss = server.url.replace('127.0.0.1', 'localhost');
  assert.deepEqual(rest, {
    active: true,
    token_type: 'Bearer',
    iss,
    sub: client.clientId,
    client_id: client.clientId,
    aud: [API, 'by-id'],
    scope: 'read',
    tenant: 'acme',
  });
});

test('I06 who sees a token: its client, its audience, auth:introspect as a client or by bearer token; nobody else', async () => {
  const byId = await createClient(server, { client_id: 'by-id' });
  const gateway = await createClient(server, { scope: 'auth:introspect' });
  for (const who of [client, resourceServer, byId, gateway]) assert.equal((await introspect({ token }, who)).body.active, true);
  const bearer = await issueToken(server.url, gateway);
  assert.equal((await introspect({ token }, undefined, { authorization: `Bearer ${bearer}` })).body.active, true);
  for (const accept of ['application/json', SIGNED, 'application/jwt']) {
    const answer = await introspect({ token }, stranger, { accept });
    assert.ok(!answer.text.includes(client.clientId) && !answer.text.includes('acme'));
  }
});

test("I06 the issuer is nobody's resource: who claims it sees no token of the default audience", async () => {
  const iss = server.url.replace('127.0.0.1', 'localhost');
  const claimant = await createClient(server, { resources: [iss] });
  assert.equal((await introspect({ token: await issueToken(server.url, stranger) }, claimant)).text, '{"active":false}');
});

test('I07 RFC 6750 §3: a bearer token without auth:introspect is 403, a bad one 401, two methods 400', async () => {
  const by = (value: string, form: Readonly<Record<string, string>> = {}) =>
    introspect({ token, ...form }, undefined, { authorization: `Bearer ${value}` });
  const [lacking, bad, both] = [await by(token), await by('at_junk'), await by(token, { client_id: 'x', client_secret: 'y' })];
  assert.deepEqual([lacking.status, lacking.body.error], [403, 'insufficient_scope']);
  assert.match(lacking.headers.get('www-authenticate') ?? '', /scope="auth:introspect"/);
  assert.deepEqual([bad.status, bad.body.error], [401, 'invalid_token']);
  assert.deepEqual([both.status, both.body.error], [400, 'invalid_request']);
  assert.equal((await by('not a token')).status, 400);
});

test('I08 RFC 9701 §5: the signed answer', async () => {
  const keys = createLocalJWKSet((await request(`${server.url}/jwks`)).body);
  for (const [text, who] of [
    [token, resourceServer],
    [token, stranger],
  ] as const) {
    const answer = await introspect({ token: text }, who, { accept: SIGNED });
    assert.equal(answer.headers.get('content-type'), SIGNED);
    const { payload } = await jwtVerify(answer.text, keys, { typ: 'token-introspection+jwt', audience: who.clientId });
    assert.deepEqual(Object.keys(payload).sort(), ['aud', 'iat', 'iss', 'token_introspection'], 'no sub and no exp (§8.1)');
    const plain = (await introspect({ token: text }, who)).body;
    assert.deepEqual(payload.token_introspection, plain);
  }
});

test('I09 one algorithm signs everything: another per client is refused, the one is advertised', async () => {
  const administrator = await issueToken(server.url, server.admin);
  const answer = await sendJson('POST', `${server.url}/clients`, administrator, { introspection_signed_response_alg: 'RS256' });
  assert.equal(answer.body.errors[0].pointer, '/introspection_signed_response_alg');
  assert.deepEqual(
    (await request(`${server.url}/.well-known/oauth-authorization-server`)).body.introspection_signing_alg_values_supported,
    ['ES256'],
  );
});

test('I10 a truncated, padded, case-changed or suffixed token is inactive', async () => {
  const variants = [
    token.slice(0, -1),
    `${token}=`,
    `${token}a`,
    ` ${token}`,
    token.toUpperCase(),
    token.replace('at_', 'AT_'),
    token.slice(3),
    `${token}\n`,
    `${token}\0`,
  ];
  for (const text of variants) assert.equal((await introspect({ token: text }, client)).body.active, false, JSON.stringify(text));
});

test('I10 junk costs no query: it is answered while the token table is locked', async () => {
  await server.database.db.transaction(async (tx) => {
    await tx.query({ text: 'lock table access_token in access exclusive mode' });
    assert.equal((await introspect({ token: `${token.slice(0, -1)}!` }, client)).text, '{"active":false}');
    const last = token.endsWith('0') ? '1' : '0';
    assert.equal((await introspect({ token: token.slice(0, -1) + last }, client)).text, '{"active":false}', 'a wrong checksum');
  });
});

test('phantom token: the bare JWT for application/jwt, 204 when inactive', async () => {
  const active = await introspect({ token }, resourceServer, { accept: 'application/jwt' });
  assert.deepEqual([active.status, active.headers.get('content-type'), active.text.split('.').length], [200, 'application/jwt', 3]);
  const inactive = await introspect({ token: 'junk' }, resourceServer, { accept: 'application/jwt' });
  assert.deepEqual([inactive.status, inactive.text], [204, '']);
});

const NEGOTIATION: readonly [accept: string, type: string | 406][] = [
  ['*/*', 'application/json'],
  ['application/*', 'application/json'],
  ['application/jwt;q=0.5, application/json;q=0.9', 'application/json'],
  ['application/json;q=0.1, application/jwt', 'application/jwt'],
  [`application/json;q=0, ${SIGNED}`, SIGNED],
  [`${SIGNED}, */*;q=0.1`, SIGNED],
  ['APPLICATION/JWT', 'application/jwt'],
  ['text/html', 406],
  ['application/json;q=0', 406],
];
for (const [accept, expected] of NEGOTIATION) {
  test(`RFC 9110 §12.5.1: Accept: ${accept} → ${expected}`, async () => {
    const answer = await introspect({ token }, client, { accept });
    assert.equal(expected === 406 ? answer.status : answer.headers.get('content-type'), expected);
    assert.equal(answer.headers.get('vary'), 'Accept');
  });
}

test('introspection_max_age lets a caller keep an active answer, never beyond its end', async () => {
  const keeper = await createClient(server, { resources: [API], introspection_max_age: 60 });
  assert.equal((await introspect({ token }, keeper)).headers.get('cache-control'), 'private, max-age=60');
  assert.equal((await introspect({ token: 'junk' }, keeper)).headers.get('cache-control'), 'no-store');
  const short = await createClient(server, { audience: [API], access_token_ttl: 30 });
  const answer = await introspect({ token: await issueToken(server.url, short) }, keeper);
  assert.ok(Number(/max-age=(\d+)/.exec(answer.headers.get('cache-control') ?? '')?.[1]) <= 30);
});
