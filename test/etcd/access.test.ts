/** Users and passwords, certificates: who may, who may not, and what the operator is told. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Certificates, client, makeCertificates, NEEDS_ETCD, startEtcd, type TestEtcd, wireTo } from '../support/etcd.ts';
import { scratch, sharedCleanup } from '../support/faults.ts';
import { until } from '../support/server.ts';
import { watching } from '../support/watching.ts';

const t = sharedCleanup();
after(() => t.run());

const PASSWORD = 'a-password-of-the-application';
const TOKEN_TTL_SECONDS = 1;
/** etcd looks once a second for tokens that have ended. */
const TOKEN_ENDED_MS = (TOKEN_TTL_SECONDS + 1) * 1_000 + 200;

describe('users and passwords', NEEDS_ETCD, () => {
  let server: TestEtcd;
  const asRoot = (...args: readonly string[]) => server.control('--user', 'root:root', ...args);
  const app = { username: 'app', password: PASSWORD };

  before(async () => {
    // bcrypt as cheap as it gets: what it costs is not the question here.
    server = await startEtcd(t, { flags: ['--auth-token=simple', `--auth-token-ttl=${TOKEN_TTL_SECONDS}`, '--bcrypt-cost=4'] });
    const early = client(t, { endpoints: server.endpoints, ...app });
    await early.isConnected();
    await early.put({ key: '/auth/early', value: '' });
    early.close();
    await server.control('user', 'add', 'root:root');
    await server.control('user', 'add', `app:${PASSWORD}`);
    await server.control('role', 'add', 'app');
    await server.control('role', 'grant-permission', 'app', '--prefix=true', 'readwrite', '/auth/');
    await server.control('user', 'grant-role', 'app', 'app');
    await server.control('auth', 'enable');
  });

  test('a user may do what its role may, and hears that the rest is denied', async () => {
    const etcd = client(t, { endpoints: server.endpoints, ...app });
    const watch = watching(etcd, { prefix: '/auth/' });
    await watch.isCreated();
    await etcd.put({ key: '/auth/a', value: '' });
    await watch.hears('/auth/a');
    await assert.rejects(etcd.put({ key: '/other', value: '' }), { code: 7, message: /permission denied/ });
    await assert.rejects(etcd.range({ prefix: '/' }), { code: 7 });
    assert.equal(etcd.state().status, 'connected');
    etcd.close();
  });

  test('a token that has ended is replaced, and the calls are made after all, each once', async () => {
    const etcd = client(t, { endpoints: server.endpoints, ...app });
    const watch = watching(etcd, { prefix: '/auth/ttl/' });
    await watch.isCreated();
    const idleSince = performance.now();
    await until(() => performance.now() - idleSince > TOKEN_ENDED_MS, 10_000);
    const keys = Array.from({ length: 20 }, (_, i) => `/auth/ttl/${i}`);
    await Promise.all(keys.map((key) => etcd.put({ key, value: '' })));
    await until(() => watch.events.length === 20, 5_000);
    assert.ok(watch.events.every(({ kv }) => kv.version === 1));
    assert.deepEqual([etcd.states, watch.gaps, watch.starts.length], [['connected'], [], 1]);
    etcd.close();
  });

  test('a token that is gone with the restart of etcd is replaced as well', async () => {
    const etcd = client(t, { endpoints: server.endpoints, ...app });
    const watch = watching(etcd, { prefix: '/auth/restart/' });
    await watch.isCreated();
    await server.member.kill();
    await server.member.start();
    await etcd.isConnected();
    await etcd.put({ key: '/auth/restart/a', value: '' });
    await watch.hears('/auth/restart/a');
    assert.deepEqual(watch.gaps, []);
    etcd.close();
  });

  test('a wrong password: a state with the reason, and few attempts', async () => {
    const wire = await wireTo(t, server.member.port);
    const etcd = client(t, { endpoints: [wire.endpoint], username: 'app', password: 'not-the-password' });
    watching(etcd, { prefix: '/auth/' });
    const startedAt = performance.now();
    await assert.rejects(etcd.put({ key: '/auth/a', value: '' }), { code: 16 });
    const state = etcd.state();
    assert.equal(state.status, 'refused');
    assert.match(JSON.stringify(state), /user \\"app\\": etcdserver: authentication failed, invalid user ID or password/);
    assert.doesNotMatch(JSON.stringify(state), /not-the-password/);
    // Between two attempts nothing is asked.
    for (let i = 0; i < 20; i++) await assert.rejects(etcd.put({ key: '/auth/a', value: '' }), { code: 16, message: /invalid user ID/ });
    await until(() => performance.now() - startedAt > 1_500, 3_000);
    assert.ok(wire.connections() <= 4, `${wire.connections()} attempts in 1.5 s`);
    etcd.close();
  });

  test('a user that is taken away while the session is up: refused, and connected once it is there again', async () => {
    await asRoot('user', 'add', 'changing:before');
    await asRoot('user', 'grant-role', 'changing', 'app');
    const etcd = client(t, { endpoints: server.endpoints, username: 'changing', password: 'before' });
    await etcd.put({ key: '/auth/changing', value: '' });
    await asRoot('user', 'delete', 'changing');
    await assert.rejects(etcd.put({ key: '/auth/changing', value: '' }), { code: 16, message: /user "changing"/ });
    await until(() => etcd.state().status === 'refused', 2_000);
    await asRoot('user', 'add', 'changing:before');
    await asRoot('user', 'grant-role', 'changing', 'app');
    await etcd.isConnected();
    await etcd.put({ key: '/auth/changing', value: '' });
    etcd.close();
  });

  test('no user where one is asked for: refused', async () => {
    const etcd = client(t, { endpoints: server.endpoints });
    await assert.rejects(etcd.put({ key: '/auth/a', value: '' }), { code: 16, message: /asks for a user name/ });
    assert.equal(etcd.state().status, 'refused');
    etcd.close();
  });

  test('a watch that is not allowed: refused, calls go on, and it is in place once it is allowed', async () => {
    const etcd = client(t, { endpoints: server.endpoints, ...app });
    const watch = watching(etcd, { prefix: '/more/' });
    await until(() => etcd.state().status === 'refused', 5_000);
    assert.match(JSON.stringify(etcd.state()), /does not allow the watch: etcdserver: permission denied/);
    await etcd.put({ key: '/auth/a', value: '' });
    await asRoot('role', 'grant-permission', 'app', '--prefix=true', 'readwrite', '/more/');
    await watch.isCreated();
    await until(() => etcd.state().status === 'connected', 1_000);
    await etcd.put({ key: '/more/a', value: '' });
    await watch.hears('/more/a');
    etcd.close();
  });
});

describe('TLS with client certificates', NEEDS_ETCD, () => {
  let server: TestEtcd;
  let files: Certificates;
  let pem: { readonly ca: string; readonly cert: string; readonly key: string };
  let strangers: typeof pem;
  const read = ({ ca, cert, key }: Certificates) => ({
    ca: readFileSync(ca, 'utf8'),
    cert: readFileSync(cert, 'utf8'),
    key: readFileSync(key, 'utf8'),
  });

  before(async () => {
    const folder = await scratch(t);
    files = await makeCertificates(folder, 'ours');
    pem = read(files);
    strangers = read(await makeCertificates(folder, 'strangers'));
    server = await startEtcd(t, { tls: files });
  });

  test('calls and watches', async () => {
    const etcd = client(t, { endpoints: server.endpoints.map((endpoint) => endpoint.replace('https://', '')), ...pem });
    const watch = watching(etcd, { prefix: '/tls/' });
    await watch.isCreated();
    await etcd.put({ key: '/tls/a', value: Buffer.alloc(1_000_000) });
    await watch.hears('/tls/a');
    assert.deepEqual(etcd.states, ['connected']);
    etcd.close();
  });

  const REFUSED: readonly [why: string, options: () => Partial<typeof pem> & { servername?: string }, reason: RegExp][] = [
    ['an authority that did not sign', () => ({ ...pem, ca: strangers.ca }), /TLS: the certificates do not fit/],
    ['the usual authorities', () => ({ cert: pem.cert, key: pem.key }), /TLS: the certificates do not fit/],
    ['no certificate of ours', () => ({ ca: pem.ca }), /TLS: .*certificate/],
    ['a certificate by another authority', () => ({ ...strangers, ca: pem.ca }), /TLS: .*certificate/],
    ['another name in its certificate', () => ({ ...pem, servername: 'etcd.example' }), /TLS: .*etcd\.example/],
  ];
  for (const [why, options, reason] of REFUSED) {
    test(`${why}: unreachable, with the reason`, async () => {
      const etcd = client(t, { endpoints: server.endpoints, ...options() });
      await assert.rejects(etcd.put({ key: 'x', value: '' }), { code: 14, message: reason });
      assert.equal(etcd.state().status, 'unreachable');
      assert.match(JSON.stringify(etcd.state()), reason);
      etcd.close();
    });
  }

  test('without TLS to a port with it: unreachable', async () => {
    const etcd = client(t, { endpoints: server.endpoints.map((endpoint) => endpoint.replace('https', 'http')) });
    await until(() => etcd.state().status === 'unreachable', 4_000);
    etcd.close();
  });
});
