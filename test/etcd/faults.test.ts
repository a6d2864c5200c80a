/** etcd frozen, cut off, reset, replaced by something else, one of three gone: calls keep their deadlines, watches lose nothing, nothing ends the process. */
import assert from 'node:assert/strict';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { EtcdError } from '../../src/etcd/errors.ts';
import { client, NEEDS_ETCD, startEtcd, type TestEtcd, wireTo } from '../support/etcd.ts';
import { sharedCleanup } from '../support/faults.ts';
import { until } from '../support/server.ts';
import { watching } from '../support/watching.ts';

const t = sharedCleanup();
let server: TestEtcd;
let writer: ReturnType<typeof client>;

before(async () => {
  if (NEEDS_ETCD.skip) return;
  server = await startEtcd(t);
  writer = client(t, { endpoints: server.endpoints });
});
after(() => t.run());

/** Fails with this code, and in time. */
async function failsWithin(ms: number, code: number, call: () => Promise<unknown>): Promise<void> {
  const startedAt = performance.now();
  await assert.rejects(call, (error) => error instanceof EtcdError && error.code === code);
  // A busy machine wakes late.
  assert.ok(performance.now() - startedAt < ms + 400, `${performance.now() - startedAt} ms`);
}

/** Fails at once between two attempts to connect, and at the deadline during one. */
const isAway = (call: () => Promise<unknown>) =>
  assert.rejects(call, (error) => error instanceof EtcdError && [4, 14].includes(error.code));

test('a frozen etcd: each call ends at its deadline, and afterwards all goes on as before', NEEDS_ETCD, async () => {
  const frozen = await startEtcd(t);
  const etcd = client(t, { endpoints: frozen.endpoints, deadlineMs: 300 });
  const watch = watching(etcd, { prefix: '/f/' });
  await watch.isCreated();
  await etcd.put({ key: '/f/before', value: '' });
  frozen.member.freeze();
  const late = client(t, { endpoints: frozen.endpoints });
  for (let i = 0; i < 3; i++) await failsWithin(300, 4, () => etcd.put({ key: '/f/frozen', value: String(i) }));
  await failsWithin(100, 4, () => etcd.range({ key: '/f/' }, { deadlineMs: 100 }));
  // The kernel takes the connection, so this is no session yet.
  await failsWithin(200, 4, () => late.range({ key: '/f/' }, { deadlineMs: 200 }));
  frozen.member.thaw();
  await until(
    () =>
      etcd.put({ key: '/f/after', value: '' }).then(
        () => true,
        () => false,
      ),
    5_000,
  );
  await watch.hears('/f/after');
  assert.deepEqual([watch.keys()[0], watch.gaps, watch.starts.length, etcd.states], ['/f/before', [], 1, ['connected']]);
  await late.isConnected();
});

describe('silence is found by pings', { ...NEEDS_ETCD, concurrency: true }, () => {
  test('frozen for longer: the session is given up after 7.5 s, and replaced when etcd is back', async () => {
    const frozen = await startEtcd(t);
    const etcd = client(t, { endpoints: frozen.endpoints });
    const watch = watching(etcd, { prefix: '/f/' });
    await watch.isCreated();
    frozen.member.freeze();
    await until(() => etcd.state().status === 'unreachable', 9_500);
    assert.match(JSON.stringify(etcd.state()), /a ping was not answered/);
    await isAway(() => etcd.put({ key: 'x', value: '' }, { deadlineMs: 100 }));
    frozen.member.thaw();
    await etcd.isConnected();
    await etcd.put({ key: '/f/after', value: '' });
    await watch.hears('/f/after');
    assert.deepEqual([watch.keys(), watch.gaps], [['/f/after'], []]);
  });

  test('a network that went silent: the same, and what was written meanwhile is heard', async () => {
    const wire = await wireTo(t, server.member.port);
    const etcd = client(t, { endpoints: [wire.endpoint] });
    const watch = watching(etcd, { prefix: '/silent/' });
    await watch.isCreated();
    wire.set('silent');
    await writer.put({ key: '/silent/missed', value: '' });
    await failsWithin(200, 4, () => etcd.range({ key: 'x' }, { deadlineMs: 200 }));
    await until(() => etcd.state().status === 'unreachable', 9_500);
    wire.set('passing');
    await watch.hears('/silent/missed');
    assert.deepEqual([watch.keys(), watch.gaps], [['/silent/missed'], []]);
  });

  test('an idle session with a watch is pinged, is answered, and stays', async () => {
    const wire = await wireTo(t, server.member.port);
    const etcd = client(t, { endpoints: [wire.endpoint] });
    const watch = watching(etcd, { prefix: '/idle/' });
    await watch.isCreated();
    const sent = wire.sent();
    await until(() => wire.sent() > sent, 7_000);
    // 9 bytes of a frame's header, 8 of a ping.
    assert.equal(wire.sent() - sent, 17);
    await etcd.status();
    assert.deepEqual([etcd.states, watch.starts.length], [['connected'], 1]);
  });
});

test('reset connections: what is under way ends at once, and the next session is there within a second', NEEDS_ETCD, async () => {
  const wire = await wireTo(t, server.member.port);
  const etcd = client(t, { endpoints: [wire.endpoint] });
  const watch = watching(etcd, { prefix: '/reset/' });
  await watch.isCreated();
  for (let i = 0; i < 5; i++) {
    wire.set('silent');
    const call = failsWithin(500, 14, () => etcd.put({ key: 'x', value: '' }, { deadlineMs: 5_000 }));
    await until(() => wire.isHolding(), 1_000);
    wire.set('reset');
    await call;
    wire.set('passing');
    await etcd.isConnected(3_000);
    await writer.put({ key: `/reset/${i}`, value: '' });
    await watch.hears(`/reset/${i}`);
  }
  assert.deepEqual([watch.keys(), watch.gaps], [[0, 1, 2, 3, 4].map((i) => `/reset/${i}`), []]);
});

const listen = async (listener: Server) => {
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', () => resolve()));
  const sockets = new Set<Socket>();
  listener.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  t.after(async () => {
    listener.close();
    for (const socket of sockets) socket.destroy();
  });
  return `127.0.0.1:${(listener.address() as AddressInfo).port}`;
};
const OTHERS: readonly [what: string, make: () => Server, reason: RegExp][] = [
  ['an HTTP/1 server', () => createHttpServer((_, response) => void response.end('hello')), /this is not etcd|closed|reset/i],
  ['a server that says something', () => createServer((socket) => void socket.end('220 mail.example ESMTP\r\n')), /this is not etcd/],
  ['a server that hangs up', () => createServer((socket) => void socket.destroy()), /closed|reset/i],
  ['a server that says nothing', () => createServer(() => undefined), /no answer within 2000 ms/],
  ['a web server of HTTP/2', () => createHttp2Server((_, response) => void response.end('hello')) as unknown as Server, /this is not etcd/],
  ['a server of HTTP/2 that never answers', () => createHttp2Server(() => undefined) as unknown as Server, /no answer within 2000 ms/],
];
describe('something else listens on the port: unreachable, with a reason', { concurrency: true }, () => {
  for (const [what, make, reason] of OTHERS) {
    test(what, async () => {
      const etcd = client(t, { endpoints: [await listen(make())] });
      watching(etcd, { prefix: '/' });
      await until(() => etcd.state().status === 'unreachable', 4_000);
      assert.match((etcd.state() as { reason: string }).reason, reason);
      await isAway(() => etcd.put({ key: 'x', value: '' }, { deadlineMs: 100 }));
      etcd.close();
    });
  }
});

test('the endpoints are gone through until one answers', NEEDS_ETCD, async () => {
  const garbage = await listen(createServer((socket) => void socket.end('garbage\r\n'.repeat(10))));
  const etcd = client(t, { endpoints: ['127.0.0.1:1', garbage, server.member.endpoint] });
  await etcd.isConnected();
  await etcd.put({ key: 'x', value: '' });
  assert.deepEqual(etcd.states, ['unreachable', 'connected']);
});

test(
  'three members: the one of the watch is killed, and 60 of 60 are heard; without a quorum nothing is, and then everything',
  NEEDS_ETCD,
  async () => {
    const cluster = await startEtcd(t, { members: 3 });
    const [first, second, third] = cluster.members;
    assert.ok(first && second && third);
    const etcd = client(t, { endpoints: cluster.endpoints });
    const others = client(t, { endpoints: [second.endpoint, third.endpoint] });
    const watch = watching(etcd, { prefix: '/c/' });
    await watch.isCreated();
    // A put whose answer is lost may be done again here: the key is its own.
    const put = (key: string) =>
      until(
        () =>
          others.put({ key, value: '' }).then(
            () => true,
            () => false,
          ),
        10_000,
      );
    let killed: Promise<void> | undefined;
    for (let i = 0; i < 60; i++) {
      if (i === 20) killed = first.kill();
      await put(`/c/${i}`);
    }
    await killed;
    await watch.hears('/c/59', 10_000);
    assert.deepEqual(
      [...new Set(watch.keys())],
      Array.from({ length: 60 }, (_, i) => `/c/${i}`),
    );
    assert.deepEqual(watch.gaps, []);

    await second.kill();
    await failsWithin(1_000, 4, () =>
      until(() => etcd.put({ key: '/c/x', value: '' }).catch((e) => (e.code === 4 ? Promise.reject(e) : false)) as never, 8_000),
    );
    await Promise.all([first.start(), second.start()]);
    await put('/c/end');
    await watch.hears('/c/end', 10_000);
    assert.deepEqual(watch.gaps, []);
  },
);
