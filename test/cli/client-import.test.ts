import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type InProcessServer, openServer, until } from '../support/server.ts';
import { auth, PROGRAM, type Result } from './run.ts';

let server: InProcessServer;
let folder: string;
before(async () => {
  [server, folder] = await Promise.all([openServer(), mkdtemp(join(tmpdir(), 'auth-import-'))]);
});
after(async () => {
  await rm(folder, { recursive: true });
  await server.stop();
});

const environment = () => ({ AUTH_ISSUER: server.url, AUTH_ADMIN_CLIENT_SECRET: server.admin.clientSecret });
const client = (args: readonly string[], input = ''): Promise<Result> =>
  auth(['client', ...args], { cwd: folder, env: environment(), input });
const count = async (prefix: string) =>
  (await server.database.query<{ n: number }>('select count(*)::int as n from client where client_id like $1', [`${prefix}%`]))[0]?.n ?? -1;
const write = (name: string, lines: readonly object[]) =>
  writeFile(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
const many = (prefix: string, length: number) =>
  Array.from({ length }, (_, index) => ({ client_id: `${prefix}${index}`, client_name: `N ${index}`, scope: 'a' }));

test('a file of more than one batch; again, all is as it was; auth: scopes are given by who has them', async () => {
  await write('all.jsonl', [...many('all-', 2_300), { client_id: 'all-own', scope: 'auth:audit' }]);
  const dry = await client(['import', 'all.jsonl', '--dry-run']);
  assert.deepEqual([dry.code, dry.stdout, dry.stderr, await count('all-')], [0, 'to be created 2301, unchanged 0, failed 0\n', '', 0]);
  const done = await client(['import', 'all.jsonl']);
  assert.deepEqual([done.code, done.stdout, done.stderr, await count('all-')], [0, 'created 2301, unchanged 0, failed 0\n', '', 2_301]);
  const again = await client(['import', 'all.jsonl', '--json']);
  assert.deepEqual([again.code, JSON.parse(again.stdout)], [0, { created: 0, unchanged: 2_301, failed: 0 }]);
});

test('a wrong line in the last batch: each is told by its number, and nothing is created; --partial creates the others', async () => {
  await write('wrong.jsonl', [...many('wrong-', 1_200), { client_id: 'wrong-x', scope: ' ' }, { foo: 1 }]);
  const result = await client(['import', 'wrong.jsonl']);
  assert.deepEqual([result.code, result.stdout, await count('wrong-')], [1, 'created 0, unchanged 0, failed 2\n', 0]);
  assert.match(
    result.stderr,
    /^line 1201: \/scope [^\n]+\nline 1202: \/foo [^\n]+\nline 1202: \/client_id [^\n]+\nerror: 2 lines are wrong, so nothing was created\n$/,
  );
  const partial = await client(['import', 'wrong.jsonl', '--partial', '--json']);
  const { errors, ...counts } = JSON.parse(partial.stdout);
  assert.deepEqual([partial.code, counts, await count('wrong-')], [1, { created: 1_200, unchanged: 0, failed: 2 }, 1_200]);
  assert.deepEqual(
    errors.map(({ line, pointer }: Record<string, unknown>) => [line, pointer]),
    [
      [1_201, '/scope'],
      [1_202, '/foo'],
      [1_202, '/client_id'],
    ],
  );
});

test('standard input is read once: batches before a wrong one stay, and the message says so', async () => {
  const lines = [...many('pipe-', 1_000), { client_id: 'pipe-x', scope: ' ' }, ...many('pipe-later-', 10)];
  const result = await client(['import', '-'], lines.map((line) => JSON.stringify(line)).join('\n'));
  assert.deepEqual([result.code, result.stdout, await count('pipe-')], [1, 'created 1000, unchanged 0, failed 1\n', 1_000]);
  assert.match(result.stderr, /^line 1001: \/scope [^\n]+\nerror: stopped: /);
});

test('an import that was killed is gone on with by the same command', async () => {
  await write('killed.jsonl', many('killed-', 6_000));
  const child = spawn(process.execPath, [PROGRAM, 'client', 'import', 'killed.jsonl'], {
    cwd: folder,
    env: { PATH: process.env.PATH, ...environment() },
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await until(async () => (await count('killed-')) > 0, 30_000);
  child.kill('SIGKILL');
  await ended;
  const result = await client(['import', 'killed.jsonl', '--json']);
  const { created, unchanged, failed } = JSON.parse(result.stdout);
  assert.deepEqual([result.code, created + unchanged, failed, await count('killed-')], [0, 6_000, 0, 6_000]);
  assert.ok(unchanged >= 1_000, 'what was created before stays');
});

test('files that cannot be imported', async () => {
  await writeFile(join(folder, 'latin1.jsonl'), Buffer.from([0x7b, 0xe9, 0x7d, 0x0a]));
  await writeFile(join(folder, 'endless.jsonl'), 'x'.repeat(200_000));
  for (const [file, message] of [
    ['missing.jsonl', /^error: the file cannot be read \(ENOENT\)\n$/],
    ['latin1.jsonl', /^error: the file is not UTF-8 text\n$/],
    ['endless.jsonl', /^error: line 1 is longer than 64 KiB\n$/],
  ] as const) {
    const result = await client(['import', file]);
    assert.deepEqual([result.code, result.stdout], [2, ''], file);
    assert.match(result.stderr, message);
  }
});

test('an export can be imported: without hashes, and with them', async () => {
  await client(
    ['import', '-'],
    '{"client_id":"exported","secrets":[{"name":"k","hash":"$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"}]}',
  );
  const lineOf = (stdout: string) => stdout.split('\n').find((line) => line.includes('"exported"')) ?? '';
  const [plain, hashes] = [await client(['export']), await client(['export', '--with-secret-hashes'])];
  assert.deepEqual([plain.code, hashes.code, plain.stderr, hashes.stderr], [0, 0, '', '']);
  assert.ok(!plain.stdout.includes('"hash"') && lineOf(hashes.stdout).includes('If6bvum7DFj'));
  assert.equal(plain.stdout.trim().split('\n').length, await count(''));
  const other = await openServer();
  try {
    const env = { AUTH_ISSUER: other.url, AUTH_ADMIN_CLIENT_SECRET: other.admin.clientSecret };
    const result = await auth(['client', 'import', '-'], { cwd: folder, env, input: lineOf(hashes.stdout) });
    assert.deepEqual([result.code, result.stdout], [0, 'created 1, unchanged 0, failed 0\n'], result.stderr);
  } finally {
    await other.stop();
  }
});
