/** Strict mode: after a revocation was answered no node says `active` (docs/coherence.md), and the races on the way there (DR2b, DR8). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Memory, type MemoryOptions, openMemory } from '../../src/coherence/memory.ts';
import type { Announcement } from '../../src/coherence/ports.ts';
import { type ChangeLog, Unavailable } from '../../src/core/ports.ts';
import { ACTOR, NOW, settings, tokenRecord } from '../contracts/stores.ts';
import { handClock } from '../support/hand-clock.ts';
import { memoryNodes } from '../support/memory-nodes.ts';
import { memoryStores } from '../support/memory-stores.ts';
import { UNOBSERVED } from '../support/observers.ts';

/** Nodes on one store, whose bus is what the test makes of it. */
function cluster() {
  const clock = handClock();
  const stores = memoryStores({ nowMs: clock.wall });
  const table = memoryNodes(clock.monotonic);
  const published: Announcement[] = [];
  const acknowledged: [Announcement, string][] = [];
  function open(nodeId: string, options: Partial<MemoryOptions> = {}): Memory {
    const own = stores.connect((entry) => memory.announced(entry));
    const memory: Memory = openMemory({
      ...own,
      log: stores.log,
      clients: stores.directory,
      signingKeys: { list: async () => [], rotate: () => Promise.reject(new Unavailable('no keys')) },
      nodes: table,
      bus: { publish: (announcement) => published.push(announcement), acknowledge: (...given) => acknowledged.push(given) },
      nodeId,
      consistency: 'strict',
      cacheBytesMax: 1024 * 1024,
      maxStalenessMs: 1_000,
      ...clock,
      observer: UNOBSERVED,
      onHistoryChanged: () => undefined,
      ...options,
    });
    return memory;
  }
  async function issued(members = {}) {
    const record = tokenRecord({ expiresAt: NOW + 86_400, ...members });
    await stores.tokens.insert(record);
    return record;
  }
  return { clock, stores, table, published, acknowledged, open, issued };
}

/** Calls that wait for their answer until it is let go; they see what was there when they were asked. */
function held<Arguments extends unknown[], Result>(call: (...args: Arguments) => Promise<Result>) {
  const waiting: (() => void)[] = [];
  let isHeld = false;
  return {
    hold: () => (isHeld = true),
    next() {
      waiting.shift()?.();
    },
    get size() {
      return waiting.length;
    },
    call: async (...args: Arguments): Promise<Result> => {
      const result = await call(...args);
      if (isHeld) await new Promise<void>((resolve) => waiting.push(resolve));
      return result;
    },
  };
}

function watch<T>(work: Promise<T>) {
  const state: { isOver: boolean; error?: unknown } = { isOver: false };
  work.then(
    () => (state.isOver = true),
    (error: unknown) => {
      state.isOver = true;
      state.error = error;
    },
  );
  return state;
}

test('a revocation is answered when the other node has applied it, whether it says so on the bus or in its row', async () => {
  const { clock, published, acknowledged, open, issued } = cluster();
  const [a, b] = [open('a'), open('b')];
  for (const node of [a, b]) await node.follow();
  const [one, two] = [await issued(), await issued()];
  for (const record of [one, two]) assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, false);

  const onBus = watch(a.tokens.revoke(one));
  await clock.pass(10);
  assert.equal(onBus.isOver, false, 'b answers from before it');
  assert.equal((await a.tokens.find(one.tokenHash, NOW))?.revoked, true, 'and a no more');
  for (const announcement of published) b.heard(announcement);
  assert.equal((await b.tokens.find(one.tokenHash, NOW))?.revoked, true);
  for (const [announcement, by] of acknowledged.splice(0)) a.acknowledged(announcement, by);
  await clock.turn();
  assert.equal(onBus.isOver, true);

  const inRow = watch(a.tokens.revoke(two));
  await clock.pass(10);
  await b.follow();
  await clock.pass(25);
  assert.equal(inRow.isOver, true);
  assert.equal((await b.tokens.find(two.tokenHash, NOW))?.revoked, true);
});

test('a silent node is waited for no longer than what it knew before is worth', async () => {
  const { clock, open, issued } = cluster();
  const [a, b] = [open('a', { maxStalenessMs: 300 }), open('b')];
  for (const node of [a, b]) await node.follow();
  const record = await issued();
  assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, false);
  const revoked = watch(a.tokens.revoke(record));
  await clock.pass(1_000);
  assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, false, 'still within its bound');
  assert.equal(revoked.isOver, false);
  await clock.pass(10);
  assert.equal(revoked.isOver, true);
  assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, true, 'it has to look');
});

test('a node that was not there yet when the revoker looked does not answer from a look that began before', async () => {
  const { clock, stores, table, open, issued } = cluster();
  const read = held((...where: Parameters<ChangeLog['read']>) => stores.log.read(...where));
  const renew = held((...row: Parameters<typeof table.renew>) => table.renew(...row));
  const renewing = held(async (...row: Parameters<typeof table.renew>) => {
    await toTable;
    return renew.call(...row);
  });
  let arrive: () => void = () => undefined;
  const toTable = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const [a, b] = [
    open('a', { consistency: 'bounded' }),
    open('b', { log: { read: read.call }, nodes: { ...table, renew: renewing.call } }),
  ];
  const record = await issued();
  const joining = b.follow(); // has looked, and its row is on the way
  await clock.turn();
  read.hold();
  const early = b.tokens.find(record.tokenHash, NOW); // looks, as nobody waits for b, and sees no revocation
  await clock.turn();
  assert.equal(read.size, 1);
  await a.tokens.revoke(record); // sees no b
  arrive();
  await joining;
  read.next();
  assert.equal((await early)?.revoked, false, 'asked before the revocation was answered');
  const later = b.tokens.find(record.tokenHash, NOW);
  await clock.turn();
  assert.equal(read.size, 1, 'looks again');
  read.next();
  assert.equal((await later)?.revoked, true);
});

test('a node whose row has lapsed looks before each answer, however long its bound is', async () => {
  const { clock, open, issued } = cluster();
  const [a, b] = [open('a'), open('b', { maxStalenessMs: 60_000 })];
  for (const node of [a, b]) await node.follow();
  const record = await issued();
  assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, false);
  await clock.pass(5_001);
  await a.tokens.revoke(record); // nobody is there
  assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, true);
});

for (const [how, sleep] of [
  ['paused', (clock: ReturnType<typeof handClock>) => clock.pass(5_001)],
  ['suspended', async (clock: ReturnType<typeof handClock>) => clock.suspend(5_001)],
] as const) {
  test(`a node that was ${how} for longer than its row counts says nothing from before`, async () => {
    const { clock, stores, open, issued } = cluster();
    const b = open('b');
    await b.follow();
    const record = await issued();
    assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, false);
    await sleep(clock);
    await stores.tokens.revoke(record); // by another node, which waited for nobody
    assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, true);
  });
}

test('a node that leaves is not waited for, and answers from nothing that it knew', async () => {
  const { clock, open, issued } = cluster();
  const [a, b] = [open('a'), open('b')];
  for (const node of [a, b]) await node.follow();
  const record = await issued();
  await b.tokens.find(record.tokenHash, NOW);
  await b.leave();
  const revoked = watch(a.tokens.revoke(record));
  await clock.turn();
  assert.equal(revoked.isOver, true);
  assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, true);
});

test('nodes in bounded mode are waited for by nobody, and wait for those in strict mode', async () => {
  const { clock, acknowledged, published, open, issued } = cluster();
  const [bounded, strict] = [open('bounded', { consistency: 'bounded' }), open('strict')];
  for (const node of [bounded, strict]) await node.follow();
  const [one, two] = [await issued(), await issued()];
  const atStrict = watch(strict.tokens.revoke(one));
  await clock.turn();
  assert.equal(atStrict.isOver, true);
  for (const announcement of published.splice(0)) bounded.heard(announcement);
  assert.deepEqual(acknowledged, []);
  const atBounded = watch(bounded.tokens.revoke(two));
  await clock.pass(100);
  assert.equal(atBounded.isOver, false);
});

test('the bus: what is of another log, or of the node itself, is ignored; who is no member acknowledges nothing', async () => {
  const { clock, published, acknowledged, open, issued } = cluster();
  const [a, b] = [open('a'), open('b')];
  await a.follow();
  await b.prove(); // it follows, and is no member yet
  const record = await issued();
  const revoked = watch(a.tokens.revoke(record));
  await clock.turn();
  assert.equal(revoked.isOver, true);
  const [announcement] = published;
  assert.ok(announcement && published.length === 1);
  assert.deepEqual([announcement.epoch, announcement.from, announcement.entry.key], ['first', 'a', record.tokenHash]);
  b.heard(announcement);
  assert.deepEqual(acknowledged, []);

  await b.follow();
  const other = tokenRecord();
  const forged = { ...announcement, entry: { ...announcement.entry, key: other.tokenHash } } as Announcement;
  b.heard({ ...forged, epoch: 'second' });
  b.heard({ ...forged, from: 'b' });
  assert.deepEqual(acknowledged, []);
  b.heard(announcement); // late, and for the second time
  assert.deepEqual(acknowledged, [[announcement, 'b']]);
});

test('whoever revokes again is not answered before the first one could be (DR2b)', async () => {
  const { clock, open, issued } = cluster();
  const [a, b, c] = [open('a'), open('b'), open('c')];
  for (const node of [a, b, c]) await node.follow();
  const record = await issued();
  assert.equal((await c.tokens.find(record.tokenHash, NOW))?.revoked, false);
  const [first, again] = [watch(a.tokens.revoke(record)), watch(b.tokens.revoke(record))];
  await clock.pass(100);
  assert.deepEqual([first.isOver, again.isOver], [false, false]);
  for (const node of [a, b, c]) await node.follow();
  await clock.pass(50);
  assert.deepEqual([first.isOver, again.isOver], [true, true]);
});

test('whoever disables a client again is not answered before the first one could be either (DR2b)', async () => {
  const { clock, stores, published, acknowledged, open, issued } = cluster();
  await stores.administration.insert('billing', settings(), undefined, ACTOR);
  const [a, b, c] = [open('a'), open('b'), open('c')];
  for (const node of [a, b, c]) await node.follow();
  const record = await issued({ issuedSeq: stores.changes.length });
  assert.equal((await c.tokens.find(record.tokenHash, NOW))?.revoked, false);
  const disable = (node: Memory) => watch(node.administration.update('billing', (current) => ({ ...current, disabled: true }), ACTOR));
  const first = disable(a);
  await clock.pass(5);
  const again = disable(b);
  await clock.pass(5);
  // The first change is lost on its way to c, the second one is not.
  const second = published.find(({ from }) => from === 'b');
  assert.ok(second);
  for (const node of [a, c]) node.heard(second);
  for (const [announcement, by] of acknowledged) b.acknowledged(announcement, by);
  await clock.pass(50);
  assert.equal((await c.tokens.find(record.tokenHash, NOW))?.revoked, false);
  assert.deepEqual([first.isOver, again.isOver], [false, false]);
  for (const node of [a, b, c]) await node.follow();
  await clock.pass(50);
  assert.deepEqual([first.isOver, again.isOver], [true, true]);
});

for (const target of [
  { kind: 'client', key: 'billing', issuedBefore: undefined },
  { kind: 'subject', key: 'billing', issuedBefore: undefined },
  { kind: 'all', key: '', issuedBefore: NOW + 1 },
] as const) {
  test(`a bulk revocation, ${target.kind}, is answered when the other nodes have applied it, and a repeated one not before that`, async () => {
    const { clock, stores, open, issued } = cluster();
    await stores.administration.insert('billing', settings(), undefined, ACTOR);
    const [a, b] = [open('a'), open('b')];
    for (const node of [a, b]) await node.follow();
    const record = await issued({ issuedSeq: stores.changes.length });
    assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, false);
    const once = { key: 'k', request: Buffer.from('r') };
    const end = (node: Memory) => watch(node.revocations.append({ target, reason: undefined }, ACTOR, once));
    const first = end(a);
    await clock.pass(5);
    const again = end(b);
    await clock.pass(50);
    assert.equal(first.isOver, false);
    assert.equal((await a.tokens.find(record.tokenHash, NOW))?.revoked, true);
    for (const node of [a, b]) await node.follow();
    await clock.pass(50);
    assert.deepEqual([first.isOver, again.isOver], [true, true]);
    assert.equal((await b.tokens.find(record.tokenHash, NOW))?.revoked, true);
  });
}

test('who has to be waited for cannot be said: the revocation is durable, and nobody is told that it is done', async () => {
  const { clock, table, open, issued } = cluster();
  const a = open('a', { nodes: { ...table, live: () => Promise.reject(new Unavailable('away')) } });
  await a.follow();
  const record = await issued();
  const revoked = watch(a.tokens.revoke(record));
  await clock.pass(1_010);
  assert.ok(revoked.error instanceof Unavailable);
  assert.equal((await a.tokens.find(record.tokenHash, NOW))?.revoked, true);
});
