/** What a resource server does while the authorization server is away, silent or another one; and what it knows afterwards. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { openResourceServer, type ResourceServer } from '../../src/resource-server/resource-server.ts';
import { issueToken, postForm, sendJson } from '../support/client.ts';
import { sharedCleanup } from '../support/faults.ts';
import { openHttpProxy } from '../support/http-proxy.ts';
import { HOLD, openProxy, PASS } from '../support/proxy.ts';
import { createParties, openLibrary, type Parties } from '../support/resource-servers.ts';
import { freePort, type InProcessServer, openServer, until } from '../support/server.ts';

const shared = sharedCleanup();
const MODES = ['introspection', 'jwt'] as const;
const formatOf = (mode: (typeof MODES)[number]) => ({ access_token_format: mode === 'jwt' ? 'jwt' : 'reference' });
const AUTH_ENCRYPTION_KEY = randomBytes(32).toString('base64');
/** Shorter than the feed's own sign of life: a library that hears nothing makes another connection in time. */
const SILENCE = { maxSilenceMs: 2_400, timeoutMs: 1_000 };
let server: InProcessServer;
let parties: Readonly<Record<(typeof MODES)[number], Parties>>;
before(async () => {
  server = await openServer({ AUTH_ENCRYPTION_KEY });
  shared.after(() => server.stop());
  parties = { introspection: await createParties(server, formatOf('introspection')), jwt: await createParties(server, formatOf('jwt')) };
});
after(() => shared.run());

const outcome = async (library: ResourceServer, token: string) => (await library.check(token)).outcome;
const revoke = async (token: string, { client }: Parties) =>
  assert.equal((await postForm(`${server.url}/revoke`, { token }, client)).status, 200);
const follows = (library: ResourceServer) => until(() => library.isFollowing, 10_000);
const isSilent = (library: ResourceServer) => until(() => !library.isFollowing, 10_000);

for (const mode of MODES) {
  test(`${mode}: silence longer than the bound closes by choice; a dead connection is replaced; nothing is missing afterwards`, async (t) => {
    const proxy = await openProxy(t, { port: Number(new URL(server.url).port) });
    const url = `http://127.0.0.1:${proxy.port}`;
    const open = (whenSilent: 'ask' | 'refuse') => openLibrary(t, url, parties[mode], { mode, whenSilent, ...SILENCE });
    const [asking, refusing] = [open('ask'), open('refuse')];
    const [kept, doomed] = [await issueToken(server.url, parties[mode].client), await issueToken(server.url, parties[mode].client)];
    await Promise.all([asking, refusing].map(follows));
    for (const library of [asking, refusing]) for (const token of [kept, doomed]) assert.equal(await outcome(library, token), 'active');
    // Nobody is told that the connections are dead.
    proxy.set({ up: HOLD, down: HOLD });
    await revoke(doomed, parties[mode]);
    await Promise.all([asking, refusing].map(isSilent));
    for (const library of [asking, refusing]) for (const token of [kept, doomed]) assert.equal(await outcome(library, token), 'unknown');
    proxy.set({ up: PASS, down: PASS });
    for (const library of [asking, refusing]) {
      await follows(library);
      assert.deepEqual([await outcome(library, kept), await outcome(library, doomed)], ['active', 'inactive']);
    }
  });

  test(`${mode}: a bound that is shorter than the pause between two signs of life is kept, too`, async (t) => {
    const maxSilenceMs = 5_000;
    const library = openLibrary(t, server.url, parties[mode], { mode, whenSilent: 'refuse', maxSilenceMs });
    const token = await issueToken(server.url, parties[mode].client);
    await follows(library);
    const endAt = performance.now() + 1.6 * maxSilenceMs;
    while (performance.now() < endAt) {
      assert.equal(await outcome(library, token), 'active');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });

  test(`${mode}: the server stops and starts again: kept answers are good until the bound, and what was revoked meanwhile is known at once`, async (t) => {
    const AUTH_PORT = String(await freePort());
    const environment = {
      AUTH_ENCRYPTION_KEY,
      DATABASE_URL: server.database.url,
      AUTH_ADMIN_CLIENT_SECRET: server.admin.clientSecret,
      AUTH_PORT,
    };
    const node = await openServer({ ...environment, AUTH_ISSUER: parties[mode].issuer });
    const library = openLibrary(t, node.url, parties[mode], { mode, whenSilent: 'refuse' });
    const [kept, doomed] = [await issueToken(server.url, parties[mode].client), await issueToken(server.url, parties[mode].client)];
    await follows(library);
    for (const token of [kept, doomed]) assert.equal(await outcome(library, token), 'active');
    await node.stop();
    await revoke(doomed, parties[mode]);
    assert.deepEqual([await outcome(library, kept), library.isFollowing], ['active', true]);
    const again = await openServer({ ...environment, AUTH_ISSUER: parties[mode].issuer });
    t.after(() => again.stop());
    await until(async () => (await outcome(library, doomed)) === 'inactive', 10_000);
    assert.equal(await outcome(library, kept), 'active');
  });

  test(`${mode}: the token that the feed is read with ends: another one, and nothing is missing`, async (t) => {
    const proxy = await openProxy(t, { port: Number(new URL(server.url).port) });
    const library = openLibrary(t, `http://127.0.0.1:${proxy.port}`, parties[mode], { mode, whenSilent: 'refuse' });
    const token = await issueToken(server.url, parties[mode].client);
    await follows(library);
    assert.equal(await outcome(library, token), 'active');
    const administration = await issueToken(server.url, server.admin);
    const ended = await sendJson('POST', `${server.url}/revocations`, administration, { client_id: parties[mode].reader.clientId });
    assert.equal(ended.status, 201);
    proxy.cut();
    await revoke(token, parties[mode]);
    await until(async () => (await outcome(library, token)) === 'inactive', 10_000);
    assert.equal(await outcome(library, await issueToken(server.url, parties[mode].client)), 'active');
  });

  test(`${mode}: a token that lives for five seconds is renewed before its end, for ever`, async (t) => {
    const { reader } = parties[mode];
    const administration = await issueToken(server.url, server.admin);
    const change = (access_token_ttl: number | null) =>
      sendJson('PATCH', `${server.url}/clients/${reader.clientId}`, administration, { access_token_ttl }, 'application/merge-patch+json');
    assert.equal((await change(5)).status, 200);
    const problems: unknown[] = [];
    const library = openLibrary(t, server.url, parties[mode], {
      mode,
      whenSilent: 'refuse',
      onProblem: (problem) => problems.push(problem),
    });
    const endAt = performance.now() + 6_000;
    while (performance.now() < endAt) {
      const token = await issueToken(server.url, parties[mode].client);
      assert.equal(await outcome(library, token), 'active');
      await revoke(token, parties[mode]);
      await until(async () => (await outcome(library, token)) === 'inactive', 2_000);
    }
    assert.deepEqual(problems, []);
    await change(null);
  });

  test(`${mode}: another history of the database (410): all is forgotten, and it begins anew`, async (t) => {
    const proxy = await openHttpProxy(t, server.url);
    const problems: unknown[] = [];
    const onProblem = (problem: unknown) => problems.push(problem);
    const cut = await openProxy(t, { port: Number(new URL(proxy.url).port) });
    const library = openLibrary(t, `http://127.0.0.1:${cut.port}`, parties[mode], { mode, onProblem });
    const [kept, doomed] = [await issueToken(server.url, parties[mode].client), await issueToken(server.url, parties[mode].client)];
    await follows(library);
    for (const token of [kept, doomed]) assert.equal(await outcome(library, token), 'active');
    const asked = proxy.count('/introspect');
    proxy.answerItself('/revocations', 410);
    cut.cut();
    await isSilent(library);
    assert.equal(await outcome(library, kept), 'active');
    assert.equal(proxy.count('/introspect'), asked + 1, 'nothing is kept');
    await revoke(doomed, parties[mode]);
    proxy.answerItself('/revocations', undefined);
    await follows(library);
    assert.deepEqual([await outcome(library, kept), await outcome(library, doomed)], ['active', 'inactive']);
    assert.ok(problems.some((problem) => /410/.test(String(problem))));
  });
}

for (const [how, target] of [
  ['a revocation', 'token'],
  ['an end by time', 'client_id'],
] as const) {
  test(`${how} while the introspection is under way: the answer is not believed, and not kept`, async (t) => {
    const proxy = await openHttpProxy(t, server.url);
    const library = openLibrary(t, proxy.url, parties.introspection);
    await follows(library);
    const [token, witness] = [await issueToken(server.url, parties.introspection.client), await issueToken(server.url, parties.jwt.client)];
    assert.equal(await outcome(library, witness), 'active');
    const held = proxy.hold('/introspect');
    const checking = outcome(library, token);
    await held.answered;
    const administration = await issueToken(server.url, server.admin);
    const order = { token: { token }, client_id: { client_id: parties.introspection.client.clientId } }[target];
    assert.equal((await sendJson('POST', `${server.url}/revocations`, administration, order)).status, 201);
    // It is kept, and comes behind the other in the feed: once it is refused both have arrived.
    await revoke(witness, parties.jwt);
    await until(async () => (await outcome(library, witness)) === 'inactive', 4_000);
    held.release();
    assert.equal(await checking, 'inactive');
    assert.equal(await outcome(library, token), 'inactive');
  });
}

test('an answer that was asked for before there was a place in the feed is not kept', async (t) => {
  const proxy = await openHttpProxy(t, server.url);
  proxy.answerItself('/revocations', 503);
  const library = openLibrary(t, proxy.url, parties.introspection);
  const [token, early] = [
    await issueToken(server.url, parties.introspection.client),
    await issueToken(server.url, parties.introspection.client),
  ];
  assert.equal(await outcome(library, early), 'active');
  const held = proxy.hold('/introspect');
  const checking = outcome(library, token);
  await held.answered;
  for (const one of [token, early]) await revoke(one, parties.introspection);
  // It begins behind the revocation, of which it is never told.
  proxy.answerItself('/revocations', undefined);
  await follows(library);
  held.release();
  assert.equal(await checking, 'active', 'it was, when it was asked');
  assert.deepEqual([await outcome(library, token), await outcome(library, early)], ['inactive', 'inactive']);
});

test('jwt: only the feed is away: the server confirms; what it does not know is not called invalid', async (t) => {
  const proxy = await openHttpProxy(t, server.url);
  proxy.answerItself('/revocations', 503);
  const library = openLibrary(t, proxy.url, parties.jwt, { mode: 'jwt' });
  const token = await issueToken(server.url, parties.jwt.client);
  const reference = { token: await issueToken(server.url, parties.introspection.client) };
  const phantom = (await postForm(`${server.url}/introspect`, reference, parties.introspection.client, { accept: 'application/jwt' })).text;
  assert.deepEqual(
    [await outcome(library, token), await outcome(library, phantom), await outcome(library, `${token}x`)],
    ['active', 'unknown', 'inactive'],
  );
  await revoke(token, parties.jwt);
  assert.equal(await outcome(library, token), 'unknown');
});

test('no answer for longer than the time-out is unknown, in both modes; an answer that is none, too', async (t) => {
  const proxy = await openHttpProxy(t, server.url);
  const library = openLibrary(t, proxy.url, parties.introspection, { timeoutMs: 300 });
  await follows(library);
  const token = await issueToken(server.url, parties.introspection.client);
  const held = proxy.hold('/introspect');
  assert.equal(await outcome(library, token), 'unknown');
  held.release();
  for (const status of [200, 401, 404, 500, 503]) {
    proxy.answerItself('/introspect', status);
    assert.equal(await outcome(library, token), 'unknown', String(status));
  }
  proxy.answerItself('/introspect', undefined);
  assert.equal(await outcome(library, token), 'active');
  proxy.answerItself('/jwks', 500);
  const verifying = openLibrary(t, proxy.url, parties.jwt, { mode: 'jwt' });
  const jwt = await issueToken(server.url, parties.jwt.client);
  assert.equal(await outcome(verifying, jwt), 'unknown');
  proxy.answerItself('/jwks', undefined);
  await until(async () => (await outcome(verifying, jwt)) === 'active', 5_000);
});

test('a node that goes away while it is asked is no outage: it is asked once more', async (t) => {
  const proxy = await openHttpProxy(t, server.url);
  const library = openLibrary(t, proxy.url, parties.introspection);
  await follows(library);
  const token = await issueToken(server.url, parties.introspection.client);
  proxy.answerItself('/introspect', 503);
  const checking = outcome(library, token);
  await until(() => proxy.count('/introspect') === 1, 5_000);
  proxy.answerItself('/introspect', undefined);
  assert.equal(await checking, 'active');
});

test('nothing secret in what is reported', async (t) => {
  const proxy = await openHttpProxy(t, server.url);
  const problems: unknown[] = [];
  const { reader } = parties.introspection;
  const library = openLibrary(t, proxy.url, parties.introspection, { onProblem: (problem) => problems.push(problem) });
  await follows(library);
  proxy.answerItself('/introspect', 500);
  const token = await issueToken(server.url, parties.introspection.client);
  await library.check(token);
  const wrong = openResourceServer({
    ...reader,
    clientSecret: 'wrong-secret',
    issuer: server.url,
    mode: 'introspection',
    onProblem: (problem) => problems.push(problem),
  });
  t.after(async () => wrong.close());
  await wrong.check(token);
  assert.ok(problems.length >= 3);
  const all = problems.map((problem) => `${(problem as Error).stack} ${JSON.stringify((problem as Error).cause)}`).join('\n');
  for (const secret of [token, reader.clientSecret, 'wrong-secret', Buffer.from(reader.clientId).toString('base64').slice(0, 10)])
    assert.ok(!all.includes(secret));
});
