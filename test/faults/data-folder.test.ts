/** One server on a data folder, whoever else tries; folders that are hard to reach; what others may read. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chown, cp, lstat, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { issueToken, postForm } from '../support/client.ts';
import {
  ADMIN,
  announcedAdmin,
  CHECKOUT,
  launch,
  NEEDS_ROOT,
  NOBODY,
  type Program,
  processesOf,
  scratch,
  sharedCleanup,
  signal,
  within,
} from '../support/faults.ts';
import { until } from '../support/server.ts';
import { History } from './history.ts';

const ENV = { AUTH_ADMIN_CLIENT_SECRET: ADMIN.clientSecret };
const IN_USE = /^auth cannot start: another server is running on .*\/data: stop it, or set AUTH_DATA_DIR to another folder$/m;

const shared = sharedCleanup();
/** One after the other: what a test leaves behind, the next one finds. */
let folder: string;

before(async () => {
  folder = await scratch(shared);
});

after(() => shared.run());

test('a second server on a data folder stops and says why; the first goes on undisturbed', async (t) => {
  const first = await launch(t, { folder, env: ENV });
  await first.ready();
  await until(() => existsSync(join(folder, 'data', 'server.json')), 2_000);
  const serverFile = await readFile(join(folder, 'data', 'server.json'), 'utf8');
  const history = new History();
  await history.load({ url: first.url, workers: 2 }, async () => {
    const second = await launch(t, { folder, env: { AUTH_ADMIN_CLIENT_SECRET: 'x'.repeat(40) } });
    assert.deepEqual(await within(15_000, second.exit, second.output), { code: 1, signal: null });
    assert.match(second.output(), IN_USE);
  });
  assert.equal(history.outages, 0);
  await history.verify(first.url);
  assert.equal(await readFile(join(folder, 'data', 'server.json'), 'utf8'), serverFile);
  assert.deepEqual(await first.end('SIGTERM'), { code: 0, signal: null });
});

test('kill -9 of the server: the next start adopts its PostgreSQL, and stops it in the end', async (t) => {
  const first = await launch(t, { folder, env: ENV });
  await first.ready();
  const token = await issueToken(first.url, ADMIN);
  await first.end('SIGKILL');
  assert.notDeepEqual(processesOf(`${folder}/data`), [], 'PostgreSQL lives on');
  const second = await launch(t, { folder, env: ENV });
  await second.ready();
  assert.match(second.output(), /adopted the private PostgreSQL/);
  assert.equal((await postForm(`${second.url}/introspect`, { token }, ADMIN)).body.active, true);

  for (const pid of processesOf(`${folder}/data/postgres`)) signal(pid, 'SIGKILL');
  await until(() => second.output().includes('the private PostgreSQL has died: starting it again'), 5_000);
  await second.ready(5_000);
  assert.deepEqual(await second.end('SIGTERM'), { code: 0, signal: null });
  assert.deepEqual(processesOf(folder), []);
});

test('servers started at the same instant on an empty folder: exactly one survives and serves', async (t) => {
  const folder = await scratch(t);
  const servers = await Promise.all([launch(t, { folder }), launch(t, { folder }), launch(t, { folder })]);
  const running = () => servers.filter((server) => server.isRunning());
  await until(() => running().length === 1, 20_000);
  const [survivor] = running() as [Program];
  await survivor.ready();
  for (const server of servers) if (server !== survivor) assert.match((await server.exit) && server.output(), IN_USE);
  const admin = await announcedAdmin(...servers);
  assert.ok(await issueToken(survivor.url, admin));
  const { client_id, client_secret } = JSON.parse(await readFile(join(folder, 'data', 'admin.json'), 'utf8'));
  assert.deepEqual({ clientId: client_id, clientSecret: client_secret }, admin);
  await until(() => existsSync(join(folder, 'data', 'server.json')), 2_000);
  assert.equal(JSON.parse(await readFile(join(folder, 'data', 'server.json'), 'utf8')).url, survivor.url);
  assert.deepEqual(await survivor.end('SIGTERM'), { code: 0, signal: null });
});

test('a server started while the one before it stops takes over', async (t) => {
  let before = await launch(t, { folder, env: ENV });
  await before.ready();
  for (let round = 0; round < 3; round++) {
    const exit = before.end('SIGTERM');
    const next = await launch(t, { folder, env: ENV });
    assert.deepEqual(await exit, { code: 0, signal: null });
    await next.ready();
    before = next;
  }
});

test('a second server that comes while the PostgreSQL of the first one is down: only one of them goes on', async (t) => {
  const first = await launch(t, { folder, env: ENV });
  await first.ready();
  for (const pid of processesOf(`${folder}/data/postgres`)) signal(pid, 'SIGKILL');
  const second = await launch(t, { folder, env: ENV });
  await until(() => first.isRunning() !== second.isRunning(), 10_000);
  const survivor = first.isRunning() ? first : second;
  await survivor.ready(5_000);
  assert.deepEqual(await survivor.end('SIGTERM'), { code: 0, signal: null });
  assert.deepEqual(processesOf(folder), []);
});

test('below a folder that only root may enter', NEEDS_ROOT, async (t) => {
  const folder = await scratch(t);
  await mkdir(join(folder, 'closed'), { mode: 0o700 });
  const dataDir = join(folder, 'closed', 'data');
  const server = await launch(t, { folder, env: { ...ENV, AUTH_DATA_DIR: dataDir } });
  await server.ready();
  const token = await issueToken(server.url, ADMIN);
  await server.end('SIGKILL');
  const next = await launch(t, { folder, env: { ...ENV, AUTH_DATA_DIR: dataDir } });
  await next.ready();
  assert.equal((await postForm(`${next.url}/introspect`, { token }, ADMIN)).body.active, true);
  assert.deepEqual(await next.end('SIGTERM'), { code: 0, signal: null });
  assert.deepEqual(processesOf(folder), []);
});

test('the whole server as a plain user', NEEDS_ROOT, async (t) => {
  const folder = await scratch(t);
  const program = join(folder, 'program');
  await mkdir(program);
  for (const part of ['dist/src', 'migrations', 'package.json']) await cp(join(CHECKOUT, part), join(program, part), { recursive: true });
  await symlink(join(CHECKOUT, 'node_modules'), join(program, 'node_modules'));
  const home = join(folder, 'home');
  await mkdir(home);
  await chown(home, NOBODY, NOBODY);
  const command = [process.execPath, join(program, 'dist', 'src', 'main.js'), 'serve'] as const;
  const server = await launch(t, { folder, cwd: home, command, uid: NOBODY, env: { AUTH_DATA_DIR: 'data' } });
  await server.ready();
  assert.ok(await issueToken(server.url, await announcedAdmin(server)));
  await assertPrivate(join(home, 'data'), NOBODY);
  assert.deepEqual(await server.end('SIGTERM'), { code: 0, signal: null });
  assert.deepEqual(processesOf(folder), []);
});

test('nothing in the data folder can be read by others, however generous the umask', async (t) => {
  const folder = await scratch(t);
  const command = ['sh', '-c', `umask 0; exec "${process.execPath}" "${join(CHECKOUT, 'dist', 'src', 'main.js')}" serve`] as const;
  const server = await launch(t, { folder, command });
  await server.ready();
  await issueToken(server.url, await announcedAdmin(server));
  await assertPrivate(join(folder, 'data'));
  assert.deepEqual(await server.end('SIGTERM'), { code: 0, signal: null });
  await assertPrivate(join(folder, 'data'));
});

/** Folders may be entered by others (PostgreSQL's account has to), files may not be touched. */
async function assertPrivate(dataDir: string, uid?: number): Promise<void> {
  const names = ['.', ...(await readdir(dataDir, { recursive: true }))];
  assert.ok(
    ['encryption.key', 'admin.json', 'server.json', 'postgres.log'].every((name) => names.includes(name)),
    names.join(' '),
  );
  for (const name of names) {
    const found = await lstat(join(dataDir, name)).catch(() => undefined); // PostgreSQL is at work
    if (!found) continue;
    assert.equal(found.mode & (found.isDirectory() ? 0o066 : 0o077), 0, `${name} has ${found.mode.toString(8)}`);
    if (uid !== undefined) assert.equal(found.uid, uid, name);
  }
}
