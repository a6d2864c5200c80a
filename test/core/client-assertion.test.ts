import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { proveAssertion, readAssertion } from '../../src/core/client-assertion.ts';
import { OAuthError } from '../../src/core/errors.ts';
import { type ClientDirectory, type ClientKeysAt, Unavailable } from '../../src/core/ports.ts';
import { ACTOR, NOW, settings } from '../contracts/stores.ts';
import { type AssertionParts, assertion, type KeyPair, keyPair } from '../support/assertions.ts';
import { memoryStores } from '../support/memory-stores.ts';

const PLACE = { issuer: 'https://auth.example', endpoint: 'https://auth.example/introspect', now: NOW };
const KEYS = { ES256: keyPair(), RS256: keyPair('RS256'), EdDSA: keyPair('EdDSA') };
const REMOTE = keyPair();
const URI = 'https://client.example/jwks';

async function clients(): Promise<ClientDirectory> {
  const { administration, directory } = memoryStores();
  const insert = (id: string, metadata: object) => administration.insert(id, settings({ ...metadata }), undefined, ACTOR);
  const method = { token_endpoint_auth_method: 'private_key_jwt' };
  const jwks = { keys: Object.values(KEYS).map(({ jwk }) => jwk) };
  await insert('keys', { ...method, jwks });
  await insert('remote', { ...method, jwks_uri: URI });
  await insert('disabled', { ...method, jwks, disabled: true });
  await insert('disabled-remote', { ...method, jwks_uri: URI, disabled: true });
  await insert('secret', { jwks });
  await insert('secret-remote', { jwks_uri: URI });
  return directory;
}
const nowhere: ClientKeysAt = () => Promise.reject(new Error('asked for keys'));

async function presented(clientId: string, key: KeyPair, parts: AssertionParts = {}) {
  return readAssertion(await assertion(clientId, PLACE.issuer, key, { now: NOW, ...parts }), undefined, PLACE);
}

for (const [alg, key] of Object.entries(KEYS)) {
  test(`the client whose key has signed: ${alg}`, async () => {
    const known = await proveAssertion(await presented('keys', key), await clients(), nowhere);
    assert.equal(known.client.id, 'keys');
    assert.ok(known.asOfSeq > 0);
  });
}

test('keys at jwks_uri are asked for by their kid, and only for a client that uses them', async () => {
  const directory = await clients();
  const asked: unknown[] = [];
  const { readClientKey, isUsable } = await import('../../src/core/client-keys.ts');
  const keysAt: ClientKeysAt = async (...question) => {
    asked.push(question);
    return [readClientKey(REMOTE.jwk)].filter(isUsable);
  };
  assert.equal((await proveAssertion(await presented('remote', REMOTE), directory, keysAt)).client.id, 'remote');
  assert.deepEqual(asked, [[URI, REMOTE.kid]]);
  for (const id of ['disabled-remote', 'secret-remote', 'nobody', 'keys'])
    await assert.rejects(proveAssertion(await presented(id, REMOTE), directory, keysAt), { code: 'invalid_client' });
  assert.equal(asked.length, 1);
});

test('keys that cannot be fetched, and a store that does not answer, are no refusal', async () => {
  const outage = new Unavailable('down');
  await assert.rejects(
    proveAssertion(await presented('remote', REMOTE), await clients(), () => Promise.reject(outage)),
    outage,
  );
  await assert.rejects(proveAssertion(await presented('keys', REMOTE), { find: () => Promise.reject(outage) }, nowhere), outage);
});

test('what is spent is the client’s jti, until nobody accepts it any more', async () => {
  const one = await presented('keys', KEYS.ES256, { claims: { jti: 'a', exp: NOW + 60 } });
  assert.deepEqual([one.spends.clientId, one.spends.jtiHash.length, one.spends.endsAt], ['keys', 32, NOW + 90]);
  const jwt = await assertion('keys', PLACE.issuer, KEYS.ES256, { now: NOW, claims: { exp: NOW + 60 } });
  assert.ok(readAssertion(jwt, undefined, { ...PLACE, now: NOW + 89 }));
  assert.throws(() => readAssertion(jwt, undefined, { ...PLACE, now: NOW + 90 }), { code: 'invalid_client', message: /expired/ });
});

/** Counts look-ups and verifications of one authentication. */
async function workOf(t: TestContext, clientId: string, key: KeyPair) {
  const directory = await clients();
  let lookUps = 0;
  const counting: ClientDirectory = {
    find(id) {
      lookUps++;
      return directory.find(id);
    },
  };
  const credentials = await presented(clientId, key);
  const verify = t.mock.method(globalThis.crypto.subtle, 'verify');
  await proveAssertion(credentials, counting, nowhere).catch(() => undefined);
  const verifications = verify.mock.callCount();
  t.mock.restoreAll();
  return { lookUps, verifications };
}
for (const [alg, key] of Object.entries(KEYS)) {
  for (const [why, clientId, by] of [
    ['right', 'keys', key],
    ['wrong key', 'keys', { ...keyPair(alg), kid: key.kid }],
    ['unknown kid', 'keys', keyPair(alg)],
    ['unknown client', 'nobody', key],
    ['disabled client', 'disabled', key],
    ['client with a secret', 'secret', key],
    ['an id that is none', '\0', key],
  ] as const) {
    test(`the same work for all, so that time tells nothing: ${why}, ${alg}`, async (t) => {
      assert.deepEqual(await workOf(t, clientId, by), { lookUps: 1, verifications: 1 });
    });
  }
}

test('whatever is sent: an assertion or a refusal, never another error', async () => {
  const good = await assertion('keys', PLACE.issuer, KEYS.ES256, { now: NOW });
  const json = fc.jsonValue().map((value) => Buffer.from(JSON.stringify(value)).toString('base64url'));
  const member = fc.oneof(fc.jsonValue(), fc.constantFrom(NOW, 'keys', PLACE.issuer, 'ES256'));
  const part = (names: readonly string[]) =>
    fc.dictionary(fc.constantFrom(...names), member).map((value) => Buffer.from(JSON.stringify(value)).toString('base64url'));
  const texts = fc.oneof(
    fc.string(),
    fc.tuple(json, json, json).map((parts) => parts.join('.')),
    fc
      .tuple(part(['alg', 'kid', 'typ', 'crit']), part(['iss', 'sub', 'aud', 'exp', 'jti', 'nbf', 'iat']))
      .map((parts) => `${parts.join('.')}.AAAA`),
    fc.tuple(fc.nat(good.length), fc.string({ maxLength: 3 })).map(([at, text]) => good.slice(0, at) + text + good.slice(at + text.length)),
  );
  fc.assert(
    fc.property(texts, (jwt) => {
      try {
        readAssertion(jwt, undefined, PLACE);
      } catch (error) {
        assert.ok(error instanceof OAuthError && error.code === 'invalid_client', String(error));
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a signature of any length is wrong, not an error', async () => {
  const directory = await clients();
  const good = await presented('keys', KEYS.ES256);
  for (const signature of ['A', 'AA', 'AAA', 'AAAA', 'AAAAA', 'A'.repeat(85), 'A'.repeat(86), 'A'.repeat(87), 'A'.repeat(1_000)]) {
    const jwt = good.jwt.replace(/[^.]+$/, signature);
    await assert.rejects(proveAssertion({ ...good, jwt }, directory, nowhere), { code: 'invalid_client' }, signature);
  }
});
