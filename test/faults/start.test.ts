/** The start with `DATABASE_URL`: PostgreSQL away, silent, empty, missing, refusing; several servers at the same moment. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { issueToken, postForm, request, sendJson } from '../support/client.ts';
import { createDatabase, testPostgres } from '../support/database.ts';
import {
  announcedAdmin,
  announcedSecrets,
  ENCRYPTION_KEY,
  type FaultyPostgres,
  faultyNetwork,
  faultyPostgres,
  launch,
  type Program,
  scratch,
  sharedCleanup,
  socketUrl,
  within,
} from '../support/faults.ts';
import { freePort, until } from '../support/server.ts';

const environment = (databaseUrl: string) => ({ DATABASE_URL: databaseUrl, AUTH_ENCRYPTION_KEY: ENCRYPTION_KEY });

const shared = sharedCleanup();
let folder: string;
/** Each test takes a database of its own. */
let postgres: FaultyPostgres;

before(async () => {
  folder = await scratch(shared);
  postgres = await faultyPostgres(shared, folder);
});

after(() => shared.run());

test('PostgreSQL is away at the start: live, not ready, ready by itself, and the generated secret is shown once', async (t) => {
  const port = await freePort();
  const server = await launch(t, { folder, env: environment(`postgres://auth@127.0.0.1:${port}/away`) });
  await server.live();
  const answers = await Promise.all([
    request(`${server.url}/health/ready`),
    request(`${server.url}/jwks`),
    postForm(`${server.url}/token`, { grant_type: 'client_credentials' }, { clientId: 'admin', clientSecret: 'unknown' }),
    postForm(`${server.url}/introspect`, { token: 'unknown' }),
    sendJson('GET', `${server.url}/clients`, 'unknown'),
  ]);
  for (const { status, headers } of answers) assert.deepEqual([status, headers.has('retry-after')], [503, true]);
  assert.deepEqual(announcedSecrets(server), []);

  await faultyNetwork(t, postgres.connection, port);
  await server.ready(5_000);
  assert.ok(await issueToken(server.url, await announcedAdmin(server)));
  assert.deepEqual(await server.end('SIGTERM'), { code: 0, signal: null });
});

test('SIGTERM while PostgreSQL is away: exit 0, before the listener is open and after', async (t) => {
  const env = environment(`postgres://auth@127.0.0.1:${await freePort()}/auth`);
  const [early, late] = await Promise.all([launch(t, { folder, env }), launch(t, { folder, env })]);
  const before = until(() => early.output().includes('cannot be reached'), 15_000).then(() => early.end('SIGTERM', 5_000));
  const after = late.live().then(() => late.end('SIGTERM', 5_000));
  assert.deepEqual(await Promise.all([before, after]), Array(2).fill({ code: 0, signal: null }));
});

const SILENCES: readonly (readonly [database: string, when: string, condition: () => (sent: string) => boolean])[] = [
  ['silent_in_turn', 'while it waits for its turn to migrate', () => (sent) => sent.includes('pg_try_advisory_lock')],
  [
    'silent_in_commit',
    'when it commits the administrator',
    () => {
      let isNext = false;
      return (sent) => {
        isNext ||= sent.includes('Administrator');
        return isNext && sent.includes('commit');
      };
    },
  ],
];

for (const [database, when, condition] of SILENCES) {
  test(`the network goes silent at the start, ${when}: ready after it is back, and the secret is shown once`, async (t) => {
    const network = await faultyNetwork(t, postgres.connection);
    network.loseAnswerTo(condition());
    const server = await launch(t, { folder, env: environment(`postgres://auth@127.0.0.1:${network.port}/${database}`) });
    await server.live();
    assert.equal(await server.status('/health/ready'), 503);
    network.set('passing');
    await server.ready(5_000);
    assert.ok(await issueToken(server.url, await announcedAdmin(server)));
  });
}

test('a first start that fails because its port is taken: the next one shows the secret', async (t) => {
  const database = await createDatabase('template0');
  t.after(() => database.drop());
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', () => resolve()));
  t.after(() => void taken.close());
  const { port } = taken.address() as { readonly port: number };
  const first = await launch(t, { folder, env: environment(database.url), port });
  assert.equal((await within(15_000, first.exit, first.output)).code, 1);
  assert.match(first.output(), /EADDRINUSE.*another program has this port: set AUTH_PORT/);
  const second = await launch(t, { folder, env: environment(database.url) });
  await second.ready();
  assert.ok(await issueToken(second.url, await announcedAdmin(first, second)));
});

const SERVERS = 10;

for (const [state, name] of [
  ['empty', undefined],
  ['missing', `test_missing_${randomBytes(6).toString('hex')}`],
] as const) {
  test(`${SERVERS} servers start at once, the database is ${state}: all get ready; one key, one administrator, one secret`, async (t) => {
    const database = await createDatabase('template0');
    const url = name === undefined ? database.url : socketUrl({ ...testPostgres(), database: name });
    t.after(async () => {
      await database.query(`drop database if exists ${name ?? 'none'} with (force)`);
      await database.drop();
    });
    const servers = await Promise.all(Array.from({ length: SERVERS }, () => launch(t, { folder, env: environment(url) })));
    await Promise.all(servers.map((server) => server.ready(40_000)));
    const keys = await Promise.all(servers.map(async (server) => (await request(`${server.url}/jwks`)).text));
    assert.deepEqual([new Set(keys).size, JSON.parse(keys[0] ?? '').keys.length], [1, 1]);
    const [first] = servers as [Program];
    const token = await issueToken(servers.at(-1)?.url ?? '', await announcedAdmin(...servers));
    const { body } = await sendJson('GET', `${first.url}/clients`, token);
    assert.deepEqual(
      body.items.map((client: { readonly client_id: string }) => client.client_id),
      ['admin'],
    );
    const exits = await Promise.all(servers.map((server) => server.end('SIGTERM')));
    assert.deepEqual(new Set(exits.map(({ code }) => code)), new Set([0]));
  });
}

test('a role that may not create the missing database: the message has the command, and the command helps', async (t) => {
  await postgres.query('create role plain login');
  const env = environment(socketUrl({ ...postgres.connection, user: 'plain', database: 'missing' }));
  const refused = await exitOf(t, folder, env);
  const command = /as a superuser run: (create database .*;)/.exec(refused)?.[1] ?? assert.fail(refused);
  await postgres.query(command);
  await (await launch(t, { folder, env })).ready();
});

test('a wrong password: the start stops and says so without the password', async (t) => {
  await postgres.query("create role guarded login createdb password 'the right one'");
  const accessFile = join(folder, 'postgresql', 'postgres', 'pg_hba.conf');
  await writeFile(accessFile, `local all guarded scram-sha-256\n${await readFile(accessFile, 'utf8')}`);
  await postgres.query('select pg_reload_conf()');
  const url = (password: string) =>
    socketUrl({ ...postgres.connection, user: `guarded:${encodeURIComponent(password)}`, database: 'guarded' });
  const refused = await exitOf(t, folder, environment(url('hunter2hunter2')));
  assert.match(refused, /PostgreSQL refuses the user or the password in DATABASE_URL/);
  assert.doesNotMatch(refused, /hunter2/);
  const server = await launch(t, { folder, env: environment(url('the right one')) });
  await server.ready();
  assert.doesNotMatch(server.output(), /right one|right%20one/);
});

/** The text of a start that ends with status 1. */
async function exitOf(t: TestContext, folder: string, env: Readonly<Record<string, string>>): Promise<string> {
  const server = await launch(t, { folder, env });
  assert.deepEqual(await within(15_000, server.exit, server.output), { code: 1, signal: null });
  assert.match(server.output(), /^auth cannot start: /m);
  return server.output();
}
