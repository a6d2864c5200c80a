/** Client authentication: A01–A08 of docs/conformance.md. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { basic, createClient, issueToken, postForm, sendJson } from '../support/client.ts';
import { rawRequest } from '../support/raw.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

/** A secret with everything that form-encoding changes; only the administrator's can be chosen. */
const CHOSEN = 'a+b%25c:d/e=f&g"h-0123456789abcdefghij';
let server: InProcessServer;
let client: Credentials;
before(async () => {
  server = await openServer({ AUTH_ADMIN_CLIENT_SECRET: CHOSEN });
  Object.assign(server.admin, { clientSecret: CHOSEN });
  client = await createClient(server, { scope: 'read' });
});
after(() => server.stop());

const GRANT = 'grant_type=client_credentials';
const header = (value: string) => ({ authorization: value });
const token = (form: string, headers: Readonly<Record<string, string>> = {}) => postForm(`${server.url}/token`, form, undefined, headers);

test('A01 RFC 6749 §2.3.1: Basic with id and secret form-encoded, and as they are', async () => {
  const encoded = `Basic ${Buffer.from(`admin:${new URLSearchParams({ x: CHOSEN }).toString().slice(2)}`).toString('base64')}`;
  assert.equal((await token(GRANT, header(encoded))).status, 200);
  assert.equal((await token(GRANT, header(basic(server.admin)))).status, 200);
  assert.equal((await token(GRANT, header(basic(server.admin).replace('Basic', 'bAsIc')))).status, 200, 'the scheme in any case');
});

test('A02 RFC 6749 §2.3.1: client_secret_post works; in the query it does not', async () => {
  const post = await createClient(server, { token_endpoint_auth_method: 'client_secret_post' });
  const form = `client_id=${post.clientId}&client_secret=${post.clientSecret}`;
  assert.equal((await token(`${GRANT}&${form}`)).status, 200);
  assert.equal((await postForm(`${server.url}/token?${form}`, GRANT)).status, 400);
});

test('A03 RFC 6749 §2.3: two methods in one request are 400 invalid_request', async () => {
  for (const second of [`client_secret=${client.clientSecret}`, 'client_assertion=x', 'client_id=other']) {
    for (const path of ['/token', '/revoke', '/introspect']) {
      const answer = await postForm(server.url + path, `${GRANT}&token=x&${second}`, client);
      assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_request'], `${path} ${second}`);
    }
  }
  assert.equal(
    (await token(`${GRANT}&client_id=${client.clientId}`, header(basic(client)))).status,
    200,
    'its own client_id beside Basic is no method',
  );
});

test('A04 RFC 6749 §5.2: failed authentication is 401 invalid_client with WWW-Authenticate', async () => {
  const id = client.clientId;
  const failures: readonly [string, Readonly<Record<string, string>>][] = [
    [GRANT, header(basic({ ...client, clientSecret: 'wrong' }))],
    [GRANT, header(basic({ clientId: 'nobody', clientSecret: 'wrong' }))],
    [`${GRANT}&client_id=${id}&client_secret=wrong`, {}],
    [GRANT, {}],
    [GRANT, header('Negotiate abc')],
    [`${GRANT}&client_id=${id}&client_assertion=x&client_assertion_type=y`, {}],
  ];
  for (const [form, headers] of failures) {
    const answer = await token(form, headers);
    assert.deepEqual([answer.status, answer.body.error], [401, 'invalid_client'], form);
    assert.match(answer.headers.get('www-authenticate') ?? '', /^Basic realm=/);
  }
});

test('A05 RFC 7591 §2: another method than the registered one is refused, and only who has the secret is told which', async () => {
  const form = (secret: string) => `${GRANT}&client_id=${client.clientId}&client_secret=${secret}`;
  const proven = await token(form(client.clientSecret));
  assert.deepEqual([proven.status, proven.body.error_description], [401, 'the client is registered for client_secret_basic']);
  assert.equal((await token(form('wrong'))).body.error_description, 'client authentication failed');
  assert.equal((await token(`${GRANT}&client_id=${client.clientId}`)).body.error, 'invalid_client', 'no downgrade to none');
});

test('A06 RFC 6749 §2.3.1: guessing is limited per client and source; another source is not locked out', async () => {
  const proxied = await openServer({ AUTH_TRUSTED_PROXIES: '127.0.0.1' });
  try {
    const target = await createClient(proxied);
    const from = (address: string, secret: string) =>
      postForm(`${proxied.url}/token`, GRANT, { ...target, clientSecret: secret }, { 'x-forwarded-for': address });
    for (let attempt = 0; attempt < 100; attempt++) await from('203.0.113.1', 'wrong');
    assert.equal((await from('203.0.113.1', target.clientSecret)).status, 429);
    assert.equal((await from('203.0.113.2', target.clientSecret)).status, 200);
  } finally {
    await proxied.stop();
  }
});

test('A07 RFC 6749 §3.2.1: a confidential client has to authenticate, a public one to send its client_id', async () => {
  const open = await createClient(server, { token_endpoint_auth_method: 'none' });
  assert.equal(open.document.client_secret, undefined);
  assert.equal((await token(GRANT)).body.error, 'invalid_client');
  assert.equal((await token(`${GRANT}&client_id=${client.clientId}`)).body.error, 'invalid_client');
  assert.equal((await token(`${GRANT}&client_id=${open.clientId}`)).body.error, 'unauthorized_client');
  assert.equal((await token(`${GRANT}&client_id=${open.clientId}&client_secret=x`)).body.error, 'invalid_client');
});

test('A08 malformed Basic is 400, and so is a doubled header', async () => {
  const pair = Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64');
  const malformed = [
    'Basic',
    'Basic !!!!',
    `Basic ${Buffer.from('no-colon').toString('base64')}`,
    `Basic ${pair.replace(/=*$/, '')}A`,
    'Basic /////w==',
    `Basic ${pair} x`,
  ];
  for (const value of malformed) {
    const answer = await token(GRANT, header(value));
    assert.ok([400, 401].includes(answer.status), `${value}: ${answer.status}`);
  }
  for (const name of ['Authorization', 'Host', 'Content-Type']) {
    const value = { Authorization: `Basic ${pair}`, Host: 'localhost', 'Content-Type': 'application/x-www-form-urlencoded' }[name];
    const doubled = await rawRequest(server.url, [
      ...['POST /token HTTP/1.1', 'Host: localhost', 'Connection: close', `Authorization: Basic ${pair}`],
      ...['Content-Type: application/x-www-form-urlencoded', `Content-Length: ${GRANT.length}`, `${name}: ${value}`, '', GRANT],
    ]);
    assert.equal(doubled.status, 400, name);
  }
});

test('A04 unknown client, wrong secret, expired secret and disabled client: one answer, one path, as many queries', async () => {
  const administrator = await issueToken(server.url, server.admin);
  const [disabled, expiring] = [await createClient(server, { disabled: true }), await createClient(server)];
  await server.database.query("update client_secret set expires_at = now() - interval '1 s' where client_id = $1", [expiring.clientId]);
  const attempts = [{ clientId: 'nobody', clientSecret: 'x' }, { ...client, clientSecret: 'x' }, disabled, expiring];
  const answers = [];
  for (const attempt of attempts) answers.push(await postForm(`${server.url}/token`, GRANT, attempt));
  for (const answer of answers) {
    assert.deepEqual([answer.status, answer.text], [answers[0]?.status, answers[0]?.text]);
    assert.deepEqual([...answer.headers.keys()], [...(answers[0]?.headers.keys() ?? [])]);
  }
  assert.equal((await sendJson('GET', `${server.url}/clients/${disabled.clientId}`, administrator)).body.disabled, true);
});
