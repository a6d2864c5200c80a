/** An etcd that does not take the server, is not there, or comes later: the server starts, says so once, and serves (docs/reliability.md). */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { issueToken, postForm } from '../support/client.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeCertificates, NEEDS_ETCD, startEtcd } from '../support/etcd.ts';
import { ADMIN, ENCRYPTION_KEY, launch, type Program, scratch, sharedCleanup } from '../support/faults.ts';
import { freePort, until } from '../support/server.ts';

/** In which an attempt after the other would be told. */
const LISTEN_MS = 4_000;
const REFUSED = 'etcd refuses this server';
const UNREACHABLE = 'etcd cannot be reached';
const THERE = 'etcd is there';

const t = sharedCleanup();
let folder: string;
let database: TestDatabase;

describe('etcd at the start of a server', { ...NEEDS_ETCD, concurrency: true }, () => {
  before(async () => {
    folder = await scratch(t);
    database = await createDatabase();
  });
  after(async () => {
    await t.run();
    await database.drop();
  });

  async function start(etcd: Readonly<Record<string, string>>): Promise<Program> {
    const common = { DATABASE_URL: database.url, AUTH_ENCRYPTION_KEY: ENCRYPTION_KEY, AUTH_ADMIN_CLIENT_SECRET: ADMIN.clientSecret };
    const server = await launch(t, { folder, env: { ...common, AUTH_ISSUER: 'http://localhost:8080', ...etcd } });
    await server.ready();
    return server;
  }

  /** Issued, known, revoked. */
  async function serves({ url }: Program): Promise<void> {
    const token = await issueToken(url, ADMIN);
    const isActive = async () => (await postForm(`${url}/introspect`, { token }, ADMIN)).body.active;
    assert.equal(await isActive(), true);
    assert.equal((await postForm(`${url}/revoke`, { token }, ADMIN)).status, 200);
    assert.equal(await isActive(), false);
  }

  const linesWith = (server: Program, text: string) =>
    server
      .output()
      .split('\n')
      .filter((line) => line.includes(text));
  /** While requests come, too. */
  async function saysOnce(server: Program, text: string): Promise<string> {
    await until(() => linesWith(server, text).length > 0, 10_000);
    const since = performance.now();
    const before = server.output().split('\n').length;
    while (performance.now() - since < LISTEN_MS) await serves(server);
    const said = linesWith(server, text);
    assert.equal(said.length, 1, said.join('\n'));
    const more = server.output().split('\n').length - before;
    assert.ok(more <= 2, `${more} lines more in ${LISTEN_MS} ms: ${server.output()}`);
    return said[0] ?? '';
  }

  test('a wrong password: said once, without it, and everything is answered', async () => {
    const etcd = await startEtcd(t, { flags: ['--bcrypt-cost=4'] });
    await etcd.control('user', 'add', 'root:root');
    await etcd.control('auth', 'enable');
    const server = await start({ ETCD_ENDPOINTS: etcd.endpoints.join(','), ETCD_USERNAME: 'root', ETCD_PASSWORD: 'not-the-password' });
    const line = await saysOnce(server, REFUSED);
    assert.match(line, /invalid user ID or password/);
    assert.doesNotMatch(server.output(), /not-the-password/);
  });

  test('no password where one is wanted: said once', async () => {
    const etcd = await startEtcd(t, { flags: ['--bcrypt-cost=4'] });
    await etcd.control('user', 'add', 'root:root');
    await etcd.control('auth', 'enable');
    await saysOnce(await start({ ETCD_ENDPOINTS: etcd.endpoints.join(',') }), REFUSED);
  });

  test("a certificate of another authority, ours or etcd's: said once", async () => {
    const [right, other] = await Promise.all([makeCertificates(folder, 'right'), makeCertificates(folder, 'other')]);
    const etcd = await startEtcd(t, { tls: right });
    const common = { ETCD_ENDPOINTS: etcd.endpoints.join(',') };
    const [distrusting, distrusted, good] = await Promise.all([
      start({ ...common, ETCD_CA_FILE: other.ca, ETCD_CERT_FILE: right.cert, ETCD_KEY_FILE: right.key }),
      start({ ...common, ETCD_CA_FILE: right.ca, ETCD_CERT_FILE: other.cert, ETCD_KEY_FILE: other.key }),
      start({ ...common, ETCD_CA_FILE: right.ca, ETCD_CERT_FILE: right.cert, ETCD_KEY_FILE: right.key }),
    ]);
    await Promise.all([saysOnce(distrusting, UNREACHABLE), saysOnce(distrusted, UNREACHABLE), saysOnce(good, THERE)]);
  });

  test('unreachable at the start: a warning; when it comes the server joins', async () => {
    const etcd = await startEtcd(t);
    await etcd.member.kill();
    const server = await start({ ETCD_ENDPOINTS: etcd.endpoints.join(','), ETCD_PREFIX: '/later/' });
    await saysOnce(server, UNREACHABLE);
    await etcd.member.start();
    await until(() => linesWith(server, THERE).length === 1, 15_000);
    await until(async () => {
      await serves(server);
      return (await etcd.control('get', '/later/tokens/', '--prefix', '--keys-only')).includes('/later/tokens/');
    }, 10_000);
  });

  test('something else listens there: a warning, and everything is answered', async () => {
    // The server's own kind: it speaks HTTP and is no etcd.
    const other = await start({});
    await saysOnce(await start({ ETCD_ENDPOINTS: other.url.replace('http://', '') }), UNREACHABLE);
    await saysOnce(await start({ ETCD_ENDPOINTS: `127.0.0.1:${await freePort()}` }), UNREACHABLE);
  });
});
