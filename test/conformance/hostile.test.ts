/** Bodies made to break something: each refusal is a 4xx problem that reflects nothing and writes nothing. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
let client: Credentials;
before(async () => {
  server = await openServer();
  administrator = await issueToken(server.url, server.admin);
  client = await createClient(server, { client_name: 'before', scope: 'read', claims: { a: { b: 1 } } });
});
after(() => server.stop());

/** Must not come back in any refusal. */
const MARK = 'canary-4711';

/** A test that leaves as many rows as it has found. */
function testThatWritesNothing(name: string, attempts: () => Promise<void>): void {
  test(name, async () => {
    const earlier = await rows();
    await attempts();
    assert.deepEqual(await rows(), earlier);
  });
}

async function rows(): Promise<unknown> {
  const tables = ['access_token', 'client', 'client_secret', 'change', 'audit'];
  return server.database.db.query({ text: `select ${tables.map((table) => `(select count(*) from ${table}) as ${table}`).join(', ')}` });
}

async function assertRefused(method: string, path: string, body: unknown, type = 'application/json', token = administrator): Promise<void> {
  const { status, headers, text, body: problem } = await sendJson(method, server.url + path, token, body, type);
  const what = `${method} ${path} ${String(body).slice(0, 60)}: ${status} ${text.slice(0, 200)}`;
  assert.ok(status >= 400 && status < 500, what);
  assert.deepEqual([headers.get('content-type'), problem.status], ['application/problem+json', status], what);
  for (const member of ['type', 'title', 'detail', 'error']) assert.equal(typeof problem[member], 'string', what);
  assert.ok(!text.includes(MARK), what);
}

const NOT_AN_OBJECT = ['', '{', '{}x', '[]', 'null', 'true', '1', `"${MARK}"`, '{"a":1,}', "{'a':1}", '{"a":NaN}', '['.repeat(30_000)];
const NEVER_STORED = [
  `{"claims":{"a":"\\u0000${MARK}"}}`,
  '{"claims":{"\\u0000":1}}',
  '{"claims":{"a":"\\ud800"}}',
  '{"claims":{"\\udc00":1}}',
  '{"client_name":"\\ud83d"}',
  '{"claims":{"a":1e400}}',
  '{"claims":{"a":1e308}}',
  '{"jwks":{"keys":[],"x":[-1e21,1]}}',
  '{"claims":{"a":1e-300}}',
  '{"claims":{"a":[-1e400]}}',
  '{"access_token_ttl":1e400}',
  `{"claims":{"__proto__":{"x":"${MARK}"}}}`,
  '{"__proto__":{"scope":"auth:keys"}}',
  '{"claims":{"a":[{"__proto__":null}]}}',
  `{"claims":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}}`,
  `{"claims":{"a":${'['.repeat(40)}${']'.repeat(40)}}}`,
];
testThatWritesNothing(
  'O01 RFC 8259: what is no JSON object, or could not be stored, is refused by everything that reads JSON',
  async () => {
    for (const body of [...NOT_AN_OBJECT, ...NEVER_STORED]) {
      await assertRefused('POST', '/clients', body);
      await assertRefused('PUT', `/clients/${client.clientId}`, body);
      await assertRefused('PATCH', `/clients/${client.clientId}`, body, 'application/merge-patch+json');
      // Nothing at all asks for a secret without a name.
      if (body !== '') await assertRefused('POST', `/clients/${client.clientId}/secrets`, body);
    }
    for (const type of [
      'text/plain',
      'text/json',
      'application/json, text/plain',
      'application/x-www-form-urlencoded',
      'application/problem+json',
    ])
      await assertRefused('POST', '/clients', '{}', type);
    await assertRefused('PUT', `/clients/${client.clientId}`, '{}', 'application/merge-patch+json');
  },
);

const METADATA: readonly Readonly<Record<string, unknown>>[] = [
  ...[null, '', '.', '..', 'a/b', 'a\n', 'a b', '-a', '__proto__', 'ä', 'x'.repeat(129), 5, {}, ['a']].map((client_id) => ({ client_id })),
  ...[null, [], ['read'], 5, ' a', 'a ', 'a  b', 'a\tb', 'a"b', 'a\\b', 'ä', `${MARK}\n`, 'x'.repeat(2_001)].map((scope) => ({ scope })),
  ...[0, -1, 1.5, '60', null, 367 * 86_400 + 1, true].map((access_token_ttl) => ({ access_token_ttl })),
  ...[-1, 86_401, '1', null].map((introspection_max_age) => ({ introspection_max_age })),
  ...['x', null, [''], ['a', 'a'], [5], [{}], ['x'.repeat(501)]].map((audience) => ({ audience })),
  ...['x', ['/a'], ['a b:c'], ['https://a#b'], ['https://a/ b'], ['https://ä.example'], ['//a'], [''], [5]].map((resources) => ({
    resources,
  })),
  ...['true', null, 1, 'no'].map((disabled) => ({ disabled })),
  ...[null, [], 'x', { '': 1 }, { a: 'x'.repeat(4_001) }, { 'a\n': 1 }].map((claims) => ({ claims })),
  ...['password', ['password'], ['client_credentials', 'client_credentials'], null, [null]].map((grant_types) => ({ grant_types })),
  ...['opaque', 'JWT', null].map((access_token_format) => ({ access_token_format })),
  ...['javascript:1', 'ftp://a', '/a', 5, 'https://a b'].flatMap((uri) => [{ logo_uri: uri }, { client_uri: uri }, { 'tos_uri#de': uri }]),
  ...['javascript:1', 'JAVASCRIPT:1', 'data:,x', 'https://a/*', 'https://a#b', '/a', ''].map((uri) => ({ redirect_uris: [uri] })),
  ...['x'.repeat(201), 'a\u0001', 'a\u001b[2J', 5].flatMap((client_name) => [{ client_name }, { 'client_name#de': client_name }]),
  ...['constructor', 'toString', 'hasOwnProperty', 'client_name#', 'constructor#de', 'client_secret', 'Scope'].map((name) => ({
    [name]: 'x',
  })),
  { jwks: { keys: [] }, jwks_uri: 'https://a.example/jwks' },
  { response_types: ['code'] },
  { software_statement: 'x' },
];
testThatWritesNothing('O02 RFC 7591 §3.2.2: metadata that is wrong is refused, created or replaced', async () => {
  for (const metadata of METADATA) {
    await assertRefused('POST', '/clients', JSON.stringify(metadata));
    await assertRefused('PUT', `/clients/${client.clientId}`, JSON.stringify(metadata));
  }
});

testThatWritesNothing('O03 RFC 7517 §8.1.1: a client is registered with public keys only', async () => {
  for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth']) {
    await assertRefused('POST', '/clients', JSON.stringify({ jwks: { keys: [{ kty: 'RSA', n: 'AQ', e: 'AQAB', [member]: MARK }] } }));
  }
  await assertRefused('POST', '/clients', JSON.stringify({ jwks: { keys: [{ kty: 'oct', k: MARK }] } }));
});

const PROTOCOL_CLAIMS = [
  ...['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'client_id', 'scope', 'active', 'token_type', 'username', 'cnf', 'act', 'may_act'],
  ...['auth_time', 'acr', 'amr', 'authorization_details', 'token_introspection'],
];
test('M04 RFC 9068 §2.2: static claims cannot overwrite protocol claims, by whatever way they come', async () => {
  for (const name of PROTOCOL_CLAIMS) {
    for (const [method, path] of [
      ['POST', '/clients'],
      ['PUT', `/clients/${client.clientId}`],
      ['PATCH', `/clients/${client.clientId}`],
    ] as const) {
      await assertRefused(method, path, JSON.stringify({ claims: { [name]: MARK } }));
    }
  }
  const odd = { ISS: 'x', Sub: 'x', constructor: 1, toString: 2, hasOwnProperty: 3, 'https://acme.example/claim': [1] };
  const holder = await createClient(server, { claims: odd });
  const { body } = await postForm(`${server.url}/introspect`, { token: await issueToken(server.url, holder) }, holder);
  for (const [name, value] of Object.entries(odd)) assert.deepEqual(body[name], value, name);
  assert.deepEqual([body.sub, body.iss], [holder.clientId, body.aud]);
});

const PATCHES: readonly (readonly [patch: string, check: (client: Readonly<Record<string, unknown>>) => unknown, expected: unknown])[] = [
  ['{}', (client) => client.client_name, 'before'],
  ['{"claims":{"a":{"b":null}}}', (client) => client.claims, { a: {} }],
  ['{"claims":{"a":5}}', (client) => client.claims, { a: 5 }],
  ['{"claims":{"a":{"c":{"d":null}}}}', (client) => client.claims, { a: { c: {} } }],
  ['{"claims":{"a":[null,{"b":null}]}}', (client) => client.claims, { a: [null, { b: null }] }],
  ['{"claims":{"constructor":{"prototype":{"x":1}}}}', (client) => Object.keys(client.claims as object).sort(), ['a', 'constructor']],
  ['{"claims":null}', (client) => client.claims, {}],
  ['{"scope":null,"grant_types":null}', (client) => [client.scope, client.grant_types], ['', ['client_credentials']]],
  ['{"client_name":null,"unknown":null}', (client) => 'client_name' in client, false],
  ['{"client_id":null,"secrets":[],"created_at":"x","updated_at":null}', (client) => (client.secrets as unknown[]).length, 1],
  ['{"disabled":null}', (client) => client.disabled, false],
];
test('O04 RFC 7396 §2: merge patches with odd members', async () => {
  const path = `${server.url}/clients/${client.clientId}`;
  for (const [patch, check, expected] of PATCHES) {
    const { status, body } = await sendJson('PATCH', path, administrator, patch, 'application/merge-patch+json');
    assert.equal(status, 200, patch);
    assert.deepEqual(check(body), expected, patch);
    assert.deepEqual((await sendJson('GET', path, administrator)).body, body);
  }
  for (const patch of ['{"client_id":"other"}', '{"unknown":1}', '{"claims":[1]}', '{"disabled":"false"}', '{"claims":{"sub":"x"}}'])
    await assertRefused('PATCH', `/clients/${client.clientId}`, patch, 'application/merge-patch+json');
});

testThatWritesNothing('O05 RFC 3339 §5.6: the end of a secret is a time that exists, in the future', async () => {
  const path = `/clients/${client.clientId}/secrets`;
  const times = [
    ...['2020-01-01T00:00:00Z', '2999-13-01T00:00:00Z', '2999-01-45T00:00:00Z', '2999-01-01', '2999-01-01T00:00:00', '2999-01-01T::Z'],
    ...['tomorrow', '', 'x2999-01-01T00:00:00Z', '2999-01-01T25:00:00Z', '2999-01-01T00:00:00+99:99', '+12999-01-01T00:00:00Z'],
    ...['2999-02-30T00:00:00Z', '2999-04-31T00:00:00Z', '9999-12-31T24:00:00Z', '9999-12-31T23:59:59-00:01', '2999-01-01T24:00:00Z'],
  ];
  for (const time of [...times, null, 32_472_144_000, {}, true]) {
    await assertRefused('POST', path, JSON.stringify({ expires_at: time }));
    await assertRefused('POST', path, JSON.stringify({ previous_expires_at: time }));
  }
  for (const name of ['', 'x'.repeat(201), 'a\n', 5, null, {}]) await assertRefused('POST', path, JSON.stringify({ name }));
  for (const member of ['client_secret', 'id', 'verifier', 'created_at'])
    await assertRefused('POST', path, JSON.stringify({ [member]: MARK }));
});

testThatWritesNothing('O06 what is not there is 404, whatever its name', async () => {
  for (const id of ['nobody', 'x'.repeat(128), 'x'.repeat(4_000), '-', '~', '__proto__', 'ADMIN']) {
    for (const [method, path, body] of [
      ['GET', `/clients/${id}`, undefined],
      ['PUT', `/clients/${id}`, '{}'],
      ['PATCH', `/clients/${id}`, '{}'],
      ['DELETE', `/clients/${id}`, undefined],
      ['POST', `/clients/${id}/secrets`, '{}'],
      ['DELETE', `/clients/${id}/secrets/00000000-0000-0000-0000-000000000000`, undefined],
      ['DELETE', `/clients/${client.clientId}/secrets/${id}`, undefined],
    ] as const) {
      const answer = await sendJson(method, server.url + path, administrator, body);
      assert.deepEqual([answer.status, answer.body.error], [404, 'not_found'], `${method} ${path}`);
    }
  }
  for (const id of ['-'.repeat(36), '0'.repeat(36), '00000000-0000-0000-0000-00000000000g'])
    await assertRefused('DELETE', `/clients/${client.clientId}/secrets/${id}`, undefined);
  for (const query of [
    'limit=',
    'limit=0',
    'limit=501',
    'limit=1e2',
    'limit=-1',
    'limit=1.5',
    'cursor=',
    'cursor=%00',
    'cursor=YQ==',
    `cursor=${'a'.repeat(5_000)}`,
  ])
    await assertRefused('GET', `/clients?${query}`, undefined);
});

test('O07 the privileges of the administrator stay with who holds them (docs/decisions/0007)', async () => {
  const limited = await issueToken(server.url, server.admin, { scope: 'auth:clients' });
  const [secret] = (await sendJson('GET', `${server.url}/clients/admin`, limited)).body.secrets;
  const attempts: readonly (readonly [method: string, path: string, body?: string])[] = [
    ['PATCH', '/clients/admin', '{}'],
    ['PATCH', '/clients/admin', '{"scope":"auth:clients"}'],
    ['PUT', '/clients/admin', '{}'],
    ['DELETE', '/clients/admin'],
    ['POST', '/clients/admin/secrets', '{}'],
    ['DELETE', `/clients/admin/secrets/${secret.id}`],
    ...['auth:', 'auth:keys', 'read auth:x', 'auth:clients auth:introspect'].map(
      (scope) => ['POST', '/clients', JSON.stringify({ scope })] as const,
    ),
    ['PATCH', `/clients/${client.clientId}`, '{"scope":"auth:introspect"}'],
  ];
  for (const [method, path, body] of attempts) {
    await assertRefused(method, path, body, 'application/json', limited);
    assert.equal((await sendJson(method, server.url + path, limited, body)).status, 403, `${method} ${path}`);
  }
  const reader = await issueToken(server.url, server.admin, { scope: 'auth:clients:read' });
  assert.equal((await sendJson('GET', `${server.url}/clients/admin`, reader)).status, 200);
  for (const [method, path, body] of attempts) assert.equal((await sendJson(method, server.url + path, reader, body)).status, 403);
});

test('O08 a secret is shown once: no answer and no log line has it, or its verifier, again', async () => {
  const made = await createClient(server);
  const added = (await sendJson('POST', `${server.url}/clients/${made.clientId}/secrets`, administrator, { name: 'second' })).body;
  await postForm(`${server.url}/token`, 'grant_type=client_credentials', { ...made, clientSecret: added.client_secret });
  const verifiers = await server.database.query<{ verifier: string }>('select verifier from client_secret');
  const texts = [server.logged()];
  for (const path of [`/clients/${made.clientId}`, '/clients?limit=500']) {
    texts.push((await request(server.url + path, { headers: { authorization: `Bearer ${administrator}` } })).text);
  }
  texts.push((await sendJson('PATCH', `${server.url}/clients/${made.clientId}`, administrator, {})).text);
  for (const text of texts) {
    for (const secret of [made.clientSecret, added.client_secret, administrator]) assert.ok(!text.includes(secret));
    for (const { verifier } of verifiers) assert.ok(!text.includes(verifier.slice('sha256:'.length)));
  }
});
