/** Reference tokens and JWTs behave alike: everything that happens to a token in its life, for both formats. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer, until } from '../support/server.ts';

const API = 'https://api.example.com';
const SIGNED = 'application/token-introspection+jwt';
const PHANTOM = 'application/jwt';
const INACTIVE = '{"active":false}';
const CLAIMS = { tenant: 'acme', nested: { list: [1, 'zwei', null] }, ünï: '✓' };

/** What two nodes have in common beside the database. */
const NODE = {
  AUTH_ENCRYPTION_KEY: Buffer.alloc(32, 9).toString('base64'),
  AUTH_ADMIN_CLIENT_SECRET: 'the-same-administrator-on-both-nodes',
};

let server: InProcessServer;
let administrator: string;
let issuer: string;
let keys: ReturnType<typeof createLocalJWKSet>;
let resourceServer: Credentials;
let otherServer: Credentials;
before(async () => {
  server = await openServer(NODE);
  Object.assign(server.admin, { clientSecret: NODE.AUTH_ADMIN_CLIENT_SECRET });
  administrator = await issueToken(server.url, server.admin);
  issuer = (await request(`${server.url}/.well-known/oauth-authorization-server`)).body.issuer;
  keys = createLocalJWKSet((await request(`${server.url}/jwks`)).body as JSONWebKeySet);
  resourceServer = await createClient(server, { grant_types: [], resources: [API] });
  otherServer = await createClient(server, { grant_types: [], resources: [`${API}/`, 'https://api.example.org', `${API}/a`] });
});
after(() => server.stop());

const introspect = (token: string, who: Credentials, accept = 'application/json') =>
  postForm(`${server.url}/introspect`, { token }, who, { accept });
const active = async (token: string) => (await introspect(token, server.admin)).body.active;
const lastChange = async () => (await server.database.query<{ n: number }>('select last_seq as n from change_log'))[0]?.n ?? 0;

/** No form of the answer says more than that the token is not active. */
async function assertInactive(token: string, who: Credentials, why: string): Promise<void> {
  const plain = await introspect(token, who);
  assert.deepEqual([plain.status, plain.text, plain.headers.get('cache-control')], [200, INACTIVE, 'no-store'], why);
  const { payload } = await jwtVerify((await introspect(token, who, SIGNED)).text, keys, { audience: who.clientId });
  assert.deepEqual(payload.token_introspection, { active: false }, why);
  assert.deepEqual(Object.keys(payload).sort(), ['aud', 'iat', 'iss', 'token_introspection'], why);
  const phantom = await introspect(token, who, PHANTOM);
  assert.deepEqual([phantom.status, phantom.text, phantom.headers.get('content-type')], [204, '', null], why);
}

for (const access_token_format of ['reference', 'jwt']) {
  const holder = (more = {}) =>
    createClient(server, { access_token_format, scope: 'read write', audience: [API], claims: CLAIMS, ...more });

  test(`I05 RFC 7662 §2.2, RFC 9068 §2.2: one set of claims in every form of the answer (${access_token_format})`, async () => {
    const client = await holder();
    const token = await issueToken(server.url, client, { scope: 'write' });
    for (const who of [client, resourceServer]) {
      const { active: isActive, token_type, ...claims } = (await introspect(token, who)).body;
      assert.deepEqual([isActive, token_type], [true, 'Bearer']);
      const { iat, exp, jti, ...rest } = claims;
      assert.deepEqual(rest, { ...CLAIMS, iss: issuer, sub: client.clientId, client_id: client.clientId, aud: API, scope: 'write' });
      assert.ok(Number.isInteger(iat) && exp === iat + 3600 && /^[0-9a-f-]{36}$/.test(jti));

      const signed = await introspect(token, who, SIGNED);
      const verified = await jwtVerify(signed.text, keys, { issuer, audience: who.clientId, typ: 'token-introspection+jwt' });
      assert.deepEqual(verified.payload.token_introspection, { active: true, token_type: 'Bearer', ...claims });

      const phantom = await introspect(token, who, PHANTOM);
      const { payload, protectedHeader } = await jwtVerify(phantom.text, keys, { issuer, audience: API, typ: 'at+jwt' });
      assert.deepEqual(payload, claims);
      assert.deepEqual(Object.keys(protectedHeader).sort(), ['alg', 'kid', 'typ']);
      for (const answer of [signed, phantom]) {
        assert.deepEqual([answer.headers.get('cache-control'), answer.headers.get('vary')], ['no-store', 'Accept']);
      }
    }
  });

  test(`I06 RFC 7662 §4: who is not in the audience sees nothing, in any form (${access_token_format})`, async () => {
    const token = await issueToken(server.url, await holder());
    await assertInactive(token, otherServer, 'resources are compared byte by byte');
    await assertInactive(token, await createClient(server, { audience: [API] }), 'the same audience is not being in it');
    await assertInactive(token, await createClient(server, { scope: 'AUTH:INTROSPECT introspect auth' }), 'a scope that looks alike');
    const gateway = await createClient(server, { scope: 'auth:introspect' });
    const bearer = { authorization: `Bearer ${await issueToken(server.url, gateway)}`, accept: SIGNED };
    const seen = await postForm(`${server.url}/introspect`, { token }, undefined, bearer);
    const { payload } = await jwtVerify(seen.text, keys, { audience: gateway.clientId });
    assert.equal((payload.token_introspection as { active: boolean }).active, true, 'but auth:introspect does, by bearer token too');
    const reader = await issueToken(server.url, server.admin, { scope: 'auth:clients' });
    const refused = await postForm(`${server.url}/introspect`, { token }, undefined, { authorization: `Bearer ${reader}` });
    assert.deepEqual([refused.status, refused.body.error], [403, 'insufficient_scope']);
  });

  test(`I03 RFC 7662 §2.2: expired, revoked and unknown tokens are inactive in every form (${access_token_format})`, async () => {
    const client = await holder();
    const [expired, revoked] = [await issueToken(server.url, await holder({ access_token_ttl: 1 })), await issueToken(server.url, client)];
    await until(async () => !(await active(expired)), 3_000);
    await postForm(`${server.url}/revoke`, { token: revoked }, client);
    for (const [token, why] of [
      [expired, 'expired in this second'],
      [revoked, 'revoked'],
      ['junk', 'unknown'],
    ] as const) {
      for (const who of [client, resourceServer, server.admin]) await assertInactive(token, who, why);
    }
    assert.equal((await sendJson('GET', `${server.url}/clients`, expired)).status, 401);
  });

  test(`I10 only the token itself is the token (${access_token_format})`, async () => {
    const client = await holder();
    const token = await issueToken(server.url, client);
    const variants = [
      ...[
        token.slice(0, -1),
        token.slice(1),
        `${token}A`,
        `${token}=`,
        `${token}.`,
        ` ${token}`,
        `${token} `,
        `${token}\r\n`,
        `${token}\0`,
      ],
      ...[token.toUpperCase(), token.toLowerCase(), `Bearer ${token}`, encodeURIComponent(`${token}%`), `${token},${token}`, `"${token}"`],
    ];
    for (const variant of variants) assert.equal((await introspect(variant, client)).text, INACTIVE, JSON.stringify(variant));
    for (const variant of variants) assert.equal((await postForm(`${server.url}/revoke`, { token: variant }, client)).status, 200);
    assert.equal(await active(token), true, 'and none of them revokes it');
  });

  test(`R03 RFC 7009 §2.1: only its client revokes a token (${access_token_format})`, async () => {
    const client = await holder();
    const token = await issueToken(server.url, client);
    const gateway = await createClient(server, { scope: 'auth:introspect' });
    const earlier = await lastChange();
    for (const who of [resourceServer, otherServer, gateway, server.admin]) {
      const answer = await postForm(`${server.url}/revoke`, { token }, who);
      assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_grant']);
      assert.ok(!answer.text.includes(client.clientId));
    }
    const bearer = await postForm(`${server.url}/revoke`, { token }, undefined, { authorization: `Bearer ${token}` });
    assert.deepEqual([bearer.status, bearer.body.error], [401, 'invalid_client'], 'the token itself is no authentication');
    assert.deepEqual([await lastChange(), await active(token)], [earlier, true]);
  });

  test(`R04 RFC 7009 §2.2: revoking again is 200, and written once (${access_token_format})`, async () => {
    const client = await holder();
    const token = await issueToken(server.url, client);
    const earlier = await lastChange();
    for (let time = 0; time < 3; time++) {
      const answer = await postForm(`${server.url}/revoke`, { token, token_type_hint: 'refresh_token' }, client);
      assert.deepEqual([answer.status, answer.text, answer.headers.get('cache-control')], [200, '{}', 'no-store']);
      assert.equal(await active(token), false);
    }
    assert.equal(await lastChange(), earlier + 1);
  });

  test(`R09 RFC 7009 §2: what one node revokes is inactive on the other (${access_token_format})`, async () => {
    const client = await holder();
    const [one, two] = [await issueToken(server.url, client), await issueToken(server.url, client)];
    const node = await openServer({ ...NODE, DATABASE_URL: server.database.url, AUTH_ISSUER: issuer });
    try {
      const there = async (token: string) => (await postForm(`${node.url}/introspect`, { token }, client)).body;
      assert.deepEqual(await there(one), (await introspect(one, client)).body);
      await postForm(`${server.url}/revoke`, { token: one }, client);
      const strict = await postForm(`${node.url}/introspect`, { token: one }, client, { prefer: 'consistency=strict' });
      assert.deepEqual([strict.body, strict.headers.get('preference-applied')], [{ active: false }, 'consistency=strict']);
      assert.deepEqual(await there(one), { active: false }, 'and from then on in any case');
      await postForm(`${node.url}/revoke`, { token: two }, client);
      await until(async () => !(await active(two)), 1_000);
    } finally {
      await node.stop();
    }
  });

  test(`C07 a client that is disabled or deleted loses all tokens by one row in change (${access_token_format})`, async () => {
    const client = await holder();
    const url = `${server.url}/clients/${client.clientId}`;
    const tokens = await Promise.all(Array.from({ length: 5 }, () => issueToken(server.url, client)));
    const ends = async () =>
      (
        await server.database.query<{ n: number }>("select count(*)::int n from change where kind = 'client' and key = $1", [
          client.clientId,
        ])
      )[0]?.n;
    await sendJson('PUT', url, administrator, { ...client.document, client_secret: undefined, disabled: true });
    for (const token of tokens) await assertInactive(token, resourceServer, 'disabled');
    await sendJson('PATCH', url, administrator, { disabled: true, client_name: 'disabled already' });
    assert.equal(await ends(), 1, 'once');
    await sendJson('PATCH', url, administrator, { disabled: false });
    for (const token of tokens) await assertInactive(token, resourceServer, 'enabled again, the old ones stay dead');
    const young = await issueToken(server.url, client);
    assert.equal(await active(young), true);
    assert.equal((await sendJson('DELETE', url, administrator)).status, 204);
    await assertInactive(young, resourceServer, 'deleted');
    assert.equal(await ends(), 2);
    assert.equal((await sendJson('GET', url, administrator)).status, 404);
    const again = { client_id: client.clientId, access_token_format };
    assert.equal((await sendJson('POST', `${server.url}/clients`, administrator, again)).status, 409, 'never given again');
    assert.equal((await postForm(`${server.url}/token`, 'grant_type=client_credentials', client)).status, 401);
  });
}
