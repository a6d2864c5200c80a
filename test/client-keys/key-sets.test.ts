import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FetchedKeys } from '../../src/client-keys/fetch-key-set.ts';
import { openKeySets } from '../../src/client-keys/key-sets.ts';
import type { ClientKey } from '../../src/core/client-keys.ts';
import { Unavailable } from '../../src/core/ports.ts';
import { keyPair } from '../support/assertions.ts';

const URI = 'https://client.example/jwks';
const key = (kid: string): ClientKey => ({ kid, algs: ['ES256'], key: keyPair().privateKey });
const [OLD, NEW] = [key('old'), key('new')];

/** Servers of clients that answer when the test says so. */
function world() {
  let now = 1_000;
  const asked: string[] = [];
  const waiting: { readonly answer: (fetched: FetchedKeys) => void; readonly fail: (error: Error) => void }[] = [];
  const failures: string[] = [];
  const keysAt = openKeySets({
    fetch: (uri) => {
      asked.push(uri);
      return new Promise((answer, fail) => void waiting.push({ answer, fail }));
    },
    monotonic: () => now,
    onFailure: (uri, { message }) => void failures.push(`${uri} ${message}`),
  });
  return {
    keysAt,
    asked,
    failures,
    pass(seconds: number) {
      now += seconds * 1000;
    },
    answer: (keys: readonly ClientKey[], maxAgeSeconds = 300) => waiting.shift()?.answer({ keys, maxAgeSeconds }),
    fail: () => waiting.shift()?.fail(new Error('down')),
    /** asks, and has the server answer */
    async get(kid: string | undefined, keys: readonly ClientKey[], maxAgeSeconds = 300) {
      const got = keysAt(URI, kid);
      waiting.shift()?.answer({ keys, maxAgeSeconds });
      return got;
    },
    async getDown(kid: string | undefined) {
      const got = keysAt(URI, kid);
      waiting.shift()?.fail(new Error('down'));
      return got;
    },
  };
}
const isOutage = (error: unknown) => error instanceof Unavailable && error.reason === 'client_keys';

test('fetched once, however many ask, and again when their time is over', async () => {
  const { keysAt, asked, answer, pass, get } = world();
  const many = Array.from({ length: 20 }, () => keysAt(URI, 'old'));
  answer([OLD]);
  for (const keys of await Promise.all(many)) assert.deepEqual(keys, [OLD]);
  pass(299);
  assert.deepEqual(await keysAt(URI, 'old'), [OLD]);
  assert.equal(asked.length, 1);
  pass(1);
  assert.deepEqual(await get('old', [NEW]), [NEW], 'in place of those of before: what was taken away is trusted no longer');
  assert.equal(asked.length, 2);
});

test('an unknown kid has them fetched again, twice a minute at most', async () => {
  const { keysAt, asked, pass, get } = world();
  await get('old', [OLD]);
  for (let attempt = 0; attempt < 100; attempt++) assert.deepEqual(await keysAt(URI, `guess ${attempt}`), [OLD]);
  assert.equal(asked.length, 1);
  pass(30);
  assert.deepEqual(await get('new', [OLD, NEW]), [OLD, NEW]);
  assert.deepEqual(await keysAt(URI, 'new'), [OLD, NEW]);
  assert.equal(asked.length, 2);
});

test('while their server is down those in memory are used, for an hour, and one that is not among them is nobody’s to judge', async () => {
  const { keysAt, asked, failures, pass, getDown, get } = world();
  await get('old', [OLD]);
  pass(300);
  assert.deepEqual(await getDown('old'), [OLD]);
  await assert.rejects(keysAt(URI, 'new'), isOutage, 'perhaps it is a new one');
  assert.equal(asked.length, 2, 'and nobody asks again at once');
  pass(5);
  assert.deepEqual(await getDown('old'), [OLD]);
  assert.deepEqual(
    failures,
    Array.from({ length: 2 }, () => `${URI} down`),
  );
  pass(3_595);
  await assert.rejects(getDown('old'), isOutage);
  pass(5);
  assert.deepEqual(await get('new', [NEW]), [NEW], 'it is back');
  assert.deepEqual(await keysAt(URI, 'gone'), [NEW]);
});

test('without any keys there is no answer, and a rest of five seconds', async () => {
  const { keysAt, asked, pass, getDown, get } = world();
  await assert.rejects(getDown('old'), isOutage);
  await assert.rejects(keysAt(URI, 'old'), isOutage);
  assert.equal(asked.length, 1);
  pass(5);
  assert.deepEqual(await get('old', [OLD]), [OLD]);
});

test('sixteen servers are asked at a time; who comes then has to come again, or gets what is in memory', async () => {
  const { keysAt, asked, answer, pass, get } = world();
  await get('old', [OLD], 60);
  pass(60);
  const many = Array.from({ length: 16 }, (_, index) => keysAt(`https://c${index}.example/`, undefined));
  await assert.rejects(keysAt('https://c17.example/', undefined), isOutage);
  assert.deepEqual(await keysAt(URI, 'old'), [OLD]);
  assert.equal(asked.length, 17);
  for (const _ of many) answer([OLD]);
  await Promise.all(many);
  const last = keysAt('https://c17.example/', undefined);
  answer([NEW]);
  assert.deepEqual(await last, [NEW], 'it did not have to rest');
});

test('a thousand sets are kept: the one that was asked for longest ago goes', async () => {
  const { keysAt, asked, answer } = world();
  const ask = (uri: string) => {
    const got = keysAt(uri, undefined);
    answer([OLD]);
    return got;
  };
  for (let index = 0; index < 1_000; index++) await ask(`https://c${index}.example/`);
  await ask('https://c0.example/');
  assert.equal(asked.length, 1_000);
  await ask('https://one-more.example/');
  await ask('https://c0.example/');
  assert.equal(asked.length, 1_001);
  await ask('https://c1.example/');
  assert.equal(asked.length, 1_002);
});
