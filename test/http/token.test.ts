import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm } from '../support/client.ts';
import { type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
before(async () => {
  server = await openServer();
});
after(() => server.stop());

test('POST /token answers as RFC 6749 §5.1 says (T01)', async () => {
  const client = await createClient(server, { scope: 'read write' });
  const answer = await postForm(`${server.url}/token`, { grant_type: 'client_credentials', scope: 'read' }, client);
  assert.equal(answer.status, 200);
  const { access_token, ...rest } = answer.body;
  assert.match(access_token, /^at_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/);
  assert.deepEqual(rest, { token_type: 'Bearer', expires_in: 3600, scope: 'read' });
  assert.equal(answer.headers.get('content-type'), 'application/json');
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.equal(answer.headers.get('pragma'), 'no-cache');
});

test('a token of an administrator opens the management', async () => {
  assert.ok(await issueToken(server.url, server.admin));
});
