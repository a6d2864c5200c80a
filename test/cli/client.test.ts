import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { keyPair } from '../support/assertions.ts';
import { createClient, issueToken, request } from '../support/client.ts';
import { type InProcessServer, openServer } from '../support/server.ts';
import { auth, type Result } from './run.ts';

let server: InProcessServer;
let folder: string;
/** a token of the administrator */
let administration: string;
before(async () => {
  [server, folder] = await Promise.all([openServer(), mkdtemp(join(tmpdir(), 'auth-cli-'))]);
  administration = await issueToken(server.url, server.admin);
});
after(async () => {
  await rm(folder, { recursive: true });
  await server.stop();
});

/** As the administrator, who is known from the environment. */
function client(args: readonly string[], input = ''): Promise<Result> {
  const env = { AUTH_ISSUER: server.url, AUTH_ADMIN_CLIENT_SECRET: server.admin.clientSecret };
  return auth(['client', ...args], { cwd: folder, env, input });
}

/** The client as the server has it, not by way of the command line. */
async function stored(id: string) {
  const answer = await request(`${server.url}/clients/${id}`, { headers: { authorization: `Bearer ${administration}` } });
  assert.equal(answer.status, 200, answer.text);
  return answer.body;
}

async function tokensLeft(): Promise<number> {
  const [row] = await server.database.query<{ left: number }>(
    `select count(*)::int as left from access_token where client_id = 'admin'
       and not exists (select from change where kind = 'token' and key = rtrim(translate(encode(token_hash, 'base64'), '+/', '-_'), '='))`,
  );
  return row?.left ?? -1;
}

test('create, with every flag', async () => {
  const flags = ['--id', 'all', '--name', 'All', '--scope', 'a b', '--audience', 'https://x.example', '--audience', 'y', '--resource'];
  const more = [
    'https://r.example/',
    '--ttl',
    '60',
    '--format',
    'jwt',
    '--claims',
    '{"tenant":"acme"}',
    '--auth-method',
    'client_secret_post',
  ];
  const result = await client(['create', ...flags, ...more, '--json']);
  assert.deepEqual([result.code, result.stderr], [0, 'note: client_secret is not shown again\n']);
  const { client_secret, ...created } = JSON.parse(result.stdout);
  assert.match(client_secret, /^[A-Za-z0-9_-]{43}$/);
  const expected = {
    client_name: 'All',
    scope: 'a b',
    audience: ['https://x.example', 'y'],
    resources: ['https://r.example/'],
    access_token_ttl: 60,
    access_token_format: 'jwt',
    claims: { tenant: 'acme' },
    token_endpoint_auth_method: 'client_secret_post',
  };
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(created[name], value, name);
});

test('create, from a document that the flags override', async () => {
  await writeFile(
    join(folder, 'client.json'),
    JSON.stringify({ client_id: 'from-file', client_name: 'File', scope: 'a', claims: { x: 1 } }),
  );
  await writeFile(join(folder, 'claims.json'), '{"y":2}');
  const result = await client(['create', '--metadata', '@client.json', '--scope', 'b', '--claims', '@claims.json']);
  assert.equal(result.code, 0, result.stderr);
  const { client_name, scope, claims } = await stored('from-file');
  assert.deepEqual([client_name, scope, claims], ['File', 'b', { y: 2 }]);
  const again = await client(['create', '--metadata', '@-'], '{"client_id":"from-file"}');
  assert.equal(again.code, 1);
  assert.match(again.stderr, /^error: conflict: /);
});

test('create and update a client with keys: none of its secrets is shown, for it has none', async () => {
  const [jwks, next] = [{ keys: [keyPair().jwk] }, { keys: [keyPair().jwk] }];
  await writeFile(join(folder, 'keys.json'), JSON.stringify(jwks));
  const created = await client(['create', '--id', 'keyed', '--auth-method', 'private_key_jwt', '--jwks', '@keys.json', '--json']);
  assert.deepEqual([created.code, created.stderr, JSON.parse(created.stdout).client_secret], [0, '', undefined]);
  assert.deepEqual((await stored('keyed')).jwks, jwks);
  const updated = await client(['update', 'keyed', '--jwks', '@-'], JSON.stringify(next));
  assert.equal(updated.code, 0, updated.stderr);
  assert.deepEqual((await stored('keyed')).jwks, next);
  const remote = await client([
    'create',
    '--id',
    'remote',
    '--auth-method',
    'private_key_jwt',
    '--jwks-uri',
    'https://client.example/jwks',
  ]);
  assert.equal(remote.code, 0, remote.stderr);
  assert.equal((await stored('remote')).jwks_uri, 'https://client.example/jwks');
  const refused = await client(['create', '--auth-method', 'private_key_jwt']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /\/jwks or jwks_uri is required/);
});

test('create tells each field that is wrong, and leaves no file behind', async () => {
  const result = await client(['create', '--metadata', '{"foo":1}', '--scope', ' x', '--output', 'wrong.secret']);
  assert.equal(result.code, 1);
  assert.match(result.stderr, /^error: invalid_client_metadata: [^\n]+\n( {2}\/[^\n]+\n){2}$/);
  assert.equal(existsSync(join(folder, 'wrong.secret')), false);
});

test('--output: the secret goes into a new file of mode 0600 and nowhere else', async () => {
  for (const format of [[], ['--json']]) {
    const file = `out${format.length}.secret`;
    const result = await client(['create', '--output', file, ...format]);
    assert.equal(result.code, 0, result.stderr);
    const secret = (await readFile(join(folder, file), 'utf8')).trim();
    assert.match(secret, /^[A-Za-z0-9_-]{43}$/);
    assert.equal((await stat(join(folder, file))).mode & 0o777, 0o600);
    assert.equal((result.stdout + result.stderr).includes(secret), false);
  }
  const count = () => server.database.query('select count(*) from client');
  const before = await count();
  const refused = await client(['create', '--output', 'out0.secret']);
  assert.deepEqual([refused.code, refused.stderr], [2, 'error: --output out0.secret: exists already\n']);
  assert.deepEqual(await count(), before, 'no client without a place for its secret');
  const isPublic = await client(['create', '--auth-method', 'none', '--output', 'none.secret']);
  assert.deepEqual([isPublic.code, isPublic.stderr, existsSync(join(folder, 'none.secret'))], [0, '', false]);
});

test('list: a table, pages, all of them', async () => {
  await createClient(server, { client_id: 'zz-1', client_name: 'Last \u202etsal', disabled: true });
  const table = await client(['list', '--all', '--limit', '2']);
  assert.match(table.stdout, /^CLIENT ID +NAME +STATE +SECRET ENDS +SCOPE\n/);
  assert.match(table.stdout, /^zz-1 +Last \ufffdtsal +disabled +- +-$/m);
  const page = await client(['list', '--limit', '1']);
  assert.deepEqual([page.stdout.split('\n').length, page.stderr], [3, 'note: there are more clients: --all shows them\n']);
  const onePage = JSON.parse((await client(['list', '--limit', '1', '--json'])).stdout);
  assert.deepEqual([onePage.items.length, typeof onePage.next_cursor], [1, 'string']);
  const all = JSON.parse((await client(['list', '--all', '--limit', '1', '--json'])).stdout);
  assert.deepEqual(Object.keys(all), ['items']);
  assert.equal(all.items.length, table.stdout.trim().split('\n').length - 1);
  assert.equal((await client(['list', '--limit', '501'])).code, 1);
});

test('list: only those that are searched for', async () => {
  await createClient(server, { client_id: 'found-1', client_name: 'Needle & Co', scope: 'sew knit' });
  await createClient(server, { client_id: 'found-2', client_name: 'needle', scope: 'sew', disabled: true });
  const ids = async (...flags: string[]) => {
    const { code, stdout, stderr } = await client(['list', '--json', ...flags]);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout).items.map((item: { client_id: string }) => item.client_id);
  };
  assert.deepEqual(await ids('--search', 'NEEDLE'), ['found-1', 'found-2']);
  assert.deepEqual(await ids('--search', 'needle & co', '--all', '--limit', '1'), ['found-1']);
  assert.deepEqual(await ids('--scope', 'sew', '--disabled'), ['found-2']);
  assert.deepEqual(await ids('--scope', 'sew', '--enabled'), ['found-1']);
  assert.equal((await client(['list', '--enabled', '--disabled'])).code, 2);
  assert.equal((await client(['list', '--scope', 'a b'])).code, 1);
});

test('update merges, removes and empties; disables and enables', async () => {
  const { clientId } = await createClient(server, { audience: ['x'], claims: { a: 1, b: 2 }, access_token_ttl: 5, client_name: 'N' });
  const update = (...flags: string[]) => client(['update', clientId, ...flags]);
  assert.equal((await update('--claims', '{"a":null,"c":3}', '--audience', '', '--metadata', '{"access_token_ttl":null}')).code, 0);
  assert.equal((await update('--disable')).code, 0);
  const { claims, audience, access_token_ttl, client_name, disabled } = await stored(clientId);
  assert.deepEqual([claims, audience, access_token_ttl, client_name, disabled], [{ b: 2, c: 3 }, [], undefined, 'N', true]);
  const enabled = await update('--enable', '--json');
  assert.deepEqual(JSON.parse(enabled.stdout), await stored(clientId));
  assert.equal(JSON.parse(enabled.stdout).disabled, false);
});

test('secrets: another one, and the old one removed, together with the tokens', async () => {
  const { clientId, document } = await createClient(server);
  const [old] = document.secrets as [{ id: string }];
  const added = await client([
    'secret',
    'add',
    clientId,
    '--name',
    'new',
    '--expires-at',
    '2100-01-01T00:00:00Z',
    '--output',
    'new.secret',
  ]);
  assert.equal(added.code, 0, added.stderr);
  assert.match(added.stdout, /^name +new$/m);
  const removed = await client(['secret', 'remove', clientId, old.id, '--revoke-tokens']);
  assert.deepEqual([removed.code, removed.stdout], [0, 'removed\n']);
  assert.deepEqual(
    (await stored(clientId)).secrets.map(({ name, expires_at }: Record<string, string>) => [name, expires_at]),
    [['new', '2100-01-01T00:00:00.000Z']],
  );
  const clientSecret = (await readFile(join(folder, 'new.secret'), 'utf8')).trim();
  assert.ok(await issueToken(server.url, { clientId, clientSecret }));
  assert.equal((await client(['secret', 'add', clientId, '--expires-at', 'tomorrow'])).code, 1);
});

test('secret rotate: a new one, and an end for the others, which list and show tell', async () => {
  const { clientId, clientSecret } = await createClient(server, { scope: 'a' });
  const before = Date.now();
  const rotated = await client(['secret', 'rotate', clientId, '--name', 'new', '--output', 'rotated.secret']);
  assert.equal(rotated.code, 0, rotated.stderr);
  const [old, fresh] = (await stored(clientId)).secrets;
  const kept = Date.parse(old.expires_at) - before;
  assert.ok(kept >= 86_400_000 && kept < 86_400_000 + 60_000, `a day: ${kept}`);
  assert.deepEqual([fresh.name, fresh.expires_at], ['new', undefined]);
  assert.match((await client(['list', '--search', clientId])).stdout, /^\S+ +- +enabled +in (24|23) h +a$/m);
  assert.match((await client(['show', clientId])).stdout, /, expires [^ ]+Z \(in (24|23) h\), never used\n/);
  for (const secret of [clientSecret, (await readFile(join(folder, 'rotated.secret'), 'utf8')).trim()])
    assert.ok(await issueToken(server.url, { clientId, clientSecret: secret }));
  assert.equal((await client(['secret', 'rotate', clientId, '--keep', '90m', '--json'])).code, 0);
  const ends = (await stored(clientId)).secrets.map(({ expires_at }: Record<string, string>) => Date.parse(expires_at ?? '') - before);
  assert.ok(ends[0] < 5_460_000 && ends[1] === ends[0] && Number.isNaN(ends[2]), ends.join(' '));
  for (const keep of ['0s', '24', '-1h', '1w', 'h']) assert.equal((await client(['secret', 'rotate', clientId, '--keep', keep])).code, 2);
  assert.equal((await stored(clientId)).secrets.length, 3);
});

test('delete is confirmed; without a terminal, by --yes', async () => {
  const { clientId } = await createClient(server);
  const refused = await client(['delete', clientId], 'y\n');
  assert.deepEqual([refused.code, refused.stderr], [2, 'error: without a terminal this needs --yes\n']);
  await stored(clientId);
  const deleted = await client(['delete', clientId, '--yes']);
  assert.deepEqual([deleted.code, deleted.stdout], [0, 'deleted\n']);
  const gone = await client(['show', clientId]);
  assert.deepEqual([gone.code, gone.stderr], [1, 'error: not_found: there is no such client\n']);
});

test('clients with auth: scopes are changed too, with a token that holds those', async () => {
  const before = await tokensLeft();
  const created = await client(['create', '--id', 'reader', '--scope', 'auth:clients:read auth:introspect x']);
  assert.equal(created.code, 0, created.stderr);
  assert.equal((await client(['update', 'reader', '--name', 'Reader'])).code, 0);
  assert.equal((await client(['secret', 'add', 'admin', '--name', 'second'])).code, 0);
  assert.equal(await tokensLeft(), before, 'every token was revoked');
});

test('who may not: exit code 77; who may read, reads', async () => {
  const [reader, manager, other] = await Promise.all(
    ['auth:clients:read', 'auth:clients', 'x'].map((scope) => createClient(server, { scope })),
  );
  const as = (who: { clientId: string; clientSecret: string } | undefined, ...args: string[]) =>
    auth(['client', ...args, '--url', server.url, '--client-id', who?.clientId ?? '', '--client-secret-file', '-'], {
      input: who?.clientSecret ?? '',
    });
  assert.equal((await as(reader, 'list')).code, 0);
  assert.equal((await as(manager, 'list')).code, 0, 'auth:clients includes reading');
  const refusals = await Promise.all([
    as(reader, 'create'),
    as(other, 'list'),
    as(manager, 'update', 'admin', '--name', 'x'),
    as(manager, 'create', '--scope', 'auth:keys'),
    as({ clientId: 'admin', clientSecret: 'wrong' }, 'list'),
  ]);
  for (const { code, stdout, stderr } of refusals) {
    assert.deepEqual([code, stdout], [77, ''], stderr);
    assert.equal(stderr.split('\n').length, 2, stderr);
  }
});
