import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import { createClient } from '../support/client.ts';
import { ended, type InProcessServer, openServer, until } from '../support/server.ts';
import { auth, PROGRAM } from './run.ts';

let server: InProcessServer;
before(async () => {
  server = await openServer();
});
after(() => server.stop());

const environment = () => ({ AUTH_ISSUER: server.url, AUTH_ADMIN_CLIENT_SECRET: server.admin.clientSecret });
const audit = (...args: readonly string[]) => auth(['audit', ...args], { env: environment() });

test('a table, newest first; filters; the server’s JSON', async () => {
  await createClient(server, { client_id: 'billing', client_name: 'Billing\u202e' });
  await createClient(server, { client_id: 'orders' });
  const table = await audit('--action', 'client.*');
  assert.deepEqual([table.code, table.stderr], [0, '']);
  const [header, ...lines] = table.stdout.trim().split('\n');
  assert.match(header ?? '', /^TIME +ACTION +ACTOR +ADDRESS +TARGET +DETAIL$/);
  assert.deepEqual(
    lines.map((line) => line.split(/ {2,}/).slice(1, 5)),
    [
      ['client.create', 'admin', '127.0.0.1', 'orders'],
      ['client.create', 'admin', '127.0.0.1', 'billing'],
      ['client.create', '-', '-', 'admin'],
    ],
  );
  assert.ok(table.stdout.includes('Billing\ufffd'), 'a name does not turn the text');
  const json = JSON.parse((await audit('--target', 'billing', '--actor', 'admin', '--since', '2020-01-01T00:00:00Z', '--json')).stdout);
  assert.deepEqual(
    json.items.map(({ action }: { readonly action: string }) => action),
    ['client.create'],
  );
  assert.deepEqual((await audit('--until', '2020-01-01T00:00:00Z', '--json')).stdout, '{"items":[]}\n');
  assert.match((await audit('--limit', '1')).stderr, /^note: there is more/);
});

test('what the server refuses is said, and who may not see it is told so', async () => {
  const wrong = await audit('--since', 'yesterday');
  assert.deepEqual([wrong.code, wrong.stderr], [1, 'error: invalid_request: since must be a time, RFC 3339\n']);
  assert.equal((await audit('--limit', 'x')).code, 2);
  const { clientId, clientSecret } = await createClient(server, { scope: 'auth:clients' });
  const weak = { AUTH_ISSUER: server.url, AUTH_ADMIN_CLIENT_ID: clientId, AUTH_ADMIN_CLIENT_SECRET: clientSecret };
  assert.equal((await auth(['audit'], { env: weak })).code, 77);
});

for (const flags of [[], ['--json']]) {
  test(`--follow ${flags.join(' ')}: what was there, then what comes, oldest first, until Ctrl-C; its token is given back`, async () => {
    const name = `follow${flags.length}`;
    await createClient(server, { client_id: `${name}-1` });
    await createClient(server, { client_id: `${name}-2` });
    const args = ['audit', '--follow', '--action', 'client.create', '--limit', '1', ...flags];
    const child = spawn(process.execPath, [PROGRAM, ...args], { cwd: tmpdir(), env: { PATH: process.env.PATH, ...environment() } });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const names = () =>
      output
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => (flags.length === 0 ? line.split(/ {2,}/)[4] : JSON.parse(line).target));
    await until(() => names().length === 1, 10_000);
    for (const n of [3, 4]) await createClient(server, { client_id: `${name}-${n}` });
    await until(() => names().length === 3, 10_000);
    assert.deepEqual(names(), [`${name}-2`, `${name}-3`, `${name}-4`]);
    const revocations = async () =>
      (await server.database.query<{ n: number }>("select count(*)::int as n from change where kind = 'token'"))[0]?.n ?? 0;
    const before = await revocations();
    child.kill('SIGINT');
    assert.equal(await ended(child), 0);
    assert.equal(await revocations(), before + 1);
  });
}
