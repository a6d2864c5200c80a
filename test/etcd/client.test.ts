/** Calls against a real etcd. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openEtcd } from '../../src/etcd/client.ts';
import { EtcdError } from '../../src/etcd/errors.ts';
import { prefixEnd } from '../../src/etcd/keys.ts';
import { client, NEEDS_ETCD, startEtcd, type TestEtcd } from '../support/etcd.ts';
import { sharedCleanup } from '../support/faults.ts';
import { freePort, until } from '../support/server.ts';

const t = sharedCleanup();
let server: TestEtcd;
let etcd: ReturnType<typeof client>;

before(async () => {
  if (NEEDS_ETCD.skip) return;
  server = await startEtcd(t);
  etcd = client(t, { endpoints: server.endpoints });
});
after(() => t.run());

const put = (key: string, value: string) => etcd.put({ key, value });
const keysOf = async (prefix: string) => (await etcd.range({ prefix })).kvs.map(({ key }) => key.toString());

test('a key is written, read with its revisions, and replaced', NEEDS_ETCD, async () => {
  const first = await put('/kv/a', 'one');
  const second = await etcd.put({ key: Buffer.from('/kv/a'), value: Buffer.from([0, 255]), prevKv: true });
  assert.equal(second.prevKv?.value.toString(), 'one');
  const { kvs, count, more, header } = await etcd.range({ key: '/kv/a' });
  const [kv] = kvs;
  assert.deepEqual([kv?.createRevision, kv?.modRevision, kv?.version], [first.header.revision, second.header.revision, 2]);
  assert.deepEqual([kv?.value, count, more, header.revision], [Buffer.from([0, 255]), 1, false, second.header.revision]);
  assert.deepEqual((await etcd.range({ key: '/kv/none' })).kvs, []);
});

test('ranges: a prefix, a limit, an order, counts, from a key to another, a revision of the past', NEEDS_ETCD, async () => {
  for (const key of ['/r/a', '/r/b', '/r/c', '/r0', '/q']) await put(key, key);
  const { revision } = (await put('/r/d', 'd')).header;
  assert.deepEqual(await keysOf('/r/'), ['/r/a', '/r/b', '/r/c', '/r/d']);
  const two = await etcd.range({ prefix: '/r/', limit: 2, sortOrder: 'DESCEND', keysOnly: true });
  assert.deepEqual([two.kvs.map(({ key, value }) => key.toString() + value), two.more, two.count], [['/r/d', '/r/c'], true, 4]);
  assert.equal((await etcd.range({ prefix: '/r/', countOnly: true })).count, 4);
  assert.equal((await etcd.range({ key: '/r/b', rangeEnd: '/r/d' })).count, 2);
  assert.equal((await etcd.range({ prefix: '/r/', revision: revision - 1 })).count, 3);
  assert.ok((await etcd.range({ prefix: '', countOnly: true })).count >= 6, 'the empty prefix is everything');
});

test('a prefix ends before the first key behind it', () => {
  assert.deepEqual(
    ['/a/', 'a\u007f', ''].map((prefix) => prefixEnd(prefix).toString('hex')),
    ['2f6130', '6180', '00'],
  );
  assert.deepEqual(
    [Buffer.of(1, 255), Buffer.of(255, 255)].map((prefix) => prefixEnd(prefix).toString('hex')),
    ['02', '00'],
  );
});

test('a prefix is deleted as one revision', NEEDS_ETCD, async () => {
  for (const key of ['/d/a', '/d/b', '/e']) await put(key, key);
  const { deleted, prevKvs } = await etcd.deleteRange({ prefix: '/d/', prevKv: true });
  assert.deepEqual([deleted, prevKvs.map(({ value }) => value.toString())], [2, ['/d/a', '/d/b']]);
  assert.deepEqual([await keysOf('/d/'), await keysOf('/e')], [[], ['/e']]);
});

test('a transaction does the one thing or the other, by version, revision and value', NEEDS_ETCD, async () => {
  const create = () =>
    etcd.txn({
      compare: [{ key: '/t/a', target: 'VERSION', result: 'EQUAL', version: 0 }],
      success: [{ requestPut: { key: '/t/a', value: 'mine' } }],
      failure: [{ requestRange: { key: '/t/a' } }],
    });
  const won = await create();
  const lost = await create();
  assert.deepEqual([won.succeeded, lost.succeeded], [true, false]);
  assert.equal(lost.responses[0]?.responseRange?.kvs[0]?.value.toString(), 'mine');
  const { revision } = won.header;
  const all = await etcd.txn({
    compare: [
      { key: '/t/a', target: 'CREATE', result: 'EQUAL', createRevision: revision },
      { key: '/t/a', target: 'MOD', result: 'LESS', modRevision: revision + 1 },
      { key: '/t/a', target: 'VALUE', result: 'NOT_EQUAL', value: 'yours' },
    ],
    success: [{ requestDeleteRange: { key: '/t/a', prevKv: true } }, { requestPut: { key: '/t/b', value: '' } }],
  });
  assert.deepEqual(
    [all.succeeded, all.responses[0]?.responseDeleteRange?.deleted, all.responses[1]?.responsePut !== undefined],
    [true, 1, true],
  );
});

test('twenty who create the same key at once: one wins', NEEDS_ETCD, async () => {
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      etcd.txn({
        compare: [{ key: '/race', target: 'CREATE', result: 'EQUAL', createRevision: 0 }],
        success: [{ requestPut: { key: '/race', value: String(i) } }],
      }),
    ),
  );
  assert.equal(results.filter(({ succeeded }) => succeeded).length, 1);
});

test('a lease is known by its 63 bits, and its keys end with it', NEEDS_ETCD, async () => {
  const { id, ttl } = await etcd.leaseGrant({ ttl: 60 });
  assert.ok(id > BigInt(Number.MAX_SAFE_INTEGER) && ttl === 60, `${id}`);
  const chosen = 2n ** 63n - 1n;
  assert.equal((await etcd.leaseGrant({ ttl: 60, id: chosen })).id, chosen);
  await etcd.put({ key: '/l/a', value: '', lease: id });
  await etcd.put({ key: '/l/b', value: '', lease: chosen });
  assert.deepEqual(
    (await etcd.range({ prefix: '/l/' })).kvs.map(({ lease }) => lease),
    [id, chosen],
  );
  await etcd.leaseRevoke({ id });
  assert.deepEqual(await keysOf('/l/'), ['/l/b']);
  await assert.rejects(etcd.leaseRevoke({ id }), { code: 5 });
  await assert.rejects(etcd.put({ key: '/l/c', value: '', lease: id }), { code: 5 });
});

test('the state and the status say which etcd this is', NEEDS_ETCD, async () => {
  await etcd.isConnected();
  const { version, dbSize, dbSizeInUse, errors, header } = await etcd.status();
  assert.match(version, /^3\.\d+\.\d+/);
  assert.deepEqual([dbSize > 0, dbSizeInUse > 0, errors], [true, true, []]);
  assert.deepEqual(etcd.state(), { status: 'connected', endpoint: server.member.endpoint, version, clusterId: header.clusterId });
  assert.deepEqual(etcd.states, ['connected']);
});

test('what etcd refuses is an error with its code and its words', NEEDS_ETCD, async () => {
  const CASES: readonly [call: () => Promise<unknown>, code: number, message: RegExp][] = [
    [() => etcd.put({ key: '', value: 'x' }), 3, /key is not provided/],
    [() => etcd.put({ key: 'x', value: Buffer.alloc(1_600_000) }), 3, /request is too large/],
    [() => etcd.range({ key: 'x', revision: 10_000_000 }), 11, /future revision/],
    [
      () => etcd.txn({ success: Array.from({ length: 129 }, (_, i) => ({ requestPut: { key: String(i), value: '' } })) }),
      3,
      /too many operations/,
    ],
    [() => etcd.range({ key: 'x', limit: 0.5 }), 3, /limit: not a safe integer/],
  ];
  for (const [call, code, message] of CASES) {
    await assert.rejects(call, (error) => error instanceof EtcdError && error.code === code && message.test(error.message));
  }
});

test('a large answer comes whole: 8 MB', NEEDS_ETCD, async () => {
  const value = Buffer.alloc(1_000_000, 'x');
  for (let i = 0; i < 8; i++) await etcd.put({ key: `/large/${i}`, value });
  const { kvs } = await etcd.range({ prefix: '/large/' }, { deadlineMs: 5_000 });
  assert.ok(kvs.length === 8 && kvs.every((kv) => kv.value.equals(value)));
});

test('calls share one connection, and can be cancelled', NEEDS_ETCD, async () => {
  await Promise.all(Array.from({ length: 500 }, (_, i) => etcd.put({ key: `/many/${i}`, value: '' }, { deadlineMs: 10_000 })));
  assert.equal((await etcd.range({ prefix: '/many/', countOnly: true })).count, 500);
  await assert.rejects(etcd.range({ key: 'x' }, { signal: AbortSignal.abort() }), { code: 1 });
});

test('after close every call is refused at once, and it may be closed again', NEEDS_ETCD, async () => {
  const other = client(t, { endpoints: server.endpoints });
  const early = other.range({ key: 'x' });
  await early;
  const waiting = other.range({ key: 'x' });
  other.close();
  other.close();
  await assert.rejects(waiting, { code: 14 });
  await assert.rejects(other.put({ key: 'x', value: '' }), { code: 14, message: 'the etcd client is closed' });
  assert.deepEqual(other.state(), { status: 'closed' });
});

test('nobody listens: calls fail at once with 14, the state says so once, and it is found when it comes', NEEDS_ETCD, async () => {
  const port = await freePort();
  const other = client(t, { endpoints: [`127.0.0.1:${port}`, server.member.endpoint.replace(/\d+$/, String(port))] });
  await assert.rejects(
    other.put({ key: 'x', value: '' }),
    (error) => error instanceof EtcdError && error.code === 14 && /ECONNREFUSED/.test(error.message),
  );
  const startedAt = performance.now();
  for (let i = 0; i < 50; i++) await assert.rejects(other.range({ key: 'x' }), { code: 14 });
  assert.ok(performance.now() - startedAt < 1_000);
  assert.deepEqual(other.states, ['unreachable']);
});

test('options that cannot be used are refused before anything is connected', () => {
  const CASES: readonly [options: Parameters<typeof openEtcd>[0], message: RegExp][] = [
    [{ endpoints: [] }, /no endpoint/],
    [{ endpoints: ['ftp://x:1'] }, /endpoint has to be/],
    [{ endpoints: ['http://user:secret@x:1'] }, /endpoint has to be/],
    [{ endpoints: ['http://x:1/path'] }, /endpoint has to be/],
    [{ endpoints: ['not a host'] }, /endpoint has to be/],
    [{ endpoints: ['http://x'] }, /endpoint has to be/],
    [{ endpoints: ['x:1'], username: 'a' }, /needs a password/],
    [{ endpoints: ['x:1'], cert: 'x' }, /needs its key/],
    [{ endpoints: ['x:1'], cert: 'secret', key: 'secret' }, /cannot be read/],
  ];
  for (const [options, message] of CASES) {
    assert.throws(
      () => openEtcd(options),
      (error) => error instanceof Error && message.test(error.message) && !error.message.includes('secret'),
    );
  }
});

test('a process with a client and a watch ends by itself, once its calls are answered', NEEDS_ETCD, async () => {
  const module = fileURLToPath(new URL('../../src/etcd/client.js', import.meta.url));
  const script = `
    import { openEtcd } from ${JSON.stringify(module)};
    const etcd = openEtcd({ endpoints: ${JSON.stringify(server.endpoints)} });
    etcd.watch({ prefix: '/' }, { onEvents() {}, onGap() {} });
    openEtcd({ endpoints: ['127.0.0.1:1'] });
    console.log((await etcd.put({ key: '/process', value: 'x' })).header.revision > 0);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { timeout: 5_000 });
  assert.equal(stdout, 'true\n');
  await until(async () => (await keysOf('/process')).length === 1, 1_000);
});
