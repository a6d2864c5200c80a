/** Bulk revocation: B01–B07 of docs/conformance.md. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type AccessToken, hashToken } from '../../src/core/reference-token.ts';
import { type Answer, createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let client: Credentials;
let administrator: string;
before(async () => {
  server = await openServer();
  client = await createClient(server, { client_id: 'svc', scope: 'read' });
  administrator = await issueToken(server.url, server.admin);
});
after(() => server.stop());

const end = (body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
  request(`${server.url}/revocations`, {
    method: 'POST',
    headers: { authorization: `Bearer ${administrator}`, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const active = async (token: string) => (await postForm(`${server.url}/introspect`, { token }, server.admin)).body.active;
const rows = async () =>
  (await server.database.query<{ n: number }>('select (select count(*) from change) + (select count(*) from audit) as n'))[0]?.n;

const TARGETS: readonly [what: string, body: (token: string) => object][] = [
  ['the token', (token) => ({ token })],
  ['its hash', (token) => ({ token_hash: hashToken(token as AccessToken) })],
  ['its client', () => ({ client_id: 'svc' })],
  ['its subject', () => ({ sub: 'svc' })],
];

for (const [what, body] of TARGETS) {
  test(`B01 by ${what}: ended at once, one that is issued afterwards lives; a dry run counts and ends nothing`, async () => {
    const token = await issueToken(server.url, client);
    const before = await rows();
    const dry = await end({ ...body(token), dry_run: true });
    assert.deepEqual(
      [dry.status, dry.body.dry_run, dry.body.tokens > 0, await rows(), await active(token)],
      [200, true, true, before, true],
    );
    const answer = await end({ ...body(token), reason: 'a leak' });
    assert.equal(answer.status, 201);
    assert.equal(answer.body.reason, 'a leak');
    assert.equal(await active(token), false);
    assert.equal(await rows(), (before ?? 0) + 2);
    const again = await issueToken(server.url, client);
    assert.equal(await active(again), true);
    assert.equal((await end({ ...body(token), dry_run: true })).body.tokens, what.startsWith('its') && what !== 'its hash' ? 1 : 0);
    await end({ token: again });
  });
}

test('B02 issued_before ends what was issued before that second, of a client, a subject, or of all, the caller included', async () => {
  const secondOf = async (token: string): Promise<number> => (await postForm(`${server.url}/introspect`, { token }, server.admin)).body.iat;
  for (const body of [{ client_id: 'svc' }, { sub: 'svc' }, { all: true }]) {
    const before = await issueToken(server.url, client);
    let at = before;
    while ((await secondOf(at)) === (await secondOf(before))) at = await issueToken(server.url, client);
    const answer = await end({ ...body, issued_before: await secondOf(at) });
    assert.deepEqual([answer.status, answer.body.issued_before], [201, await secondOf(at)]);
    assert.deepEqual([await active(before), await active(at)], [false, true]);
  }
  assert.equal((await end({ sub: 'svc', dry_run: true })).status, 401, 'its own token was older');
  administrator = await issueToken(server.url, server.admin);
});

const REFUSALS: readonly [why: string, body: unknown, pointer?: string][] = [
  ['no target', {}],
  ['two targets', { sub: 'a', client_id: 'svc' }],
  ['an unknown member', { sub: 'a', isued_before: 1 }, '/isued_before'],
  ['all without issued_before', { all: true }, '/issued_before'],
  ['all that is false', { all: false, issued_before: 1 }, '/all'],
  ['a token with issued_before', { token: 'at_x', issued_before: 1 }, '/issued_before'],
  ['a future issued_before', { sub: 'a', issued_before: 9_000_000_000 }, '/issued_before'],
  ['a fractional issued_before', { sub: 'a', issued_before: 1.5 }, '/issued_before'],
  ['a text for issued_before', { sub: 'a', issued_before: '1' }, '/issued_before'],
  ['a hash that is none', { token_hash: 'abc' }, '/token_hash'],
  ['a hash in another base64', { token_hash: `${'+'.repeat(42)}A` }, '/token_hash'],
  ['an id that is none', { client_id: '../x' }, '/client_id'],
  ['an empty subject', { sub: '' }, '/sub'],
  ['a reason with a line break', { sub: 'a', reason: 'a\nb' }, '/reason'],
  ['a long reason', { sub: 'a', reason: 'x'.repeat(201) }, '/reason'],
  ['a grant: there are none', { grant_id: 'g' }, '/grant_id'],
  ['dry_run that is a text', { sub: 'a', dry_run: 'true' }, '/dry_run'],
  ['no object', '[]'],
  ['no JSON', '{'],
];
for (const [why, body, pointer] of REFUSALS) {
  test(`B03 RFC 9457: refused, and nothing written: ${why}`, async () => {
    const before = await rows();
    const answer = await end(body);
    assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_request']);
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    if (pointer !== undefined) assert.equal(answer.body.errors[0].pointer, pointer);
    assert.equal(await rows(), before);
  });
}

test('B04 RFC 6750 §3.1: auth:revocations ends, auth:revocations:read only reads, neither is given by auth:clients', async () => {
  const tokenOf = (scope: string) => issueToken(server.url, server.admin, { scope });
  const statuses = async (scope: string) => {
    const token = await tokenOf(scope);
    const post = await sendJson('POST', `${server.url}/revocations`, token, { sub: 'nobody', dry_run: true });
    const get = await sendJson('GET', `${server.url}/revocations?limit=1`, token);
    return [post.status, get.status];
  };
  assert.deepEqual(await statuses('auth:revocations'), [200, 200]);
  assert.deepEqual(await statuses('auth:revocations:read'), [403, 200]);
  assert.deepEqual(await statuses('auth:clients'), [403, 403]);
  for (const method of ['GET', 'POST']) {
    const answer = await sendJson(method, `${server.url}/revocations`, undefined, method === 'POST' ? { sub: 'a' } : undefined);
    assert.deepEqual([answer.status, answer.headers.get('www-authenticate')], [401, 'Bearer realm="auth"']);
  }
});

test('B05 an unknown, malformed or foreign token is 200 and {}; a client that is not there is 404; nothing is written', async () => {
  const before = await rows();
  for (const body of [{ token: 'junk' }, { token: 'a.b.c' }, { token_hash: 'A'.repeat(43) }]) {
    const answer = await end(body);
    assert.deepEqual([answer.status, answer.text], [200, '{}']);
    assert.deepEqual((await end({ ...body, dry_run: true })).body, { dry_run: true, tokens: 0 });
  }
  const answer = await end({ client_id: 'nobody' });
  assert.deepEqual([answer.status, answer.body.error], [404, 'not_found']);
  assert.equal(await rows(), before);
});

test('B06 Idempotency-Key: the same request is answered as at first, quoted or not; another one is 422; each caller has its own', async () => {
  const key = { 'idempotency-key': 'drill-1' };
  const first = await end({ sub: 'svc' }, key);
  assert.equal(first.status, 201);
  const before = await rows();
  const token = await issueToken(server.url, client);
  for (const headers of [key, { 'idempotency-key': '"drill-1"' }]) {
    const again = await end({ sub: 'svc' }, headers);
    assert.deepEqual([again.status, again.text], [201, first.text]);
  }
  assert.equal(await active(token), true, 'it was done once');
  const other = await end({ sub: 'svc', reason: 'other' }, key);
  assert.deepEqual([other.status, other.body.error], [422, 'idempotency_key_reused']);
  assert.equal(await rows(), before);
  const { clientId, clientSecret } = await createClient(server, { scope: 'auth:revocations' });
  const theirs = await issueToken(server.url, { clientId, clientSecret });
  const headers = { authorization: `Bearer ${theirs}`, 'content-type': 'application/json', ...key };
  const answer = await request(`${server.url}/revocations`, { method: 'POST', headers, body: JSON.stringify({ sub: 'another' }) });
  assert.deepEqual([answer.status, answer.body.sub], [201, 'another']);
  for (const junk of ['"', 'a b', '', 'ä', 'x'.repeat(201)]) {
    const answer = await end({ sub: 'svc' }, { 'idempotency-key': Buffer.from(junk).toString('latin1') });
    assert.equal(answer.status, 400, junk);
  }
});

test('B07 an outage is 503 with Retry-After, and whoever asks again with the same key hears what became of it', async () => {
  const lost = await openServer();
  try {
    const token = await issueToken(lost.url, lost.admin);
    const send = () =>
      request(`${lost.url}/revocations`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': 'k' },
        body: JSON.stringify({ sub: 'somebody' }),
      });
    await lost.database.query('alter table change rename to change_away');
    const away = await send();
    assert.ok(away.status >= 500, `${away.status}`);
    assert.deepEqual(await lost.database.query('select from idempotency'), []);
    await lost.database.query('alter table change_away rename to change');
    const answer = await send();
    assert.deepEqual([answer.status, answer.body.sub], [201, 'somebody']);
  } finally {
    await lost.stop();
  }
});
