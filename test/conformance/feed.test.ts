/** The feed of revocations: F01–F06 of docs/conformance.md. Two nodes on one database. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type AccessToken, hashToken } from '../../src/core/reference-token.ts';
import { createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { openStream } from '../support/event-stream.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

let a: InProcessServer;
let b: InProcessServer;
let client: Credentials;
let bearer: string;
before(async () => {
  const AUTH_ENCRYPTION_KEY = randomBytes(32).toString('base64');
  a = await openServer({ AUTH_ENCRYPTION_KEY });
  b = await openServer({ AUTH_ENCRYPTION_KEY, DATABASE_URL: a.database.url, AUTH_ADMIN_CLIENT_SECRET: a.admin.clientSecret });
  client = await createClient(a, { client_id: 'svc' });
  bearer = await issueToken(a.url, a.admin);
});
after(async () => {
  await b.stop();
  await a.stop();
});

const read = (node: InProcessServer, query = '') => sendJson('GET', `${node.url}/revocations${query}`, bearer);
const end = (body: object) => sendJson('POST', `${a.url}/revocations`, bearer, body);
const latest = async () => (await read(a, '?after=latest')).body.cursor as string;
async function revokeOne(): Promise<string> {
  const token = await issueToken(a.url, client);
  assert.equal((await postForm(`${a.url}/revoke`, { token }, client)).status, 200);
  return hashToken(token as AccessToken);
}

test('F01 pages in the order of the commits; each entry has a cursor that is good at every node; the last page says where it ends', async () => {
  const start = await latest();
  const hash = await revokeOne();
  await end({ sub: 'somebody', reason: 'left' });
  const issuedBefore = Math.floor(Date.now() / 1000) - 100;
  await end({ client_id: 'svc', issued_before: issuedBefore });
  const page = await read(a, `?after=${start}`);
  const [token, subject, cutOff] = page.body.items;
  assert.deepEqual([page.status, page.body.items.length, page.body.next_cursor], [200, 3, undefined]);
  assert.deepEqual([token.token_hash, typeof token.jti, typeof token.exp], [hash, 'string', 'number']);
  assert.deepEqual([subject.sub, subject.reason, subject.token_hash], ['somebody', 'left', undefined]);
  // A token of the same second has to match.
  assert.ok(subject.issued_before > Date.parse(subject.revoked_at) / 1000);
  assert.deepEqual([cutOff.client_id, cutOff.issued_before], ['svc', issuedBefore]);
  assert.equal(page.body.cursor, cutOff.cursor);
  const first = await read(b, `?after=${start}&limit=1`);
  assert.deepEqual(first.body.items, [token]);
  assert.equal(first.body.next_cursor, token.cursor);
  assert.deepEqual((await read(b, `?after=${token.cursor}`)).body.items, [subject, cutOff]);
  assert.deepEqual((await read(b, `?after=${cutOff.cursor}`)).body, { items: [], cursor: cutOff.cursor });
  const all = await read(b);
  assert.deepEqual(all.body.items.slice(-3), [token, subject, cutOff]);
  assert.equal(all.headers.get('cache-control'), 'no-store');
});

test('F01 what only changed a record is not in the feed, what has expired neither; the position moves on', async () => {
  const start = await latest();
  const hash = await revokeOne();
  await sendJson('PATCH', `${a.url}/clients/svc`, bearer, { client_name: 'renamed' });
  await a.database.query("update change set expires_at = clock_timestamp() - interval '1 s' where key = $1", [hash]);
  const page = await read(a, `?after=${start}`);
  assert.deepEqual(page.body.items, []);
  assert.notEqual(page.body.cursor, start);
});

test('F02 wait: an answer as soon as something ends, wherever; an empty one when the time is over', async () => {
  const start = await latest();
  const waiting = read(b, `?after=${start}&wait=10`);
  const hash = await revokeOne();
  const { body } = await waiting;
  assert.deepEqual(
    body.items.map((item: { token_hash: string }) => item.token_hash),
    [hash],
  );
  const began = performance.now();
  const none = await read(b, `?after=${body.cursor}&wait=1`);
  assert.deepEqual([none.body.items, none.body.cursor], [[], body.cursor]);
  assert.ok(performance.now() - began > 900);
});

test('F03 HTML §9.2: a stream, with the cursor as id; Last-Event-ID goes on where it was, at another node, and before `after`', async () => {
  const start = await latest();
  const first = await openStream(`${a.url}/revocations?after=${start}`, bearer);
  const hashes = [await revokeOne(), await revokeOne()];
  await first.has(2);
  first.close();
  assert.match(first.text(), /^retry: \d+\n\n/);
  assert.deepEqual(
    first.events.map(({ data }) => data.token_hash),
    hashes,
  );
  for (const { id, data } of first.events) assert.equal(id, data.cursor);
  const { id = '' } = first.events[0] ?? {};
  const second = await openStream(`${b.url}/revocations?after=${start}`, bearer, { 'last-event-id': id });
  hashes.push(await revokeOne());
  await second.has(2);
  second.close();
  assert.deepEqual(
    second.events.map(({ data }) => data.token_hash),
    hashes.slice(1),
  );
});

test('F03 many readers, of both nodes, read the same, in the same order, without a gap or a repetition', async () => {
  const start = await latest();
  const before = [await revokeOne(), await revokeOne()];
  const streams = await Promise.all(
    Array.from({ length: 20 }, (_, n) => openStream(`${(n % 2 ? a : b).url}/revocations?after=${start}`, bearer)),
  );
  const after = await Promise.all(Array.from({ length: 30 }, revokeOne));
  await Promise.all(streams.map((stream) => stream.has(32)));
  const [one] = streams;
  for (const stream of streams) {
    assert.deepEqual(stream.events, one?.events);
    stream.close();
  }
  assert.deepEqual(new Set(one?.events.map(({ data }) => data.token_hash)), new Set([...before, ...after]));
});

test('F04 a cursor of another history, or from beyond this one, is 410, as a page and as a stream', async () => {
  const here = await latest();
  const [seq, epoch] = here.split('-');
  for (const gone of [`${seq}-00000000`, `${Number(seq) + 1_000}-${epoch}`]) {
    for (const headers of [{}, { accept: 'text/event-stream' }]) {
      const answer = await request(`${a.url}/revocations?after=${gone}`, { headers: { authorization: `Bearer ${bearer}`, ...headers } });
      assert.deepEqual([answer.status, answer.body.error], [410, 'cursor_gone']);
      assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    }
  }
});

for (const query of [
  'after=',
  'after=x',
  'after=1-xyz',
  'after=-1-00000000',
  'limit=0',
  'limit=501',
  'wait=61',
  'wait=-1',
  'wait=1.5',
  'since=1',
  'wait=1&wait=1',
]) {
  test(`F05 RFC 9457: a page takes after, limit and wait, once each and well-formed: ?${query}`, async () => {
    const answer = await read(a, `?${query}`);
    assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_request']);
  });
}

test('F06 the end of a server ends its streams and those who wait, soon', async () => {
  const c = await openServer();
  const token = await issueToken(c.url, c.admin);
  const waiting = sendJson('GET', `${c.url}/revocations?after=latest&wait=30`, token);
  // It comes after that one, on another connection.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const stream = await openStream(`${c.url}/revocations`, token);
  const began = performance.now();
  await c.stop();
  assert.ok(performance.now() - began < 5_000);
  assert.equal((await waiting).status, 200);
  assert.equal(stream.isOver(), true);
});

test('F07 RFC 9111 §5.2.2: Auth-Feed-Max-Age on active answers to who may read the feed, until the end of the token; on no other', async () => {
  const reader = await createClient(a, { scope: 'auth:revocations:read auth:introspect' });
  const token = await issueToken(a.url, client);
  const ask = async (who: Credentials) => (await postForm(`${a.url}/introspect`, { token }, who)).headers;
  const seconds = Number((await ask(reader)).get('auth-feed-max-age'));
  assert.ok(seconds > 3_590 && seconds <= 3_600, `${seconds}`);
  assert.equal((await ask(reader)).get('cache-control'), 'no-store');
  assert.equal((await ask(client)).get('auth-feed-max-age'), null);
  await postForm(`${a.url}/revoke`, { token }, client);
  assert.equal((await ask(reader)).get('auth-feed-max-age'), null);
});
