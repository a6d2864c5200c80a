import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type InProcessServer, openServer } from '../support/server.ts';
import { auth } from './run.ts';

let server: InProcessServer;
before(async () => {
  server = await openServer({ AUTH_SCOPES: 'catalogue' });
});
after(() => server.stop());

const run = (...args: readonly string[]) =>
  auth(args, { env: { AUTH_ISSUER: server.url, AUTH_ADMIN_CLIENT_SECRET: server.admin.clientSecret } });

test('scope add, list, show, describe, remove', async () => {
  const added = await run('scope', 'add', 'files/read:all', '--description', 'see files');
  assert.deepEqual([added.code, added.stderr], [0, '']);
  assert.match(added.stdout, /^name +files\/read:all\ndescription +see files\nclients +0\ncreated_at +\S+\n$/);
  await run('client', 'create', '--id', 'one', '--scope', 'files/read:all');
  await run('client', 'create', '--id', 'two', '--scope', 'files/read:all');
  const listed = await run('scope', 'list');
  assert.match(listed.stdout, /^SCOPE +CLIENTS +DESCRIPTION\nauth:audit +1 +read the audit\n/);
  assert.match(listed.stdout, /\nfiles\/read:all +2 +see files\n$/);
  const shown = await run('scope', 'show', 'files/read:all', '--limit', '1');
  assert.match(shown.stdout, /\nheld_by +one\n$/);
  assert.equal(shown.stderr, 'note: there are more clients: --all shows them\n');
  const all = await run('scope', 'show', 'files/read:all', '--limit', '1', '--all', '--json');
  assert.deepEqual(JSON.parse(all.stdout).items, ['one', 'two']);
  assert.equal(JSON.parse((await run('scope', 'list', '--limit', '2', '--all', '--json')).stdout).items.length, 8);
  assert.match((await run('scope', 'describe', 'files/read:all', 'look at files')).stdout, /description +look at files/);
  assert.doesNotMatch((await run('scope', 'describe', 'files/read:all', '')).stdout, /description/);
  const held = await run('scope', 'remove', 'files/read:all');
  assert.deepEqual([held.code, held.stderr], [1, 'error: conflict: clients hold this scope: take it from them first\n']);
  await run('client', 'delete', 'one', '--yes');
  await run('client', 'delete', 'two', '--yes');
  const removed = await run('scope', 'remove', 'files/read:all');
  assert.deepEqual([removed.code, removed.stdout], [0, 'removed\n']);
  assert.equal((await run('scope', 'show', '..')).code, 2);
});

test('a typing error in a scope is said by name', async () => {
  await run('scope', 'add', 'parcels:read');
  const { code, stderr } = await run('client', 'create', '--scope', 'parcel:read');
  assert.equal(code, 1);
  assert.match(stderr, /\n {2}\/scope parcel:read is not in the scope catalogue; did you mean parcels:read\?\n$/);
});

test('client create --administers makes an administrator of a part, who is told what it may not', async () => {
  const made = await run(
    'client',
    'create',
    '--id',
    'team-a-admin',
    '--scope',
    'auth:clients',
    '--administers',
    '{"prefix":"team-a-"}',
    '--json',
  );
  assert.deepEqual(JSON.parse(made.stdout).administers, { prefix: 'team-a-' });
  const env = {
    AUTH_ISSUER: server.url,
    AUTH_ADMIN_CLIENT_ID: 'team-a-admin',
    AUTH_ADMIN_CLIENT_SECRET: JSON.parse(made.stdout).client_secret,
  };
  const refused = await auth(['client', 'create', '--id', 'team-b-1'], { env });
  assert.match(refused.stderr, /insufficient_scope: your administration is limited: give a client_id that begins with its prefix/);
  assert.equal((await auth(['client', 'create', '--id', 'team-a-1'], { env })).code, 0);
  assert.match((await auth(['client', 'list'], { env })).stdout, /^CLIENT ID.*\nteam-a-1 .*\nteam-a-admin .*\n$/);
});
