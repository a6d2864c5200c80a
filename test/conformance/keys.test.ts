/** The schedule of the signing keys, as those see it who verify: K01–K05. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { createDatabase } from '../support/database.ts';
import { type InProcessServer, openServer, until } from '../support/server.ts';

type Cleanup = { readonly after: (work: () => Promise<void>) => void };

const ISSUER = 'https://auth.example.com';
const ANNOUNCE_SECONDS = 4;

/** Servers that share a database, with an announcement that a test can wait for. */
async function cluster(t: Cleanup) {
  const database = await createDatabase();
  t.after(() => database.drop());
  const admin = { clientId: 'admin', clientSecret: randomBytes(32).toString('hex') };
  const shared = {
    DATABASE_URL: database.url,
    AUTH_ISSUER: ISSUER,
    AUTH_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
    AUTH_ADMIN_CLIENT_SECRET: admin.clientSecret,
    AUTH_KEY_ANNOUNCE_SECONDS: String(ANNOUNCE_SECONDS),
  };
  return {
    admin,
    async open(environment: Readonly<Record<string, string>> = {}): Promise<InProcessServer> {
      const server = { ...(await openServer({ ...shared, ...environment })), admin };
      t.after(() => server.stop());
      return server;
    },
  };
}

async function rotate(server: InProcessServer, body: unknown = {}) {
  const bearer = await issueToken(server.url, server.admin, { scope: 'auth:keys' });
  return sendJson('POST', `${server.url}/keys/rotate`, bearer, body);
}

const kidOf = (jwt: string) => decodeProtectedHeader(jwt).kid;

/** A resource server that keeps `/jwks` for as long as it may, and asks for nothing in between, whatever it does not know. */
function verifierOf(url: string): (jwt: string) => Promise<void> {
  let keys: ReturnType<typeof createLocalJWKSet> | undefined;
  let keptUntil = 0;
  return async (jwt) => {
    if (!keys || performance.now() >= keptUntil) {
      const { body, headers } = await request(`${url}/jwks`);
      keys = createLocalJWKSet(body);
      keptUntil = performance.now() + Number(/^public, max-age=(\d+)$/.exec(headers.get('cache-control') ?? '')?.[1]) * 1000;
    }
    await jwtVerify(jwt, keys, { issuer: ISSUER, typ: 'at+jwt' });
  };
}

test('K01 RFC 7517 §5: a rotation under load on two nodes: whoever keeps /jwks as Cache-Control allows fails no verification', async (t) => {
  const { open } = await cluster(t);
  const nodes = [await open(), await open()];
  const [first] = nodes;
  assert.ok(first);
  const client = await createClient(first, { access_token_format: 'jwt' });
  const signed: { readonly node: number; readonly kid: string; readonly from: number; readonly to: number }[] = [];
  const failures: unknown[] = [];
  const kids = () => new Set(signed.map(({ kid }) => kid));
  let isOver = false;
  const work = async (node: number) => {
    const { url } = nodes[node] ?? first;
    const verifiers = nodes.map((one) => verifierOf(one.url));
    while (!isOver) {
      const from = performance.now();
      const jwt = await issueToken(url, client);
      signed.push({ node, kid: kidOf(jwt) ?? '', from, to: performance.now() });
      for (const verify of verifiers) await verify(jwt).catch((error: unknown) => failures.push(error));
    }
  };
  const working = Promise.all([0, 1, 0, 1].map(work));
  try {
    for (const count of [2, 3]) {
      await until(() => nodes.every((_, node) => signed.some((one) => one.node === node && one.kid === [...kids()].at(-1))), 30_000);
      assert.equal((await rotate(nodes[count % 2] ?? first)).status, 201);
      await until(() => kids().size === count, 30_000);
    }
  } finally {
    isOver = true;
    await working;
  }
  assert.deepEqual(failures, []);
  // By one clock, of whole seconds, as of the last look at it: a request that began a second after the first signature of a key has it, too.
  for (const kid of [...kids()].slice(1)) {
    const switched = Math.min(...signed.filter((one) => one.kid === kid).map(({ to }) => to));
    const before = [...kids()].slice(0, [...kids()].indexOf(kid));
    for (const late of signed.filter((one) => before.includes(one.kid)))
      assert.ok(late.from < switched + 1_000, 'all nodes switch together');
  }
});

test('K02 RFC 7517 §5: a key is at /jwks, after the one that signs, before it signs; then before it, which stays', async (t) => {
  const { open } = await cluster(t);
  const server = await open();
  const client = await createClient(server, { access_token_format: 'jwt' });
  const published = async () => ((await request(`${server.url}/jwks`)).body.keys as { kid: string }[]).map(({ kid }) => kid);
  const [first] = await published();
  const { body } = await rotate(server);
  assert.deepEqual(await published(), [first, body.kid]);
  assert.equal(kidOf(await issueToken(server.url, client)), first);
  await until(async () => kidOf(await issueToken(server.url, client)) === body.kid, 30_000);
  assert.deepEqual(await published(), [body.kid, first]);
});

test('K03 RFC 8414 §2: another algorithm is announced as well; the metadata names the one that signs, and is kept no longer than that holds', async (t) => {
  const { open } = await cluster(t);
  const before = await open();
  const server = await open({ AUTH_SIGNING_ALG: 'EdDSA' });
  const told = async (url: string) => {
    const { body, headers } = await request(`${url}/.well-known/oauth-authorization-server`);
    return { alg: body.introspection_signing_alg_values_supported[0], maxAge: Number(headers.get('cache-control')?.split('=')[1]) };
  };
  const { alg, maxAge } = await told(server.url);
  assert.equal(alg, 'ES256');
  assert.ok(maxAge <= ANNOUNCE_SECONDS / 2);
  const algs = async () => ((await request(`${server.url}/jwks`)).body.keys as { alg: string }[]).map((key) => key.alg);
  assert.deepEqual(await algs(), ['ES256', 'EdDSA']);
  await until(async () => (await told(server.url)).alg === 'EdDSA', 30_000);
  assert.deepEqual(await algs(), ['EdDSA', 'ES256']);
  await until(async () => (await told(before.url)).alg === 'EdDSA', 5_000);
  const client = await createClient(before, { access_token_format: 'jwt' });
  assert.equal(
    decodeProtectedHeader(await issueToken(before.url, client)).alg,
    'EdDSA',
    'also of a node that was started with the other one',
  );
});

test('K04 after a compromise the keys leave /jwks at once, and what they signed is inactive: strictly on each node, before the answer', async (t) => {
  const { open } = await cluster(t);
  const [server, other] = [await open({ AUTH_CONSISTENCY: 'strict' }), await open({ AUTH_CONSISTENCY: 'strict' })];
  const client = await createClient(server, { access_token_format: 'jwt' });
  const jwt = await issueToken(server.url, client);
  assert.equal((await postForm(`${other.url}/introspect`, { token: jwt }, client)).body.active, true);
  const { status, body } = await rotate(server, { compromised: true });
  assert.deepEqual([status, body.state], [201, 'active']);
  const [there, { keys }] = [await postForm(`${other.url}/introspect`, { token: jwt }, client), (await request(`${other.url}/jwks`)).body];
  assert.deepEqual(there.body, { active: false });
  assert.deepEqual(
    keys.map(({ kid }: { kid: string }) => kid),
    [body.kid],
  );
  assert.deepEqual((await postForm(`${server.url}/introspect`, { token: jwt }, client)).body, { active: false });
  const fresh = await issueToken(server.url, client);
  await jwtVerify(fresh, createLocalJWKSet({ keys }), { issuer: ISSUER });
  assert.equal((await postForm(`${server.url}/introspect`, { token: fresh }, client)).body.active, true);
});

test('K05 a key cannot sign before those can know it who keep /jwks, but after a compromise', async (t) => {
  const { open } = await cluster(t);
  const server = await open({ AUTH_KEY_ANNOUNCE_SECONDS: '86400' });
  const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();
  assert.equal((await request(`${server.url}/jwks`)).headers.get('cache-control'), 'public, max-age=300');
  for (const activate_at of ['now', inSeconds(500)]) assert.equal((await rotate(server, { activate_at })).status, 400);
  assert.equal((await rotate(server)).status, 201);
  for (const activate_at of ['now', inSeconds(500), inSeconds(-1)]) assert.equal((await rotate(server, { activate_at })).status, 400);
  assert.equal((await rotate(server, { activate_at: inSeconds(700) })).status, 200);
  assert.equal((await rotate(server, { compromised: true })).status, 201);
});
