import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importJWK, jwtVerify } from 'jose';
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import {
  type ActiveToken,
  type IntrospectionCaller,
  introspect,
  introspectionResponse,
  phantomToken,
  signedIntrospectionResponse,
} from '../../src/core/introspect.ts';
import type { AccessTokenStore } from '../../src/core/ports.ts';
import { type AccessToken, hashToken, mintReferenceToken } from '../../src/core/reference-token.ts';
import { generateSigningKey, publicJwk } from '../../src/core/signing-key.ts';
import { NOW, tokenRecord } from '../contracts/stores.ts';
import { memorySigningKeys, memoryStores } from '../support/memory-stores.ts';

const ISSUER = 'https://auth.example.com';
const KEY = await generateSigningKey('EdDSA');
const PUBLIC = await importJWK({ ...publicJwk(KEY) });
const DEPS = { signingKeys: memorySigningKeys(KEY), issuer: ISSUER, tokens: memoryStores().tokens };

const caller = (members: Partial<IntrospectionCaller> = {}): IntrospectionCaller => ({
  clientId: 'stranger',
  scope: [],
  resources: [],
  ...members,
});
const OWNER = caller({ clientId: 'billing' });

async function issue(members: Partial<AccessTokenRecord> = {}): Promise<ActiveToken & { readonly tokens: AccessTokenStore }> {
  const { tokens } = memoryStores();
  const token = mintReferenceToken();
  const record = tokenRecord({ ...members, tokenHash: hashToken(token) });
  await tokens.insert(record);
  return { tokens, token, record };
}

for (const [who, asking, sees] of [
  ['the client that it was issued to', OWNER, true],
  ['a stranger', caller(), false],
  ['who is in its audience by client_id', caller({ clientId: 'orders' }), true],
  ['who serves a resource of its audience', caller({ resources: ['urn:x', 'https://api.example.com'] }), true],
  ['who serves a resource below it', caller({ resources: ['https://api.example.com/v1'] }), false],
  ['who serves one that it is below of', caller({ resources: ['https://api.example.co'] }), false],
  ['who may see all', caller({ scope: ['read', 'auth:introspect'] }), true],
  ['who holds another own scope', caller({ scope: ['auth:clients', 'auth:introspect:read', 'introspect'] }), false],
  ['who holds the scopes of the token', caller({ scope: ['read', 'write'] }), false],
  ['who serves a resource named as the client', caller({ resources: ['billing'] }), false],
] as const) {
  test(`${who} ${sees ? 'sees the token' : 'does not see the token'} (RFC 7662 §2.2, §4)`, async () => {
    const { tokens, token, record } = await issue({ audience: ['https://api.example.com', 'orders'] });
    assert.deepEqual(await introspect(token, asking, NOW, { ...DEPS, tokens }), sees ? { token, record } : undefined);
  });
}

test('expired and revoked tokens are not active, for nobody (RFC 7662 §2.2)', async () => {
  const { tokens, token, record } = await issue({ expiresAt: NOW + 10 });
  const everybody = [OWNER, caller({ scope: ['auth:introspect'] }), caller({ resources: record.audience })];
  for (const asking of everybody) {
    assert.ok(await introspect(token, asking, NOW + 9, { ...DEPS, tokens }));
    assert.equal(await introspect(token, asking, NOW + 10, { ...DEPS, tokens }), undefined);
  }
  await tokens.revoke(record);
  for (const asking of everybody) assert.equal(await introspect(token, asking, NOW, { ...DEPS, tokens }), undefined);
});

test('junk is not active and costs no look-up', async () => {
  const tokens: AccessTokenStore = { ...DEPS.tokens, find: () => assert.fail('a look-up') };
  const { token } = await issue();
  for (const junk of ['', 'x', '\0', token.slice(0, -1), token.toLowerCase(), `${token} `, 'a.b.c', 'x'.repeat(100_000)]) {
    assert.equal(await introspect(junk, OWNER, NOW, { ...DEPS, tokens }), undefined);
  }
});

test('what looks like a token and was never issued is not active', async () => {
  assert.equal(await introspect(mintReferenceToken(), OWNER, NOW, DEPS), undefined);
});

test('a store that does not answer is never "inactive"', async () => {
  const outage = new Error('unavailable');
  const tokens: AccessTokenStore = { ...DEPS.tokens, find: () => Promise.reject(outage) };
  await assert.rejects(introspect(mintReferenceToken(), OWNER, NOW, { ...DEPS, tokens }), outage);
});

test('the answer for an active token (RFC 7662 §2.2)', async () => {
  const active = await issue({ claims: { tenant: 'acme' }, audience: ['a', 'b'] });
  assert.deepEqual(introspectionResponse(active, ISSUER), {
    active: true,
    token_type: 'Bearer',
    tenant: 'acme',
    iss: ISSUER,
    sub: 'billing',
    aud: ['a', 'b'],
    client_id: 'billing',
    scope: 'read write',
    exp: NOW + 3600,
    iat: NOW,
    jti: active.record.jti,
  });
});

test('the answer for any other token says nothing else (RFC 7662 §2.2)', () => {
  assert.deepEqual(introspectionResponse(undefined, ISSUER), { active: false });
});

// Reported: the static claims of a record lie over `active` and `token_type`. Only PROTOCOL_CLAIMS keeps them out, at the time of writing.
test('static claims do not decide whether a token is active', async () => {
  const answer = introspectionResponse(await issue({ claims: { active: false, token_type: 'DPoP' } }), ISSUER);
  assert.deepEqual([answer.active, answer.token_type], [true, 'Bearer']);
});

for (const [what, isActive] of [
  ['active', true],
  ['inactive', false],
] as const) {
  test(`the signed answer for an ${what} token is for the caller alone and cannot pass for an access token (RFC 9701 §5, §8.1)`, async () => {
    const active = isActive ? await issue() : undefined;
    const jwt = await signedIntrospectionResponse(active, caller({ clientId: 'gateway' }), NOW, DEPS);
    const { payload, protectedHeader } = await jwtVerify(jwt, PUBLIC, { typ: 'token-introspection+jwt', audience: 'gateway' });
    assert.deepEqual(payload, { iss: ISSUER, aud: 'gateway', iat: NOW, token_introspection: introspectionResponse(active, ISSUER) });
    assert.equal(protectedHeader.kid, KEY.kid);
  });
}

test('a reference token stands for a JWT of RFC 9068; the answer for one is no second access token here', async () => {
  const active = await issue({ claims: { tenant: 'acme' } });
  const jwt = await phantomToken(active, DEPS);
  const currentDate = new Date(NOW * 1000);
  const { payload } = await jwtVerify(jwt, PUBLIC, { typ: 'at+jwt', issuer: ISSUER, audience: 'https://api.example.com', currentDate });
  assert.deepEqual([payload.jti, payload.exp, payload.tenant], [active.record.jti, NOW + 3600, 'acme']);
  assert.equal(await introspect(jwt, OWNER, NOW, { ...DEPS, tokens: active.tokens }), undefined);
});

test('a JWT stands for itself, unchanged', async () => {
  const jwt = `${'a'.repeat(20)}.${'b'.repeat(20)}.${'c'.repeat(86)}` as AccessToken;
  assert.equal(await phantomToken({ token: jwt, record: tokenRecord() }, DEPS), jwt);
});
