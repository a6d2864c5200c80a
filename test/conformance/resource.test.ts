/** Resource indicators at the token endpoint, RFC 8707: T14, T27. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

const [A, B, C] = ['https://a.example.com', 'https://b.example.com/v1?x=1', 'urn:example:c'];

let server: InProcessServer;
let client: Credentials;
before(async () => {
  server = await openServer();
  client = await createClient(server, { scope: 'read', audience: [A, B, C, 'plain'] });
});
after(() => server.stop());

function ask(resources: readonly string[], who: Credentials = client, more: Readonly<Record<string, string>> = {}) {
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...more });
  for (const resource of resources) form.append('resource', resource);
  return postForm(`${server.url}/token`, form.toString(), who);
}
const introspect = (token: string, who: Credentials) => postForm(`${server.url}/introspect`, { token }, who);
const issued = () => server.database.query('select count(*) from access_token');

test('T14 RFC 8707 §2: aud is what was asked for, one or several, in both formats', async () => {
  const signed = await createClient(server, { audience: [A, B, C], access_token_format: 'jwt' });
  for (const who of [client, signed]) {
    for (const [resources, aud] of [
      [[B], B],
      [
        [C, A],
        [C, A],
      ],
      [[A, A], A],
      [['', A], A],
    ] as const) {
      const answer = await ask(resources, who);
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual((await introspect(answer.body.access_token, who)).body.aud, aud, resources.join(' '));
      if (who === signed) {
        const [, payload = ''] = answer.body.access_token.split('.');
        assert.deepEqual(JSON.parse(Buffer.from(payload, 'base64url').toString()).aud, aud);
      }
    }
  }
  assert.deepEqual((await introspect((await ask([])).body.access_token, client)).body.aud, [A, B, C, 'plain'], 'all, as ever');
});

test('T14 RFC 8707 §2: a token that was asked for one resource is none for another', async () => {
  const [serverA, serverB] = [await createClient(server, { resources: [A] }), await createClient(server, { resources: [B] })];
  const token = (await ask([A])).body.access_token;
  assert.deepEqual([(await introspect(token, serverA)).body.active, (await introspect(token, serverB)).body], [true, { active: false }]);
});

test('T14 RFC 8707 §2: what is no absolute URI, has a fragment, or is not within the audience is invalid_target, and issues nothing', async () => {
  const before = await issued();
  for (const resources of [
    ['https://other.example.com'],
    [A, 'https://other.example.com'],
    [`${A}/`],
    [`${A}#x`],
    ['plain'],
    ['/a'],
    [`${A} ${B}`],
    ['https://ä.example'],
    ['\u0000'],
    ['"'],
    [server.url],
  ]) {
    const answer = await ask(resources);
    assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_target'], resources.join(' '));
    assert.match(answer.body.error_description, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
    assert.ok(!answer.text.includes('example.com'), 'nothing that was sent is reflected');
  }
  assert.equal(
    (await postForm(`${server.url}/token?resource=${encodeURIComponent(A)}`, 'grant_type=client_credentials', client)).status,
    400,
  );
  assert.deepEqual(await issued(), before);
});

test('T14 the issuer is the default audience, and can be asked for by name', async () => {
  const plain = await createClient(server, { scope: 'read' });
  const { iss } = (await introspect(await issueToken(server.url, plain), plain)).body;
  const answer = await ask([iss], plain);
  assert.equal((await introspect(answer.body.access_token, plain)).body.aud, iss);
  assert.equal((await ask([A], plain)).body.error, 'invalid_target');
});

test('T27 RFC 8707 §2.2: an auth: scope is for this server alone: never in a token that says it is for others', async () => {
  const mixed = await createClient(server, { scope: 'read auth:clients:read', audience: [A] });
  const before = await issued();
  for (const more of [{}, { scope: 'auth:clients:read' }, { scope: 'read auth:clients:read' }]) {
    assert.deepEqual((await ask([A], mixed, more)).body.error, 'invalid_target');
  }
  assert.deepEqual(await issued(), before);
  const narrow = await ask([A], mixed, { scope: 'read' });
  assert.deepEqual([narrow.status, narrow.body.scope], [200, 'read']);
  assert.equal((await introspect(narrow.body.access_token, mixed)).body.aud, A);
  const { iss } = (await introspect(narrow.body.access_token, mixed)).body;
  const both = await ask([A, iss], mixed);
  assert.deepEqual((await introspect(both.body.access_token, mixed)).body.aud, [A, iss]);
});
