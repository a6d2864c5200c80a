/** Revocation: R01–R09 of docs/conformance.md (R08 and the kill loop: test/faults). */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm, sendJson } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let reference: Credentials;
let jwt: Credentials;
before(async () => {
  server = await openServer();
  reference = await createClient(server, { scope: 'read' });
  jwt = await createClient(server, { scope: 'read', access_token_format: 'jwt' });
});
after(() => server.stop());

const revoke = (form: Readonly<Record<string, string>>, who?: Credentials) => postForm(`${server.url}/revoke`, form, who);
const active = async (token: string) => (await postForm(`${server.url}/introspect`, { token }, server.admin)).body.active;
const changes = async () => (await server.database.query<{ n: number }>('select last_seq as n from change_log'))[0]?.n ?? 0;

test('R01 RFC 7009 §2: access tokens of both formats can be revoked, by POST only', async () => {
  for (const client of [reference, jwt]) {
    const token = await issueToken(server.url, client);
    assert.equal(await active(token), true);
    const answer = await revoke({ token }, client);
    assert.deepEqual([answer.status, answer.text, answer.headers.get('content-type')], [200, '{}', 'application/json']);
    assert.equal(await active(token), false);
  }
});

test('R02 RFC 7009 §2.1: the client authenticates; a public client sends its id', async () => {
  const token = await issueToken(server.url, reference);
  assert.equal((await revoke({ token })).status, 401);
  assert.equal((await revoke({ token }, { ...reference, clientSecret: 'wrong' })).status, 401);
  assert.equal(await active(token), true);
  const turned = await createClient(server);
  const held = await issueToken(server.url, turned);
  const administrator = await issueToken(server.url, server.admin);
  await sendJson('PATCH', `${server.url}/clients/${turned.clientId}`, administrator, { token_endpoint_auth_method: 'none' });
  assert.equal((await revoke({ token: held, client_id: turned.clientId })).status, 200);
  assert.equal(await active(held), false);
});

test("R03 RFC 7009 §2.1: another client's token is refused and stays active; revoked, it is as unknown as any", async () => {
  const token = await issueToken(server.url, reference);
  const answer = await revoke({ token }, jwt);
  assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_grant']);
  assert.equal(await active(token), true);
  await revoke({ token }, reference);
  assert.equal((await revoke({ token }, jwt)).status, 200);
});

test('R04 RFC 7009 §2.2: unknown, malformed and already revoked tokens are 200, and nothing is written', async () => {
  const revoked = await issueToken(server.url, reference);
  await revoke({ token: revoked }, reference);
  const before = await changes();
  const unknown = ['junk', 'at_', revoked, `${revoked}x`, 'a.b.c', 'x'.repeat(9000), 'a\0b', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.'];
  for (const token of unknown) assert.equal((await revoke({ token }, reference)).status, 200, token.slice(0, 20));
  assert.equal(await changes(), before);
  assert.equal((await revoke({}, reference)).body.error, 'invalid_request');
});

test('R05 RFC 7009 §2.1: a wrong or unknown token_type_hint changes nothing', async () => {
  for (const token_type_hint of ['refresh_token', 'nonsense', 'access_token']) {
    const token = await issueToken(server.url, reference);
    assert.equal((await revoke({ token, token_type_hint }, reference)).status, 200);
    assert.equal(await active(token), false);
  }
});

test('R06 RFC 7009 §2.1: revoking one access token leaves the others of the client', async () => {
  const [one, other] = [await issueToken(server.url, reference), await issueToken(server.url, reference)];
  await revoke({ token: one }, reference);
  assert.deepEqual([await active(one), await active(other)], [false, true]);
});

test('R07 RFC 7009 §2: effective at once, for 50 callers at the same time, in one change or more', async () => {
  const token = await issueToken(server.url, reference);
  const answers = await Promise.all(Array.from({ length: 50 }, () => revoke({ token }, reference)));
  assert.ok(answers.every((answer) => answer.status === 200));
  assert.equal(await active(token), false);
});

test('R08 RFC 7009 §2.2.1: a revocation that cannot be made durable is 503, and the token is as it was', async () => {
  const token = await issueToken(server.url, reference);
  // Somebody holds the counter's row: the change cannot be appended.
  const held = server.database.db.transaction(async (tx) => {
    await tx.query({ text: 'select from change_log for update' });
    const answer = await revoke({ token }, reference);
    assert.deepEqual([answer.status, answer.body.error, answer.headers.get('retry-after')], [503, 'temporarily_unavailable', '1']);
    assert.equal(await active(token), true);
  });
  await held.catch((error) => {
    if (error instanceof assert.AssertionError) throw error;
  });
  assert.equal((await revoke({ token }, reference)).status, 200);
  assert.equal(await active(token), false);
});

test('R09 a client that is disabled or deleted loses its tokens at once, with one change each; enabling revives none', async () => {
  const administrator = await issueToken(server.url, server.admin);
  const client = await createClient(server, { scope: 'read' });
  const url = `${server.url}/clients/${client.clientId}`;
  const old = await Promise.all(Array.from({ length: 5 }, () => issueToken(server.url, client)));
  const before = await changes();
  await sendJson('PATCH', url, administrator, { disabled: true });
  assert.equal(await changes(), before + 1);
  for (const token of old) assert.equal(await active(token), false);
  assert.equal((await postForm(`${server.url}/token`, 'grant_type=client_credentials', client)).body.error, 'invalid_client');
  await sendJson('PATCH', url, administrator, { disabled: false });
  for (const token of old) assert.equal(await active(token), false);
  const young = await issueToken(server.url, client);
  assert.equal(await active(young), true);
  assert.equal((await sendJson('DELETE', url, administrator)).status, 204);
  assert.equal(await changes(), before + 3);
  assert.equal(await active(young), false);
});
