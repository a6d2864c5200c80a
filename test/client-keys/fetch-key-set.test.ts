import assert from 'node:assert/strict';
import { lookup } from 'node:dns/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { fetchKeySet, lookUpPublic } from '../../src/client-keys/fetch-key-set.ts';
import { keyPair } from '../support/assertions.ts';

const KEYS = [keyPair(), keyPair('RS256'), keyPair('EdDSA')];
const SET = JSON.stringify({ keys: KEYS.map(({ jwk }) => jwk) });
const JSON_TYPE = { 'content-type': 'application/json' };

/** @returns its URL, and how often it was asked */
async function serve(t: TestContext, listener: RequestListener): Promise<{ readonly uri: string; readonly asked: () => number }> {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    listener(request, response);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`, asked: () => asked };
}
const answering = (t: TestContext, body: string, headers: Readonly<Record<string, string>> = JSON_TYPE, status = 200) =>
  serve(t, (_, response) => response.writeHead(status, headers).end(body));

test('keys are read, whatever else is in the set (RFC 7517 §5)', async (t) => {
  const others = [
    { kty: 'oct', k: 'AAAA' },
    { kty: 'EC', crv: 'secp256k1', x: 'x', y: 'y' },
    { ...KEYS[0]?.jwk, use: 'enc' },
    null,
    'key',
    [],
  ];
  const leaked = { ...KEYS[1]?.privateKey.export({ format: 'jwk' }), kid: 'leaked' };
  const { uri } = await answering(t, JSON.stringify({ keys: [...others, leaked, ...KEYS.map(({ jwk }) => jwk)], more: 1 }));
  const { keys } = await fetchKeySet(uri, 'allow');
  assert.deepEqual(
    keys.map(({ kid }) => kid),
    KEYS.map(({ kid }) => kid),
  );
});

for (const type of ['application/json', 'application/jwk-set+json', 'Application/JSON; charset=utf-8', 'application/vnd.example+json']) {
  test(`the media type ${type} is good`, async (t) => {
    const { uri } = await answering(t, SET, { 'content-type': type });
    assert.equal((await fetchKeySet(uri, 'allow')).keys.length, 3);
  });
}

for (const [cacheControl, seconds] of [
  [undefined, 300],
  ['max-age=600', 600],
  ['public, max-age=600, must-revalidate', 600],
  ['max-age=0', 60],
  ['max-age=5', 60],
  ['max-age=999999999', 3600],
  ['max-age=99999999999999999999', 300],
  ['no-store', 60],
  ['no-cache, max-age=600', 60],
  ['s-maxage=700', 300],
  ['max-age=x', 300],
] as const) {
  test(`Cache-Control ${cacheControl ?? 'absent'}: kept for ${seconds} s`, async (t) => {
    const { uri } = await answering(t, SET, { ...JSON_TYPE, ...(cacheControl !== undefined && { 'cache-control': cacheControl }) });
    assert.equal((await fetchKeySet(uri, 'allow')).maxAgeSeconds, seconds);
  });
}

const huge = JSON.stringify({ keys: [], padding: 'x'.repeat(70_000) });
const ANSWERS: readonly [why: string, body: string, headers: Readonly<Record<string, string>>, status: number, error: RegExp][] = [
  ['404', SET, JSON_TYPE, 404, /status 404/],
  ['204', '', JSON_TYPE, 204, /status 204/],
  ['206', SET, JSON_TYPE, 206, /status 206/],
  ['500', SET, JSON_TYPE, 500, /status 500/],
  ['HTML', SET, { 'content-type': 'text/html' }, 200, /media type/],
  ['no media type', SET, {}, 200, /media type/],
  ['not JSON', '<html>', JSON_TYPE, 200, /not JSON/],
  ['an empty body', '', JSON_TYPE, 200, /not JSON/],
  ['a list', '[]', JSON_TYPE, 200, /not a key set/],
  ['null', 'null', JSON_TYPE, 200, /not a key set/],
  ['keys that are no list', '{"keys":{}}', JSON_TYPE, 200, /not a key set/],
  ['too many keys', JSON.stringify({ keys: Array.from({ length: 21 }, () => KEYS[0]?.jwk) }), JSON_TYPE, 200, /more than 20/],
  ['too large', huge, JSON_TYPE, 200, /more than 65536 bytes/],
  ['a large header', SET, { ...JSON_TYPE, 'x-large': 'x'.repeat(10_000) }, 200, /[Hh]eader/],
];
for (const [why, body, headers, status, error] of ANSWERS) {
  test(`refused: ${why}`, async (t) => {
    const { uri } = await answering(t, body, headers, status);
    await assert.rejects(fetchKeySet(uri, 'allow'), error);
  });
}

for (const status of [301, 302, 303, 307, 308]) {
  test(`${status}: a redirect is not followed`, async (t) => {
    const target = await answering(t, SET);
    const { uri } = await answering(t, SET, { ...JSON_TYPE, location: target.uri }, status);
    await assert.rejects(fetchKeySet(uri, 'allow'), /status 30/);
    assert.equal(target.asked(), 0);
  });
}

test('a second and a half for all of it: no answer, a body without an end, one in drops', { timeout: 20_000 }, async (t) => {
  const silent = await serve(t, () => undefined);
  const endless = await serve(t, (_, response) => void response.writeHead(200, JSON_TYPE).write('{"keys":['));
  const drops = await serve(t, (_, response) => {
    response.writeHead(200, JSON_TYPE);
    const timer = setInterval(() => response.write(' '), 100);
    response.on('close', () => clearInterval(timer));
  });
  const since = performance.now();
  const results = await Promise.allSettled([silent, endless, drops].map(({ uri }) => fetchKeySet(uri, 'allow')));
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  );
  assert.ok(performance.now() - since < 4_000);
});

test('an endless body is left once it is too large', async (t) => {
  const { uri } = await serve(t, (_, response) => {
    response.writeHead(200, JSON_TYPE);
    const write = (): void => {
      while (!response.destroyed && response.write('x'.repeat(10_000)));
      if (!response.destroyed) response.once('drain', write);
    };
    write();
  });
  await assert.rejects(fetchKeySet(uri, 'allow'), /more than 65536 bytes/);
});

test('by default nothing of this machine and its network is connected to, however it is written', async (t) => {
  const { uri, asked } = await answering(t, SET);
  const { port } = new URL(uri);
  const hosts = [
    ...[
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f000001',
      '017700000001',
      '0.0.0.0',
      '0',
      '[::1]',
      '[::]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
    ],
    ...[
      '[64:ff9b::7f00:1]',
      '10.0.0.1',
      '169.254.169.254',
      '192.168.1.1',
      '[fe80::1]',
      '[fd00::1]',
      'localhost',
      'LOCALHOST',
      'localhost.',
    ],
  ];
  for (const host of hosts) {
    await assert.rejects(fetchKeySet(`https://${host}:${port}/jwks`, 'refuse'), /internal address|ENOTFOUND|EAI_AGAIN/, host);
    await assert.rejects(fetchKeySet(`http://${host}:${port}/jwks`, 'refuse'), /not https/, host);
  }
  assert.equal(asked(), 0);
});

test('plain HTTP is for this machine only, also when internal addresses are allowed', async () => {
  for (const host of ['example.com', '10.0.0.1', '169.254.169.254', 'localhost.example.com', '127.0.0.1.example.com'])
    await assert.rejects(fetchKeySet(`http://${host}/jwks`, 'allow'), /not https/, host);
});

test('a name is checked as it is resolved for the connection, in both forms that Node asks for', async () => {
  const lookUp = promisify(lookUpPublic) as unknown as (host: string, options: object) => Promise<unknown>;
  for (const options of [{}, { all: true }, { family: 4 }, { all: true, hints: 0 }]) {
    await assert.rejects(lookUp('localhost', options), /internal address/);
    await assert.rejects(lookUp('127.0.0.1', options), /internal address/);
  }
});

test('names that nobody answers for take no thread from others: DNS is asked by itself, and given up', async () => {
  const lookUp = promisify(lookUpPublic) as unknown as (host: string, options: object) => Promise<unknown>;
  const since = performance.now();
  const waiting = Promise.allSettled(Array.from({ length: 20 }, (_, n) => lookUp(`${n}.nowhere.invalid`, {})));
  await lookup('localhost');
  const ms = performance.now() - since;
  assert.ok((await waiting).every(({ status }) => status === 'rejected'));
  assert.ok(ms < 1_000, `${ms} ms`);
});
