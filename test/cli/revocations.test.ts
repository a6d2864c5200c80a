import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import { type AccessToken, hashToken } from '../../src/core/reference-token.ts';
import { createClient, issueToken, postForm } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer, until } from '../support/server.ts';
import { auth, PROGRAM, type Result } from './run.ts';

let server: InProcessServer;
let client: Credentials;
before(async () => {
  server = await openServer();
  client = await createClient(server, { client_id: 'svc' });
});
after(() => server.stop());

const env = () => ({ AUTH_ISSUER: server.url, AUTH_ADMIN_CLIENT_SECRET: server.admin.clientSecret });
const revocations = (args: readonly string[], input = ''): Promise<Result> => auth(['revocations', ...args], { env: env(), input });
const active = async (token: string) => (await postForm(`${server.url}/introspect`, { token }, server.admin)).body.active;

test('add: a dry run counts; then all of a client end; the reason is kept', async () => {
  const token = await issueToken(server.url, client);
  const dry = await revocations(['add', '--client', 'svc', '--dry-run']);
  assert.deepEqual([dry.code, dry.stdout], [0, '1 tokens would end\n']);
  assert.equal(await active(token), true);
  const result = await revocations(['add', '--client', 'svc', '--reason', 'a leak', '--json']);
  assert.equal(result.code, 0, result.stderr);
  const { client_id, reason } = JSON.parse(result.stdout);
  assert.deepEqual([client_id, reason], ['svc', 'a leak']);
  assert.equal(await active(token), false);
});

test('add: a token from standard input, a hash, a subject, a time in either form', async () => {
  const [piped, hashed, other] = [
    await issueToken(server.url, client),
    await issueToken(server.url, client),
    await issueToken(server.url, client),
  ];
  assert.equal((await revocations(['add', '-'], piped)).code, 0);
  assert.equal((await revocations(['add', '--hash', hashToken(hashed as AccessToken)])).code, 0);
  for (const time of ['1000', '2001-01-01T00:00:00Z'])
    assert.equal((await revocations(['add', '--sub', 'svc', '--issued-before', time])).code, 0);
  assert.deepEqual(await Promise.all([piped, hashed, other].map(active)), [false, false, true]);
  assert.equal((await revocations(['add', '--sub', 'svc'])).code, 0);
  assert.equal(await active(other), false);
  const unknown = await revocations(['add', 'junk']);
  assert.deepEqual([unknown.code, unknown.stdout], [0, 'there was nothing to end\n']);
});

test('add: the same key does it once', async () => {
  const args = ['add', '--sub', 'svc', '--idempotency-key', 'drill', '--json'];
  const first = await revocations(args);
  const token = await issueToken(server.url, client);
  assert.deepEqual((await revocations(args)).stdout, first.stdout);
  assert.equal(await active(token), true);
});

for (const [why, args, code, message] of [
  ['no target', [], 2, /one of --hash/],
  ['two targets', ['--client', 'svc', '--sub', 'svc'], 2, /one of --hash/],
  ['a time that is none', ['--sub', 'svc', '--issued-before', 'yesterday'], 2, /must be a time/],
  ['all without a terminal and without --yes', ['--all', '--issued-before', '1000'], 2, /--yes/],
  ['all without a time', ['--all', '--yes'], 1, /issued_before is needed/],
  ['a client that is not there', ['--client', 'nobody'], 1, /no such client/],
] as const) {
  test(`add is refused: ${why}`, async () => {
    const result = await revocations(['add', ...args]);
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, message);
  });
}

test('list: a table, and where it goes on', async () => {
  await revocations(['add', '--sub', 'somebody', '--reason', 'listed']);
  const { stdout, stderr } = await revocations(['list', '--limit', '1']);
  assert.match(stdout, /^ENDED +WHAT +ISSUED BEFORE +REASON\n2\d{3}-/);
  const [, cursor = ''] = /there are more: --after (\S+)/.exec(stderr) ?? [];
  assert.match((await revocations(['list', '--after', cursor])).stdout, /sub somebody +2.* +listed\n/);
});

test('follow: one line for each, as soon as it ends', async (t) => {
  const child = spawn(process.execPath, [PROGRAM, 'revocations', 'follow', '--json'], {
    cwd: tmpdir(),
    env: { PATH: process.env.PATH, ...env() },
  });
  t.after(() => child.kill('SIGKILL'));
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  // It begins at a moment of its own: until then nothing is shown.
  await until(async () => {
    await revocations(['add', '--sub', 'followed']);
    return stdout.includes('followed');
  }, 20_000);
  const token = await issueToken(server.url, client);
  await postForm(`${server.url}/revoke`, { token }, client);
  await until(() => stdout.includes(hashToken(token as AccessToken)), 5_000);
  for (const line of stdout.trim().split('\n')) assert.equal(typeof JSON.parse(line).cursor, 'string');
});
