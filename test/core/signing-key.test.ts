import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { test } from 'node:test';
import { calculateJwkThumbprint, compactVerify, decodeProtectedHeader, errors, importJWK } from 'jose';
import { generateSigningKey, kidOf, publicJwk, SIGNING_ALGS, signJwt } from '../../src/core/signing-key.ts';

const KEYS = await Promise.all(SIGNING_ALGS.map(generateSigningKey));
const PUBLIC_MEMBERS = { ES256: 'crv kty x y', RS256: 'e kty n', EdDSA: 'crv kty x', PS256: 'e kty n' };

for (const key of KEYS) {
  test(`${key.alg}: jose verifies what it signs, and the header names typ and kid (RFC 7515 §4.1, RFC 8725 §3.11)`, async () => {
    const claims = { iss: 'https://auth.example.com', text: 'Ünï \u2028 "\\"', deep: { list: [1, null] } };
    const jwt = await signJwt(key, 'at+jwt', claims);
    const { payload } = await compactVerify(jwt, await importJWK({ ...publicJwk(key) }), { algorithms: [key.alg] });
    assert.deepEqual(JSON.parse(Buffer.from(payload).toString()), claims);
    assert.deepEqual(decodeProtectedHeader(jwt), { alg: key.alg, typ: 'at+jwt', kid: key.kid });
  });

  test(`${key.alg}: a changed character, or another key, does not verify`, async () => {
    const jwt = await signJwt(key, 'at+jwt', { sub: 'billing' });
    const other = await importJWK({ ...publicJwk(await generateSigningKey(key.alg)) });
    await assert.rejects(compactVerify(jwt, other), errors.JWSSignatureVerificationFailed);
    const mine = await importJWK({ ...publicJwk(key) });
    const [header, , signature] = jwt.split('.');
    const forged = `${header}.${Buffer.from('{"sub":"admin"}').toString('base64url')}.${signature}`;
    await assert.rejects(compactVerify(forged, mine), errors.JWSSignatureVerificationFailed);
  });

  test(`${key.alg}: kid is the RFC 7638 thumbprint, and only public members are published (RFC 7517)`, async () => {
    const jwk = publicJwk(key);
    assert.equal(await calculateJwkThumbprint({ ...jwk }, 'sha256'), key.kid);
    assert.deepEqual(Object.keys(jwk).sort(), [...PUBLIC_MEMBERS[key.alg].split(' '), 'alg', 'kid', 'use'].sort());
    assert.deepEqual([jwk.alg, jwk.use, jwk.kid], [key.alg, 'sig', key.kid]);
  });

  test(`${key.alg}: a key that was stored and read again signs the same`, async () => {
    const der = key.privateKey.export({ format: 'der', type: 'pkcs8' });
    const read = { ...key, privateKey: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }) };
    assert.deepEqual(publicJwk(read), publicJwk(key));
    await compactVerify(await signJwt(read, 'at+jwt', {}), await importJWK({ ...publicJwk(key) }));
  });
}

test('ES256 signatures are of R and S, 64 bytes, not DER (RFC 7518 §3.4)', async () => {
  const [es256] = KEYS;
  assert.ok(es256);
  for (let round = 0; round < 50; round++) {
    const signature: string = (await signJwt(es256, 'at+jwt', { round })).split('.')[2] ?? '';
    assert.equal(Buffer.from(signature, 'base64url').length, 64);
  }
});

test('RSA keys have 2048 bits (RFC 7518 §3.3), EC keys are of P-256, EdDSA of Ed25519', () => {
  const details = KEYS.map(({ privateKey }) => [
    privateKey.asymmetricKeyType,
    privateKey.asymmetricKeyDetails?.modulusLength ?? privateKey.asymmetricKeyDetails?.namedCurve,
  ]);
  assert.deepEqual(details, [
    ['ec', 'prime256v1'],
    ['rsa', 2048],
    ['ed25519', undefined],
    ['rsa', 2048],
  ]);
});

test('no two keys are the same', async () => {
  const kids = (await Promise.all(Array.from({ length: 20 }, () => generateSigningKey('ES256')))).map(({ kid }) => kid);
  assert.equal(new Set(kids).size, 20);
});

test('kid of a header that nobody has verified: what is no text there is none (RFC 7515 §4.1.4)', () => {
  const header = (text: string) => `${Buffer.from(text).toString('base64url')}.e30.x`;
  assert.equal(kidOf(header('{"kid":"a"}')), 'a');
  for (const text of ['', '{', 'null', '1', '[]', '{"kid":1}', '{"kid":null}', '{}']) assert.equal(kidOf(header(text)), undefined, text);
  assert.equal(kidOf('no dots'), undefined);
});
