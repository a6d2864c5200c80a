/** The background audit: a difference is an alarm and empties memory; what is only younger than the last look at the log is none (DR13). */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { type Memory, type MemoryOptions, openMemory } from '../../src/coherence/memory.ts';
import type { SharedCache } from '../../src/coherence/ports.ts';
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import { type AccessTokenStore, type ChangeLog, Unavailable } from '../../src/core/ports.ts';
import { NOW, tokenRecord } from '../contracts/stores.ts';
import { memoryNodes } from '../support/memory-nodes.ts';
import { type MemoryStores, memoryStores } from '../support/memory-stores.ts';
import { UNOBSERVED } from '../support/observers.ts';

type Find = AccessTokenStore['find'];

function nodeOn(stores: MemoryStores, more: Partial<MemoryOptions> = {}): Memory {
  const own = stores.connect((entry) => memory.announced(entry));
  const memory: Memory = openMemory({
    log: stores.log,
    tokens: own.tokens,
    clients: stores.directory,
    administration: own.administration,
    revocations: own.revocations,
    signingKeys: { list: async () => [], rotate: () => Promise.reject(new Unavailable('no keys')) },
    nodes: memoryNodes(() => 0),
    nodeId: randomUUID(),
    consistency: 'bounded',
    cacheBytesMax: 1024 * 1024,
    maxStalenessMs: 1_000,
    monotonic: () => 0,
    wall: () => NOW * 1000,
    sleep: () => new Promise(() => undefined), // nobody loses patience
    observer: UNOBSERVED,
    onHistoryChanged: () => undefined,
    ...more,
  });
  return memory;
}

/** A node that has met the token. */
async function scene(members: Partial<AccessTokenRecord> = {}, more: Partial<MemoryOptions> = {}) {
  const stores = memoryStores({ nowMs: () => NOW * 1000 });
  const record = tokenRecord(members);
  await stores.tokens.insert(record);
  const node = nodeOn(stores, more);
  await node.tokens.find(record.tokenHash, NOW);
  return { stores, record, node };
}

const found = ({ mismatches }: Awaited<ReturnType<Memory['audit']>>) => mismatches.map((mismatch) => mismatch.found);

test('what agrees is compared, and nothing happens', async () => {
  const { stores, record, node } = await scene({ claims: { a: 1, b: { c: [1, 2], d: null } } });
  // As `jsonb` gives members back: in an order of its own.
  const find: Find = async () => ({ record: { ...record, claims: { b: { d: null, c: [1, 2] }, a: 1 } }, revoked: false });
  assert.deepEqual(await node.audit(find), { compared: 1, mismatches: [] });
  await node.tokens.revoke(record);
  assert.deepEqual(await node.audit(stores.tokens.find), { compared: 1, mismatches: [] }, 'revoked, and known to be');
  assert.equal(node.numbers().cachedTokens.count, 1);
});

test('a revocation on another node since the last look is no mismatch: memory looks first', async () => {
  const { stores, record, node } = await scene();
  await stores.tokens.revoke(record);
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, false, 'within the bound');
  assert.deepEqual(await node.audit(stores.tokens.find), { compared: 1, mismatches: [] });
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, true);
});

test('a revocation that commits and is heard while the record is read is no mismatch either', async () => {
  const { stores, record, node } = await scene();
  const find: Find = async (...question) => {
    const answer = await stores.tokens.find(...question);
    await node.tokens.revoke(record);
    return answer;
  };
  assert.deepEqual(found(await node.audit(find)), []);
});

test('PostgreSQL says revoked, and memory does not although it has looked: an alarm; memory is filled anew, the deny set too', async () => {
  const stores = memoryStores({ nowMs: () => NOW * 1000 });
  const record = tokenRecord();
  await stores.tokens.insert(record);
  let isLying = true;
  const log: ChangeLog = {
    async read(...where) {
      const page = await stores.log.read(...where);
      return isLying ? { ...page, entries: [] } : page;
    },
  };
  const node = nodeOn(stores, { log });
  await node.tokens.find(record.tokenHash, NOW);
  await stores.tokens.revoke(record);
  await node.follow();
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, false, 'the entry was lost');
  assert.deepEqual(await node.audit(stores.tokens.find), {
    compared: 1,
    mismatches: [{ tokenHash: record.tokenHash, found: 'revoked' }],
  });
  isLying = false;
  const { isFresh, cachedTokens, cachedClients } = node.numbers();
  assert.deepEqual([isFresh, cachedTokens.count, cachedClients.count], [false, 0, 0]);
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, true);
  await node.follow();
  assert.equal(node.numbers().deniedTokens.count, 1, 'the log was read from its first entry');
});

test('memory says revoked, and PostgreSQL does not: an alarm, and the token is active again', async () => {
  const { stores, record, node } = await scene();
  await node.follow();
  node.heard({
    epoch: 'first',
    from: randomUUID(),
    entry: { seq: 7, kind: 'token', key: record.tokenHash, expiresAt: record.expiresAt },
  });
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, true, 'of a change that did not happen');
  assert.deepEqual(found(await node.audit(stores.tokens.find)), ['active']);
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, false);
});

for (const [name, answer, difference] of [
  ['a token that PostgreSQL does not have', () => undefined, 'missing'],
  ['another scope', (record) => ({ record: { ...record, scope: ['read'] }, revoked: false }), 'record'],
  ['another end', (record) => ({ record: { ...record, expiresAt: record.expiresAt + 1 }, revoked: false }), 'record'],
  ['one claim more', (record) => ({ record: { ...record, claims: { ...record.claims, tenant: 'b' } }, revoked: false }), 'record'],
] satisfies [string, (record: AccessTokenRecord) => Awaited<ReturnType<Find>>, string][]) {
  test(`${name}: an alarm, and etcd is not asked for tokens any more, since it may have come from there`, async () => {
    let asked = 0;
    const cache: SharedCache = {
      async findToken() {
        asked++;
        return undefined;
      },
      keepToken: () => undefined,
      keepClient: () => undefined,
    };
    const { record, node } = await scene({ claims: { tier: 1 } }, { cache });
    assert.equal(asked, 1);
    assert.deepEqual(found(await node.audit(async () => answer(record))), [difference]);
    assert.deepEqual(await node.audit(async () => answer(record)), { compared: 0, mismatches: [] }, 'memory is empty');
    await node.tokens.find(record.tokenHash, NOW);
    assert.equal(asked, 1);
  });
}

test('a difference that is gone after a look at the log is none', async () => {
  const { stores, node } = await scene();
  let asked = 0;
  const find: Find = async (...question) => (++asked === 1 ? undefined : stores.tokens.find(...question));
  assert.deepEqual(found(await node.audit(find)), []);
  assert.equal(asked, 2);
});

test('an outage proves nothing: no alarm, and memory stays', async () => {
  const { node } = await scene();
  await assert.rejects(
    node.audit(async () => {
      throw new Unavailable('away');
    }),
    Unavailable,
  );
  assert.equal(node.numbers().cachedTokens.count, 1);
});

test('five at a time, others each time, round and round; expired ones are passed over', async () => {
  const stores = memoryStores({ nowMs: () => NOW * 1000 });
  const node = nodeOn(stores);
  for (let index = 0; index < 12; index++) await node.tokens.insert(tokenRecord());
  for (let index = 0; index < 20; index++) await node.tokens.insert(tokenRecord({ expiresAt: NOW }));
  await node.follow();
  const asked: string[] = [];
  const find: Find = async (tokenHash, at) => {
    asked.push(tokenHash);
    return stores.tokens.find(tokenHash, at);
  };
  for (let turn = 0; turn < 3; turn++) assert.equal((await node.audit(find)).compared, 5);
  assert.equal(new Set(asked).size, 12);
  assert.equal(new Set(asked.slice(0, 12)).size, 12, 'none twice before each came once');
});

test('a probe that is under way when the alarm is raised does not make the emptied memory look complete', async () => {
  const { stores, record, node } = await scene();
  await stores.tokens.revoke(record);
  await node.follow();
  assert.equal(node.numbers().deniedTokens.count, 1);
  const looking = node.follow();
  await node.audit(async () => undefined);
  await looking;
  assert.equal(node.numbers().isFresh, false);
  await node.follow();
  assert.equal(node.numbers().deniedTokens.count, 1);
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, true);
});
