import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { type TestContext, test } from 'node:test';
import { authenticateClient, type ClientCredentials, mintClientSecret, secretVerifier } from '../../src/core/client-auth.ts';
import { OAuthError } from '../../src/core/errors.ts';
import type { ClientDirectory } from '../../src/core/ports.ts';
import { ACTOR, allow, NOW, newSecret, settings } from '../contracts/stores.ts';
import { memoryStores } from '../support/memory-stores.ts';

const at = (seconds: number) => new Date(seconds * 1000);

/** Clients of every kind; each secret is the client's id and a number. */
async function clients(): Promise<ClientDirectory> {
  const { administration, directory } = memoryStores();
  const insert = (id: string, metadata: object, ...expiries: readonly (Date | undefined)[]) =>
    administration
      .insert(id, settings({ ...metadata }), undefined, ACTOR)
      .then(() =>
        Promise.all(expiries.map((expiresAt, n) => administration.addSecret(id, newSecret(`${id}-${n}`, { expiresAt }), allow, ACTOR))),
      );
  await insert('basic', {}, undefined);
  await insert('post', { token_endpoint_auth_method: 'client_secret_post' }, undefined);
  await insert('public', { token_endpoint_auth_method: 'none' });
  await insert('was-confidential', { token_endpoint_auth_method: 'none' }, undefined);
  await insert('disabled', { disabled: true }, undefined);
  await insert('disabled-public', { disabled: true, token_endpoint_auth_method: 'none' });
  await insert('expired', {}, at(NOW + 0.9)); // within the second that `now` names
  await insert('ends-soon', {}, at(NOW + 1));
  await insert('rotated', {}, at(NOW - 1), undefined, at(NOW + 60));
  await insert('no-secret', {});
  return directory;
}

const basic = (clientId: string, ...secrets: readonly string[]): ClientCredentials => ({
  method: 'client_secret_basic',
  clientId,
  secrets,
});
const post = (clientId: string, ...secrets: readonly string[]): ClientCredentials => ({ method: 'client_secret_post', clientId, secrets });
const none = (clientId: string): ClientCredentials => ({ method: 'none', clientId, secrets: [] });

for (const [why, credentials] of [
  ['by Basic', basic('basic', 'basic-0')],
  ['by the second reading of a Basic password', basic('basic', 'decoded', 'basic-0')],
  ['by the first reading', basic('basic', 'basic-0', 'raw')],
  ['by the body', post('post', 'post-0')],
  ['as a public client', none('public')],
  ['with a secret that expires in a second', basic('ends-soon', 'ends-soon-0')],
  ['with the second of several secrets', basic('rotated', 'rotated-1')],
  ['with the third of several secrets', basic('rotated', 'rotated-2')],
] as const) {
  test(`a client is authenticated ${why} (RFC 6749 §2.3)`, async () => {
    const { client, asOfSeq, secretId } = await authenticateClient(credentials, NOW, await clients());
    assert.equal(client.id, credentials.clientId);
    const right = client.secrets.find(({ verifier }) => credentials.secrets.some((secret) => secretVerifier(secret) === verifier));
    assert.equal(secretId, right?.id, 'it is told which secret was right');
    assert.ok(asOfSeq > 0);
  });
}

/** All of these look the same from outside. */
const REFUSALS: readonly [why: string, credentials: ClientCredentials][] = [
  ['unknown client', basic('nobody', 'basic-0')],
  ['wrong secret', basic('basic', 'basic-1')],
  ['empty secret', basic('basic', '')],
  ['another client’s secret', basic('basic', 'post-0')],
  ['the verifier instead of the secret', basic('basic', secretVerifier('basic-0'))],
  ['the digest instead of the secret', basic('basic', secretVerifier('basic-0').slice(7))],
  ['a prefix of the secret', basic('basic', 'basic-')],
  ['the secret and more', basic('basic', 'basic-0 ')],
  ['expired secret', basic('expired', 'expired-0')],
  ['one of several secrets that has expired', basic('rotated', 'rotated-0')],
  ['disabled client, right secret', basic('disabled', 'disabled-0')],
  ['disabled client, wrong secret', basic('disabled', 'x')],
  ['client without secrets', basic('no-secret', '')],
  ['wrong secret by the wrong method', post('basic', 'x')],
  ['a secret for a public client', post('public', 'x')],
  ['no secret where one is needed', none('basic')],
  ['no secret, unknown client', none('nobody')],
  ['disabled public client', none('disabled-public')],
  ['an id that is none: NUL', basic('\0', 'x')],
  ['an id that is none: empty', basic('', 'x')],
  ['an id that is none: too long', basic('x'.repeat(10_000), 'x')],
];
for (const [why, credentials] of REFUSALS) {
  test(`refuses: ${why}, by one answer for all (RFC 6749 §5.2 invalid_client)`, async () => {
    const directory = await clients();
    await assert.rejects(
      authenticateClient(credentials, NOW, directory),
      (error) => error instanceof OAuthError && error.code === 'invalid_client' && error.message === 'client authentication failed',
    );
  });
}

for (const [why, credentials, registered] of [
  ['body instead of Basic', post('basic', 'basic-0'), 'client_secret_basic'],
  ['Basic instead of body', basic('post', 'post-0'), 'client_secret_post'],
  ['a secret instead of none', basic('was-confidential', 'was-confidential-0'), 'none'],
] as const) {
  test(`the registered method is told to who has proven the secret: ${why} (RFC 7591 §2)`, async () => {
    const directory = await clients();
    await assert.rejects(authenticateClient(credentials, NOW, directory), {
      code: 'invalid_client',
      message: `the client is registered for ${registered}`,
    });
  });
}

/** Counts look-ups, digests and comparisons of one authentication. */
async function workOf(t: TestContext, credentials: ClientCredentials): Promise<Readonly<Record<string, number>>> {
  const directory = await clients();
  let lookUps = 0;
  const counting: ClientDirectory = {
    find(id) {
      lookUps++;
      return directory.find(id);
    },
  };
  const digests = t.mock.method(crypto, 'hash');
  const comparisons = t.mock.method(crypto, 'timingSafeEqual');
  syncBuiltinESMExports();
  try {
    await authenticateClient(credentials, NOW, counting).catch(() => undefined);
    return { lookUps, digests: digests.mock.callCount(), comparisons: comparisons.mock.callCount() };
  } finally {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  }
}

for (const [why, credentials] of [
  ['right secret', basic('basic', 'basic-0')],
  ['unknown client', basic('nobody', 'basic-0')],
  ['wrong secret', basic('basic', 'basic-1')],
  ['disabled client', basic('disabled', 'disabled-0')],
  ['expired secret', basic('expired', 'expired-0')],
  ['no secret registered', basic('no-secret', 'x')],
  ['public client', post('public', 'x')],
  ['wrong method', post('basic', 'basic-0')],
  ['an id that is none', basic('\0', 'x')],
] as const) {
  test(`the same work for all, so that time tells nothing: ${why}`, async (t) => {
    assert.deepEqual(await workOf(t, credentials), { lookUps: 1, digests: 1, comparisons: 1 });
  });
}

test('two readings of a password are both looked at, also when the first one is right', async (t) => {
  for (const secrets of [
    ['basic-0', 'x'],
    ['x', 'basic-0'],
    ['x', 'y'],
  ]) {
    // biome-ignore format: a table
    assert.deepEqual(await workOf(t, basic('basic', ...secrets)), { lookUps: 1, digests: 2, comparisons: 2 });
  }
});

test('an id that the pattern does not allow is not shown to the store', async () => {
  const shown: string[] = [];
  const directory: ClientDirectory = { find: async (id) => void shown.push(id) };
  for (const id of ['\0', 'a\0', ' ', 'a'.repeat(129), "'"]) await assert.rejects(authenticateClient(basic(id, 'x'), NOW, directory));
  assert.deepEqual([...new Set(shown)], ['-']);
});

test('a store that does not answer is no refusal', async () => {
  const outage = new Error('unavailable');
  const directory: ClientDirectory = { find: () => Promise.reject(outage) };
  await assert.rejects(authenticateClient(basic('basic', 'x'), NOW, directory), outage);
});

test('a secret has 256 bits in base64url, and its verifier is SHA-256', () => {
  const secrets = Array.from({ length: 200 }, mintClientSecret);
  for (const secret of secrets) assert.equal(Buffer.from(secret, 'base64url').toString('base64url').length, 43);
  assert.equal(new Set(secrets).size, 200);
  assert.equal(secretVerifier('abc'), 'sha256:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0');
});
