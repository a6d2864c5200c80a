/** A node's memory, on stores whose answers the test holds back where a race is the question (docs/coherence.md). */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { type Memory, type MemoryOptions, openMemory } from '../../src/coherence/memory.ts';
import { type AccessTokenStore, type ChangeLog, type ClientDirectory, Unavailable } from '../../src/core/ports.ts';
import { accessTokenContract } from '../contracts/access-tokens.ts';
import { changeLogContract } from '../contracts/change-log.ts';
import { revocationContract } from '../contracts/revocations.ts';
import { ACTOR, NOW, newSecret, settings, tokenRecord } from '../contracts/stores.ts';
import { memoryNodes } from '../support/memory-nodes.ts';
import { type MemoryStores, memoryStores } from '../support/memory-stores.ts';
import { UNOBSERVED } from '../support/observers.ts';

const MAX_STALENESS_MS = 1_000;

interface NodeOptions extends Partial<Omit<MemoryOptions, 'tokens' | 'administration'>> {
  readonly find?: AccessTokenStore['find'];
  readonly time?: { ms: number };
}

function nodeOn(stores: MemoryStores, { find = stores.tokens.find, time = { ms: 0 }, ...more }: NodeOptions = {}) {
  const alarms: Error[] = [];
  const own = stores.connect((entry) => memory.announced(entry));
  const memory: Memory = openMemory({
    log: stores.log,
    tokens: { ...own.tokens, find },
    clients: stores.directory,
    administration: own.administration,
    revocations: own.revocations,
    signingKeys: { list: async () => [], rotate: () => Promise.reject(new Unavailable('no keys')) },
    nodes: memoryNodes(() => time.ms),
    nodeId: randomUUID(),
    consistency: 'bounded',
    cacheBytesMax: 1024 * 1024,
    maxStalenessMs: MAX_STALENESS_MS,
    monotonic: () => time.ms,
    wall: () => NOW * 1000 + time.ms,
    sleep: () => new Promise(() => undefined), // nobody loses patience
    observer: UNOBSERVED,
    onHistoryChanged: (error) => alarms.push(error),
    ...more,
  });
  /** As `Prefer: consistency=strict` asks. */
  const findStrictly: AccessTokenStore['find'] = async (...question) => {
    await memory.prove();
    return memory.tokens.find(...question);
  };
  return { ...memory, findStrictly, time, alarms };
}

async function issued(stores: MemoryStores, members = {}) {
  const record = tokenRecord(members);
  await stores.tokens.insert(record);
  return record;
}

/** A call whose answer waits until it is let go. */
function held<Arguments extends unknown[], Result>(call: (...args: Arguments) => Promise<Result>) {
  const waiting: (() => void)[] = [];
  return {
    waiting,
    call: async (...args: Arguments): Promise<Result> => {
      const result = await call(...args); // as of now, however late it arrives
      await new Promise<void>((resolve) => waiting.push(resolve));
      return result;
    },
  };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('a node is a store like the one behind it', () => {
  const open = async () => {
    const stores = memoryStores();
    const { tokens, findStrictly, administration, revocations } = nodeOn(stores);
    const rest = {
      directory: stores.directory,
      log: stores.log,
      changes: async () => [...stores.changes],
      audits: async () => [...stores.audits],
    };
    return { tokens, findStrictly, administration, revocations, ...rest, close: async () => undefined };
  };
  accessTokenContract(open);
  accessTokenContract(async () => {
    const { findStrictly, ...stores } = await open();
    return { ...stores, tokens: { ...stores.tokens, find: findStrictly } };
  });
  changeLogContract(open);
  revocationContract(open);
});

test('what is in memory is answered without the store, until the proof is too old (DR5)', async () => {
  const stores = memoryStores();
  const record = await issued(stores);
  const find: AccessTokenStore['find'] = async (...question) => {
    asked++;
    return stores.tokens.find(...question);
  };
  let asked = 0;
  const node = nodeOn(stores, { find });
  for (let time = 0; time < 3; time++) assert.deepEqual(await node.tokens.find(record.tokenHash, NOW), { record, revoked: false });
  assert.equal(asked, 1);
});

test('another node learns of a revocation with its next look at the log; a strict question makes it look (DR8)', async () => {
  const stores = memoryStores();
  const [one, two] = [await issued(stores), await issued(stores)];
  const [a, b] = [nodeOn(stores), nodeOn(stores)];
  for (const record of [one, two]) assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, false);
  await a.tokens.revoke(one);
  await a.tokens.revoke(two);
  assert.equal((await a.tokens.find(one.tokenHash, NOW))?.revoked, true, 'who was asked to revoke knows at once');
  assert.equal((await b.tokens.find(one.tokenHash, NOW))?.revoked, false, 'within the bound');
  assert.equal((await b.findStrictly(one.tokenHash, NOW))?.revoked, true);
  assert.equal((await b.tokens.find(two.tokenHash, NOW))?.revoked, true, 'and with it all that the log had');
});

test('without a bound that holds nothing is said: Unavailable, neither active nor inactive', async () => {
  const stores = memoryStores();
  const record = await issued(stores);
  let isAway = false;
  const log: ChangeLog = {
    async read(...where) {
      if (isAway) throw new Unavailable('away');
      return stores.log.read(...where);
    },
  };
  const node = nodeOn(stores, { log });
  await node.tokens.find(record.tokenHash, NOW);
  isAway = true;
  node.time.ms += MAX_STALENESS_MS;
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, false);
  node.time.ms += 1;
  await assert.rejects(node.tokens.find(record.tokenHash, NOW), Unavailable);
  await assert.rejects(node.clients.find('billing'), Unavailable);
  isAway = false;
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, false, 'and back by itself');
});

test('a strict question never joins a look at the log that began before it', async () => {
  const stores = memoryStores();
  const record = await issued(stores);
  const read = held(stores.log.read);
  const node = nodeOn(stores, { log: { read: read.call } });
  const following = node.follow();
  await turn();
  const [release] = read.waiting.splice(0);
  await stores.tokens.revoke(record); // after the look that is under way
  const answer = node.findStrictly(record.tokenHash, NOW);
  release?.();
  await following;
  await turn();
  assert.equal(read.waiting.length, 1, 'a look of its own');
  read.waiting[0]?.();
  assert.equal((await answer)?.revoked, true);
});

test('a token record that was read before its revocation and arrives after it revives nothing (stale set)', async () => {
  const stores = memoryStores();
  const record = await issued(stores);
  const find = held(stores.tokens.find);
  const node = nodeOn(stores, { find: find.call });
  const answer = node.tokens.find(record.tokenHash, NOW);
  await turn();
  await stores.tokens.revoke(record);
  await node.follow();
  find.waiting[0]?.();
  assert.equal((await answer)?.revoked, true);
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, true);
});

test('a client record that was read before a change and arrives after it is not kept (DR11)', async () => {
  const stores = memoryStores();
  await stores.administration.insert('billing', settings(), newSecret('first'), ACTOR);
  const find = held(stores.directory.find);
  const directory: ClientDirectory = { find: find.call };
  const node = nodeOn(stores, { clients: directory });
  const late = node.clientRecords.find('billing');
  await turn();
  await stores.administration.update('billing', (current) => ({ ...current, disabled: true }), ACTOR);
  await node.follow();
  find.waiting.shift()?.();
  assert.equal((await late)?.client.disabled, false, 'as of when it was asked');
  assert.equal(await node.clients.find('billing'), undefined, 'but not from memory');
  const again = node.clientRecords.find('billing');
  await turn();
  find.waiting.shift()?.();
  await again;
  assert.equal((await node.clients.find('billing'))?.client.disabled, true);
});

test('a client changes: memory forgets the record; what a node changed itself it knows when it answers', async () => {
  const stores = memoryStores();
  await stores.administration.insert('billing', settings(), newSecret('first'), ACTOR);
  const [a, b] = [nodeOn(stores), nodeOn(stores)];
  for (const node of [a, b]) assert.ok(await node.clientRecords.find('billing'));
  for (const node of [a, b]) assert.ok(await node.clients.find('billing'));
  const record = await issued(stores, { issuedSeq: stores.changes.length });
  for (const node of [a, b]) assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, false);
  await a.administration.update('billing', (current) => ({ ...current, disabled: true }), ACTOR);
  assert.equal(await a.clients.find('billing'), undefined);
  assert.equal((await a.tokens.find(record.tokenHash, NOW))?.revoked, true);
  await b.follow();
  assert.equal(await b.clients.find('billing'), undefined);
  assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, true);
  await a.administration.update('billing', (current) => ({ ...current, disabled: false }), ACTOR);
  for (const node of [a, b]) assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, true, 'enabled again: stays dead');
});

test('one question for all who miss the same token; "not there" is not shared with who came later', async () => {
  const stores = memoryStores();
  const record = tokenRecord();
  const find = held(stores.tokens.find);
  const node = nodeOn(stores, { find: find.call });
  await node.follow();
  const early = node.tokens.find(record.tokenHash, NOW);
  await turn();
  await stores.tokens.insert(record); // by another node, which has answered
  const later = [node.tokens.find(record.tokenHash, NOW), node.tokens.find(record.tokenHash, NOW), node.tokens.find(record.tokenHash, NOW)];
  await turn();
  assert.equal(find.waiting.length, 1);
  find.waiting.shift()?.();
  assert.equal(await early, undefined);
  await turn();
  assert.equal(find.waiting.length, 1, 'one more for all of them');
  find.waiting.shift()?.();
  for (const answer of await Promise.all(later)) assert.deepEqual(answer, { record, revoked: false });
});

test('a store that fails fails the question, and the next one asks again', async () => {
  const stores = memoryStores();
  const record = await issued(stores);
  let isAway = true;
  const find: AccessTokenStore['find'] = async (...question) => {
    if (isAway) throw new Unavailable('away');
    return stores.tokens.find(...question);
  };
  const node = nodeOn(stores, { find });
  await assert.rejects(node.tokens.find(record.tokenHash, NOW), Unavailable);
  isAway = false;
  assert.ok(await node.tokens.find(record.tokenHash, NOW));
});

for (const [why, changed] of [
  ['another epoch', { epoch: 'second', lastSeq: 9, readTo: 9, nowMs: NOW * 1000, before: undefined, tail: undefined }],
  ['another entry at the position that it had', { epoch: 'first', lastSeq: 9, readTo: 9, nowMs: NOW * 1000, before: 'x', tail: 'y' }],
  ['a position that went back', { epoch: 'first', lastSeq: 0, readTo: 0, nowMs: NOW * 1000, before: undefined, tail: undefined }],
] as const) {
  test(`${why}: one alarm, and nothing from memory ever again (DR6)`, async () => {
    const stores = memoryStores();
    const record = await issued(stores);
    await stores.tokens.revoke(await issued(stores));
    let isOther = false;
    const log: ChangeLog = { read: async (...where) => (isOther ? { ...changed, entries: [] } : stores.log.read(...where)) };
    const node = nodeOn(stores, { log });
    await node.tokens.find(record.tokenHash, NOW);
    isOther = true;
    await assert.rejects(node.follow(), Unavailable);
    isOther = false;
    await assert.rejects(node.follow(), Unavailable);
    await assert.rejects(node.tokens.find(record.tokenHash, NOW), Unavailable);
    assert.equal(node.alarms.length, 1);
  });
}

test('another database that is as empty as this one was: only its epoch tells (DR6)', async () => {
  const stores = memoryStores();
  let epoch = 'first';
  const node = nodeOn(stores, { log: { read: async (...where) => ({ ...(await stores.log.read(...where)), epoch }) } });
  await node.follow();
  epoch = 'second';
  await assert.rejects(node.follow(), Unavailable);
  assert.equal(node.alarms.length, 1);
});

test('a position that went back to what was applied, and behind what else the database has said, is noticed as well (DR6)', async () => {
  const stores = memoryStores();
  const node = nodeOn(stores);
  await node.follow();
  const goBack = stores.mark();
  await stores.administration.insert('billing', settings(), newSecret('lost'), ACTOR);
  assert.ok(await node.clientRecords.find('billing'), 'read before the next look at the log');
  goBack();
  await assert.rejects(node.follow(), Unavailable);
  assert.equal(node.alarms.length, 1);
  await assert.rejects(node.clients.find('billing'), Unavailable);
});

test('a log of more than a page is read to its end before anything is said', async () => {
  const stores = memoryStores();
  const records = await Promise.all(Array.from({ length: 5 }, () => issued(stores)));
  for (const record of records) await stores.tokens.revoke(record);
  const late: AccessTokenStore['find'] = async (hash) => {
    const record = records.find(({ tokenHash }) => tokenHash === hash);
    return record && { record, revoked: false }; // as it was read before
  };
  const node = nodeOn(stores, { find: late, log: { read: (after) => stores.log.read(after, 2) } });
  await node.follow();
  for (const record of records) assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, true);
});

test('a clock that runs ahead for a while makes no revoked token come back to life', async () => {
  const stores = memoryStores();
  const record = await issued(stores);
  const node = nodeOn(stores);
  await node.tokens.find(record.tokenHash, NOW);
  await node.tokens.revoke(record);
  await node.follow();
  const wall = { aheadMs: 7_200_000 };
  const ahead = nodeOn(stores, { wall: () => NOW * 1000 + wall.aheadMs });
  await ahead.tokens.find(record.tokenHash, NOW);
  for (let look = 0; look < 100; look++) await ahead.follow(); // each prunes a part
  wall.aheadMs = 0;
  assert.equal((await ahead.findStrictly(record.tokenHash, NOW))?.revoked, true);
});

test('a wall clock that is wrong before the first look ends no token afterwards', async () => {
  const stores = memoryStores({ nowMs: () => NOW * 1000 });
  const record = await issued(stores, { expiresAt: NOW + 60 });
  const node = nodeOn(stores, { wall: () => (NOW + 7_200) * 1000 });
  assert.equal(node.now(), NOW + 7_200, 'there is no other one yet');
  await node.follow();
  assert.equal(node.now(), NOW);
  assert.ok(await node.tokens.find(record.tokenHash, node.now()));
});

test('a catch-up that ends halfway does not put the clock ahead', async () => {
  const time = { ms: 0 };
  const stores = memoryStores({ nowMs: () => NOW * 1000 + time.ms });
  for (let n = 0; n < 2; n++) await stores.tokens.revoke(await issued(stores));
  let pages = Number.POSITIVE_INFINITY;
  const log: ChangeLog = {
    async read(after) {
      if (pages-- <= 0) throw new Unavailable('away');
      return stores.log.read(after, 1);
    },
  };
  const node = nodeOn(stores, { time, log });
  await node.follow();
  time.ms += 30_000; // it was cut off
  for (let n = 0; n < 2; n++) await stores.tokens.revoke(await issued(stores));
  pages = 1;
  await assert.rejects(node.follow(), Unavailable);
  assert.equal(node.now(), NOW + 30);
});

test('what was said to be revoked stays so, though the shared cache knows it as it was issued', async () => {
  const stores = memoryStores();
  const record = await issued(stores);
  let isCached = false;
  const cache = { findToken: async () => (isCached ? record : undefined), keepToken: () => undefined, keepClient: () => undefined };
  const node = nodeOn(stores, { cache });
  await node.follow();
  await stores.tokens.revoke(record);
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, true, 'by the store');
  isCached = true;
  assert.equal((await node.tokens.find(record.tokenHash, NOW))?.revoked, true);
});

test('expiry is judged when the answer is given, not when the question came', async () => {
  const time = { ms: 0 };
  const stores = memoryStores({ nowMs: () => NOW * 1000 + time.ms });
  const record = await issued(stores, { expiresAt: NOW + 10 });
  const read = held(stores.log.read);
  const node = nodeOn(stores, { time, log: { read: read.call } });
  const answer = node.findStrictly(record.tokenHash, NOW);
  await turn();
  node.time.ms += 10_000; // the node was paused
  read.waiting.shift()?.();
  await turn();
  read.waiting.shift()?.();
  assert.equal(await answer, undefined);
});

test('looks at the log never overlap, whoever asks in which order', async () => {
  const stores = memoryStores();
  const record = await issued(stores);
  let looking = 0;
  const log: ChangeLog = {
    async read(...where) {
      looking++;
      assert.equal(looking, 1);
      node.time.ms += MAX_STALENESS_MS + 1; // each proof is worth nothing by the time that it is there
      await turn();
      looking--;
      return stores.log.read(...where);
    },
  };
  const node = nodeOn(stores, { log });
  const questions = Array.from({ length: 20 }, (_, index) =>
    (index % 2 === 0 ? node.findStrictly : node.tokens.find)(record.tokenHash, NOW),
  );
  for (const result of await Promise.allSettled(questions)) {
    assert.equal(result.status, 'rejected');
    assert.ok(result.status === 'rejected' && result.reason instanceof Unavailable, String(result.status === 'rejected' && result.reason));
  }
});
