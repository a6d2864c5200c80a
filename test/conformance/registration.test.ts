/** Dynamic client registration, RFC 7591: C01–C04, and the initial access tokens of this server: N01–N05. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { initialToken, metadataOf, register, registered, written } from '../support/registration.ts';
import { type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let open: InProcessServer;
let administrator: string;
/** good for all tests of this file */
let initial: string;
before(async () => {
  [server, open] = await Promise.all([openServer({ AUTH_REGISTRATION: 'token' }), openServer({ AUTH_REGISTRATION: 'open' })]);
  administrator = await issueToken(server.url, server.admin);
  initial = await initialToken(server, { uses: 1000 });
});
after(() => Promise.all([server.stop(), open.stop()]));

const manage = (method: string, path: string, body?: unknown, token = administrator) => sendJson(method, server.url + path, token, body);

test('C01 RFC 7591 §3.2.1: 201 with all that is registered, a secret that works, and how to manage it; nothing of it is stored in clear', async () => {
  const metadata = {
    client_name: 'Jobs',
    'client_name#de': 'Aufträge',
    redirect_uris: ['https://jobs.example/back'],
    scope: 'jobs:read jobs:write',
    token_endpoint_auth_method: 'client_secret_post',
    contacts: ['ops@jobs.example'],
    software_id: 's-1',
  };
  const answer = await register(server.url, metadata, initial);
  assert.deepEqual([answer.status, answer.headers.get('cache-control'), answer.headers.get('pragma')], [201, 'no-store', 'no-cache']);
  const { client_id, client_secret, client_secret_expires_at, client_id_issued_at, ...rest } = answer.body;
  const { registration_access_token, registration_client_uri, ...effective } = rest;
  assert.deepEqual(effective, {
    ...metadata,
    grant_types: ['client_credentials'],
    audience: [],
    resources: [],
    claims: {},
    access_token_format: 'reference',
    introspection_max_age: 0,
    disabled: false,
  });
  assert.equal(client_secret_expires_at, 0);
  assert.ok(Math.abs(client_id_issued_at - Date.now() / 1000) < 60);
  assert.equal(registration_client_uri, `${(await metadataOf(server.url)).issuer}/register/${client_id}`);
  const form = { grant_type: 'client_credentials', client_id, client_secret };
  assert.equal((await postForm(`${server.url}/token`, form)).body.scope, metadata.scope);
  const [dump] = await server.database.query<{
    text: string;
  }>(`select concat((select json_agg(c) from client c), (select json_agg(s) from client_secret s),
    (select json_agg(r) from registration_access r), (select json_agg(t) from registration_token t), (select json_agg(a) from audit a)) as text`);
  for (const secret of [client_secret, registration_access_token, initial]) {
    assert.equal(dump?.text.includes(secret), false);
    assert.equal(server.logged().includes(secret), false);
  }
});

test('C01 RFC 7591 §3.2.1: each registration is another client, whatever id or secret it asks for', async () => {
  const wish = { client_id: 'admin', client_secret: 'x'.repeat(43), registration_access_token: 'y' };
  const answers = [await register(server.url, wish, initial), await register(server.url, wish, initial)];
  assert.deepEqual([answers[0]?.status, answers[1]?.status], [201, 201]);
  const secrets = answers.flatMap(({ body }) => [body.client_id, body.client_secret, body.registration_access_token]);
  assert.equal(new Set([...secrets, ...Object.values(wish)]).size, 9);
});

const REFUSALS: readonly [why: string, metadata: Readonly<Record<string, unknown>>, error: string, says: RegExp][] = [
  ['a public client', { token_endpoint_auth_method: 'none' }, 'invalid_client_metadata', /\/token_endpoint_auth_method/],
  ['an unknown method', { token_endpoint_auth_method: 'client_secret_jwt' }, 'invalid_client_metadata', /\/token_endpoint_auth_method/],
  [
    'a method that is for administrators to give',
    { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: 'https://keys.example.com/' },
    'invalid_client_metadata',
    /\/token_endpoint_auth_method/,
  ],
  ['a grant that is not there', { grant_types: ['authorization_code'] }, 'invalid_client_metadata', /\/grant_types/],
  ['one that is and one that is not', { grant_types: ['client_credentials', 'implicit'] }, 'invalid_client_metadata', /\/grant_types/],
  ['a response type', { response_types: ['code'] }, 'invalid_client_metadata', /\/response_types/],
  ['jwks and jwks_uri', { jwks: { keys: [] }, jwks_uri: 'https://a.example/j' }, 'invalid_client_metadata', /\/jwks_uri/],
  ['a private key', { jwks: { keys: [{ kty: 'EC', d: 'x' }] } }, 'invalid_client_metadata', /\/jwks\/keys\/0\/d/],
  ['a scope of this server', { scope: 'read auth:clients' }, 'invalid_client_metadata', /\/scope/],
  ['a scope that begins so', { scope: 'auth:x' }, 'invalid_client_metadata', /\/scope/],
  ['a malformed scope', { scope: 'a  "b' }, 'invalid_client_metadata', /\/scope/],
  ['a name with control characters', { client_name: 'a\nb' }, 'invalid_client_metadata', /\/client_name/],
  ['a localized URI that is none', { 'logo_uri#de': 'x' }, 'invalid_client_metadata', /\/logo_uri#de/],
  ['javascript:', { redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri', /\/redirect_uris\/0/],
  ['data:', { redirect_uris: ['data:text/html,x'] }, 'invalid_redirect_uri', /\/redirect_uris\/0/],
  ['a fragment', { redirect_uris: ['https://a.example/#x'] }, 'invalid_redirect_uri', /\/redirect_uris\/0/],
  ['a wildcard', { redirect_uris: ['https://*.a.example/'] }, 'invalid_redirect_uri', /\/redirect_uris\/0/],
  ['a software statement', { software_statement: 'a.b.c' }, 'unapproved_software_statement', /software statements/],
];
for (const [why, metadata, error, says] of REFUSALS) {
  test(`C02 RFC 7591 §3.2.2: ${why} is refused, in both modes, and nothing is written, no use of a token either`, async () => {
    for (const [at, token] of [
      [server, initial],
      [open, undefined],
    ] as const) {
      const before = await written(at);
      const answer = await register(at.url, metadata, token);
      assert.deepEqual([answer.status, answer.body.error], [400, error], answer.text);
      assert.match(answer.body.error_description, says);
      assert.match(answer.body.error_description, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/, 'RFC 6749 §5.2');
      assert.equal(answer.headers.get('cache-control'), 'no-store');
      assert.deepEqual(await written(at), before);
    }
  });
}

test('C02 what is no JSON object is refused, and nothing is written', async () => {
  const before = await written(server);
  for (const [body, type, status] of [
    ['[]', undefined, 400],
    ['{', undefined, 400],
    ['{"client_name":"\\u0000"}', undefined, 400],
    ['scope=a', 'application/x-www-form-urlencoded', 415],
    [`{"client_name":"${'x'.repeat(70_000)}"}`, undefined, 413],
  ] as const)
    assert.equal((await register(server.url, body, initial, type)).status, status, body.slice(0, 30));
  assert.deepEqual(await written(server), before);
});

test('C03 RFC 7591 §2: unknown members are ignored, and ours, which an administrator decides: nobody gets into others’ audience', async () => {
  const victim = await createClient(server, { resources: ['https://victim.example'] });
  const { body } = await register(
    server.url,
    {
      scope: 'a',
      unknown: { x: [1] },
      toString: 'x',
      constructor: {},
      client_uri: null,
      resources: ['https://victim.example'],
      audience: ['https://victim.example'],
      claims: { role: 'admin' },
      disabled: true,
      access_token_ttl: 31_000_000,
      access_token_format: 'jwt',
      introspection_max_age: 86_400,
    },
    initial,
  );
  assert.deepEqual(
    [
      body.resources,
      body.audience,
      body.claims,
      body.disabled,
      body.access_token_ttl,
      body.access_token_format,
      body.introspection_max_age,
    ],
    [[], [], {}, false, undefined, 'reference', 0],
  );
  for (const name of ['unknown', 'client_uri']) assert.equal(name in body, false, name);
  const own = { clientId: body.client_id, clientSecret: body.client_secret };
  const theirs = await issueToken(server.url, await createClient(server, { audience: ['https://victim.example'] }));
  assert.equal((await postForm(`${server.url}/introspect`, { token: theirs }, victim)).body.active, true);
  assert.equal((await postForm(`${server.url}/introspect`, { token: theirs }, own)).body.active, false);
});

test('C04 RFC 7591 §3: without a good initial access token nothing is registered: RFC 6750 errors, before the body is read', async () => {
  const deleted = await initialToken(server);
  const { items } = (await manage('GET', '/registration-tokens?limit=500')).body;
  const [row] = await server.database.query<{ id: string }>('select id from registration_token order by created_at desc limit 1');
  assert.ok(items.some(({ id }: { id: string }) => id === row?.id));
  assert.equal((await manage('DELETE', `/registration-tokens/${row?.id}`)).status, 204);
  const expired = await initialToken(server);
  await server.database.query(
    `update registration_token set expires_at = clock_timestamp() where created_at = (select max(created_at) from registration_token)`,
  );
  const spent = await initialToken(server);
  const client = await registered(server, {}, spent);
  const before = await written(server);
  for (const token of [deleted, expired, spent, client.access, administrator, `${initial.slice(0, -1)}!`, initial.toUpperCase(), 'x']) {
    for (const metadata of [{}, 'no JSON']) {
      const { status, body, headers } = await register(server.url, metadata, token);
      const isMalformed = token.endsWith('!');
      assert.deepEqual([status, body.error], isMalformed ? [400, 'invalid_request'] : [401, 'invalid_token'], token.slice(0, 8));
      assert.match(headers.get('www-authenticate') ?? '', /^Bearer realm="auth", error="invalid_/);
    }
  }
  const anonymous = await register(server.url, {});
  assert.deepEqual([anonymous.status, anonymous.headers.get('www-authenticate')], [401, 'Bearer realm="auth"']);
  const inQuery = await request(`${server.url}/register?access_token=${initial}`, { method: 'POST' });
  assert.equal(inQuery.status, 400);
  assert.deepEqual(await written(server), before);
});

test('C04 open: nobody needs a token, who sends one needs a good one, and its scopes count', async () => {
  assert.equal((await register(open.url, { scope: 'anything' })).status, 201);
  const bound = await initialToken(open, { scope: 'read' });
  assert.equal((await register(open.url, { scope: 'write' }, bound)).status, 400);
  assert.equal((await register(open.url, { scope: 'read' }, bound)).status, 201);
  assert.equal((await register(open.url, { scope: 'read' }, bound)).status, 401, 'spent');
});

test('C04 open: 1,000 registrations an hour and source, then 429 with Retry-After; who has an initial token goes on', async () => {
  const crowded = await openServer({ AUTH_REGISTRATION: 'open' });
  try {
    const own = await register(crowded.url, {});
    let left = 999;
    const statuses = new Set<number>();
    const one = async () => {
      while (left-- > 0) statuses.add((await register(crowded.url, {})).status);
    };
    await Promise.all(Array.from({ length: 8 }, one));
    assert.ok(statuses.has(201) && [...statuses].every((status) => status === 201 || status === 503), [...statuses].join());
    const before = await written(crowded);
    const refused = await register(crowded.url, {});
    assert.equal(refused.status, 429);
    const seconds = Number(refused.headers.get('retry-after'));
    assert.ok(seconds > 3_000 && seconds <= 3_600, String(seconds));
    assert.deepEqual(await written(crowded), before);
    const url = `${crowded.url}/register/${own.body.client_id}`;
    const headers = { authorization: `Bearer ${own.body.registration_access_token}`, 'content-type': 'application/json' };
    const put = await request(url, { method: 'PUT', headers, body: JSON.stringify({ client_id: own.body.client_id }) });
    assert.equal(put.status, 429, 'nor can it go on by changing what is there');
    assert.equal((await request(url, { method: 'DELETE', headers })).status, 204);
    assert.equal((await register(crowded.url, {}, await initialToken(crowded))).status, 201);
  } finally {
    await crowded.stop();
  }
});

test('N01 twenty registrations at once with a token of five uses: five clients, and five uses', async () => {
  const token = await initialToken(server, { uses: 5, name: 'race' });
  const answers = await Promise.all(Array.from({ length: 20 }, () => register(server.url, { software_id: 'race' }, token)));
  const [made = 0, spent = 0, waited = 0] = [201, 401, 503].map((status) => answers.filter((answer) => answer.status === status).length);
  assert.equal(made + spent + waited, 20);
  assert.ok(waited === 0 ? made === 5 : made <= 5, `${made} were made`);
  // On a busy machine some wait for the token's row in vain, and what they would have had is left for others.
  while ((await register(server.url, { software_id: 'race' }, token)).status !== 401);
  const [row] =
    await server.database.query(`select used, uses, (select count(*)::int from registration_access r where r.registration_token_id = t.id) as accesses,
    (select count(*)::int from client where registration ->> 'software_id' = 'race') as clients from registration_token t where name = 'race'`);
  assert.deepEqual(row, { used: 5, uses: 5, accesses: 5, clients: 5 });
});

test('N02 by default there is no registration: 404 whatever the method, nothing is advertised', async (t) => {
  const off = await openServer();
  t.after(() => off.stop());
  assert.equal('registration_endpoint' in (await metadataOf(off.url)), false);
  const token = await issueToken(off.url, off.admin);
  for (const path of ['/register', '/register/admin', '/registration-tokens', '/registration-tokens/x']) {
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH'])
      assert.equal((await sendJson(method, off.url + path, token, method === 'GET' ? undefined : {})).status, 404, `${method} ${path}`);
  }
  for (const { url } of [server, open]) {
    const { issuer, registration_endpoint } = await metadataOf(url);
    assert.equal(registration_endpoint, `${issuer}/register`);
    assert.equal((await request(`${url}/register`)).status, 405);
  }
});

test('N03 initial access tokens: shown once, counted, listed in pages, ended; each change has its audit row', async () => {
  const made = await manage('POST', '/registration-tokens', {
    name: 'pages',
    scope: 'a b',
    uses: null,
    expires_at: '2027-01-31T00:00:00Z',
  });
  const { initial_access_token: token, ...shown } = made.body;
  assert.deepEqual([made.status, shown.name, shown.scope, shown.uses, shown.used], [201, 'pages', 'a b', null, 0]);
  assert.match(token, /^irt_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/);
  await registered(server, { scope: 'b' }, token);
  const listed: Record<string, unknown>[] = [];
  let cursor = '';
  do {
    const page = (await manage('GET', `/registration-tokens?limit=2${cursor && `&cursor=${cursor}`}`)).body;
    listed.push(...page.items);
    cursor = page.next_cursor ?? '';
  } while (cursor);
  assert.equal(new Set(listed.map(({ id }) => id)).size, listed.length);
  assert.deepEqual(
    listed.find(({ id }) => id === shown.id),
    { ...shown, used: 1 },
  );
  assert.equal((await manage('DELETE', `/registration-tokens/${shown.id}`)).status, 204);
  assert.equal((await manage('DELETE', `/registration-tokens/${shown.id}`)).status, 404);
  const audited = (await manage('GET', `/audit?target=${shown.id}`)).body.items;
  assert.deepEqual(
    audited.map(({ action, actor }: { action: string; actor: { client_id: string } }) => [action, actor.client_id]),
    [
      ['registration_token.delete', 'admin'],
      ['registration_token.create', 'admin'],
    ],
  );
});

const WRONG_TOKENS: readonly [why: string, body: unknown, pointer: string][] = [
  ['no use', { uses: 0 }, '/uses'],
  ['too many', { uses: 1_000_001 }, '/uses'],
  ['half a use', { uses: 1.5 }, '/uses'],
  ['no limit and no end', { uses: null }, '/expires_at'],
  ['the past', { expires_at: '2020-01-01T00:00:00Z' }, '/expires_at'],
  ['too late', { expires_at: '2099-01-01T00:00:00Z' }, '/expires_at'],
  ['no time', { expires_at: 'tomorrow' }, '/expires_at'],
  ['a scope of this server', { scope: 'read auth:keys' }, '/scope'],
  ['a malformed scope', { scope: 'a  b' }, '/scope'],
  ['a name with control characters', { name: 'a\tb' }, '/name'],
  ['an unknown member', { use: 1 }, '/use'],
];
for (const [why, body, pointer] of WRONG_TOKENS) {
  test(`N03 an initial access token with ${why} is refused with a pointer, and nothing is written`, async () => {
    const before = await written(server);
    const answer = await manage('POST', '/registration-tokens', body);
    assert.deepEqual([answer.status, answer.body.error, answer.body.errors?.[0]?.pointer], [400, 'invalid_request', pointer], answer.text);
    assert.deepEqual(await written(server), before);
  });
}

test('N03 RFC 6750 §3.1: auth:clients makes and ends them, auth:clients:read lists them', async () => {
  const reader = await issueToken(server.url, server.admin, { scope: 'auth:clients:read' });
  const other = await issueToken(server.url, server.admin, { scope: 'auth:audit' });
  const statuses = async (token: string) => [
    (await manage('GET', '/registration-tokens', undefined, token)).status,
    (await manage('POST', '/registration-tokens', {}, token)).status,
    (await manage('DELETE', '/registration-tokens/00000000-0000-4000-8000-000000000000', undefined, token)).status,
  ];
  assert.deepEqual(
    [await statuses(reader), await statuses(other), await statuses(administrator)],
    [
      [200, 403, 403],
      [403, 403, 403],
      [200, 201, 404],
    ],
  );
  for (const query of ['limit=0', 'cursor=x', 'q=x', 'limit=1&limit=2'])
    assert.equal((await manage('GET', `/registration-tokens?${query}`)).status, 400);
});

test('N04 who registered is in the audit: the source and the initial token, nobody as actor', async () => {
  const { clientId } = await registered(server, {}, initial);
  const [entry] = (await manage('GET', `/audit?target=${clientId}`)).body.items;
  const [row] = await server.database.query<{ id: string }>(
    'select registration_token_id as id from registration_access where client_id = $1',
    [clientId],
  );
  assert.deepEqual(
    [entry.action, entry.actor, entry.detail.registration],
    ['client.create', { address: '127.0.0.1' }, { registration_token_id: row?.id }],
  );
  const { clientId: anybody } = await registered(open, {}, await initialToken(open));
  assert.ok(anybody);
  const { body } = await register(open.url, {});
  const theirs = await sendJson('GET', `${open.url}/audit?target=${body.client_id}`, await issueToken(open.url, open.admin));
  assert.equal(theirs.body.items[0].detail.registration, 'open');
});

test('C02 AUTH_SCOPES=catalogue: an unknown scope is refused as RFC 7591 §3.2.2 has it, and nobody is told what is in the catalogue', async (t) => {
  const own = await openServer({ AUTH_REGISTRATION: 'open', AUTH_SCOPES: 'catalogue' });
  t.after(() => own.stop());
  await sendJson('POST', `${own.url}/scopes`, await issueToken(own.url, own.admin), { name: 'invoices:read' });
  const refusal = {
    error: 'invalid_client_metadata',
    error_description: 'the client metadata is not valid: /scope invoice:read is not in the scope catalogue',
  };
  const { status, body } = await register(own.url, { scope: 'invoice:read' });
  assert.deepEqual([status, body], [400, refusal]);
  const made = (await register(own.url, { scope: 'invoices:read' })).body;
  const change = { client_id: made.client_id, scope: 'invoice:read' };
  const replaced = await sendJson('PUT', `${own.url}/register/${made.client_id}`, made.registration_access_token, change);
  assert.deepEqual([replaced.status, replaced.body], [400, refusal]);
});
