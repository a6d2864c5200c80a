/** Where the description is found, and what the pages may do: Z05, Z06. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { OPERATIONS, ROOT_OPERATIONS } from '../../src/openapi/document.ts';
import { request } from '../support/client.ts';
import { openJudge } from '../support/openapi.ts';
import { freePort, type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
before(async () => {
  server = await openServer({ AUTH_ISSUER: 'https://auth.example.com/tenant' });
});
after(() => server.stop());

const PATHS = ['/openapi.json', '/docs'];

for (const path of PATHS) {
  test(`Z05 RFC 9110 §13.1.2: ${path} may be kept for minutes, and is asked for again by its tag`, async () => {
    const { status, headers, text } = await request(server.url + path);
    assert.equal(status, 200);
    assert.equal(headers.get('cache-control'), 'public, max-age=300');
    const etag = headers.get('etag') ?? '';
    assert.match(etag, /^"[\w-]{22}"$/);
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const again = await request(server.url + path, { headers: { 'if-none-match': known } });
      assert.deepEqual([again.status, again.text, again.headers.get('etag')], [304, '', etag], known);
    }
    assert.equal((await request(server.url + path, { headers: { 'if-none-match': '"other"' } })).text, text);
    const head = await request(server.url + path, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('etag'), head.text], [200, etag, '']);
    assert.equal((await request(server.url + path, { method: 'POST' })).status, 405);
  });
}

test('Z05 OpenAPI 3.1.1 §4.8.5: the server is the issuer, and what it lists is below it', async () => {
  const { body, headers } = await request(`${server.url}/openapi.json`);
  assert.equal(headers.get('content-type'), 'application/json');
  assert.deepEqual([body.openapi, body.servers], ['3.1.1', [{ url: 'https://auth.example.com/tenant' }]]);
  assert.equal(body.components.securitySchemes.oauth2.flows.clientCredentials.tokenUrl, 'https://auth.example.com/tenant/token');
  const { origin } = new URL(server.url);
  for (const path of PATHS) assert.equal((await request(origin + path)).status, 404, path);
  assert.equal((await request(`${origin}/.well-known/oauth-authorization-server/tenant`)).status, 200);
  assert.deepEqual(body.paths['/.well-known/oauth-authorization-server/tenant'].servers, [{ url: 'https://auth.example.com' }]);
});

test('Z05 both are there while no store is, and all others are 503 as they say', async () => {
  const other = await openServer({ DATABASE_URL: `postgres://x@127.0.0.1:${await freePort()}/auth` });
  try {
    for (const path of PATHS) assert.equal((await request(other.url + path)).status, 200, path);
    const judge = openJudge((await request(`${other.url}/openapi.json`)).body);
    for (const described of judge.operations) {
      const { method, path, operation } = described;
      const answer = await request(other.url + path.replaceAll(/\{\w+\}/g, 'x'), { method });
      judge.mustFit(described, answer);
      assert.equal(answer.status, 503 in operation.responses ? 503 : 200, described.name);
    }
  } finally {
    await other.stop();
  }
});

test('Z06 CSP 3 §6: the page has one style, no script, and nothing from elsewhere', async () => {
  const { text, headers } = await request(`${server.url}/docs`);
  const style = /<style>([\s\S]*?)<\/style>/.exec(text)?.[1] ?? '';
  const hash = createHash('sha256').update(style).digest('base64');
  assert.equal(
    headers.get('content-security-policy'),
    `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  );
  assert.equal(headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  const tags = text.match(/<[a-z][^>]*>/gi) ?? [];
  for (const tag of tags) {
    assert.doesNotMatch(tag, /^<(script|link|img|iframe|object|embed|form|base|svg)|\s(on\w+|style|src|srcset)\s*=/i, tag);
    const href = /\shref="([^"]*)"/.exec(tag)?.[1];
    assert.ok(href === undefined || href === 'openapi.json' || /^#[\w-]+$/.test(href), tag);
  }
  assert.doesNotMatch(style, /url\(|@import/);
});

test('Z06 the page has every operation, and its links lead somewhere', async () => {
  const { text } = await request(`${server.url}/docs`);
  const ids = [...text.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length);
  for (const [, target = ''] of text.matchAll(/href="#([^"]+)"/g)) assert.ok(ids.includes(target), target);
  for (const { operationId } of [...Object.values(OPERATIONS), ...Object.values(ROOT_OPERATIONS)])
    assert.ok(ids.includes(operationId), operationId);
  assert.doesNotMatch(text, /undefined|\[object |(?<!\| )null,/);
});
