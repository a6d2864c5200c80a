import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planKeys } from '../../src/core/key-schedule.ts';
import type { SigningKeys } from '../../src/core/ports.ts';
import { findPresented } from '../../src/core/presented-token.ts';
import { type AccessToken, hashToken, mintReferenceToken } from '../../src/core/reference-token.ts';
import { generateSigningKey, publicJwk, type SigningKey, signJwt } from '../../src/core/signing-key.ts';
import { NOW, tokenRecord } from '../contracts/stores.ts';
import { memoryStores } from '../support/memory-stores.ts';

const [KEPT, ENDED, UNHEARD] = await Promise.all([generateSigningKey('ES256'), generateSigningKey('EdDSA'), generateSigningKey('ES256')]);
const since = new Date(NOW * 1000);
const record = ({ kid, alg, privateKey }: SigningKey, endedAt: Date | undefined) => {
  return { kid, alg, publicJwk: publicJwk({ kid, alg, privateKey }), createdAt: since, activeFrom: since, endedAt };
};
const signingKeys: SigningKeys = {
  current: async () => KEPT,
  schedule: async () => planKeys([record(KEPT, undefined), record(ENDED, since)], NOW * 1000),
};

async function issued(token: AccessToken) {
  const { tokens } = memoryStores();
  await tokens.insert(tokenRecord({ tokenHash: hashToken(token) }));
  return tokens;
}

for (const [whose, key, isAlive] of [
  ['the key that signs', KEPT, true],
  ['a key that this node has not heard of', UNHEARD, true],
  ['a key that has ended', ENDED, false],
] as const) {
  test(`a JWT of ${whose} is ${isAlive ? 'alive' : 'not'}`, async () => {
    const token = (await signJwt(key, 'at+jwt', { iss: 'https://auth.example.com' })) as AccessToken;
    const tokens = await issued(token);
    assert.equal((await findPresented(token, NOW, { tokens, signingKeys }))?.token, isAlive ? token : undefined);
  });
}

test('a reference token stays when a key ends, and costs no question about keys', async () => {
  const token = mintReferenceToken();
  const deps = { tokens: await issued(token), signingKeys: { ...signingKeys, schedule: () => assert.fail('a question') } };
  assert.equal((await findPresented(token, NOW, deps))?.token, token);
});

test('keys that cannot be asked are no refusal', async () => {
  const outage = new Error('unavailable');
  const token = (await signJwt(KEPT, 'at+jwt', { iss: 'https://auth.example.com' })) as AccessToken;
  const deps = { tokens: await issued(token), signingKeys: { ...signingKeys, schedule: () => Promise.reject(outage) } };
  await assert.rejects(findPresented(token, NOW, deps), outage);
});
