import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createClient, issueToken } from '../support/client.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { auth } from './run.ts';

/** A server with a database of its own, which leaves in its data folder what the command line needs. */
let server: RunningServer;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

const token = (args: readonly string[], input = '') => auth(['token', ...args, '--data-dir', server.dataDir], { input });

test('a token goes from command to command, and never through the arguments', async () => {
  const issued = await token(['issue', '--scope', 'auth:clients:read']);
  assert.equal(issued.code, 0, issued.stderr);
  assert.match(issued.stdout, /^at_[A-Za-z0-9_-]{49}\n$/);
  assert.equal(issued.stderr, '');
  const introspected = await token(['introspect'], issued.stdout);
  assert.equal(introspected.code, 0, introspected.stderr);
  assert.match(introspected.stdout, /^active +true$/m);
  assert.match(introspected.stdout, /^scope +auth:clients:read$/m);
  const revoked = await token(['revoke', '-'], issued.stdout);
  assert.deepEqual([revoked.code, revoked.stdout], [0, 'the token is not active any more\n']);
  const file = join(server.dataDir, 'token.txt');
  await writeFile(file, issued.stdout);
  const inactive = await token(['introspect', `@${file}`]);
  assert.deepEqual([inactive.code, inactive.stdout], [0, 'active  false\n']);
});

test("--json prints the server's document", async () => {
  const { access_token, ...rest } = JSON.parse((await token(['issue', '--json', '--scope', 'auth:audit'])).stdout);
  assert.deepEqual(rest, { token_type: 'Bearer', expires_in: 3600, scope: 'auth:audit' });
  const { active, scope } = JSON.parse((await token(['introspect', '--json', access_token])).stdout);
  assert.deepEqual([active, scope], [true, 'auth:audit']);
  assert.equal((await token(['revoke', '--json', access_token])).stdout, '{}\n');
});

test('as another client: its own tokens only', async () => {
  const client = await createClient(server, { scope: 'read' });
  const as = (...args: string[]) => [...args, '--client-id', client.clientId, '--client-secret-file', '-'];
  const foreign = await issueToken(server.url, server.admin);
  const own = await token(as('issue'), client.clientSecret);
  assert.match(own.stdout, /^at_/);
  const refused = await token(as('revoke', foreign), client.clientSecret);
  assert.deepEqual([refused.code, refused.stdout], [1, '']);
  assert.match(refused.stderr, /^error: invalid_grant: /);
  assert.equal((await token(as('introspect', '--json', foreign), client.clientSecret)).stdout, '{"active":false}\n');
  assert.equal((await token(as('issue'), 'wrong')).code, 77);
  const both = await token(as('revoke'), client.clientSecret);
  assert.deepEqual([both.code, both.stderr], [2, 'error: the token and --client-secret-file cannot both come from standard input\n']);
});

test('issue --resource: for these alone (RFC 8707)', async () => {
  const [a, b] = ['https://a.example.com', 'https://b.example.com'];
  const client = await createClient(server, { audience: [a, b, 'urn:c'] });
  const issue = (...flags: string[]) =>
    token(['issue', '--client-id', client.clientId, '--client-secret-file', '-', ...flags], client.clientSecret);
  for (const [flags, aud] of [
    [
      ['--resource', b, '--resource', a],
      [b, a],
    ],
    [['--resource', a], a],
  ] as const) {
    const issued = await issue(...flags);
    assert.equal(issued.code, 0, issued.stderr);
    assert.deepEqual(JSON.parse((await token(['introspect', '--json', issued.stdout.trim()])).stdout).aud, aud);
  }
  const refused = await issue('--resource', 'https://c.example.com');
  assert.deepEqual([refused.code, refused.stdout], [1, '']);
  assert.match(refused.stderr, /^error: invalid_target: /);
});

test('the other commands find the server too', async () => {
  const listed = await auth(['client', 'list', '--data-dir', server.dataDir]);
  assert.match(listed.stdout, /^admin +Administrator +enabled/m, listed.stderr);
});
