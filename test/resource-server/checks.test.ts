/** What one resource server says of tokens, in both modes. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openResourceServer, type ResourceServerOptions } from '../../src/resource-server/resource-server.ts';
import { createClient, issueToken, postForm, sendJson } from '../support/client.ts';
import { sharedCleanup } from '../support/faults.ts';
import { openHttpProxy } from '../support/http-proxy.ts';
import { AUDIENCE, createParties, openLibrary, type Parties } from '../support/resource-servers.ts';
import { type InProcessServer, openServer, until } from '../support/server.ts';

const shared = sharedCleanup();
const MODES = ['introspection', 'jwt'] as const;
let server: InProcessServer;
let parties: Readonly<Record<(typeof MODES)[number], Parties>>;
let administration: string;
before(async () => {
  server = await openServer();
  shared.after(() => server.stop());
  parties = { introspection: await createParties(server), jwt: await createParties(server, { access_token_format: 'jwt' }) };
  administration = await issueToken(server.url, server.admin);
});
after(() => shared.run());

const outcome = async (library: { check(token: string): Promise<{ readonly outcome: string }> }, token: string) =>
  (await library.check(token)).outcome;
const end = (order: object) => sendJson('POST', `${server.url}/revocations`, administration, order);

for (const mode of MODES) {
  test(`${mode}: an active token with its claims; junk; a token for somebody else`, async (t) => {
    const library = openLibrary(t, server.url, parties[mode], { mode });
    const token = await issueToken(server.url, parties[mode].client, { scope: 'orders:write' });
    const verdict = await library.check(token);
    assert.ok(verdict.outcome === 'active');
    const { clientId, subject, scope, audience, issuedAt, expiresAt, jti, claims } = verdict.token;
    assert.deepEqual([clientId, subject, scope, audience], [parties[mode].client.clientId, clientId, ['orders:write'], [AUDIENCE]]);
    assert.deepEqual([claims.client_id, claims.jti, claims.iss, expiresAt - issuedAt], [clientId, jti, parties[mode].issuer, 3_600]);
    for (const junk of ['', 'junk', `${token}x`, `at_${'a'.repeat(49)}`, 'a.b.c', 'x'.repeat(20_000)])
      assert.equal(await outcome(library, junk), 'inactive');
    const stranger = await createClient(server, {
      audience: ['https://other.example.com'],
      access_token_format: mode === 'jwt' ? 'jwt' : 'reference',
    });
    assert.equal(await outcome(library, await issueToken(server.url, stranger)), 'inactive');
  });

  test(`${mode}: by client, by subject and before a time; what is issued later is good`, async (t) => {
    const library = openLibrary(t, server.url, parties[mode], { mode });
    const format = { access_token_format: mode === 'jwt' ? 'jwt' : 'reference', audience: [AUDIENCE] };
    for (const by of ['client_id', 'sub'] as const) {
      const client = await createClient(server, format);
      const [before, other] = [await issueToken(server.url, client), await issueToken(server.url, parties[mode].client)];
      for (const token of [before, other]) assert.equal(await outcome(library, token), 'active');
      const { body } = await end({ [by]: client.clientId });
      await until(async () => (await outcome(library, before)) === 'inactive', 2_000);
      assert.equal(await outcome(library, other), 'active');
      // Those of the next seconds match as well: who asks is told that they are good, who verifies waits.
      await until(() => Date.now() / 1000 >= body.issued_before, 15_000);
      assert.equal(await outcome(library, await issueToken(server.url, client)), 'active');
    }
    const client = await createClient(server, format);
    const token = await issueToken(server.url, client);
    assert.equal(await outcome(library, token), 'active');
    assert.equal(
      (
        await sendJson(
          'PATCH',
          `${server.url}/clients/${client.clientId}`,
          administration,
          { disabled: true },
          'application/merge-patch+json',
        )
      ).status,
      200,
    );
    await until(async () => (await outcome(library, token)) === 'inactive', 2_000);
  });
}

test('introspection: a token of the seconds that an entry by time is too wide is asked for once more, and kept again', async (t) => {
  const proxy = await openHttpProxy(t, server.url);
  const library = openLibrary(t, proxy.url, parties.introspection);
  await until(() => library.isFollowing, 5_000);
  const client = await createClient(server, { audience: [AUDIENCE] });
  const ended = await issueToken(server.url, client);
  assert.equal(await outcome(library, ended), 'active');
  await end({ client_id: client.clientId });
  await until(async () => (await outcome(library, ended)) === 'inactive', 2_000);
  const token = await issueToken(server.url, client);
  const before = proxy.count('/introspect');
  for (let n = 0; n < 3; n++) assert.equal(await outcome(library, token), 'active');
  assert.equal(proxy.count('/introspect'), before + 1);
});

test('introspection: one question for all who ask at once; a negative answer is not kept', async (t) => {
  const proxy = await openHttpProxy(t, server.url);
  const library = openLibrary(t, proxy.url, parties.introspection);
  await until(() => library.isFollowing, 5_000);
  const token = await issueToken(server.url, parties.introspection.client);
  const all = await Promise.all(Array.from({ length: 50 }, () => outcome(library, token)));
  assert.deepEqual([new Set(all), proxy.count('/introspect')], [new Set(['active']), 1]);
  for (const expected of [2, 3]) {
    assert.equal(await outcome(library, 'junk'), 'inactive');
    assert.equal(proxy.count('/introspect'), expected);
  }
});

test('introspection: an answer that may not know of all that was revoked before is not kept', async (t) => {
  const proxy = await openHttpProxy(t, server.url, 'prefer');
  const library = openLibrary(t, proxy.url, parties.introspection);
  await until(() => library.isFollowing, 5_000);
  const token = await issueToken(server.url, parties.introspection.client);
  for (const expected of [1, 2]) {
    assert.equal(await outcome(library, token), 'active');
    assert.equal(proxy.count('/introspect'), expected);
  }
});

test('introspection: memory is bounded, and what was pushed out is asked for again', async (t) => {
  const proxy = await openHttpProxy(t, server.url);
  const library = openLibrary(t, proxy.url, parties.introspection, { cacheTokensMax: 2 });
  await until(() => library.isFollowing, 5_000);
  const tokens = [];
  while (tokens.length < 3) tokens.push(await issueToken(server.url, parties.introspection.client));
  for (const token of [...tokens, ...tokens.slice(1)]) assert.equal(await outcome(library, token), 'active');
  assert.equal(proxy.count('/introspect'), 3);
  assert.equal(await outcome(library, tokens[0] ?? ''), 'active');
  assert.equal(proxy.count('/introspect'), 4);
});

test('introspection: nothing is kept beyond the end of a token', async (t) => {
  const library = openLibrary(t, server.url, parties.introspection);
  const client = await createClient(server, { audience: [AUDIENCE], access_token_ttl: 2 });
  const token = await issueToken(server.url, client);
  assert.equal(await outcome(library, token), 'active');
  await until(async () => (await outcome(library, token)) === 'inactive', 5_000);
});

test('a caller that may not read the feed is told so, keeps nothing beyond Cache-Control, and is right all the same', async (t) => {
  const proxy = await openHttpProxy(t, server.url);
  const reader = await createClient(server, { resources: [AUDIENCE], scope: 'other' });
  const problems: unknown[] = [];
  const library = openLibrary(t, proxy.url, { ...parties.introspection, reader }, { onProblem: (problem) => problems.push(problem) });
  const token = await issueToken(server.url, parties.introspection.client);
  for (let n = 1; n <= 2; n++) {
    assert.equal(await outcome(library, token), 'active');
    assert.equal(proxy.count('/introspect'), n);
  }
  assert.match(String(problems[0]), /\/token: status 400/);
  assert.equal(library.isFollowing, false);
  await postForm(`${server.url}/revoke`, { token }, parties.introspection.client);
  assert.equal(await outcome(library, token), 'inactive');
});

test('jwt: what ended before the start is known', async (t) => {
  const token = await issueToken(server.url, parties.jwt.client);
  assert.equal((await postForm(`${server.url}/revoke`, { token }, parties.jwt.client)).status, 200);
  const library = openLibrary(t, server.url, parties.jwt, { mode: 'jwt' });
  assert.equal(await outcome(library, token), 'inactive');
});

test('jwt: the JWT of a reference token that has ended is refused, by its jti', async (t) => {
  const library = openLibrary(t, server.url, parties.jwt, { mode: 'jwt' });
  const token = await issueToken(server.url, parties.introspection.client);
  const phantom = (await postForm(`${server.url}/introspect`, { token }, parties.introspection.client, { accept: 'application/jwt' })).text;
  assert.equal(await outcome(library, phantom), 'active');
  await postForm(`${server.url}/revoke`, { token }, parties.introspection.client);
  await until(async () => (await outcome(library, phantom)) === 'inactive', 2_000);
});

test('jwt: more entries than memory may hold: nothing is concluded from an incomplete list', async (t) => {
  const token = await issueToken(server.url, parties.jwt.client);
  const options = { mode: 'jwt', entriesMax: 1 } as const;
  const refusing = openLibrary(t, server.url, parties.jwt, { ...options, whenSilent: 'refuse' });
  const asking = openLibrary(t, server.url, parties.jwt, options);
  for (let n = 0; n < 2; n++) await end({ token: await issueToken(server.url, parties.jwt.client) });
  await until(async () => (await outcome(refusing, token)) === 'unknown', 2_000);
  assert.equal(await outcome(asking, token), 'active');
});

const WRONG: [why: string, options: Partial<ResourceServerOptions>][] = [
  ['jwt without an audience', { mode: 'jwt' }],
  ['no silence at all', { maxSilenceMs: 0 }],
  ['hardly any', { maxSilenceMs: 999 }],
  ['no number', { cacheTokensMax: Number.NaN }],
];
for (const [why, options] of WRONG) {
  test(`options that cannot be meant are refused: ${why}`, () => {
    const all = { issuer: 'http://127.0.0.1:9', clientId: 'a', clientSecret: 'b', mode: 'introspection', ...options } as const;
    assert.throws(() => openResourceServer(all), /audience|more than 0|or more/);
  });
}
