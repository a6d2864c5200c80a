import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authorizeBearer } from '../../src/core/bearer.ts';
import { BearerError } from '../../src/core/errors.ts';
import type { AccessTokenStore } from '../../src/core/ports.ts';
import { hashToken, mintReferenceToken } from '../../src/core/reference-token.ts';
import { generateSigningKey } from '../../src/core/signing-key.ts';
import { NOW, tokenRecord } from '../contracts/stores.ts';
import { memorySigningKeys, memoryStores } from '../support/memory-stores.ts';

const signingKeys = memorySigningKeys(await generateSigningKey('EdDSA'));

async function issue(members = {}) {
  const { tokens } = memoryStores();
  const token = mintReferenceToken();
  const record = tokenRecord({ ...members, tokenHash: hashToken(token) });
  await tokens.insert(record);
  return { tokens, token, record };
}

const refusal = (code: string, scope?: string) => (error: unknown) =>
  error instanceof BearerError && error.code === code && error.scope === scope;

for (const [why, scope, accepted, opens] of [
  ['the scope', ['auth:clients'], ['auth:clients'], true],
  ['the second of two accepted scopes', ['auth:clients'], ['auth:clients:read', 'auth:clients'], true],
  ['one accepted scope among others', ['read', 'auth:keys', 'auth:clients'], ['auth:clients'], true],
  ['none', [], ['auth:clients'], false],
  ['a scope that begins alike', ['auth:clients:read'], ['auth:clients'], false],
  ['a scope that is the beginning', ['auth:clients'], ['auth:clients:read'], false],
  ['another own scope', ['auth:keys'], ['auth:clients', 'auth:clients:read'], false],
] as const) {
  test(`a token with ${why} ${opens ? 'opens the door' : 'is refused with insufficient_scope'} (RFC 6750 §3.1)`, async () => {
    const { tokens, token, record } = await issue({ scope });
    const answer = authorizeBearer(token, accepted as unknown as [string, ...string[]], NOW, { tokens, signingKeys });
    if (opens) assert.deepEqual(await answer, record);
    else await assert.rejects(answer, refusal('insufficient_scope', accepted[0]));
  });
}

test('unknown, malformed, expired and revoked tokens are one refusal: invalid_token (RFC 6750 §3.1)', async () => {
  const { tokens, token, record } = await issue({ scope: ['auth:clients'] });
  const messages = new Set<string>();
  const refuse = (presented: string, now = NOW) =>
    assert.rejects(authorizeBearer(presented, ['auth:clients'], now, { tokens, signingKeys }), (error: unknown) => {
      if (error instanceof BearerError) messages.add(error.message);
      return refusal('invalid_token')(error);
    });
  await refuse(mintReferenceToken());
  for (const junk of ['', 'x', '\0', token.slice(1), `${token}x`]) await refuse(junk);
  await refuse(token, record.expiresAt);
  await tokens.revoke(record);
  await refuse(token);
  assert.equal(messages.size, 1);
});

test('whether a token is valid comes before what it may: a revoked one without the scope is invalid_token', async () => {
  const { tokens, token, record } = await issue({ scope: [] });
  await tokens.revoke(record);
  await assert.rejects(authorizeBearer(token, ['auth:clients'], NOW, { tokens, signingKeys }), refusal('invalid_token'));
});

test('a store that does not answer is no refusal, and junk does not ask it', async () => {
  const outage = new Error('unavailable');
  const tokens: AccessTokenStore = { ...memoryStores().tokens, find: () => Promise.reject(outage) };
  await assert.rejects(authorizeBearer(mintReferenceToken(), ['x'], NOW, { tokens, signingKeys }), outage);
  await assert.rejects(authorizeBearer('junk', ['x'], NOW, { tokens, signingKeys }), refusal('invalid_token'));
});
