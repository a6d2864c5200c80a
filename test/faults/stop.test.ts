/** SIGTERM and SIGINT: what is running is answered, PostgreSQL is closed, and nobody is left behind. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { basic, createClient, issueToken, postForm } from '../support/client.ts';
import {
  ADMIN,
  CHECKOUT,
  type Cleanup,
  ENCRYPTION_KEY,
  faultyPostgres,
  type Launch,
  launch,
  type Program,
  processesOf,
  scratch,
  sharedCleanup,
  signal,
} from '../support/faults.ts';
import { until } from '../support/server.ts';

const ENV = { AUTH_ADMIN_CLIENT_SECRET: ADMIN.clientSecret };
const FORM = 'grant_type=client_credentials';
const DB_SHUTDOWNED = 1;
const DRAIN_MS = 10_000;
const SAME_SIGNAL_MS = 1_000;

interface SlowRequest {
  /** what came back so far */
  readonly answer: () => string;
  readonly closed: Promise<unknown>;
  finish(): void;
}

/** A token request whose body stops in the middle. */
async function sendSlowly(t: Cleanup, { url }: Program): Promise<SlowRequest> {
  const socket: Socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  t.after(async () => void socket.destroy());
  await once(socket, 'connect');
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const head = [
    'POST /token HTTP/1.1',
    'Host: localhost',
    `Authorization: ${basic(ADMIN)}`,
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${FORM.length}`,
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n${FORM.slice(0, 5)}`);
  // Node has read the head by the time that a later request on another connection has been answered.
  await fetch(`${url}/health/live`);
  return { answer: () => answer, closed, finish: () => socket.write(FORM.slice(5)) };
}

const shared = sharedCleanup();
/** One after the other: what a test leaves behind, the next one finds. */
let folder: string;

before(async () => {
  folder = await scratch(shared);
});

after(() => shared.run());

async function serving(t: Cleanup, options: Partial<Launch> = {}): Promise<Program> {
  const server = await launch(t, { folder, env: ENV, ...options });
  await server.ready();
  return server;
}

async function assertClosed(): Promise<void> {
  assert.deepEqual(processesOf(folder), []);
  const control = await readFile(join(folder, 'data', 'postgres', 'global', 'pg_control'));
  assert.equal(control.readInt32LE(16), DB_SHUTDOWNED, 'the state that pg_controldata shows as "shut down"');
  assert.match(await readFile(join(folder, 'data', 'postgres.log'), 'utf8'), /database system is shut down\s*$/);
}

const WAYS: [how: string, options: Partial<Launch>, stop: (server: Program) => void][] = [
  ['SIGTERM to npm start', { command: ['npm', 'start'], cwd: CHECKOUT }, ({ child }) => child.kill('SIGTERM')],
  [
    'SIGINT twice to the group of npm start, as Ctrl-C sends it and npm passes it on',
    { command: ['npm', 'start'], cwd: CHECKOUT },
    ({ child }) => {
      signal(-(child.pid ?? 0), 'SIGINT');
      signal(-(child.pid ?? 0), 'SIGINT');
    },
  ],
];

for (const [how, options, stop] of WAYS) {
  test(`${how}: nothing more is accepted, a slow request is finished, PostgreSQL is closed, exit 0`, async (t) => {
    const server = await serving(t, options);
    await createClient({ url: server.url, admin: ADMIN }); // leaves an idle connection
    const slow = await sendSlowly(t, server);
    stop(server);
    await until(async () => (await server.status('/health/live')) === 0, 2_000);
    assert.ok(server.isRunning(), 'waits for the slow request');
    slow.finish();
    await slow.closed;
    assert.match(slow.answer(), /^HTTP\/1\.1 200 .*"access_token":"at_/s);
    assert.deepEqual(await server.exit, { code: 0, signal: null });
    assert.throws(() => process.kill(-(server.child.pid ?? 0), 0), { code: 'ESRCH' }, 'nobody of the group is left');
    await assertClosed();
  });
}

test('a request that never ends is cut off after ten seconds', async (t) => {
  const server = await serving(t);
  const [slow, since] = [await sendSlowly(t, server), performance.now()];
  assert.deepEqual(await server.end('SIGTERM', DRAIN_MS + 3_000), { code: 0, signal: null });
  assert.ok(performance.now() - since >= DRAIN_MS - 50);
  await slow.closed;
  assert.equal(slow.answer(), '');
  await assertClosed();
});

for (const name of ['SIGTERM', 'SIGINT'] as const) {
  test(`a second ${name} a second later ends the server at once, and PostgreSQL with it`, async (t) => {
    const server = await serving(t);
    await sendSlowly(t, server);
    server.child.kill(name);
    const since = performance.now();
    await until(() => performance.now() - since > SAME_SIGNAL_MS + 100, 3_000);
    assert.ok(server.isRunning());
    assert.deepEqual(await server.end(name, 1_000), { code: 1, signal: null });
    await until(() => processesOf(folder).length === 0, 5_000);
    await assertClosed();
  });
}

for (const signals of [1, 2]) {
  test(`${signals === 1 ? 'SIGTERM' : 'SIGTERM twice, a second apart,'} during the first start: it ends, and leaves nobody behind`, async (t) => {
    const folder = await scratch(t); // an empty one
    const server = await launch(t, { folder, env: ENV });
    // From when there is something to leave behind, at a moment that differs from run to run.
    await until(() => processesOf(`${folder}/data`).length > 0, 10_000);
    server.child.kill('SIGTERM');
    const since = performance.now();
    if (signals === 2) {
      await until(() => !server.isRunning() || performance.now() - since > SAME_SIGNAL_MS + 100, 3_000);
      server.child.kill('SIGTERM');
    }
    await server.exit;
    await until(() => processesOf(folder).length === 0, 5_000);
  });
}

test('PostgreSQL is frozen when SIGTERM comes: the server ends all the same', async (t) => {
  const folder = await scratch(t);
  const postgres = await faultyPostgres(t, folder);
  const server = await launch(t, { folder, env: { ...ENV, DATABASE_URL: postgres.url, AUTH_ENCRYPTION_KEY: ENCRYPTION_KEY } });
  await server.ready();
  const token = await issueToken(server.url, ADMIN);
  await Promise.all(Array.from({ length: 10 }, () => issueToken(server.url, ADMIN))); // as many connections, of which most are idle
  await postgres.freeze();
  // Until the bound it answers from memory.
  await until(async () => (await postForm(`${server.url}/introspect`, { token }, ADMIN)).status === 503, 5_000);
  assert.deepEqual(await server.end('SIGTERM', 5_000), { code: 0, signal: null });
});

test('its private PostgreSQL is frozen when SIGTERM comes: the server says so and ends; the next start goes on with it', async (t) => {
  const folder = await scratch(t);
  const server = await launch(t, { folder, env: ENV });
  await server.ready();
  const token = await issueToken(server.url, ADMIN);
  for (const pid of processesOf(`${folder}/data/postgres`)) signal(pid, 'SIGSTOP');
  assert.deepEqual(await server.end('SIGTERM', 25_000), { code: 1, signal: null });
  assert.match(server.output(), /auth could not stop cleanly: PostgreSQL \(process \d+\) in .* does not stop/);
  for (const pid of processesOf(`${folder}/data/postgres`)) signal(pid, 'SIGCONT');
  const next = await launch(t, { folder, env: ENV });
  await next.ready();
  assert.equal((await postForm(`${next.url}/introspect`, { token }, ADMIN)).body.active, true);
  assert.deepEqual(await next.end('SIGTERM'), { code: 0, signal: null });
});
