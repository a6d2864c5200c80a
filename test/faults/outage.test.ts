/** PostgreSQL away, frozen, silent, full, read-only, locked: 503 or the truth, within two seconds; and back by itself. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Answer, createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import {
  ADMIN,
  ENCRYPTION_KEY,
  type FaultyPostgres,
  faultyNetwork,
  faultyPostgres,
  launch,
  type Program,
  scratch,
  sharedCleanup,
} from '../support/faults.ts';
import type { Credentials } from '../support/server.ts';
import { until } from '../support/server.ts';
import { History } from './history.ts';

const ANSWER_MS_MAX = 2_000;
/** The default of AUTH_MAX_STALENESS_MS. */
const MAX_STALENESS_MS = 1_000;
const RECOVERY_MS_MAX = 2_000;
const MAX_CONNECTIONS = 30;

interface Target {
  readonly server: Program;
  readonly history: History;
  /** of the administrator */
  readonly bearer: string;
  readonly client: Credentials;
  readonly token: string;
  readonly secretId: string;
}

const t = sharedCleanup();
let postgres: FaultyPostgres;
let network: Awaited<ReturnType<typeof faultyNetwork>>;
let local: Target;
let remote: Target;

before(async () => {
  const folder = await scratch(t);
  postgres = await faultyPostgres(t, folder, { max_connections: String(MAX_CONNECTIONS), superuser_reserved_connections: '1' });
  network = await faultyNetwork(t, postgres.connection);
  const env = { AUTH_ENCRYPTION_KEY: ENCRYPTION_KEY, AUTH_ADMIN_CLIENT_SECRET: ADMIN.clientSecret };
  const servers = [
    await launch(t, { folder, env: { ...env, DATABASE_URL: postgres.url } }),
    await launch(t, { folder, env: { ...env, DATABASE_URL: `postgres://auth@127.0.0.1:${network.port}/auth` } }),
  ] as const;
  [local, remote] = await Promise.all([targetOf(servers[0]), targetOf(servers[1])]);
});

after(() => t.run());

async function targetOf(server: Program): Promise<Target> {
  await server.ready();
  const client = await createClient({ url: server.url, admin: ADMIN });
  const [secret] = client.document.secrets as [{ readonly id: string }];
  return {
    server,
    history: new History(),
    bearer: await issueToken(server.url, ADMIN),
    client,
    token: await issueToken(server.url, client),
    secretId: secret.id,
  };
}

/** Each endpoint that needs PostgreSQL, with a request that could be answered were it there. */
const ENDPOINTS = {
  'POST /token': ({ server: { url }, client }) => postForm(`${url}/token`, { grant_type: 'client_credentials' }, client),
  'POST /token, wrong secret': ({ server: { url }, client }) =>
    postForm(`${url}/token`, { grant_type: 'client_credentials' }, { ...client, clientSecret: 'wrong' }),
  'POST /introspect': ({ server: { url }, client, token }) => postForm(`${url}/introspect`, { token }, client),
  'POST /introspect, bearer': ({ server: { url }, bearer, token }) =>
    postForm(`${url}/introspect`, { token }, undefined, { authorization: `Bearer ${bearer}` }),
  'POST /introspect, JWT': ({ server: { url }, client, token }) =>
    postForm(`${url}/introspect`, { token }, client, { accept: 'application/jwt' }),
  'POST /revoke': ({ server: { url }, client, token }) => postForm(`${url}/revoke`, { token }, client),
  'GET /clients': ({ server: { url }, bearer }) => sendJson('GET', `${url}/clients?limit=1`, bearer),
  'POST /clients': ({ server: { url }, bearer }) => sendJson('POST', `${url}/clients`, bearer, { client_id: 'created-in-an-outage' }),
  'GET /clients/{client_id}': ({ server: { url }, bearer, client }) => sendJson('GET', `${url}/clients/${client.clientId}`, bearer),
  'PUT /clients/{client_id}': ({ server: { url }, bearer, client }) =>
    sendJson('PUT', `${url}/clients/${client.clientId}`, bearer, { client_name: 'put in an outage' }),
  'PATCH /clients/{client_id}': ({ server: { url }, bearer, client }) =>
    sendJson('PATCH', `${url}/clients/${client.clientId}`, bearer, { client_name: 'patched in an outage' }),
  'DELETE /clients/{client_id}': ({ server: { url }, bearer, client }) => sendJson('DELETE', `${url}/clients/${client.clientId}`, bearer),
  'POST …/secrets': ({ server: { url }, bearer, client }) => sendJson('POST', `${url}/clients/${client.clientId}/secrets`, bearer, {}),
  'DELETE …/secrets/{id}': ({ server: { url }, bearer, client, secretId }) =>
    sendJson('DELETE', `${url}/clients/${client.clientId}/secrets/${secretId}`, bearer),
  'GET /revocations': ({ server: { url }, bearer }) => sendJson('GET', `${url}/revocations`, bearer),
  'POST /revocations': ({ server: { url }, bearer }) => sendJson('POST', `${url}/revocations`, bearer, { sub: 'somebody' }),
  'GET /keys': ({ server: { url }, bearer }) => sendJson('GET', `${url}/keys`, bearer),
  'POST /keys/rotate': ({ server: { url }, bearer }) => sendJson('POST', `${url}/keys/rotate`, bearer),
  'GET /audit': ({ server: { url }, bearer }) => sendJson('GET', `${url}/audit`, bearer),
  'GET /scopes': ({ server: { url }, bearer }) => sendJson('GET', `${url}/scopes`, bearer),
  'POST /scopes': ({ server: { url }, bearer }) => sendJson('POST', `${url}/scopes`, bearer, { name: 'added-in-an-outage' }),
  'GET /jwks': ({ server: { url } }) => request(`${url}/jwks`),
  'GET /health/ready': ({ server: { url } }) => request(`${url}/health/ready`),
} satisfies Record<string, (target: Target) => Promise<Answer>>;

type Endpoint = keyof typeof ENDPOINTS;
const ALL = Object.keys(ENDPOINTS) as readonly Endpoint[];
const OF_ONE_CLIENT = [
  'PUT /clients/{client_id}',
  'PATCH /clients/{client_id}',
  'DELETE /clients/{client_id}',
  'POST …/secrets',
  'DELETE …/secrets/{id}',
] as const;
const WRITES = [...OF_ONE_CLIENT, 'POST /revoke', 'POST /clients', 'POST /scopes', 'POST /keys/rotate'] as const;

/** What is still answered from memory is the truth, and after the bound nothing is any more. */
async function lastOfMemory(target: Target): Promise<void> {
  await until(async () => {
    const { status, body } = await ENDPOINTS['POST /introspect'](target);
    assert.ok(status === 503 || (status === 200 && body.active === true), `${status} ${JSON.stringify(body)}`);
    return status === 503;
  }, MAX_STALENESS_MS + ANSWER_MS_MAX);
}

/** All at once, as under load; each has to be 503, say when to come back, and be quick. */
async function assertUnavailable(target: Target, endpoints: readonly Endpoint[] = ALL): Promise<void> {
  if (endpoints.includes('POST /introspect')) await lastOfMemory(target);
  const answers = await Promise.all(
    endpoints.map(async (endpoint) => {
      const since = performance.now();
      const { status, headers, text } = await ENDPOINTS[endpoint](target);
      const ms = performance.now() - since;
      const verdict =
        status !== 503
          ? `${status} ${text}`
          : headers.get('retry-after') === null
            ? 'no Retry-After'
            : ms > ANSWER_MS_MAX
              ? `${ms} ms`
              : 503;
      return [endpoint, verdict];
    }),
  );
  assert.deepEqual(
    answers,
    endpoints.map((endpoint) => [endpoint, 503]),
  );
  assert.equal(await target.server.status('/health/live'), 200);
}

/** The truth is what it was, and nothing of what was answered 503 has happened. */
async function assertUnharmed({ server: { url }, client, token, bearer, secretId }: Target): Promise<void> {
  assert.equal((await postForm(`${url}/introspect`, { token }, client)).body.active, true);
  const { body } = await sendJson('GET', `${url}/clients/${client.clientId}`, bearer);
  assert.deepEqual([body.client_name, body.secrets.map(({ id }: { readonly id: string }) => id)], [undefined, [secretId]]);
  assert.equal((await sendJson('GET', `${url}/clients/created-in-an-outage`, bearer)).status, 404);
  assert.equal((await sendJson('GET', `${url}/keys`, bearer)).body.items.length, 1);
}

/** Under load: harm, what has to hold meanwhile, healing; then the server is ready again soon, and every promise was kept. */
async function outage(
  target: Target,
  harm: () => Promise<unknown>,
  meanwhile: () => Promise<void>,
  heal: () => Promise<unknown>,
): Promise<void> {
  const { server, history } = target;
  const goesOn = () => {
    const { promises } = history;
    return until(() => history.promises > promises + 10, RECOVERY_MS_MAX);
  };
  await history.load({ url: server.url, patienceMs: ANSWER_MS_MAX }, async () => {
    await goesOn();
    try {
      await harm();
      await meanwhile();
    } finally {
      await heal();
    }
    await server.ready(RECOVERY_MS_MAX);
    await goesOn();
  });
  await history.verify(server.url);
  await assertUnharmed(target);
}

for (const [way, target] of [
  ['Unix socket', () => local],
  ['TCP', () => remote],
] as const) {
  test(`PostgreSQL is stopped, ${way}: 503 everywhere, and back by itself`, () =>
    outage(
      target(),
      () => postgres.stop(),
      () => assertUnavailable(target()),
      () => postgres.start(),
    ));

  test(`PostgreSQL is frozen, ${way}: 503 everywhere, and back by itself`, () =>
    outage(
      target(),
      () => postgres.freeze(),
      async () => {
        await assertUnavailable(target()); // on connections that were open
        await assertUnavailable(target()); // on new ones
      },
      () => postgres.thaw(),
    ));
}

test('the network goes silent: 503 everywhere, and back by itself although no connection is ever closed', () =>
  outage(
    remote,
    async () => network.set('silent'),
    async () => {
      await assertUnavailable(remote);
      await assertUnavailable(remote);
    },
    async () => network.set('passing'),
  ));

test('PostgreSQL crashes again and again: nothing that was answered is lost', () =>
  outage(
    local,
    () => postgres.kill(),
    async () => {
      for (let crash = 0; crash < 2; crash++) {
        await postgres.start();
        await local.server.ready(RECOVERY_MS_MAX);
        await postgres.kill();
      }
    },
    () => postgres.start(),
  ));

test('PostgreSQL is out of connections: 503 everywhere', async () => {
  const sessions: pg.Client[] = [];
  await outage(
    local,
    async () => {
      const first = await postgres.session();
      sessions.push(first);
      // Where a connection of the server ends, another session takes its place, until the server has none.
      await until(async () => {
        await first.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'auth'");
        while (await openSession(sessions));
        const { rows } = await first.query("select from pg_stat_activity where application_name = 'auth'");
        return rows.length === 0;
      }, 10_000);
    },
    () => assertUnavailable(local),
    () => Promise.all(sessions.map((session) => session.end())),
  );
});

async function openSession(sessions: pg.Client[]): Promise<boolean> {
  const session = new pg.Client(postgres.connection);
  session.on('error', () => undefined);
  try {
    await session.connect();
    sessions.push(session);
    return true;
  } catch (error) {
    assert.equal((error as { readonly code?: string }).code, '53300');
    await session.end().catch(() => undefined);
    return false;
  }
}

test('PostgreSQL is read-only, as after a fail-over: what writes is 503, the rest is true', () =>
  outage(
    local,
    async () => {
      await postgres.query('alter system set default_transaction_read_only = on');
      await postgres.query('select pg_reload_conf()');
      await until(async () => (await ENDPOINTS['POST /token'](local)).status === 503, 5_000);
    },
    async () => {
      await assertUnavailable(local, ['POST /token', ...WRITES]);
      assert.equal((await ENDPOINTS['POST /introspect'](local)).body.active, true);
      assert.equal((await ENDPOINTS['POST /token, wrong secret'](local)).status, 401);
    },
    async () => {
      const session = await postgres.session();
      await session.query('set default_transaction_read_only = off');
      await session.query('alter system reset default_transaction_read_only');
      await session.query('select pg_reload_conf()');
      await until(async () => (await ENDPOINTS['POST /token'](local)).status === 200, RECOVERY_MS_MAX);
    },
  ));

test('the change log is locked: what needs it is 503', () =>
  withLock('lock table change_log in access exclusive mode', () =>
    assertUnavailable(
      local,
      ALL.filter((endpoint) => endpoint !== 'GET /jwks'),
    ),
  ));

test('the counter of the change log is locked: what changes something is 503, however many ask', () =>
  withLock('select from change_log for update', () => assertUnavailable(local, [...WRITES, ...WRITES, ...WRITES, ...WRITES])));

test("a client's row is locked: what changes that client is 503, the rest is true", () =>
  withLock(`select from client where client_id = '${local.client.clientId}' for update`, async () => {
    await assertUnavailable(local, OF_ONE_CLIENT);
    assert.equal((await ENDPOINTS['POST /token'](local)).status, 200);
    assert.equal((await ENDPOINTS['POST /introspect'](local)).body.active, true);
  }));

async function withLock(lock: string, meanwhile: () => Promise<void>): Promise<void> {
  const session = await postgres.session();
  await outage(
    local,
    async () => {
      await session.query('begin');
      await session.query(lock);
    },
    meanwhile,
    () => session.query('rollback'),
  );
  await session.end();
}
