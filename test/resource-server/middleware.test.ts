/** RFC 6750 by each middleware: S01–S03 of docs/conformance.md. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { FastifyHook, ResourceServer, VerifiedToken } from 'auth/resource-server';
import { issueToken } from '../support/client.ts';
import { sharedCleanup } from '../support/faults.ts';
import { createParties, listen, openApi, openLibrary, type Parties, SCOPE, SHAPES } from '../support/resource-servers.ts';
import { type InProcessServer, openServer } from '../support/server.ts';

const shared = sharedCleanup();
const SHAPES_AND_FASTIFY = [...SHAPES, 'fastify'] as const;
let server: InProcessServer;
let parties: Parties;
let apis: ReadonlyMap<string, string>;
let silent: ReadonlyMap<string, string>;
before(async () => {
  server = await openServer();
  shared.after(() => server.stop());
  parties = await createParties(server);
  const open = async (library: ResourceServer) => {
    const urls = SHAPES_AND_FASTIFY.map(
      async (shape): Promise<[string, string]> => [
        shape,
        await (shape === 'fastify' ? openFastifyLike(library) : openApi(shared, library, shape)),
      ],
    );
    return new Map(await Promise.all(urls));
  };
  apis = await open(openLibrary(shared, server.url, parties));
  // Nobody listens there.
  silent = await open(openLibrary(shared, 'http://127.0.0.1:9', parties, { whenSilent: 'refuse' }));
});
after(() => shared.run());

/** What Fastify does around a hook: its request and its reply are objects of their own, and a reply that was sent ends it. */
function openFastifyLike(library: ResourceServer): Promise<string> {
  const hook: FastifyHook = library.fastify({ scope: SCOPE });
  return listen(shared, async ({ headers }, response) => {
    const request: { headers: typeof headers; auth?: VerifiedToken } = { headers };
    let isSent = false;
    const reply = {
      code: (status: number) => Object.assign(response, { statusCode: status }),
      header: (name: string, value: string) => response.setHeader(name, value),
      send: (body: string) => {
        isSent = true;
        response.end(body);
      },
    };
    assert.equal(await hook(request, reply), isSent ? reply : undefined);
    if (!isSent) response.end(request.auth?.subject);
  });
}

async function ask(url: string | undefined, authorization?: string) {
  const response = await fetch(`${url}orders`, { headers: authorization === undefined ? {} : { authorization } });
  const text = await response.text();
  return { status: response.status, text, headers: response.headers, challenge: response.headers.get('www-authenticate') };
}

for (const shape of SHAPES_AND_FASTIFY) {
  test(`S01 RFC 6750 §2.1: a good token opens the door, whatever the case of the scheme: ${shape}`, async () => {
    const token = await issueToken(server.url, parties.client);
    for (const scheme of ['Bearer', 'bearer', 'BEARER ']) {
      const { status, text } = await ask(apis.get(shape), `${scheme} ${token}`);
      assert.deepEqual([status, text], [200, parties.client.clientId]);
    }
  });

  test(`S02 RFC 6750 §3: nothing, something malformed, no good token, too little scope: ${shape}`, async () => {
    const realm = `realm="${parties.issuer}"`;
    for (const nothing of [undefined, 'Basic abc', 'Bearertoken']) {
      const { status, challenge } = await ask(apis.get(shape), nothing);
      assert.deepEqual([status, challenge], [401, `Bearer ${realm}`], 'no error code: nothing was tried');
    }
    for (const malformed of ['Bearer', 'Bearer a b', 'Bearer a,Bearer b', 'Bearer "a"']) {
      const { status, challenge } = await ask(apis.get(shape), malformed);
      assert.equal(status, 400);
      assert.ok(challenge?.startsWith(`Bearer ${realm}, error="invalid_request"`), challenge ?? '');
    }
    const junk = await ask(apis.get(shape), 'Bearer junk');
    assert.equal(junk.status, 401);
    assert.ok(junk.challenge?.startsWith(`Bearer ${realm}, error="invalid_token"`), junk.challenge ?? '');
    const narrow = await ask(apis.get(shape), `Bearer ${await issueToken(server.url, parties.client, { scope: 'orders:write' })}`);
    assert.equal(narrow.status, 403);
    assert.match(narrow.challenge ?? '', /, error="insufficient_scope", .*scope="orders:read"$/);
    for (const { headers, text } of [junk, narrow]) {
      assert.deepEqual([headers.get('cache-control'), headers.get('content-type')], ['no-store', 'application/json']);
      assert.ok(typeof JSON.parse(text).error === 'string');
    }
  });

  test(`S03 RFC 6750 §3.1: what cannot be asked is 503 without a challenge, never invalid_token: ${shape}`, async () => {
    const { status, headers, challenge, text } = await ask(silent.get(shape), 'Bearer whatever');
    assert.deepEqual([status, challenge, headers.get('retry-after')], [503, null, '1']);
    assert.equal(JSON.parse(text).error, 'temporarily_unavailable');
    assert.equal((await ask(silent.get(shape))).status, 401);
  });
}

test('RFC 6750 §3.1: all scopes that are needed, as a list or as text', async (t) => {
  const library = openLibrary(t, server.url, parties);
  const headers = { authorization: `Bearer ${await issueToken(server.url, parties.client)}` };
  const status = async (scope: string | string[]) =>
    (await library.authenticate(new Request('http://api/'), { scope })).refusal?.status ??
    (await library.authenticate(new Request('http://api/', { headers }), { scope })).refusal?.status;
  assert.equal(await status('orders:read'), 401);
  const good = async (scope: string | string[]) =>
    (await library.authenticate(new Request('http://api/', { headers }), { scope })).token !== undefined;
  assert.deepEqual(
    await Promise.all([
      good('orders:read orders:write'),
      good(['orders:read', 'orders:write']),
      good('orders:read orders:admin'),
      good(['orders']),
    ]),
    [true, true, false, false],
  );
});
