import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importJWK, jwtVerify } from 'jose';
import { introspect } from '../../src/core/introspect.ts';
import { couldBeAccessToken, hashToken } from '../../src/core/reference-token.ts';
import { revoke } from '../../src/core/revoke.ts';
import { generateSigningKey, publicJwk } from '../../src/core/signing-key.ts';
import { GRANT_TYPES, type TokenDeps, type TokenResponse, token } from '../../src/core/token.ts';
import { ACTOR, NOW, settings } from '../contracts/stores.ts';
import { type MemoryStores, memorySigningKeys, memoryStores } from '../support/memory-stores.ts';

const ISSUER = 'https://auth.example.com';
const SECRET_ID = '5ad1f6ae-6ef1-4d2c-a3b0-6b3a4f1f6c0d';
const KEY = await generateSigningKey('ES256');

interface Fixture extends MemoryStores {
  ask(form: Readonly<Record<string, string>>, resources?: readonly string[]): Promise<TokenResponse>;
}

/** A server's core with one client. */
async function withClient(metadata: Readonly<Record<string, unknown>>, changed: Partial<TokenDeps> = {}): Promise<Fixture> {
  const stores = memoryStores();
  await stores.administration.insert('billing', settings(metadata), undefined, ACTOR);
  const known = await stores.directory.find('billing');
  assert.ok(known);
  const deps: TokenDeps = {
    tokens: stores.tokens,
    signingKeys: memorySigningKeys(KEY),
    issuer: ISSUER,
    accessTokenTtlSeconds: 3600,
    ...changed,
  };
  return {
    ...stores,
    ask: (form, resources = []) =>
      token({ ...known, secretId: SECRET_ID, params: new Map(Object.entries(form)), resources, now: NOW }, deps),
  };
}

const CREDENTIALS = { grant_type: 'client_credentials' };

const REFUSALS: readonly [why: string, section: string, metadata: object, form: Readonly<Record<string, string>>, code: string][] = [
  ['no grant_type', '6749 §5.2', {}, {}, 'invalid_request'],
  ['unknown grant_type', '6749 §5.2', {}, { grant_type: 'magic' }, 'unsupported_grant_type'],
  ['password', '9700 §2.4', {}, { grant_type: 'password', username: 'a', password: 'b' }, 'unsupported_grant_type'],
  ['a name of Object.prototype', '6749 §5.2', {}, { grant_type: 'constructor' }, 'unsupported_grant_type'],
  ['another case', '6749 §5.2', {}, { grant_type: 'Client_Credentials' }, 'unsupported_grant_type'],
  ['a grant that the client is not registered for', '6749 §5.2', { grant_types: [] }, CREDENTIALS, 'unauthorized_client'],
  ['a public client', '6749 §4.4', { token_endpoint_auth_method: 'none' }, CREDENTIALS, 'unauthorized_client'],
  ['scope beyond the client', '6749 §3.3', { scope: 'read' }, { ...CREDENTIALS, scope: 'read admin' }, 'invalid_scope'],
  ['scope of a client that has none', '6749 §3.3', {}, { ...CREDENTIALS, scope: 'read' }, 'invalid_scope'],
  ['malformed scope', '6749 §3.3', { scope: 'read' }, { ...CREDENTIALS, scope: 'read ' }, 'invalid_scope'],
  ['scope beyond a client of JWTs', '9068', { scope: 'read', access_token_format: 'jwt' }, { ...CREDENTIALS, scope: 'x' }, 'invalid_scope'],
];
for (const [why, section, metadata, form, code] of REFUSALS) {
  test(`refuses: ${why}, and issues nothing (RFC ${section})`, async () => {
    const { ask, issued } = await withClient({ ...metadata });
    await assert.rejects(ask(form), { code });
    assert.equal(issued.size, 0);
  });
}

test('every grant type that is advertised has a grant (RFC 8414 §2)', async () => {
  for (const grant_type of GRANT_TYPES) {
    const { ask } = await withClient({ grant_types: [grant_type] });
    await assert.doesNotReject(ask({ grant_type }));
  }
});

test('a reference token is answered as RFC 6749 §5.1 says, and its hash alone is stored', async () => {
  const { ask, issued, directory } = await withClient({ scope: 'read write', claims: { tenant: 'acme' }, audience: ['urn:api'] });
  const { access_token, ...rest } = await ask({ ...CREDENTIALS, scope: 'write' });
  assert.deepEqual(rest, { token_type: 'Bearer', expires_in: 3600, scope: 'write' });
  assert.ok(access_token.startsWith('at_') && couldBeAccessToken(access_token));
  const [record] = issued.values();
  assert.deepEqual(
    { ...record, jti: undefined },
    {
      tokenHash: hashToken(access_token),
      jti: undefined,
      clientId: 'billing',
      subject: 'billing',
      scope: ['write'],
      audience: ['urn:api'],
      claims: { tenant: 'acme' },
      issuedAt: NOW,
      expiresAt: NOW + 3600,
      issuedSeq: (await directory.find('billing'))?.asOfSeq,
      secretId: SECRET_ID,
    },
  );
  assert.match(record?.jti ?? '', /^[0-9a-f-]{36}$/);
  assert.ok(!JSON.stringify(record).includes(access_token));
});

test('a JWT is signed by the current key, as RFC 9068 §2 says, and recorded as a reference token is', async () => {
  const { ask, issued } = await withClient({ scope: 'read', claims: { tenant: 'acme' }, access_token_format: 'jwt', access_token_ttl: 60 });
  const { access_token, expires_in } = await ask(CREDENTIALS);
  assert.equal(expires_in, 60);
  const verified = await jwtVerify(access_token, await importJWK({ ...publicJwk(KEY) }), {
    issuer: ISSUER,
    audience: ISSUER,
    subject: 'billing',
    typ: 'at+jwt',
    currentDate: new Date(NOW * 1000),
  });
  const [record] = issued.values();
  assert.deepEqual([record?.tokenHash, record?.jti], [hashToken(access_token), verified.payload.jti]);
  assert.deepEqual([verified.payload.exp, verified.payload.iat, verified.payload.tenant], [NOW + 60, NOW, 'acme']);
  assert.ok(couldBeAccessToken(access_token));
});

for (const format of ['reference', 'jwt']) {
  test(`two ${format} tokens of one second differ, in jti as well`, async () => {
    const { ask, issued } = await withClient({ access_token_format: format });
    const [a, b] = [await ask(CREDENTIALS), await ask(CREDENTIALS)];
    assert.notEqual(a.access_token, b.access_token);
    assert.equal(new Set([...issued.values()].map(({ jti }) => jti)).size, 2);
  });
}

for (const [why, metadata, form, scope] of [
  ['nothing asked: all that is registered', { scope: 'read write' }, {}, 'read write'],
  ['nothing asked, nothing registered: no member', {}, {}, undefined],
  ['narrowed', { scope: 'read write' }, { scope: 'read' }, 'read'],
  ['repeated', { scope: 'read write' }, { scope: 'read read' }, 'read'],
] as const) {
  test(`scope, ${why} (RFC 6749 §3.3, §5.1)`, async () => {
    const answer = await (await withClient(metadata)).ask({ ...CREDENTIALS, ...form });
    assert.deepEqual([answer.scope, 'scope' in answer], [scope, scope !== undefined]);
  });
}

for (const [why, metadata, form, audience] of [
  ['none registered: the issuer', {}, {}, [ISSUER]],
  ['registered', { audience: ['a', 'b'] }, {}, ['a', 'b']],
  ['an own scope: the issuer too, because it means this API', { audience: ['a'], scope: 'auth:clients' }, {}, ['a', ISSUER]],
  ['an own scope that was not asked for', { audience: ['a'], scope: 'read auth:clients' }, { scope: 'read' }, ['a']],
  ['an own scope and the issuer registered', { audience: [ISSUER, 'a'], scope: 'auth:clients' }, {}, [ISSUER, 'a']],
] as const) {
  test(`audience, ${why} (RFC 9068 §3)`, async () => {
    const { ask, issued } = await withClient(metadata);
    await ask({ ...CREDENTIALS, ...form });
    assert.deepEqual([...issued.values()][0]?.audience, audience);
  });
}

for (const [why, metadata, seconds] of [
  ['the server’s', {}, 3600],
  ['the client’s', { access_token_ttl: 1 }, 1],
  ['a client’s that is longer', { access_token_ttl: 86_401 }, 86_401],
] as const) {
  test(`lifetime: ${why}`, async () => {
    const { ask, issued } = await withClient(metadata);
    assert.equal((await ask(CREDENTIALS)).expires_in, seconds);
    assert.equal([...issued.values()][0]?.expiresAt, NOW + seconds);
  });
}

test('a token is answered only once its record is durable; an outage answers nothing', async () => {
  const outage = new Error('unavailable');
  const { tokens } = memoryStores();
  const { ask } = await withClient({}, { tokens: { ...tokens, insert: () => Promise.reject(outage) } });
  await assert.rejects(ask(CREDENTIALS), outage);
});

// The longest that the metadata rules let through has to fit into the form of /introspect and /revoke: what is issued can be ended.
for (const character of ['x', 'é', '\u2028', '"', '\u{1f600}']) {
  test(`the longest JWT that can be issued can be introspected and revoked: claims and audience of ${JSON.stringify(character)}`, async () => {
    const fit = <T>(make: (length: number) => T, fits: (made: T) => boolean): T => {
      let length = 1;
      while (fits(make(length + 1))) length++;
      return make(length);
    };
    const isAccepted = (metadata: object) => {
      try {
        return settings({ ...metadata }) !== undefined;
      } catch {
        return false;
      }
    };
    const metadata = {
      access_token_format: 'jwt',
      scope: fit((length) => ({ scope: 's'.repeat(length) }), isAccepted).scope,
      claims: fit((length) => ({ claims: { c: character.repeat(length) } }), isAccepted).claims,
      audience: fit((length) => ({ audience: Array.from({ length: 10 }, (_, n) => n + character.repeat(length)) }), isAccepted).audience,
    };
    const { ask, tokens } = await withClient(metadata, { issuer: `https://auth.example.com/${'i'.repeat(200)}` });
    const { access_token } = await ask(CREDENTIALS);
    assert.ok(access_token.length + 'client_id='.length + 128 + '&client_secret='.length + 43 * 3 + '&token='.length < 16 * 1024);
    const caller = { clientId: 'billing', scope: [], resources: [] };
    assert.ok(await introspect(access_token, caller, NOW, { tokens, signingKeys: memorySigningKeys(KEY) }));
    await revoke(access_token, { clientId: 'billing', address: undefined }, NOW, tokens);
    assert.equal(await introspect(access_token, caller, NOW, { tokens, signingKeys: memorySigningKeys(KEY) }), undefined);
  });
}
