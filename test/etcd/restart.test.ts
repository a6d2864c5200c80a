/** etcd ends and comes back, with its data, without it, or not: what a watch hears then. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { client, NEEDS_ETCD, startEtcd, type TestEtcd } from '../support/etcd.ts';
import { sharedCleanup } from '../support/faults.ts';
import { until } from '../support/server.ts';
import { watching } from '../support/watching.ts';

const t = sharedCleanup();
let server: TestEtcd;
let etcd: ReturnType<typeof client>;
/** Another one writes: what it writes is not known to the watch by other ways. */
let writer: ReturnType<typeof client>;

before(async () => {
  if (NEEDS_ETCD.skip) return;
  server = await startEtcd(t);
  etcd = client(t, { endpoints: server.endpoints });
  writer = client(t, { endpoints: server.endpoints });
});
after(() => t.run());

const put = async (key: string) => (await writer.put({ key, value: '' })).header.revision;
const restart = async () => {
  await server.member.kill();
  await server.member.start();
  await Promise.all([etcd.isConnected(), writer.isConnected()]);
};

test(
  'killed as soon as the watch is created, before its past has come: nothing is lost (etcd3 loses all but the last)',
  NEEDS_ETCD,
  async () => {
    const startRevision = await put('/backlog/1');
    for (let i = 2; i <= 5; i++) await put(`/backlog/${i}`);
    let created = 0;
    let killed: Promise<void> | undefined;
    const keys: string[] = [];
    const watch = etcd.watch(
      { prefix: '/backlog/', startRevision },
      {
        onEvents: (events) => keys.push(...events.map(({ kv }) => kv.key.toString())),
        onGap: assert.fail,
        onCreated: () => {
          created++;
          // From here on until it is back nothing that etcd has sent is read: as if it had been killed in between.
          killed ??= server.member.kill();
        },
      },
    );
    await until(() => killed !== undefined, 5_000);
    await killed;
    await server.member.start();
    await writer.isConnected();
    await put('/backlog/6');
    await until(() => keys.includes('/backlog/6'), 5_000);
    assert.deepEqual(
      [...new Set(keys)],
      [1, 2, 3, 4, 5, 6].map((i) => `/backlog/${i}`),
    );
    assert.deepEqual([keys.length, created], [6, 1]);
    watch.close();
  },
);

test('killed and started again: what was written meanwhile by others is heard, each once', NEEDS_ETCD, async () => {
  const watch = watching(etcd, { prefix: '/kill/' });
  await watch.isCreated();
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 20; i++) await put(`/kill/${round}/${i}`);
    // The last ones may be on their way.
    await restart();
    await put(`/kill/${round}/after`);
    await watch.hears(`/kill/${round}/after`);
  }
  const expected = [0, 1].flatMap((round) => [...Array.from({ length: 20 }, (_, i) => `/kill/${round}/${i}`), `/kill/${round}/after`]);
  assert.deepEqual(watch.keys(), expected);
  assert.deepEqual([watch.gaps, watch.starts.length], [[], 3]);
  watch.close();
});

test('stopped in order: calls and watches move over', NEEDS_ETCD, async () => {
  const watch = watching(etcd, { prefix: '/stop/' });
  await watch.isCreated();
  await server.member.stop();
  await until(() => etcd.state().status === 'unreachable', 2_000);
  await assert.rejects(etcd.put({ key: '/stop/a', value: '' }), { code: 14 });
  await server.member.start();
  await Promise.all([etcd.isConnected(), writer.isConnected()]);
  await put('/stop/b');
  await watch.hears('/stop/b');
  assert.deepEqual([watch.keys(), watch.gaps], [['/stop/b'], []]);
  watch.close();
});

test('the data is wiped: a gap, and the new history from then on', NEEDS_ETCD, async () => {
  const watch = watching(etcd, { prefix: '/wiped/' });
  await watch.isCreated();
  await put('/wiped/a');
  await watch.hears('/wiped/a');
  await server.member.kill();
  await server.member.wipe();
  await server.member.start();
  await writer.isConnected();
  await until(() => watch.told.includes('again'), 5_000);
  await put('/wiped/b');
  await watch.hears('/wiped/b');
  assert.deepEqual(watch.told, ['created', '/wiped/a', 'gap', 'again', '/wiped/b']);
  assert.match(watch.gaps[0] ?? '', /the revision went back from \d+ to 1$/);
  watch.close();
});

test('statuses were told as they changed', NEEDS_ETCD, () => {
  assert.ok(etcd.states.length >= 9);
  assert.ok(
    etcd.states.every((status, i) => status === (i % 2 === 0 ? 'connected' : 'unreachable')),
    etcd.states.join(),
  );
});
