import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { register } from '../support/registration.ts';
import { type InProcessServer, openServer } from '../support/server.ts';
import { auth } from './run.ts';

let server: InProcessServer;
let folder: string;
before(async () => {
  [server, folder] = await Promise.all([openServer({ AUTH_REGISTRATION: 'token' }), mkdtemp(join(tmpdir(), 'auth-cli-'))]);
});
after(async () => {
  await rm(folder, { recursive: true });
  await server.stop();
});

const tokens = (...args: readonly string[]) =>
  auth(['registration-token', ...args], {
    cwd: folder,
    env: { AUTH_ISSUER: server.url, AUTH_ADMIN_CLIENT_SECRET: server.admin.clientSecret },
  });

test('create prints the token once, a client registers by it, list tells of it, delete ends it', async () => {
  const created = await tokens('create', '--name', 'farm', '--uses', '2', '--scope', 'a b', '--expires-in', '24h', '--json');
  assert.deepEqual([created.code, created.stderr], [0, 'note: initial_access_token is not shown again\n']);
  const { id, initial_access_token: token, scope, uses, expires_at } = JSON.parse(created.stdout);
  assert.deepEqual([scope, uses], ['a b', 2]);
  assert.ok(Math.abs(Date.parse(expires_at) - Date.now() - 86_400_000) < 60_000);
  assert.equal((await register(server.url, { scope: 'a' }, token)).status, 201);
  const listed = await tokens('list');
  assert.match(listed.stdout, /^ID +NAME +USED +ENDS +SCOPE\n/);
  assert.match(listed.stdout, new RegExp(`^${id} +farm +1 of 2 +${expires_at} +a b$`, 'm'));
  const deleted = await tokens('delete', id);
  assert.deepEqual([deleted.code, deleted.stdout], [0, 'deleted\n']);
  assert.equal((await register(server.url, {}, token)).status, 401);
  assert.equal((await tokens('delete', id)).code, 1);
});

test('--output: the token goes into a new file of mode 0600 and nowhere else; --unlimited needs an end', async () => {
  const result = await tokens('create', '--unlimited', '--expires-in', '90d', '--output', 'initial.token');
  assert.equal(result.code, 0, result.stderr);
  const token = (await readFile(join(folder, 'initial.token'), 'utf8')).trim();
  assert.equal((await stat(join(folder, 'initial.token'))).mode & 0o777, 0o600);
  assert.match(result.stdout, /^uses +null$/m);
  assert.equal((result.stdout + result.stderr).includes(token), false);
  assert.equal((await register(server.url, { scope: 'anything' }, token)).status, 201);
  assert.deepEqual((await tokens('create', '--unlimited')).code, 2);
  assert.deepEqual((await tokens('create', '--unlimited', '--uses', '3')).code, 2);
});

test('list --all goes through the pages; what the server refuses is told', async () => {
  for (let made = 0; made < 3; made++) assert.equal((await tokens('create')).code, 0);
  const page = await tokens('list', '--limit', '2');
  assert.deepEqual([page.stdout.trim().split('\n').length, page.stderr], [3, 'note: there are more: --all shows them\n']);
  const all = JSON.parse((await tokens('list', '--all', '--limit', '2', '--json')).stdout).items;
  assert.equal(new Set(all.map(({ id }: { id: string }) => id)).size, all.length);
  assert.ok(all.length >= 4);
  const refused = await tokens('create', '--scope', 'auth:clients');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^error: invalid_request: the registration token is not valid\n {2}\/scope must not/);
});
