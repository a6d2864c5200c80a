import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashToken, mintReferenceToken } from '../../src/core/reference-token.ts';
import { revoke } from '../../src/core/revoke.ts';
import { NOW, tokenRecord } from '../contracts/stores.ts';
import { memoryStores } from '../support/memory-stores.ts';

const by = (clientId: string) => ({ clientId, address: '192.0.2.7' });

async function issue(members = {}) {
  const stores = memoryStores();
  const token = mintReferenceToken();
  const record = tokenRecord({ ...members, tokenHash: hashToken(token) });
  await stores.tokens.insert(record);
  return { ...stores, token, record, isActive: async () => (await stores.tokens.find(record.tokenHash, NOW))?.revoked === false };
}

test('a client ends its own token; doing it again is no error and appends nothing (RFC 7009 §2.1, §2.2)', async () => {
  const { tokens, token, changes, isActive } = await issue();
  await revoke(token, by('billing'), NOW, tokens);
  assert.equal(await isActive(), false);
  assert.equal(changes.length, 1);
  await revoke(token, by('billing'), NOW, tokens);
  assert.equal(changes.length, 1);
});

test('another client’s token is refused, stays active, and nothing is appended (RFC 7009 §2.1)', async () => {
  const { tokens, token, changes, isActive } = await issue();
  await assert.rejects(revoke(token, by('other'), NOW, tokens), { code: 'invalid_grant' });
  assert.equal(await isActive(), true);
  assert.equal(changes.length, 0);
});

test('who is in the audience may look at a token, but not end it', async () => {
  const { tokens, token, isActive } = await issue({ audience: ['orders'] });
  await assert.rejects(revoke(token, by('orders'), NOW, tokens), { code: 'invalid_grant' });
  assert.equal(await isActive(), true);
});

for (const [what, make] of [
  ['unknown', () => mintReferenceToken()],
  ['malformed', () => 'junk'],
  ['empty', () => ''],
  ['a refresh token of elsewhere', () => 'rt_abc'],
] as const) {
  test(`${what}: nothing to do, no error, nothing appended (RFC 7009 §2.2)`, async () => {
    const { tokens, changes } = await issue();
    await revoke(make(), by('billing'), NOW, tokens);
    assert.equal(changes.length, 0);
  });
}

test('expired or already revoked, also of another client: nothing to do, and whose it was is not said', async () => {
  const expired = await issue({ expiresAt: NOW });
  for (const client of ['billing', 'other']) await revoke(expired.token, by(client), NOW, expired.tokens);
  assert.equal(expired.changes.length, 0);
  const revoked = await issue();
  await revoke(revoked.token, by('billing'), NOW, revoked.tokens);
  await revoke(revoked.token, by('other'), NOW, revoked.tokens);
  assert.equal(revoked.changes.length, 1);
});

test('a revocation that is not durable is no success (RFC 7009 §2.2.1)', async () => {
  const { tokens, token } = await issue();
  const outage = new Error('unavailable');
  await assert.rejects(revoke(token, by('billing'), NOW, { ...tokens, revoke: () => Promise.reject(outage) }), outage);
  await assert.rejects(revoke(token, by('billing'), NOW, { ...tokens, find: () => Promise.reject(outage) }), outage);
});
