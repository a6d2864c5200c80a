import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { after, before, type TestContext, test } from 'node:test';
import { createClient, issueToken, sendJson } from '../support/client.ts';
import { createDatabase } from '../support/database.ts';
import { ended, freePort, type InProcessServer, openServer, until } from '../support/server.ts';
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

interface Following {
  readonly child: ChildProcess;
  readonly lines: () => readonly string[];
  readonly errors: () => string;
}

function follow(t: TestContext, args: readonly string[], env: Readonly<Record<string, string>> = environment()): Following {
  const command = [PROGRAM, 'audit', '--follow', '--action', 'client.create', ...args];
  const child = spawn(process.execPath, command, { cwd: tmpdir(), env: { PATH: process.env.PATH, ...env } });
  t.after(() => child.kill('SIGKILL'));
  let [output, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  return { child, lines: () => output.split('\n').filter((line) => line !== ''), errors: () => errors };
}

for (const flags of [[], ['--json']]) {
  test(`--follow ${flags.join(' ')}: what was there, then what comes, oldest first, until Ctrl-C; its token is given back`, async (t) => {
    const name = `follow${flags.length}`;
    await createClient(server, { client_id: `${name}-1` });
    await createClient(server, { client_id: `${name}-2` });
    const { child, lines } = follow(t, ['--limit', '1', ...flags]);
    const names = () => lines().map((line) => (flags.length === 0 ? line.split(/ {2,}/)[4] : JSON.parse(line).target));
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

test('--follow goes on when its token has expired and when the server comes back, and misses nothing', async (t) => {
  const database = await createDatabase();
  t.after(() => database.drop());
  const secret = 's'.repeat(40);
  const fixed = {
    DATABASE_URL: database.url,
    AUTH_PORT: String(await freePort()),
    AUTH_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
    AUTH_ADMIN_CLIENT_SECRET: secret,
  };
  const first = await openServer(fixed);
  t.after(() => first.stop().catch(() => undefined));
  const at = { url: first.url, admin: { clientId: 'admin', clientSecret: secret } };
  const token = await issueToken(at.url, at.admin);
  assert.equal((await sendJson('PATCH', `${at.url}/clients/admin`, token, { access_token_ttl: 4 })).status, 200);
  const { lines, errors, child } = follow(t, ['--limit', '1', '--json'], { AUTH_ISSUER: at.url, AUTH_ADMIN_CLIENT_SECRET: secret });
  const targets = () => lines().map((line) => JSON.parse(line).target);
  await until(() => targets().length === 1, 10_000);
  const denied = async () => (await database.query("select from audit where action = 'denied'")).length > 0;
  await until(denied, 10_000);
  // With the token from before, which lives on.
  assert.equal((await sendJson('POST', `${at.url}/clients`, token, { client_id: 'after-the-token' })).status, 201);
  await until(() => targets().length === 2, 10_000);
  await first.stop();
  await until(() => errors().includes('trying again'), 10_000);
  await database.query("insert into audit (action, target) values ('client.create', 'meanwhile')");
  const second = await openServer(fixed);
  t.after(() => second.stop());
  await until(() => targets().length === 3, 20_000);
  assert.deepEqual(targets(), ['admin', 'after-the-token', 'meanwhile']);
  child.kill('SIGINT');
  assert.equal(await ended(child), 0);
});

test('--follow ends at once where it may not read, or where there is no server', async (t) => {
  const { clientId, clientSecret } = await createClient(server, { scope: 'auth:clients' });
  const weak = { AUTH_ISSUER: server.url, AUTH_ADMIN_CLIENT_ID: clientId, AUTH_ADMIN_CLIENT_SECRET: clientSecret };
  assert.equal(await ended(follow(t, [], weak).child), 77);
  const nowhere = { AUTH_ISSUER: `http://127.0.0.1:${await freePort()}`, AUTH_ADMIN_CLIENT_SECRET: clientSecret };
  assert.equal(await ended(follow(t, [], nowhere).child), 69);
});
