/** The token endpoint: T01–T05, T23, and the access token itself: M04. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let client: Credentials;
before(async () => {
  server = await openServer();
  client = await createClient(server, { scope: 'read write' });
});
after(() => server.stop());

const token = (form: Readonly<Record<string, string>>, who: Credentials = client) =>
  postForm(`${server.url}/token`, { grant_type: 'client_credentials', ...form }, who);
const tokens = async () => (await server.database.query<{ n: number }>('select count(*)::int n from access_token'))[0]?.n;

test('T01 RFC 6749 §5.1: the answer, for both formats', async () => {
  const jwt = await createClient(server, { scope: 'read', access_token_format: 'jwt', access_token_ttl: 60 });
  const [reference, signed] = [await token({}), await token({}, jwt)];
  assert.match(reference.body.access_token, /^at_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/);
  assert.match(signed.body.access_token, /^eyJ/);
  assert.deepEqual([reference.body.token_type, reference.body.expires_in, signed.body.expires_in], ['Bearer', 3600, 60]);
  assert.equal(signed.headers.get('content-type'), 'application/json');
});

test('T02 RFC 6749 §3.3: default, narrowing, and the grammar', async () => {
  assert.equal((await token({})).body.scope, 'read write');
  assert.equal((await token({ scope: 'write' })).body.scope, 'write');
  const before = await tokens();
  for (const scope of ['admin', 'read admin', 'read  write', ' read', 'read\twrite', 're"ad', 'r\\d', 'rëad', 'READ']) {
    assert.deepEqual([(await token({ scope })).status, (await token({ scope })).body.error], [400, 'invalid_scope'], scope);
  }
  assert.equal(await tokens(), before, 'a refusal issues nothing');
  const bare = await createClient(server);
  assert.equal('scope' in (await token({}, bare)).body, false);
});

test('T03 RFC 6749 §5.2: unknown, missing and unregistered grant types', async () => {
  const none = await createClient(server, { grant_types: [] });
  assert.equal((await token({ grant_type: '' })).body.error, 'invalid_request');
  assert.equal((await token({ grant_type: 'Client_Credentials' })).body.error, 'unsupported_grant_type');
  assert.equal((await token({}, none)).body.error, 'unauthorized_client');
});

test('T04 RFC 6749 §4.4: confidential clients only, and never a refresh token', async () => {
  const open = await createClient(server, { token_endpoint_auth_method: 'none' });
  const answer = await postForm(`${server.url}/token`, { grant_type: 'client_credentials', client_id: open.clientId });
  assert.deepEqual([answer.status, answer.body.error], [400, 'unauthorized_client']);
  assert.equal('refresh_token' in (await token({})).body, false);
});

test('T05 RFC 9700 §2.4: no password grant', async () => {
  assert.equal((await token({ grant_type: 'password', username: 'u', password: 'p' })).body.error, 'unsupported_grant_type');
});

test('T23 RFC 9700 §4.15: sub is the client_id, and a client_id is given once', async () => {
  const administrator = await issueToken(server.url, server.admin);
  const [first, again] = [{ client_id: 'taken' }, { client_id: 'taken' }];
  assert.equal((await sendJson('POST', `${server.url}/clients`, administrator, first)).status, 201);
  assert.equal((await sendJson('POST', `${server.url}/clients`, administrator, again)).status, 409);
  assert.equal((await sendJson('DELETE', `${server.url}/clients/taken`, administrator)).status, 204);
  assert.equal((await sendJson('POST', `${server.url}/clients`, administrator, again)).status, 409, 'not after a deletion either');
  assert.equal(
    (await postForm(`${server.url}/introspect`, { token: (await token({})).body.access_token }, client)).body.sub,
    client.clientId,
  );
});

for (const alg of ['ES256', 'RS256', 'EdDSA', 'PS256']) {
  test(`M04 RFC 9068 §2: the JWT of a token, signed with ${alg}`, async () => {
    const other = await openServer({ AUTH_SIGNING_ALG: alg });
    try {
      const claims = { tenant: 'acme', roles: ['a'] };
      const settings = { scope: 'read', audience: ['https://api.example.com', 'https://b.example.com'], claims };
      const keys = createLocalJWKSet((await request(`${other.url}/jwks`)).body);
      for (const access_token_format of ['jwt', 'reference']) {
        const holder = await createClient(other, { ...settings, access_token_format });
        const issued = await issueToken(other.url, holder);
        const jwt = (await postForm(`${other.url}/introspect`, { token: issued }, holder, { accept: 'application/jwt' })).text;
        if (access_token_format === 'jwt') assert.equal(jwt, issued);
        const { payload, protectedHeader } = await jwtVerify(jwt, keys, {
          issuer: other.url.replace('127.0.0.1', 'localhost'),
          typ: 'at+jwt',
          algorithms: [alg],
        });
        assert.equal(protectedHeader.alg, alg);
        const { iat, exp, jti, iss, ...rest } = payload;
        assert.deepEqual([typeof iat, (exp ?? 0) - (iat ?? 0), typeof jti, typeof iss], ['number', 3600, 'string', 'string']);
        assert.deepEqual(rest, { ...claims, sub: holder.clientId, client_id: holder.clientId, aud: settings.audience, scope: 'read' });
      }
    } finally {
      await other.stop();
    }
  });
}

test('M04 static claims cannot be protocol claims, and the default audience is the issuer', async () => {
  const administrator = await issueToken(server.url, server.admin);
  for (const name of ['sub', 'iss', 'aud', 'exp', 'scope', 'client_id', 'active', 'cnf']) {
    const answer = await sendJson('POST', `${server.url}/clients`, administrator, { claims: { [name]: 'x' } });
    assert.deepEqual([answer.status, answer.body.errors[0].pointer], [400, `/claims/${name}`]);
  }
  const { body } = await postForm(`${server.url}/introspect`, { token: await issueToken(server.url, client) }, client);
  assert.equal(body.aud, body.iss);
});
