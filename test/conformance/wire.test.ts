/** What arrives on the wire: ambiguous framing, doubled headers, methods, spellings. One request in is one request taken. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { basic, createClient, issueToken, request } from '../support/client.ts';
import { rawRequest } from '../support/raw.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let client: Credentials;
before(async () => {
  server = await openServer();
  client = await createClient(server, { scope: 'read' });
});
after(() => server.stop());

const GRANT = 'grant_type=client_credentials';
const FORM = 'Content-Type: application/x-www-form-urlencoded';
const LENGTH = `Content-Length: ${GRANT.length}`;
const CHUNKED = 'Transfer-Encoding: chunked';
const chunk = (body: string) => `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n0\r\n\r\n`;

const post = (headers: readonly string[], body = GRANT, path = '/token') =>
  rawRequest(server.url, [
    ...[`POST ${path} HTTP/1.1`, 'Host: localhost', 'Connection: close', `Authorization: ${basic(client)}`],
    ...headers,
    '',
    body,
  ]);

async function tokens(): Promise<number | undefined> {
  return (await server.database.query<{ n: number }>('select count(*)::int as n from access_token'))[0]?.n;
}

const FRAMING: readonly [why: string, headers: readonly string[], body: string][] = [
  ['a length and chunks', [FORM, LENGTH, CHUNKED], chunk(GRANT)],
  ['two lengths', [FORM, LENGTH, LENGTH], GRANT],
  ['a list of lengths', [FORM, `${LENGTH}, ${GRANT.length}`], GRANT],
  ['a negative length', [FORM, 'Content-Length: -1'], GRANT],
  ['a signed length', [FORM, `Content-Length: +${GRANT.length}`], GRANT],
  ['a hexadecimal length', [FORM, 'Content-Length: 0x1d'], GRANT],
  ['an unknown transfer coding', [FORM, 'Transfer-Encoding: xchunked'], chunk(GRANT)],
  ['chunked not last', [FORM, 'Transfer-Encoding: chunked, identity'], chunk(GRANT)],
  ['chunked twice', [FORM, CHUNKED, CHUNKED], chunk(GRANT)],
  ['a bad chunk size', [FORM, CHUNKED], `zz\r\n${GRANT}\r\n0\r\n\r\n`],
  ['a folded header', ['X-A: b', ' c', FORM, LENGTH], GRANT],
  ['a space before the colon', ['X-A : b', FORM, LENGTH], GRANT],
  ['a NUL in a header', ['X-A: a\0b', FORM, LENGTH], GRANT],
  ['a bare line feed', [`X-A: b\n${FORM}`, LENGTH], GRANT],
];
for (const [why, headers, body] of FRAMING) {
  test(`W01 RFC 9112 §6.3: ${why} is 400, once, and nothing is issued`, async () => {
    const earlier = await tokens();
    const { status, text } = await post(headers, body);
    assert.deepEqual([status, text.match(/HTTP\/1\.1 /g)?.length], [400, 1]);
    assert.equal(await tokens(), earlier);
  });
}

test('W01 RFC 9112 §9.3: the body of a refused request is never taken for the next request', async () => {
  const inner = `GET /jwks HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  for (const [path, type] of [
    ['/token', 'text/plain'],
    ['/jwks', 'application/x-www-form-urlencoded'],
    ['/nothing', 'application/json'],
    ['/clients', 'application/json'],
  ]) {
    const { text } = await rawRequest(server.url, [
      ...[`POST ${path} HTTP/1.1`, 'Host: localhost', `Content-Type: ${type}`, `Content-Length: ${inner.length}`],
      ...['', `${inner}GET /health/live HTTP/1.1`, 'Host: localhost', 'Connection: close', '', ''],
    ]);
    assert.equal(text.match(/HTTP\/1\.1 /g)?.length, 2, path);
    assert.ok(!text.includes('"keys"') && text.endsWith('{"status":"live"}'), path);
  }
});

test('W01 chunks, their extensions and trailers make the same form', async () => {
  assert.equal((await post([FORM, CHUNKED], `${GRANT.length.toString(16)};x=1\r\n${GRANT}\r\n0\r\nX-Trailer: 1\r\n\r\n`)).status, 200);
  assert.equal((await post([FORM, CHUNKED], `${[...GRANT].map((one) => `1\r\n${one}\r\n`).join('')}0\r\n\r\n`)).status, 200);
});

test('A08 a doubled header is 400 wherever it stands: behind 2,000 others too', async () => {
  const many = Array.from({ length: 2_000 }, () => 'a:');
  for (const doubled of ['Authorization: Basic eDp5', 'Host: elsewhere', 'Content-Type: application/json']) {
    assert.equal((await post([FORM, LENGTH, doubled])).status, 400, doubled);
    const { status } = await post([FORM, LENGTH, ...many, doubled]);
    assert.ok([400, 431].includes(status), `${doubled}, hidden: ${status}`);
  }
});

test('G05 the limit of a form counts bytes: 413 for characters of three bytes too, and for JSON beyond 64 KiB', async () => {
  const large = `${GRANT}&x=${'€'.repeat(6_000)}`;
  for (const headers of [
    [FORM, `Content-Length: ${Buffer.byteLength(large)}`],
    [FORM, CHUNKED],
  ]) {
    const body = headers.includes(CHUNKED) ? chunk(large) : large;
    assert.equal((await post(headers, body)).status, 413, headers[1]);
  }
  const token = await issueToken(server.url, server.admin);
  const json = `{"client_name":"${'x'.repeat(70_000)}"}`;
  for (const [framing, body] of [
    [`Content-Length: ${json.length}`, json],
    [CHUNKED, chunk(json)],
  ] as const) {
    const answer = await rawRequest(server.url, [
      ...['POST /clients HTTP/1.1', 'Host: localhost', 'Connection: close', `Authorization: Bearer ${token}`],
      ...['Content-Type: application/json', framing, '', body],
    ]);
    assert.deepEqual([answer.status, /content-type: ([^\r]*)/i.exec(answer.text)?.[1]], [413, 'application/problem+json']);
  }
});

const TYPES: readonly [type: string, status: number][] = [
  ['application/x-www-form-urlencoded;charset=utf-8', 200],
  ['APPLICATION/X-WWW-FORM-URLENCODED', 200],
  ['\tapplication/x-www-form-urlencoded', 200],
  ['application/x-www-form-urlencoded, text/plain', 400],
  ['text/plain; application/x-www-form-urlencoded', 400],
  ['application/x-www-form-urlencoded a', 400],
  ['application/x-www-form-urlencodedx', 400],
  ['application/x-www-form-urlencoded\t+json', 400],
  ['*/*', 400],
  ['', 400],
];
test('G05 RFC 6749 App. B: the content type is read, not searched', async () => {
  for (const [type, status] of TYPES) assert.equal((await post([`Content-Type: ${type}`, LENGTH])).status, status, type);
});

const SINGLE: readonly (readonly [method: string, path: string, status: number, allow: string | undefined])[] = [
  ...['HEAD', 'OPTIONS', 'TRACE', 'PATCH', 'PROPFIND'].map((method) => [method, '/token', 405, 'POST'] as const),
  ...['POST', 'OPTIONS', 'TRACE'].map((method) => [method, '/jwks', 405, 'GET, HEAD'] as const),
  ...['/.well-known/oauth-authorization-server', '/health/live', '/health/ready'].map((path) => ['PUT', path, 405, 'GET, HEAD'] as const),
  ['PUT', '/clients/x/secrets', 405, 'POST'],
  ['GET', '/clients/x/secrets/y', 405, 'DELETE'],
  ['POST', '/nothing', 404, undefined],
  ['GET', '/.well-known/openid-configuration', 404, undefined],
  ['GET', '/health', 404, undefined],
  ['GET', '/jwks/', 404, undefined],
  ['GET', '/JWKS', 404, undefined],
  ['GET', '//jwks', 404, undefined],
  ['GET', '/clients//secrets', 404, undefined],
  ['FOO', '/token', 400, undefined],
  ['get', '/jwks', 400, undefined],
];
test('G09 RFC 9110 §15.5.6: each method and path has its one answer', async () => {
  for (const [method, path, status, allow] of SINGLE) {
    const answer = await rawRequest(server.url, [`${method} ${path} HTTP/1.1`, 'Host: localhost', 'Connection: close', '', '']);
    assert.deepEqual([answer.status, /^allow: ([^\r]*)/im.exec(answer.text)?.[1]], [status, allow], `${method} ${path}`);
  }
});

test('G09 RFC 9110 §9.3.2: HEAD is GET without its body', async () => {
  for (const path of ['/jwks', '/.well-known/oauth-authorization-server', '/health/live', '/health/ready']) {
    const [get, head] = [await request(server.url + path), await request(server.url + path, { method: 'HEAD' })];
    assert.deepEqual([head.status, head.text], [get.status, '']);
    for (const name of ['content-type', 'cache-control']) assert.equal(head.headers.get(name), get.headers.get(name), `${path} ${name}`);
  }
});

const HOSTS: readonly (readonly [host: string, status: number])[] = [
  ...['...', '0x7f.1', 'elsewhere.example', ''].map((host) => [host, 200] as const),
  ...['a/b', 'a@b', 'a?b', 'a#b', 'a b', '%6cocalhost', 'a\\b', '[::1', 'a:b', 'localhost:99999', '999.999.999.999', '[::::]'].map(
    (host) => [host, 400] as const,
  ),
];
test('G09 the Host header decides nothing: the issuer comes from the configuration, and no spelling is 500', async () => {
  for (const [host, status] of HOSTS) {
    const path = '/.well-known/oauth-authorization-server';
    const answer = await rawRequest(server.url, [`GET ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: close', '', '']);
    assert.equal(answer.status, status, host);
    if (status === 200) assert.match(answer.text, /"issuer":"http:\/\/localhost:\d+"/);
  }
  const forwarded = { 'x-forwarded-host': 'elsewhere.example', 'x-forwarded-proto': 'https', forwarded: 'host=elsewhere.example' };
  const { text } = await request(`${server.url}/.well-known/oauth-authorization-server`, { headers: forwarded });
  assert.ok(!text.includes('elsewhere'));
});

test('W02 RFC 3986 §3.2.2: a host that looks like one and is none is 400, with any query, and the server lives', async () => {
  for (const host of ['a:99999', 'xn--a', '256.256.256.256', '1.2.3.4.5', '[:]', '[1.2]', 'a', '']) {
    for (const query of ['', "?a='", '?a="', '?a=<', '?a=>', '?#']) {
      for (const [method, path] of [
        ['GET', '/jwks'],
        ['HEAD', '/jwks'],
        ['POST', '/token'],
      ] as const) {
        const head = [`${method} ${path}${query} HTTP/1.1`, `Host: ${host}`, 'Connection: close', 'Content-Length: 0', '', ''];
        const { status } = await rawRequest(server.url, head);
        // `xn--a` is a host to newer Nodes.
        if (host === '' || URL.canParse(`http://${host}`)) assert.ok(status >= 200 && status < 500, head.join('|'));
        else assert.equal(status, 400, head.join('|'));
      }
    }
  }
  assert.equal((await request(`${server.url}/health/live`)).status, 200);
});

test('W03 RFC 9112 §6.1: a transfer coding other than chunked, or any in HTTP/1.0, is refused', async () => {
  for (const [version, coding] of [
    ['1.1', 'gzip, chunked'],
    ['1.1', 'gzip'],
    ['1.0', 'chunked'],
  ]) {
    const head = [`POST /token HTTP/${version}`, 'Host: localhost', `Transfer-Encoding: ${coding}`, 'Connection: close', '', '0', '', ''];
    assert.equal((await rawRequest(server.url, head)).status, 400, coding);
  }
});
