/** Keys at a client's `jwks_uri`, and assertions at several nodes: A11 and D04–D07 of docs/conformance.md. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import pg from 'pg';
import { assertion, createKeyClient, type KeyPair, keyPair, presented } from '../support/assertions.ts';
import { issueToken, postForm, sendJson } from '../support/client.ts';
import { createDatabase } from '../support/database.ts';
import { type InProcessServer, openServer, startServer, temporaryFolder, until } from '../support/server.ts';

type Cleanup = { readonly after: (work: () => unknown) => void };

const GRANT = { grant_type: 'client_credentials' };
const ENCRYPTION_KEY = randomBytes(32).toString('base64');
const INTERNAL = { AUTH_JWKS_URI_INTERNAL: 'allow' };

/** Nodes that share a database. */
async function nodes(t: Cleanup, count: number, environment: Readonly<Record<string, string>> = {}) {
  const database = await createDatabase();
  t.after(() => database.drop());
  const admin = { clientId: 'admin', clientSecret: randomBytes(32).toString('hex') };
  const issuer = 'https://auth.example.com';
  const shared = {
    DATABASE_URL: database.url,
    AUTH_ISSUER: issuer,
    AUTH_ENCRYPTION_KEY: ENCRYPTION_KEY,
    AUTH_ADMIN_CLIENT_SECRET: admin.clientSecret,
    ...environment,
  };
  const servers: InProcessServer[] = [];
  for (let index = 0; index < count; index++) {
    const server = await openServer(shared);
    t.after(() => server.stop());
    servers.push({ ...server, admin });
  }
  const send = (node: number, jwt: string) => postForm(`${servers[node]?.url}/token`, presented(jwt, GRANT));
  const [first] = servers;
  assert.ok(first);
  return { servers, first, admin, issuer, send, database };
}

/** A client's own server. */
async function keyServer(t: Cleanup, listener: RequestListener) {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    listener(request, response);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  t.after(stop);
  return { uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`, asked: () => asked, stop };
}
const setOf = (...keys: readonly KeyPair[]) => JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });
const JSON_TYPE = { 'content-type': 'application/jwk-set+json' };

test('A11 RFC 7523 §3: one assertion twenty times at once at two nodes, again and again: one is accepted', async (t) => {
  const { servers, first, issuer, send } = await nodes(t, 2);
  const key = keyPair();
  const id = await createKeyClient(first, key);
  for (let round = 0; round < 5; round++) {
    const jwt = await assertion(id, issuer, key);
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => send(n % servers.length, jwt)));
    const statuses = answers.map(({ status }) => status).sort();
    // A machine that is busy may have lost an answer: that is no acceptance either.
    assert.equal(statuses.filter((status) => status === 200).length, 1, statuses.join(' '));
    assert.ok(
      statuses.every((status) => [200, 401, 503].includes(status)),
      statuses.join(' '),
    );
  }
});

test('D04 keys that were changed at one node: the new one is never refused at another, the old one is within the bound', async (t) => {
  const { first, issuer, admin, send } = await nodes(t, 2);
  const administrator = await issueToken(first.url, admin);
  let key = keyPair();
  const id = await createKeyClient(first, key);
  for (let round = 0; round < 10; round++) {
    assert.equal((await send(1, await assertion(id, issuer, key))).status, 200);
    const next = keyPair();
    const changed = await sendJson('PATCH', `${first.url}/clients/${id}`, administrator, { jwks: { keys: [next.jwk] } });
    assert.equal(changed.status, 200);
    assert.equal((await send(1, await assertion(id, issuer, next))).status, 200, 'at once, at the other node');
    const old = key;
    await until(async () => (await send(1, await assertion(id, issuer, old))).status === 401, 2_000);
    key = next;
  }
});

test('D05 RFC 7591 §2: keys at jwks_uri are fetched once, a new kid has them fetched again, and one that was taken away is bad', async (t) => {
  const { first, issuer, send } = await nodes(t, 1, INTERNAL);
  const [old, next] = [keyPair(), keyPair()];
  let served = setOf(old);
  const { uri, asked } = await keyServer(t, (_, response) => response.writeHead(200, JSON_TYPE).end(served));
  const id = await createKeyClient(first, old, { jwks_uri: uri });
  const jwts = await Promise.all(Array.from({ length: 10 }, () => assertion(id, issuer, old)));
  for (const { status } of await Promise.all(jwts.map((jwt) => send(0, jwt)))) assert.equal(status, 200);
  assert.equal(asked(), 1);
  served = setOf(next);
  for (let guess = 0; guess < 20; guess++) assert.equal((await send(0, await assertion(id, issuer, keyPair()))).status, 401);
  assert.equal(asked(), 1, 'guesses do not make the server ask');
  // Another URL is another set: no wait for the half minute after which a new kid is asked for (test/client-keys/key-sets.test.ts).
  await sendJson('PATCH', `${first.url}/clients/${id}`, await issueToken(first.url, first.admin), { jwks_uri: `${uri}?2` });
  assert.equal((await send(0, await assertion(id, issuer, next))).status, 200);
  assert.equal((await send(0, await assertion(id, issuer, old))).status, 401);
});

const BROKEN: readonly [why: string, answer: RequestListener][] = [
  ['500', (_, response) => response.writeHead(500, JSON_TYPE).end('{}')],
  ['a redirect', (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
  ['HTML', (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')],
  ['not JSON', (_, response) => response.writeHead(200, JSON_TYPE).end('{')],
  ['too much', (_, response) => response.writeHead(200, JSON_TYPE).end('x'.repeat(100_000))],
  ['nothing, ever', () => undefined],
  ['a body without an end', (_, response) => void response.writeHead(200, JSON_TYPE).write('{')],
];
test('D06 without the keys nobody is refused, and nothing is written: 503 with Retry-After, within three seconds', {
  timeout: 60_000,
}, async (t) => {
  const { first, issuer, send, database } = await nodes(t, 1, INTERNAL);
  for (const [why, answer] of BROKEN) {
    const { uri, asked } = await keyServer(t, answer);
    const key = keyPair();
    const id = await createKeyClient(first, key, { jwks_uri: uri });
    const jwts = await Promise.all(Array.from({ length: 5 }, () => assertion(id, issuer, key)));
    const since = performance.now();
    for (const { status, body, headers } of await Promise.all(jwts.map((jwt) => send(0, jwt)))) {
      assert.deepEqual([status, body.error], [503, 'temporarily_unavailable'], why);
      assert.ok(headers.has('retry-after'));
      assert.doesNotMatch(JSON.stringify(body), /127\.0\.0\.1|status|redirect|JSON/, 'nor does the answer say what is there');
    }
    assert.ok(performance.now() - since < 3_000, why);
    assert.equal(asked(), 1, why);
  }
  assert.deepEqual(await database.query('select 1 from client_assertion'), []);
});

test('D04 a client that is disabled while its keys are being fetched, or its use is written, is refused', async (t) => {
  const { first, issuer, admin, send } = await nodes(t, 1, INTERNAL);
  const administrator = await issueToken(first.url, admin);
  const key = keyPair();
  let release = (): void => undefined;
  const { uri, asked } = await keyServer(t, (_, response) => {
    release = () => response.writeHead(200, JSON_TYPE).end(setOf(key));
  });
  const id = await createKeyClient(first, key, { jwks_uri: uri });
  const answer = send(0, await assertion(id, issuer, key));
  await until(() => asked() === 1, 2_000);
  assert.equal((await sendJson('PATCH', `${first.url}/clients/${id}`, administrator, { disabled: true })).status, 200);
  release();
  assert.equal((await answer).status, 401);
});

test('D06 a server of keys that goes down: those in memory go on', async (t) => {
  const { first, issuer, send } = await nodes(t, 1, INTERNAL);
  const key = keyPair();
  const { uri, stop } = await keyServer(t, (_, response) => response.writeHead(200, JSON_TYPE).end(setOf(key)));
  const id = await createKeyClient(first, key, { jwks_uri: uri });
  assert.equal((await send(0, await assertion(id, issuer, key))).status, 200);
  stop();
  assert.equal((await send(0, await assertion(id, issuer, key))).status, 200);
});

test('D06 RFC 7523 §3: whether an assertion was used cannot be written: 503, no token, and it was not used', async (t) => {
  const { first, issuer, send, database } = await nodes(t, 1);
  const key = keyPair();
  const id = await createKeyClient(first, key);
  const jwt = await assertion(id, issuer, key);
  const holder = new pg.Client(database.connection);
  await holder.connect();
  await holder.query('begin; lock table client_assertion in access exclusive mode');
  const answer = await send(0, jwt);
  assert.deepEqual([answer.status, answer.body.error, answer.headers.has('retry-after')], [503, 'temporarily_unavailable', true]);
  await holder.end();
  await until(async () => (await send(0, jwt)).status === 200, 5_000);
  assert.equal((await send(0, jwt)).status, 401);
});

test('D07 internal addresses are not connected to, unless the operator allows it', async (t) => {
  const { first, issuer, send } = await nodes(t, 1);
  const key = keyPair();
  const { uri, asked } = await keyServer(t, (_, response) => response.writeHead(200, JSON_TYPE).end(setOf(key)));
  const { port } = new URL(uri);
  const hosts = ['127.0.0.1', 'localhost', '[::1]', '[::ffff:7f00:1]', '0.0.0.0', '169.254.169.254', '10.0.0.1', '[fd00::1]'];
  for (const url of [uri, ...hosts.map((host) => `https://${host}:${port}/`)]) {
    const id = await createKeyClient(first, key, { jwks_uri: url });
    assert.equal((await send(0, await assertion(id, issuer, key))).status, 503, url);
  }
  assert.equal(asked(), 0);
  assert.match(first.logged(), /the keys of a client cannot be fetched/);
});

test('D07 over TLS, with an authority that the machine trusts; not with another', async (t) => {
  const folder = await temporaryFolder();
  t.after(() => rm(folder, { recursive: true, force: true }));
  const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  execFileSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1', '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=DNS:localhost', '-out', certFile, '-keyout', keyFile],
  ]);
  const key = keyPair();
  let asked = 0;
  const tls = createHttpsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (_, response) => {
    asked++;
    response.writeHead(200, JSON_TYPE).end(setOf(key));
  });
  await new Promise<void>((resolve) => void tls.listen(0, '127.0.0.1', resolve));
  t.after(() => tls.close());
  const { first, database } = await nodes(t, 1);
  const id = await createKeyClient(first, key, { jwks_uri: `https://localhost:${(tls.address() as AddressInfo).port}/jwks` });
  const env = {
    ...INTERNAL,
    DATABASE_URL: database.url,
    AUTH_ADMIN_CLIENT_SECRET: first.admin.clientSecret,
    AUTH_ENCRYPTION_KEY: ENCRYPTION_KEY,
  };
  for (const [trust, status] of [
    [{}, 503],
    [{ NODE_TLS_REJECT_UNAUTHORIZED: '0' }, 503],
    [{ NODE_EXTRA_CA_CERTS: certFile }, 200],
  ] as const) {
    const server = await startServer({ env: { ...env, ...trust } });
    try {
      const jwt = await assertion(id, server.url.replace('127.0.0.1', 'localhost'), key);
      assert.equal((await postForm(`${server.url}/token`, presented(jwt, GRANT))).status, status, JSON.stringify(trust));
    } finally {
      await server.stop();
    }
  }
  assert.equal(asked, 1);
});
