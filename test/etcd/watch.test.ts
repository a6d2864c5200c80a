/** Watches on a real etcd: in order, whole, and without a loss that is not told. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { client, NEEDS_ETCD, startEtcd, type TestEtcd, wireTo } from '../support/etcd.ts';
import { sharedCleanup } from '../support/faults.ts';
import { until } from '../support/server.ts';
import { watching } from '../support/watching.ts';

const t = sharedCleanup();
let server: TestEtcd;
let etcd: ReturnType<typeof client>;

before(async () => {
  if (NEEDS_ETCD.skip) return;
  server = await startEtcd(t);
  etcd = client(t, { endpoints: server.endpoints });
});
after(() => t.run());

const put = async (key: string, value = '') => (await etcd.put({ key, value })).header.revision;

test('events come in the order of their revisions, with their values, and of the prefix only', NEEDS_ETCD, async () => {
  const watch = watching(etcd, { prefix: '/order/' });
  await watch.isCreated();
  const revisions = [];
  for (let i = 0; i < 100; i++) {
    revisions.push(await put(`/order/${i}`, `value ${i}`));
    await put(`/other/${i}`);
  }
  await etcd.deleteRange({ key: '/order/7' });
  await until(() => watch.events.length === 101, 5_000);
  const deletion = watch.events.pop();
  assert.deepEqual([deletion?.type, deletion?.kv.key.toString(), deletion?.prevKv], ['DELETE', '/order/7', undefined]);
  assert.deepEqual(
    watch.events.map(({ kv }) => kv.modRevision),
    revisions,
  );
  assert.ok(watch.events.every(({ type, kv }, i) => type === 'PUT' && kv.value.toString() === `value ${i}`));
  assert.deepEqual([watch.gaps, watch.starts.length], [[], 1]);
  watch.close();
  await put('/order/late');
  await etcd.status();
  assert.equal(watch.events.length, 100);
});

test('a watch tells where it starts: everything from there on is heard, nothing from before', NEEDS_ETCD, async () => {
  const before = await put('/start/before');
  const watch = watching(etcd, { prefix: '/start/' });
  await watch.isCreated();
  assert.ok((watch.starts[0] ?? 0) > before);
  await put('/start/after');
  await watch.hears('/start/after');
  assert.deepEqual(watch.told, ['created', '/start/after']);
  watch.close();
});

test('a watch of the past hears what was, and what was there before it', NEEDS_ETCD, async () => {
  const startRevision = await put('/past', 'one');
  await put('/past', 'two');
  await etcd.deleteRange({ key: '/past' });
  const watch = watching(etcd, { key: '/past', startRevision, prevKv: true });
  await until(() => watch.events.length === 3, 5_000);
  assert.deepEqual(
    watch.events.map(({ type, prevKv }) => [type, prevKv?.value.toString()]),
    [
      ['PUT', undefined],
      ['PUT', 'one'],
      ['DELETE', 'two'],
    ],
  );
  watch.close();
});

test('a transaction is told at once, and a lease that ends as deletions', NEEDS_ETCD, async () => {
  const batches: number[] = [];
  const watch = etcd.watch({ prefix: '/together/' }, { onEvents: (events) => batches.push(events.length), onGap: () => undefined });
  const listener = watching(etcd, { prefix: '/together/' });
  await listener.isCreated();
  const { id } = await etcd.leaseGrant({ ttl: 60 });
  const keys = Array.from({ length: 20 }, (_, i) => `/together/${i}`);
  await etcd.txn({ success: keys.map((key) => ({ requestPut: { key, value: '', lease: id } })) });
  await etcd.leaseRevoke({ id });
  await until(() => listener.events.length === 40, 5_000);
  await until(() => batches.length >= 2, 5_000);
  assert.equal(batches[0], 20);
  assert.ok(listener.events.slice(20).every(({ type }) => type === 'DELETE'));
  watch.close();
  listener.close();
});

test('20,000 keys deleted as one revision come in fragments, each once: live, and as history', NEEDS_ETCD, async () => {
  const COUNT = 20_000;
  // Long keys make few events fill a fragment, because etcd's time for one grows with the square of their number.
  const key = (i: number) => `/wipe/${'x'.repeat(450)}/${i}`;
  for (let i = 0; i < COUNT; i += 100) {
    await etcd.txn({ success: Array.from({ length: 100 }, (_, j) => ({ requestPut: { key: key(i + j), value: '' } })) });
  }
  const live = watching(etcd, { prefix: '/wipe/' });
  await live.isCreated();
  await server.control('del', '--prefix', '/wipe/');
  const late = watching(etcd, { prefix: '/wipe/', startRevision: live.starts[0] as number });
  await put('/wipe/end');
  for (const watch of [live, late]) {
    await watch.hears('/wipe/end', 15_000);
    watch.events.pop();
    assert.equal(watch.events.length, COUNT);
    assert.equal(new Set(watch.keys()).size, COUNT, 'each once');
    assert.equal(new Set(watch.events.map(({ kv }) => kv.modRevision)).size, 1, 'one revision');
    assert.ok(watch.batches.length >= 5, `${COUNT * 460} bytes in ${watch.batches} events`);
    assert.deepEqual([watch.gaps, watch.starts.length], [[], 1]);
    watch.close();
  }
});

test('values that were there before a deletion: more than 4 MB of them', NEEDS_ETCD, async () => {
  const success = Array.from({ length: 100 }, (_, i) => ({ requestPut: { key: `/values/${i}`, value: 'x'.repeat(10_000) } }));
  for (let round = 0; round < 5; round++) {
    await etcd.txn({ success: success.map(({ requestPut }) => ({ requestPut: { ...requestPut, key: `${requestPut.key}/${round}` } })) });
  }
  const watch = watching(etcd, { prefix: '/values/', prevKv: true });
  await watch.isCreated();
  await server.control('del', '--prefix', '/values/');
  await until(() => watch.events.length === 500, 10_000);
  assert.ok(watch.events.every(({ type, prevKv }) => type === 'DELETE' && prevKv?.value.length === 10_000));
  watch.close();
});

test('what a handler throws is told, followed by a gap, and ends nothing', NEEDS_ETCD, async () => {
  const bugs: string[] = [];
  const other = client(t, { endpoints: server.endpoints, onHandlerError: (error) => void bugs.push((error as Error).message) });
  const told: string[] = [];
  const fail = (what: string) => {
    told.push(what);
    throw new Error(what);
  };
  other.watch(
    { prefix: '/bug/' },
    { onEvents: ([event]) => fail(`${event?.kv.key}`), onGap: () => fail('gap'), onCreated: () => fail('created') },
  );
  // An async function is not what is asked for, and must not end the process either.
  other.watch({ prefix: '/bug/' }, { onEvents: (async () => fail('async')) as () => void, onGap: () => undefined });
  await until(() => told.includes('created'), 5_000);
  await put('/bug/a');
  await put('/bug/b');
  await until(() => told.includes('/bug/b') && told.filter((what) => what === 'async').length === 2, 5_000);
  await until(() => bugs.length === told.length, 5_000);
  assert.deepEqual(
    told.filter((what) => what !== 'async'),
    ['created', '/bug/a', 'gap', '/bug/b', 'gap'],
  );
  other.close();
});

test('a compaction overtakes a watch that is away: a gap, then the present', NEEDS_ETCD, async () => {
  const wire = await wireTo(t, server.member.port);
  const away = client(t, { endpoints: [wire.endpoint] });
  const watch = watching(away, { prefix: '/compact/' });
  await watch.isCreated();
  await put('/compact/heard');
  await watch.hears('/compact/heard');
  wire.set('silent');
  await put('/compact/missed');
  const revision = await put('/elsewhere');
  await server.control('compact', String(revision));
  wire.set('reset');
  wire.set('passing');
  await until(() => watch.told.includes('again'), 5_000);
  await put('/compact/after');
  await watch.hears('/compact/after');
  assert.deepEqual(watch.told, ['created', '/compact/heard', 'gap', 'again', '/compact/after']);
  assert.match(watch.gaps[0] ?? '', /compacted/);
  away.close();
});

test('a watch that asks for a compacted past: a gap, then the present', NEEDS_ETCD, async () => {
  const watch = watching(etcd, { prefix: '/compact/', startRevision: 1 });
  await watch.isCreated();
  await put('/compact/more');
  await watch.hears('/compact/more');
  assert.deepEqual(watch.told, ['gap', 'created', '/compact/more']);
  watch.close();
});
