/** Three resource servers and 1,000 revocations, fewer in the other mode: each token is refused by all three at once, and no good one is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { issueToken, postForm } from '../support/client.ts';
import { openHttpProxy } from '../support/http-proxy.ts';
import { AUDIENCE, createParties, openApi, openLibrary, SHAPES } from '../support/resource-servers.ts';
import { openServer, until } from '../support/server.ts';

const GOOD = 20;
/** All are one process: who asks without a pause delays the news. */
const POLL_MS = 5;
/** A few: what is measured is not a queue. */
const REVOKED_AT_ONCE = 4;
const ASKED_AT_ONCE = 8;
/** For a machine that does other things at the same time; docs/performance.md has what is measured on a quiet one. */
const REFUSED_MS_MAX = 5_000;

for (const [mode, format, revocations] of [
  ['introspection', 'reference', 1_000],
  ['jwt', 'jwt', 300],
] as const) {
  test(`S04 RFC 7662 §4: three resource servers and ${revocations} revocations, mode ${mode}`, async (t) => {
    const server = await openServer();
    t.after(() => server.stop());
    const parties = await createParties(server, { access_token_format: format });
    const proxy = await openHttpProxy(t, server.url);
    const libraries = SHAPES.map(() => openLibrary(t, proxy.url, parties, { mode, audience: [AUDIENCE, 'https://other.example.com'] }));
    const apis = await Promise.all(libraries.map((library, n) => openApi(t, library, SHAPES[n] ?? 'fetch')));
    // 503 is no refusal: a server on a busy machine could not prove in time that it is fresh.
    const ask = async (api: string, token: string) => {
      const get = () => fetch(`${api}orders`, { headers: { authorization: `Bearer ${token}` } });
      let response = await get();
      for (let n = 0; n < 5 && response.status === 503; n++) response = await get();
      return { status: response.status, text: await response.text(), challenge: response.headers.get('www-authenticate') };
    };
    const areGood = async (tokens: readonly string[]) =>
      inTurns(ASKED_AT_ONCE, tokens, async (token) => {
        const answers = await Promise.all(apis.map((api) => ask(api, token)));
        for (const answer of answers) assert.deepEqual(answer, { status: 200, text: parties.client.clientId, challenge: null });
      });
    await until(() => libraries.every(({ isFollowing }) => isFollowing), 5_000);

    const tokens = await inTurns(ASKED_AT_ONCE, Array.from({ length: revocations + GOOD }), () => issueToken(server.url, parties.client));
    const [good, doomed] = [tokens.slice(0, GOOD), tokens.slice(GOOD)];
    await areGood(tokens);
    const introspections = proxy.count('/introspect');
    assert.ok(mode === 'jwt' ? introspections === 0 : introspections >= tokens.length * apis.length);

    const delaysMs = await inTurns(REVOKED_AT_ONCE, doomed, async (token, n) => {
      assert.equal((await postForm(`${server.url}/revoke`, { token }, parties.client)).status, 200);
      const answeredAt = performance.now();
      if (n % 10 === 0) await areGood([good[(n / 10) % GOOD] ?? '']);
      return Promise.all(
        apis.map(async (api) => {
          for (;;) {
            const { status, challenge } = await ask(api, token);
            const delayMs = performance.now() - answeredAt;
            if (status === 401) {
              assert.match(challenge ?? '', /^Bearer realm="[^"]+", error="invalid_token"/);
              return delayMs;
            }
            assert.equal(status, 200);
            assert.ok(delayMs < REFUSED_MS_MAX, `still accepted after ${delayMs} ms`);
            await pause(POLL_MS);
          }
        }),
      );
    });
    await areGood(good);
    for (const token of doomed.slice(-20)) for (const api of apis) assert.equal((await ask(api, token)).status, 401);
    assert.equal(proxy.count('/introspect'), introspections, 'all was answered from memory');
    const sorted = delaysMs.flat().sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)]?.toFixed(1);
    t.diagnostic(`refused after, ms: p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, max ${at(1)}; ${sorted.length} in all`);
  });
}

async function inTurns<T, R>(atOnce: number, items: readonly T[], work: (item: T, n: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const lane = async () => {
    for (let n = next++; n < items.length; n = next++) results[n] = await work(items[n] as T, n);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return results;
}
