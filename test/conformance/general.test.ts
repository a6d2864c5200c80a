/** Requirements of all endpoints: G01–G14 of docs/conformance.md. */
import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import { basic, createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { rawRequest } from '../support/raw.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let client: Credentials;
let token: string;
before(async () => {
  server = await openServer();
  client = await createClient(server, { scope: 'read write' });
  token = await issueToken(server.url, client);
});
after(() => server.stop());

const GRANT = 'grant_type=client_credentials';
const FORM_ENDPOINTS = ['/token', '/introspect', '/revoke'];

/** Rows that a refusal must not add. */
async function rows(): Promise<unknown> {
  return server.database.query(
    'select (select count(*) from access_token) t, (select count(*) from client) c, (select last_seq from change_log) s',
  );
}

test('G01 RFC 6749 §3.1: a plain listener only on loopback, behind a declared proxy, or on request', () => {
  const load = (env: Record<string, string>) => () => loadConfig(env, '/nowhere');
  assert.throws(load({ AUTH_HOST: '0.0.0.0' }), /AUTH_TRUSTED_PROXIES/);
  for (const env of [{ AUTH_TRUSTED_PROXIES: '10.0.0.0/8' }, { AUTH_INSECURE_HTTP: 'true' }])
    assert.doesNotThrow(load({ AUTH_HOST: '0.0.0.0', ...env }));
  assert.doesNotThrow(load({}));
});

test('G02 RFC 6749 §3.2: unknown parameters are ignored, in the body and in the query', async () => {
  assert.equal((await postForm(`${server.url}/token?x=1`, `${GRANT}&y=2&__proto__=3`, client)).status, 200);
});

test('G03 RFC 6749 §3.2: a parameter without a value counts as absent', async () => {
  const answer = await postForm(`${server.url}/token`, `${GRANT}&scope=&client_secret=&client_id=`, client);
  assert.deepEqual([answer.status, answer.body.scope], [200, 'read write']);
  assert.equal((await postForm(`${server.url}/token`, 'grant_type=', client)).body.error, 'invalid_request');
});

const BAD_FORMS: readonly [why: string, path: string, body: string][] = [
  ['G04 repeated', '', `${GRANT}&scope=read&scope=write`],
  ['G04 repeated with the same value', '', `${GRANT}&${GRANT}`],
  ['G04 repeated, one of them empty', '', `${GRANT}&scope=read&scope=`],
  ['G04 in the query and in the body', '?grant_type=client_credentials', GRANT],
  ['G05 broken escape', '', `${GRANT}&scope=%zz`],
  ['G05 escape that is not UTF-8', '', `${GRANT}&scope=%ff`],
  ['G06 secret in the query', '?client_secret=x', GRANT],
  ['G06 token in the query', '?token=x', GRANT],
];
for (const [why, query, body] of BAD_FORMS) {
  test(`${why}: 400 invalid_request on every form endpoint, and nothing is written (RFC 6749 §3.2)`, async () => {
    const earlier = await rows();
    for (const path of FORM_ENDPOINTS) {
      const answer = await postForm(`${server.url}${path}${query}`, body, client);
      assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_request'], path);
    }
    assert.deepEqual(await rows(), earlier);
  });
}

test('G05 RFC 6749 §3.2: JSON, multipart, no type, bytes that are not UTF-8: 400, never taken for a form', async () => {
  const types: Record<string, string>[] = [
    { 'content-type': 'application/json' },
    { 'content-type': 'multipart/form-data; boundary=x' },
    { 'content-type': 'text/plain' },
    {},
  ];
  for (const path of FORM_ENDPOINTS) {
    for (const headers of types) {
      const answer = await request(server.url + path, {
        method: 'POST',
        headers: { authorization: basic(client), ...headers },
        body: Buffer.from(GRANT),
      });
      assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_request'], JSON.stringify(headers));
    }
    const bytes = Buffer.concat([Buffer.from(`${GRANT}&scope=`), Buffer.from([0xff, 0xfe])]);
    const headers = { authorization: basic(client), 'content-type': 'application/x-www-form-urlencoded' };
    assert.equal((await request(server.url + path, { method: 'POST', headers, body: bytes })).status, 400);
  }
});

test('G05 a body over 16 KiB is 413, with and without a length', async () => {
  const large = `${GRANT}&x=${'a'.repeat(17_000)}`;
  const huge = `${GRANT}&x=${'a'.repeat(300_000)}`;
  for (const body of [large, huge]) {
    const answer = await postForm(`${server.url}/token`, body, client).catch(() => undefined);
    if (answer) assert.equal(answer.status, 413);
    const chunked = await rawRequest(server.url, [
      'POST /token HTTP/1.1',
      'Host: localhost',
      'Content-Type: application/x-www-form-urlencoded',
      `Authorization: ${basic(client)}`,
      'Transfer-Encoding: chunked',
      '',
      `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    ]);
    assert.equal(chunked.status, 413, server.logged().slice(-1500));
  }
});

test('G07 RFC 6749 §5.2: what was sent is not reflected, and error texts keep to the allowed characters', async () => {
  const nasty = ['a\r\nX-Evil: 1', '<script>"\\', 'ünïcödé', 'a\0b', 'x'.repeat(10_000)];
  for (const value of nasty) {
    const forms = [
      { grant_type: value },
      { grant_type: 'client_credentials', scope: value },
      { grant_type: 'client_credentials', client_id: value, client_secret: value },
      { token: value },
    ];
    for (const form of forms) {
      for (const path of FORM_ENDPOINTS) {
        const answer = await postForm(server.url + path, form, 'client_id' in form ? undefined : client);
        assert.ok(answer.status < 500, `${path} ${JSON.stringify(form).slice(0, 80)} ${answer.status}`);
        assert.equal(answer.headers.get('x-evil'), null);
        if (answer.body.error_description === undefined) continue;
        assert.match(answer.body.error + answer.body.error_description, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
        assert.ok(!answer.text.includes(value.slice(0, 6)), 'reflected');
      }
    }
  }
});

test('G08 RFC 6749 §5.1: no-store on tokens, verdicts, secrets and refusals', async () => {
  const answers = [
    await postForm(`${server.url}/token`, GRANT, client),
    await postForm(`${server.url}/token`, GRANT, { ...client, clientSecret: 'wrong' }),
    await postForm(`${server.url}/introspect`, { token }, client),
    await postForm(`${server.url}/introspect`, { token: 'junk' }, client),
    await sendJson('POST', `${server.url}/clients`, await issueToken(server.url, server.admin), {}),
  ];
  for (const { headers } of answers) assert.deepEqual([headers.get('cache-control'), headers.get('pragma')], ['no-store', 'no-cache']);
});

test('G09 RFC 9110 §15.5.6: another method is 405 with Allow, another path 404', async () => {
  for (const path of FORM_ENDPOINTS) {
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
      const answer = await request(server.url + path, { method });
      assert.deepEqual([answer.status, answer.headers.get('allow')], [405, 'POST']);
    }
  }
  const paths: readonly [string, string][] = [
    ['/jwks', 'GET, HEAD'],
    ['/health/live', 'GET, HEAD'],
    ['/clients', 'GET, HEAD, POST'],
    ['/clients/x', 'GET, HEAD, PUT, PATCH, DELETE'],
  ];
  for (const [path, allow] of paths) {
    const answer = await request(server.url + path, { method: path === '/clients/x' ? 'POST' : 'DELETE' });
    assert.deepEqual([answer.status, answer.headers.get('allow')], [405, allow]);
  }
  for (const path of ['/', '/nothing', '/token/', '/Token', '//token', '/clients/x/y'])
    assert.equal((await request(server.url + path)).status, 404, path);
});

test('G09 a path has one spelling: escapes and dot segments are refused', async () => {
  for (const path of ['/%74oken', '/health/../jwks', '/./jwks', '/health/%2e%2e/jwks', '/jwks%00', '/jwks\\']) {
    assert.equal(
      (await rawRequest(server.url, [`GET ${path} HTTP/1.1`, 'Host: localhost', 'Connection: close', '', ''])).status,
      400,
      path,
    );
  }
  assert.equal(
    (await rawRequest(server.url, ['GET http://elsewhere/jwks HTTP/1.1', 'Host: elsewhere', 'Connection: close', '', ''])).status,
    200,
  );
});

test('G10 OAuth 2.1 §3.1: no origin is ever allowed', async () => {
  for (const origin of ['null', 'https://evil.example']) {
    const answer = await postForm(`${server.url}/token`, GRANT, client, { origin });
    assert.equal(answer.headers.get('access-control-allow-origin'), null);
  }
});

test('G11 RFC 7009 §2.2.1: a dependency that does not answer is 503 with Retry-After and issues nothing', async () => {
  const silent = createServer().unref(); // accepts and says nothing, as a frozen PostgreSQL does
  const port = await new Promise((resolve) => silent.listen(0, '127.0.0.1', () => resolve((silent.address() as AddressInfo).port)));
  const other = await openServer({ DATABASE_URL: `postgres://x@127.0.0.1:${port}/auth` });
  try {
    for (const path of FORM_ENDPOINTS) {
      const answer = await postForm(other.url + path, `${GRANT}&token=${token}`, client);
      assert.deepEqual([answer.status, answer.headers.get('retry-after'), answer.body.error], [503, '1', 'temporarily_unavailable']);
      assert.ok(!answer.text.includes('    at '), 'no stack');
    }
    assert.equal((await request(`${other.url}/health/live`)).status, 200);
    assert.equal((await request(`${other.url}/health/ready`)).status, 503);
  } finally {
    await other.stop();
    silent.close();
  }
});

test('G12 RFC 6749 §10.10: 256 random bits in tokens and generated secrets', async () => {
  const tokens = await Promise.all(Array.from({ length: 50 }, () => issueToken(server.url, client)));
  assert.equal(new Set(tokens).size, 50);
  for (const issued of tokens) assert.equal(Buffer.from(issued.slice(3, 46), 'base64url').length, 32);
  assert.equal(Buffer.from(client.clientSecret, 'base64url').length, 32);
});

test('G13 failed attempts are slowed down with 429 and Retry-After, alike for the right and the wrong secret', async () => {
  const slowed = await createClient(server);
  const other = await createClient(server);
  const wrong = { ...slowed, clientSecret: 'wrong' };
  for (let attempt = 0; attempt < 100; attempt++) assert.equal((await postForm(`${server.url}/token`, GRANT, wrong)).status, 401);
  const [right, again] = [await postForm(`${server.url}/token`, GRANT, slowed), await postForm(`${server.url}/token`, GRANT, wrong)];
  assert.deepEqual([right.status, right.text], [429, again.text]);
  assert.ok(Number(right.headers.get('retry-after')) > 0);
  assert.equal((await postForm(`${server.url}/token`, GRANT, other)).status, 200, 'other clients go on');
});

test('G14 who is not authenticated learns nothing of a token and changes nothing', async () => {
  const live = await issueToken(server.url, client);
  for (const path of ['/introspect', '/revoke']) {
    const wrong = { ...client, clientSecret: 'wrong' };
    const [known, unknown] = [
      await postForm(server.url + path, { token: live }, wrong),
      await postForm(server.url + path, { token: 'x' }, wrong),
    ];
    assert.deepEqual([known.status, known.text], [401, unknown.text]);
  }
  assert.equal((await postForm(`${server.url}/introspect`, { token: live }, client)).body.active, true);
});
