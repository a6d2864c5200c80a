import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rememberedKeys } from '../../src/coherence/remembered-keys.ts';
import { type StoredKey, Unavailable } from '../../src/core/ports.ts';
import { generateSigningKey, publicJwk, type SigningKey } from '../../src/core/signing-key.ts';
import { NOW } from '../contracts/stores.ts';

const [FIRST, SECOND] = await Promise.all([generateSigningKey('ES256'), generateSigningKey('ES256')]);

function stored(key: SigningKey, activeFrom: number): StoredKey {
  const since = new Date(activeFrom * 1000);
  return {
    kid: key.kid,
    alg: key.alg,
    publicJwk: publicJwk(key),
    createdAt: since,
    activeFrom: since,
    endedAt: undefined,
    open: () => key,
  };
}

/** Keys on a store that the test changes, at a time that the test sets. */
function remembered(...records: StoredKey[]) {
  const state = { records, now: NOW, readings: 0, isFresh: true };
  const ensureFresh = async () => {
    if (!state.isFresh) throw new Unavailable('not fresh', { reason: 'not_fresh' });
  };
  let list = async (): Promise<readonly StoredKey[]> => {
    state.readings++;
    return state.records;
  };
  const keys = rememberedKeys({ list: () => list() }, ensureFresh, () => state.now);
  const kid = async () => (await keys.current()).kid;
  return { ...keys, kid, state, holdReading: (held: typeof list) => (list = held) };
}

test('at the moment of the next key it signs, and nothing has to be read for that', async () => {
  const { kid, schedule, state } = remembered(stored(FIRST, NOW - 10), stored(SECOND, NOW + 10));
  for (const [now, expected] of [
    [NOW, FIRST],
    [NOW + 9, FIRST],
    [NOW + 10, SECOND],
    [NOW + 11, SECOND],
  ] as const) {
    state.now = now;
    assert.equal(await kid(), expected.kid);
    assert.equal((await schedule())[0]?.kid, expected.kid);
  }
  assert.equal(state.readings, 1);
});

test('after a change they are read again', async () => {
  const { kid, forget, state } = remembered(stored(FIRST, NOW - 10));
  assert.equal(await kid(), FIRST.kid);
  state.records = [stored(SECOND, NOW - 5)];
  assert.equal(await kid(), FIRST.kid);
  forget();
  assert.equal(await kid(), SECOND.kid);
});

test('a reading that began before a change is not kept', async () => {
  const { kid, forget, state, holdReading } = remembered(stored(FIRST, NOW - 10));
  let letGo: () => void = () => undefined;
  const before = state.records;
  holdReading(() => new Promise((resolve) => (letGo = () => resolve(before))));
  const early = kid();
  await new Promise<void>((resolve) => setImmediate(resolve));
  state.records = [stored(SECOND, NOW - 5)];
  forget();
  letGo();
  assert.equal(await early, FIRST.kid);
  holdReading(async () => state.records);
  assert.equal(await kid(), SECOND.kid);
});

test('without proof of freshness nothing is said, from memory neither; and no key is no key', async () => {
  const { kid, schedule, state } = remembered(stored(FIRST, NOW - 10));
  await kid();
  state.isFresh = false;
  await assert.rejects(kid(), Unavailable);
  await assert.rejects(schedule(), Unavailable);
  await assert.rejects(remembered().current(), /no signing key/);
});
