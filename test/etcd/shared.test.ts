/** The bus and the shared cache on a real etcd. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import type { Announcement } from '../../src/coherence/ports.ts';
import { openSeal } from '../../src/etcd/seal.ts';
import { openShared, type Shared, type SharedOptions } from '../../src/etcd/shared.ts';
import { NOW, newSecret, settings, tokenRecord } from '../contracts/stores.ts';
import { NEEDS_ETCD, startEtcd, type TestEtcd } from '../support/etcd.ts';
import { sharedCleanup } from '../support/faults.ts';
import { until } from '../support/server.ts';

const ISSUER = 'https://auth.example.com';
const KEYS = [randomBytes(32)];
const EPOCH = randomUUID();
const t = sharedCleanup();
let etcd: TestEtcd;

interface SharedNode extends Shared {
  readonly announced: Announcement[];
  readonly acknowledged: [Announcement, string][];
  readonly lines: string[];
  wiped: number;
}

async function open(more: Partial<SharedOptions> = {}): Promise<SharedNode> {
  const node = { announced: [] as Announcement[], acknowledged: [] as [Announcement, string][], lines: [] as string[], wiped: 0 };
  const log = pino({ level: 'info' }, { write: (line) => void node.lines.push(line) });
  const shared = openShared({
    etcd: {
      endpoints: etcd.endpoints,
      username: undefined,
      password: undefined,
      ca: undefined,
      cert: undefined,
      key: undefined,
      prefix: '/auth/',
    },
    seal: openSeal(KEYS, ISSUER),
    epoch: () => EPOCH,
    now: () => NOW,
    log,
    onAnnouncement: (announcement) => node.announced.push(announcement),
    onAcknowledgement: (...acknowledgement) => node.acknowledged.push(acknowledgement),
    onWiped: () => node.wiped++,
    tendMs: 200,
    ...more,
  });
  t.after(async () => shared.close());
  await until(() => shared.state().status === 'connected', 10_000);
  return Object.assign(node, shared);
}

const keys = async (prefix = '/auth/') =>
  (await etcd.control('get', prefix, '--prefix', '--keys-only')).split('\n').filter((line) => line !== '');
const change = (seq: number, from: string, epoch = EPOCH): Announcement => ({
  epoch,
  from,
  entry: { seq, kind: 'token', key: tokenRecord().tokenHash, expiresAt: NOW + 3600 },
});
const client = (members = {}) => ({
  asOfSeq: 4,
  client: {
    ...settings({ scope: 'read write', claims: { tier: 'gold' }, client_name: 'Billing' }),
    id: 'billing',
    version: 1,
    createdAt: new Date(NOW * 1000),
    updatedAt: new Date(NOW * 1000),
    secrets: [
      { id: randomUUID(), createdAt: new Date(NOW * 1000), lastUsedAt: undefined, ...newSecret('a secret that a person chose, of length') },
    ],
    ...members,
  },
});

describe('etcd between nodes', NEEDS_ETCD, () => {
  before(async () => {
    etcd = await startEtcd(t, { flags: [`--quota-backend-bytes=${16 * 1024 * 1024}`] });
  });
  after(() => t.run());

  test('a change reaches the other node as it was, and its acknowledgement comes back, both leased', async () => {
    const [a, b] = [await open(), await open()];
    const sent = change(41, randomUUID());
    // The watch may still be on its way: what is published before it is in place is read from the log.
    await until(async () => {
      a.bus.publish(sent);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return b.announced.length > 0;
    }, 10_000);
    assert.deepEqual(b.announced[0], sent);
    b.bus.acknowledge(sent, 'node-b');
    await until(() => a.acknowledged.length > 0, 5_000);
    assert.deepEqual(a.acknowledged[0], [sent, 'node-b']);
    assert.deepEqual(await keys('/auth/changes/'), ['/auth/changes/41', '/auth/changes/41/node-b']);
    const found = JSON.parse(await etcd.control('get', '/auth/changes/41', '-w', 'json')).kvs[0];
    assert.ok(found.lease, 'leased');
  });

  test('a cut-off by time reaches the other node with its second, and another second is not believed', async () => {
    const [a, b] = [await open(), await open()];
    const plain = change(45, 'somebody');
    const sent = { ...plain, entry: { ...plain.entry, kind: 'subject' as const, issuedBefore: 1_799_999_000 } };
    await until(async () => {
      a.bus.publish(sent);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return b.announced.length > 0;
    }, 10_000);
    assert.deepEqual(b.announced[0], sent);
    const value = JSON.parse(await etcd.control('get', '/auth/changes/45', '--print-value-only'));
    const [heard, ignored] = [b.announced.length, b.counts.ignored];
    for (const forged of [
      { ...value, issued_before: 1 },
      { ...value, issued_before: undefined },
      { ...value, issued_before: '1799999000' },
    ])
      await etcd.control('put', '/auth/changes/45', JSON.stringify(forged));
    await until(() => b.counts.ignored >= ignored + 3, 5_000);
    assert.equal(b.announced.length, heard);
  });

  test('what no node of ours wrote is ignored and counted: junk, another key, another place, another name', async () => {
    const [a, b] = [await open(), await open()];
    const other = await open({ seal: openSeal([randomBytes(32)], ISSUER) });
    const sent = change(70, randomUUID());
    await until(async () => {
      a.bus.publish(sent);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return b.announced.length > 0;
    }, 10_000);
    const value = JSON.parse(
      JSON.parse(
        JSON.stringify(
          Buffer.from(JSON.parse(await etcd.control('get', '/auth/changes/70', '-w', 'json')).kvs[0].value, 'base64').toString(),
        ),
      ),
    );
    const heard = b.announced.length;
    const ignored = b.counts.ignored;
    const forged = [
      ['/auth/changes/71', JSON.stringify(value)],
      ['/auth/changes/70', JSON.stringify({ ...value, key: tokenRecord().tokenHash })],
      ['/auth/changes/70', JSON.stringify({ ...value, kind: 'client' })],
      ['/auth/changes/70', JSON.stringify({ ...value, kind: 'toString' })],
      ['/auth/changes/70', JSON.stringify({ ...value, epoch: randomUUID() })],
      ['/auth/changes/70', JSON.stringify({ ...value, mac: '' })],
      ['/auth/changes/70/node-x', JSON.stringify(value)],
      ['/auth/changes/70/node-x', JSON.stringify({ ...value, by: 'node-x' })],
      ['/auth/changes/70/a/b', JSON.stringify(value)],
      ['/auth/changes/x', 'junk'],
      ['/auth/changes/', 'null'],
      ['/auth/changes/9', '[]'],
    ] as const;
    for (const [key, text] of forged) await etcd.control('put', key, text);
    other.bus.publish(change(72, randomUUID()));
    await until(() => b.counts.ignored === ignored + forged.length + 1, 10_000);
    assert.equal(b.announced.length, heard);
    assert.equal(b.acknowledged.length, 0);
  });

  test('a token that one node keeps another finds; one that was moved, changed or of another history is ignored', async () => {
    const [a, b] = [await open(), await open()];
    const elsewhere = await open({ epoch: () => randomUUID() });
    const records = Array.from({ length: 300 }, (_, n) => tokenRecord({ expiresAt: NOW + 60 + n }));
    for (const record of records) a.cache.keepToken(record);
    await until(async () => (await keys('/auth/tokens/')).length === records.length, 10_000);
    for (const record of records.slice(0, 20)) assert.deepEqual(await b.cache.findToken(record.tokenHash), record);
    assert.equal(await elsewhere.cache.findToken(records[0]?.tokenHash as never), undefined);
    const [first, second] = records.map(({ tokenHash }) => `/auth/tokens/${tokenHash}`);
    const value = JSON.parse(await etcd.control('get', first ?? '', '-w', 'json')).kvs[0].value;
    await etcd.control('put', second ?? '', Buffer.from(value, 'base64').toString());
    assert.equal(await b.cache.findToken(records[1]?.tokenHash as never), undefined);
    assert.equal(b.counts.reads.ignored, 1);
    assert.equal(await b.cache.findToken(tokenRecord().tokenHash), undefined);
    const leases = (await etcd.control('lease', 'list')).split('\n').length;
    assert.ok(leases < 20, `${leases} leases for 300 tokens`);
  });

  test('a client is five readable keys, without its secret, and goes when it goes', async () => {
    const a = await open();
    a.cache.keepClient('billing', client());
    await until(async () => (await keys('/auth/settings/')).length > 0, 10_000);
    const value = async (folder: string) => (await etcd.control('get', `/auth/${folder}/billing`, '--print-value-only')).trim();
    assert.equal(await value('scopes'), 'read write');
    assert.equal(await value('grants'), 'client_credentials');
    assert.deepEqual(JSON.parse(await value('claims')), { tier: 'gold' });
    assert.match(await value('clients'), /^hmac-sha256:[\w-]{43}$/);
    const { mac, seq, epoch, client_name, token_endpoint_auth_method, secrets } = JSON.parse(await value('settings'));
    assert.deepEqual([seq, epoch, client_name, token_endpoint_auth_method], [4, EPOCH, 'Billing', 'client_secret_basic']);
    assert.match(mac, /^[\w-]{43}$/);
    assert.deepEqual(Object.keys(secrets[0]), ['id', 'created_at']);
    a.cache.keepClient('billing', undefined);
    await until(async () => (await keys('/auth/settings/')).length === 0, 10_000);
    assert.ok((await keys()).every((key) => !key.endsWith('/billing')));
  });

  test('everything may be deleted: the epoch comes back, clients are asked for again, and tokens go on', async () => {
    const a = await open();
    await until(async () => (await etcd.control('get', '/auth/epoch', '--print-value-only')).trim() === EPOCH, 10_000);
    const wiped = a.wiped;
    await until(async () => {
      await etcd.control('del', '/auth/', '--prefix');
      return a.wiped > wiped; // whichever node puts the epoch back
    }, 10_000);
    await until(async () => (await etcd.control('get', '/auth/epoch', '--print-value-only')).trim() === EPOCH, 10_000);
    const record = tokenRecord();
    a.cache.keepToken(record);
    await until(async () => (await a.cache.findToken(record.tokenHash)) !== undefined, 10_000);
  });

  test('leases that etcd forgot: what was to be written is dropped, and the next goes under new ones', async () => {
    const a = await open();
    const first = tokenRecord();
    a.cache.keepToken(first);
    await until(async () => (await a.cache.findToken(first.tokenHash)) !== undefined, 10_000);
    for (const lease of (await etcd.control('lease', 'list')).split('\n').slice(1))
      if (lease.trim()) await etcd.control('lease', 'revoke', lease.trim());
    const dropped = a.counts.dropped;
    a.cache.keepToken(tokenRecord());
    await until(() => a.counts.dropped > dropped, 10_000);
    const next = tokenRecord();
    a.cache.keepToken(next);
    await until(async () => (await a.cache.findToken(next.tokenHash)) !== undefined, 10_000);
  });

  test('another history under the same prefix is told, once', async () => {
    const a = await open({ epoch: () => 'another' });
    await until(() => a.lines.some((line) => line.includes('another history')), 10_000);
    await open();
    await new Promise((resolve) => setTimeout(resolve, 700)); // three more looks of each
    assert.equal(a.lines.filter((line) => line.includes('another history')).length, 1);
    a.close();
  });

  test('frozen, it costs a reader 50 ms once a second; writes are dropped; it comes back by itself', async () => {
    const a = await open();
    const record = tokenRecord();
    a.cache.keepToken(record);
    await until(async () => (await a.cache.findToken(record.tokenHash)) !== undefined, 10_000);
    etcd.member.freeze();
    await until(async () => (await a.cache.findToken(record.tokenHash)) === undefined, 5_000);
    const began = performance.now();
    for (let n = 0; n < 50; n++) assert.equal(await a.cache.findToken(record.tokenHash), undefined);
    const tookMs = performance.now() - began;
    assert.ok(tookMs < 1_000, `${tookMs} ms for 50 look-ups`);
    for (let n = 0; n < 10_500; n++) a.bus.publish(change(1000 + n, 'x'));
    assert.ok(a.counts.dropped > 0, 'never queued without bound');
    etcd.member.thaw();
    await until(async () => (await a.cache.findToken(record.tokenHash)) !== undefined, 60_000);
    a.close();
  });

  test('before the quota is reached nothing more is written to the cache, and again when there is room (NOSPACE never comes)', async () => {
    const a = await open();
    assert.equal(a.hasRoom(), true);
    const bulk = { note: 'x'.repeat(3_900) };
    for (let round = 0; round < 100 && a.hasRoom(); round++) {
      for (let n = 0; n < 60; n++) a.cache.keepToken(tokenRecord({ claims: bulk }));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(a.hasRoom(), false);
    assert.doesNotMatch(await etcd.control('alarm', 'list'), /NOSPACE/);
    await etcd.control('put', 'other', 'still has room');
    const { header } = JSON.parse(await etcd.control('del', '/auth/', '--prefix', '-w', 'json'));
    await etcd.control('compact', String(header.revision));
    await etcd.control('defrag');
    await until(() => a.hasRoom(), 10_000);
  });
});
