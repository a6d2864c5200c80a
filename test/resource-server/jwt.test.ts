import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { generateSigningKey, publicJwk, SIGNING_ALGS, signJwt } from '../../src/core/signing-key.ts';
import { Ended } from '../../src/resource-server/ended.ts';
import { isMeantFor, isSignedWith, type Jwt, type PublicKey, readJwt, readKeys } from '../../src/resource-server/jwt.ts';
import { Kept } from '../../src/resource-server/kept.ts';
import { KeySet } from '../../src/resource-server/key-set.ts';
import { type KeptVerification, verified } from '../../src/resource-server/verifying.ts';

const CLAIMS = { iss: 'https://as', aud: 'https://api', exp: 2_000, iat: 1_000, sub: 's', client_id: 'c' };
const FOR_US = { issuer: 'https://as', audience: ['https://api'], now: 1_500 };
const es256 = await generateSigningKey('ES256');
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const keyOf = (jwk: unknown) => [...readKeys([jwk]).values()][0] as PublicKey;

for (const alg of SIGNING_ALGS) {
  test(`S05 RFC 9068 §4: a token that is signed with ${alg}; not one that was changed, nor with another key`, async () => {
    const key = await generateSigningKey(alg);
    const token = await signJwt(key, 'at+jwt', CLAIMS);
    const jwt = readJwt(token) as Jwt;
    assert.deepEqual(jwt.claims, CLAIMS);
    assert.equal(isSignedWith(keyOf(publicJwk(key)), jwt), true);
    assert.equal(isSignedWith(keyOf(publicJwk(await generateSigningKey(alg))), jwt), false);
    const [head, , signature] = token.split('.');
    assert.equal(isSignedWith(keyOf(publicJwk(key)), readJwt([head, encode({ ...CLAIMS, sub: 'x' }), signature].join('.')) as Jwt), false);
    assert.equal(isSignedWith(keyOf(publicJwk(key)), readJwt([head, encode(CLAIMS), 'AAAA'].join('.')) as Jwt), false);
  });
}

const unsigned = (header: object) => `${encode({ alg: 'ES256', typ: 'at+jwt', kid: 'k', ...header })}.${encode(CLAIMS)}.AAAA`;
const NO_TOKENS: [why: string, token: string][] = [
  ['another typ: an ID token, RFC 9068 §5', unsigned({ typ: 'JWT' })],
  ['no typ', unsigned({ typ: undefined })],
  ['an extension that must be understood, RFC 7515 §4.1.11', unsigned({ crit: ['exp'] })],
  ['no kid', unsigned({ kid: undefined })],
  ['no alg', unsigned({ alg: undefined })],
  ['alg none without a signature', `${encode({ alg: 'none', typ: 'at+jwt', kid: 'k' })}.${encode(CLAIMS)}.`],
  ['no JSON', 'AAAA.AAAA.AAAA'],
  ['claims that are a list', `${encode({ alg: 'ES256', typ: 'at+jwt', kid: 'k' })}.${encode([1])}.AAAA`],
  ['a reference token', `at_${'a'.repeat(49)}`],
  ['two parts', 'AAAA.AAAA'],
  ['too long', `${unsigned({})}${'A'.repeat(20_000)}`],
];
for (const [why, token] of NO_TOKENS) test(`S05 RFC 9068 §4: no access token: ${why}`, () => assert.equal(readJwt(token), undefined));

test('S05 RFC 9068 §4: the long form of typ', () => assert.ok(readJwt(unsigned({ typ: 'application/AT+JWT' }))));

test('S06 RFC 8725 §3.1: the algorithm is that of the key, whatever the token says', async () => {
  const jwk = publicJwk(es256);
  const input = unsigned({ alg: 'HS256', kid: jwk.kid }).split('.').slice(0, 2).join('.');
  const forged = `${input}.${createHmac('sha256', JSON.stringify(jwk)).update(input).digest('base64url')}`;
  assert.equal(isSignedWith(keyOf(jwk), readJwt(forged) as Jwt), false);
  assert.equal(isSignedWith({ ...keyOf(jwk), alg: 'HS256' }, readJwt(forged) as Jwt), false);
  const rs = await generateSigningKey('RS256');
  assert.equal(isSignedWith({ ...keyOf(publicJwk(rs)), alg: 'PS256' }, readJwt(await signJwt(rs, 'at+jwt', CLAIMS)) as Jwt), false);
});

const NOT_FOR_US: [why: string, claims: object][] = [
  ['another issuer', { iss: 'https://as/' }],
  ['another audience', { aud: 'https://api/' }],
  ['several audiences, none of them this one', { aud: ['a', 'b'] }],
  ['no audience', { aud: undefined }],
  ['it has expired', { exp: 1_500 }],
  ['it never expires', { exp: undefined }],
  ['exp is no number', { exp: '2000' }],
  ['not yet', { nbf: 1_501 }],
];
for (const [why, claims] of NOT_FOR_US) {
  test(`S05 RFC 9068 §4: not for us: ${why}`, () => assert.equal(isMeantFor({ ...CLAIMS, ...claims }, FOR_US), false));
}
test('S05 RFC 9068 §4: for us: one of several audiences', () => {
  assert.equal(isMeantFor({ ...CLAIMS, aud: ['x', 'https://api'], nbf: 1_500 }, FOR_US), true);
});

test('S07 RFC 7517 §4: keys for encryption, without kid or alg, of other algorithms and broken ones are passed over', () => {
  const jwk = publicJwk(es256);
  const secret = { kty: 'oct', k: 'AAAA', alg: 'HS256', kid: 'secret' };
  const broken = { ...jwk, x: 'AAAA', kid: 'broken' };
  const others = [{ ...jwk, use: 'enc' }, { ...jwk, kid: undefined }, { ...jwk, alg: undefined }, secret, broken, null, 'x'];
  assert.equal(readKeys(others).size, 0);
  assert.deepEqual([...readKeys([...others, jwk]).keys()], [jwk.kid]);
});

/** Keys as `/jwks` would give them. */
function jwksOf(t: { after(work: () => void): void }) {
  const state = { keys: [publicJwk(es256)], asked: 0, isAway: false };
  const server = {
    async keys() {
      state.asked++;
      if (state.isAway) throw new Error('away');
      return { keys: state.keys, maxAgeSeconds: 300 };
    },
  };
  const keys = new KeySet(server, () => undefined);
  t.after(() => keys.close());
  return { state, keys };
}

test('a key that is not known is looked for once, whoever asks; then it is known that there is none; a new one is found', async (t) => {
  const { state, keys } = jwksOf(t);
  assert.ok(await keys.find(es256.kid));
  assert.equal(state.asked, 1);
  const found = await Promise.all(Array.from({ length: 50 }, (_, n) => keys.find(`made up ${n}`)));
  assert.ok(found.every((key) => key === undefined));
  assert.equal(state.asked, 2);
  const { publicKey } = generateKeyPairSync('ed25519');
  state.keys = [...state.keys, { ...publicKey.export({ format: 'jwk' }), kid: 'new', alg: 'EdDSA' } as never];
  const { version } = keys;
  assert.equal((await keys.find('new'))?.alg, 'EdDSA');
  assert.deepEqual([state.asked, keys.version], [3, version + 1]);
});

test('what was verified is verified again once the keys are others', async (t) => {
  const { state, keys } = jwksOf(t);
  const token = await signJwt(es256, 'at+jwt', { ...CLAIMS, exp: Math.floor(Date.now() / 1000) + 60 });
  const parts = { keys, kept: new Kept<KeptVerification>(1), ended: new Ended(1), issuer: CLAIMS.iss, audience: [CLAIMS.aud] };
  for (let n = 0; n < 2; n++) assert.equal((await verified(token, 'hash', parts))?.clientId, 'c');
  state.keys = [publicJwk(await generateSigningKey('ES256'))];
  assert.equal(await keys.find('another'), undefined);
  assert.equal(await verified(token, 'hash', parts), undefined);
});

test('whether there is a key cannot be said in an outage; those that are known stay', async (t) => {
  const { state, keys } = jwksOf(t);
  assert.ok(await keys.find(es256.kid));
  state.isAway = true;
  await assert.rejects(keys.find('new'));
  assert.ok(await keys.find(es256.kid));
});
