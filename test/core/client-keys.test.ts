import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { isUsable, type Jwk, readClientKey } from '../../src/core/client-keys.ts';
import { clientMetadata, parseClientMetadata } from '../../src/core/client-metadata.ts';
import { Problem } from '../../src/core/errors.ts';
import { keyPair } from '../support/assertions.ts';

const [EC, RSA, ED] = [keyPair('ES256', 'ec').jwk, keyPair('RS256', 'rsa').jwk, keyPair('EdDSA', 'ed').jwk];
const rsa = (modulusLength: number): Jwk => generateKeyPairSync('rsa', { modulusLength }).publicKey.export({ format: 'jwk' }) as Jwk;
const modulus = (bytes: number) => Buffer.alloc(bytes, 0xc1).toString('base64url');
const RSA_ALGS = ['PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512'];

for (const [why, jwk, algs] of [
  ['P-256', EC, ['ES256']],
  ['P-384', keyPair('ES384').jwk, ['ES384']],
  ['P-521', keyPair('ES512').jwk, ['ES512']],
  ['Ed25519', ED, ['EdDSA', 'Ed25519']],
  ['Ed25519 with one of its names', { ...ED, alg: 'Ed25519' }, ['EdDSA', 'Ed25519']],
  ['RSA', RSA, RSA_ALGS],
  ['RSA with alg', { ...RSA, alg: 'PS384' }, ['PS384']],
  ['use, key_ops and what nobody knows', { ...EC, use: 'sig', key_ops: ['verify'], ext: true, x5c: ['AAAA'] }, ['ES256']],
  ['without a kid', { ...EC, kid: undefined }, ['ES256']],
] as const) {
  test(`a key verifies: ${why} (RFC 7518 §3.1)`, () => {
    const read = readClientKey(jwk as Jwk);
    assert.ok(isUsable(read));
    assert.deepEqual([read.algs, read.kid], [algs, (jwk as Jwk).kid]);
    assert.equal(read.key.type, 'public');
  });
}

const UNUSABLE: readonly [why: string, jwk: Jwk, member: string | undefined][] = [
  ['a symmetric key', { kty: 'oct', k: 'AAAA' }, 'k'],
  ['a symmetric key without its key', { kty: 'oct' }, 'kty'],
  ['no kty', { crv: 'P-256', x: EC.x, y: EC.y }, 'kty'],
  ['kty of Object.prototype', { ...EC, kty: 'constructor' }, 'kty'],
  ['a private key', { ...EC, d: 'AAAA' }, 'd'],
  ['a private RSA key', { ...RSA, qi: 'AAAA' }, 'qi'],
  ['for encryption', { ...EC, use: 'enc' }, 'use'],
  ['operations without verify', { ...EC, key_ops: ['sign'] }, 'key_ops'],
  ['operations that are no list', { ...EC, key_ops: 'verify' }, 'key_ops'],
  ['secp256k1', { ...EC, crv: 'secp256k1' }, 'crv'],
  ['Ed448', { ...ED, crv: 'Ed448' }, 'crv'],
  ['X25519', { ...ED, crv: 'X25519' }, 'crv'],
  ['alg of another curve', { ...EC, alg: 'ES384' }, 'alg'],
  ['alg of a MAC', { ...RSA, alg: 'HS256' }, 'alg'],
  ['alg of encryption', { ...RSA, alg: 'RSA-OAEP-256' }, 'alg'],
  ['alg none', { ...RSA, alg: 'none' }, 'alg'],
  ['not on the curve', { ...EC, y: EC.x }, undefined],
  ['no y', { ...EC, y: undefined }, undefined],
  ['x as a number', { ...EC, x: 1 }, undefined],
  ['not base64url', { ...EC, x: `${EC.x as string}==` }, undefined],
  ['RSA of 1024 bits', rsa(1024), 'n'],
  ['RSA of 2040 bits', rsa(2040), 'n'],
  ['RSA of 16384 bits', { kty: 'RSA', n: modulus(2048), e: 'AQAB' }, 'n'],
  ['exponent 1', { ...RSA, e: 'AQ' }, 'e'],
  ['an even exponent', { ...RSA, e: 'AQAA' }, 'e'],
  ['an exponent that costs', { ...RSA, e: modulus(200) }, 'e'],
  ['kid empty', { ...EC, kid: '' }, 'kid'],
  ['kid as a number', { ...EC, kid: 1 }, 'kid'],
  ['kid with NUL', { ...EC, kid: 'a\0' }, 'kid'],
  ['kid too long', { ...EC, kid: 'x'.repeat(257) }, 'kid'],
];
for (const [why, jwk, member] of UNUSABLE) {
  test(`a key does not verify: ${why}`, () => {
    const read = readClientKey(jwk);
    assert.ok(!isUsable(read), 'refused');
    assert.equal(read.member, member);
  });
}

const problems = (document: Readonly<Record<string, unknown>>) => {
  try {
    parseClientMetadata({ token_endpoint_auth_method: 'private_key_jwt', ...document });
    return [];
  } catch (error) {
    assert.ok(error instanceof Problem && error.code === 'invalid_client_metadata');
    return error.fields.map(({ pointer }) => pointer);
  }
};
const URI = 'https://client.example/jwks';
const METADATA: readonly [why: string, document: Readonly<Record<string, unknown>>, ...pointers: readonly string[]][] = [
  ['keys', { jwks: { keys: [EC, RSA, ED] } }],
  ['keys beside one for encryption', { jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', use: 'enc' }, EC] } }],
  ['where keys are', { jwks_uri: URI }],
  ['where keys are, on this machine', { jwks_uri: 'http://localhost:3000/jwks' }],
  ['an algorithm', { jwks_uri: URI, token_endpoint_auth_signing_alg: 'RS256' }],
  ['an algorithm of a key', { jwks: { keys: [EC, RSA] }, token_endpoint_auth_signing_alg: 'PS512' }],
  ['no keys', {}, '/jwks'],
  ['keys twice', { jwks: { keys: [EC] }, jwks_uri: URI }, '/jwks_uri'],
  ['an empty set', { jwks: { keys: [] } }, '/jwks/keys'],
  ['no set', { jwks: [] }, '/jwks'],
  ['only keys for encryption', { jwks: { keys: [{ ...EC, use: 'enc' }] } }, '/jwks/keys'],
  [
    'unusable keys, each by its member',
    { jwks: { keys: [EC, { ...EC, crv: 'P-255' }, rsa(1024), { ...EC, y: 'x' }] } },
    '/jwks/keys/1/crv',
    '/jwks/keys/2/n',
    '/jwks/keys/3',
  ],
  ['a private key', { jwks: { keys: [{ ...EC, d: 'x' }] } }, '/jwks/keys/0/d'],
  ['21 keys', { jwks: { keys: Array.from({ length: 21 }, () => EC) } }, '/jwks/keys'],
  ['plain HTTP', { jwks_uri: 'http://client.example/jwks' }, '/jwks_uri'],
  ['plain HTTP to what looks like this machine', { jwks_uri: 'http://localhost.example/jwks' }, '/jwks_uri'],
  ['a password', { jwks_uri: 'https://a:b@client.example/jwks' }, '/jwks_uri'],
  ['a fragment', { jwks_uri: `${URI}#x` }, '/jwks_uri'],
  ['a file', { jwks_uri: 'file:///etc/passwd' }, '/jwks_uri'],
  ['alg none', { jwks_uri: URI, token_endpoint_auth_signing_alg: 'none' }, '/token_endpoint_auth_signing_alg'],
  ['alg of a MAC', { jwks_uri: URI, token_endpoint_auth_signing_alg: 'HS256' }, '/token_endpoint_auth_signing_alg'],
  [
    'an algorithm that no key is for',
    { jwks: { keys: [EC] }, token_endpoint_auth_signing_alg: 'RS256' },
    '/token_endpoint_auth_signing_alg',
  ],
];
for (const [why, document, ...pointers] of METADATA) {
  test(`private_key_jwt with ${why}: ${pointers.join(' ') || 'accepted'} (RFC 7591 §2)`, () =>
    assert.deepEqual(problems(document), pointers));
}

test('what is registered is printed as it came; of clients with another method any public key is kept', () => {
  const document = { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [EC] }, token_endpoint_auth_signing_alg: 'ES256' };
  const printed = clientMetadata(parseClientMetadata(document));
  for (const [name, value] of Object.entries(document)) assert.deepEqual(printed[name], value);
  const jwks = { keys: [{ kty: 'EC', crv: 'secp256k1', x: 'x', y: 'y' }] };
  assert.deepEqual(parseClientMetadata({ jwks }).registration, { jwks });
});
