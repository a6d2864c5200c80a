import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ACCESS_TOKEN_TTL_MAX_SECONDS } from '../../src/core/clients.ts';
import { Problem } from '../../src/core/errors.ts';
import {
  jwksMaxAgeSeconds,
  type KeyPolicy,
  type KeyRecord,
  keysWithoutUse,
  metadataMaxAgeSeconds,
  planKeys,
  planRotation,
  planSchedule,
  planStart,
  publishedKeys,
  type Rotation,
} from '../../src/core/key-schedule.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;
const LIFE = ACCESS_TOKEN_TTL_MAX_SECONDS * 1000 + HOUR;
const POLICY: KeyPolicy = { alg: 'ES256', rotationSeconds: 90 * 86_400, announceSeconds: 86_400 };

/** @param activeMs milliseconds, as all times here; announced a day before */
function key(kid: string, activeMs: number, members: Partial<KeyRecord> = {}): KeyRecord {
  const createdAt = new Date(activeMs - DAY);
  return { kid, alg: 'ES256', publicJwk: { kid }, createdAt, activeFrom: new Date(activeMs), endedAt: undefined, ...members };
}

const statesAt = (records: readonly KeyRecord[], nowMs: number) => planKeys(records, nowMs).map(({ kid, state }) => `${kid} ${state}`);

const [A, B] = [key('a', 10 * DAY), key('b', 100 * DAY)];

for (const [when, nowMs, states] of [
  ['it is announced', 99 * DAY, ['a active', 'b next']],
  ['a moment before it signs', 100 * DAY - 1, ['a active', 'b next']],
  ['it signs', 100 * DAY, ['b active', 'a retiring']],
  ['a moment before nothing of the other one is alive', 100 * DAY + LIFE - 1, ['b active', 'a retiring']],
  ['nothing of the other one is alive', 100 * DAY + LIFE, ['b active', 'a gone']],
] as const) {
  test(`the next key when ${when}`, () => {
    for (const records of [
      [A, B],
      [B, A],
    ])
      assert.deepEqual(statesAt(records, nowMs), states);
  });
}

test('the times of a key follow from the one after it', () => {
  const [active, next] = planKeys([A, B], 50 * DAY);
  assert.deepEqual([active?.retiringFrom, active?.goneAt], [B.activeFrom, new Date(100 * DAY + LIFE)]);
  assert.deepEqual([next?.retiringFrom, next?.goneAt], [undefined, undefined]);
});

test('a key that has ended is gone at once, and the others are as if it had never been', () => {
  const ended = key('x', 95 * DAY, { endedAt: new Date(97 * DAY) });
  assert.deepEqual(statesAt([A, ended, B], 98 * DAY), ['a active', 'b next', 'x gone']);
  assert.deepEqual(planKeys([A, ended, B], 98 * DAY)[0]?.retiringFrom, B.activeFrom);
  assert.deepEqual(
    publishedKeys(planKeys([A, ended, B], 98 * DAY)).map(({ kid }) => kid),
    ['a', 'b'],
  );
});

test('the only key signs, also by a clock that has not reached its time', () => {
  assert.deepEqual(statesAt([A], 0), ['a active']);
  assert.deepEqual(statesAt([], 0), []);
});

test('at any time one living key signs, no key signs before its time but for want of another, and states go one way', () => {
  const RANK = ['next', 'active', 'retiring', 'gone'];
  const records = fc.uniqueArray(fc.record({ at: fc.integer({ min: 0, max: 900 }), isEnded: fc.boolean() }), {
    selector: ({ at }) => at,
    minLength: 1,
    maxLength: 8,
  });
  fc.assert(
    fc.property(records, fc.array(fc.integer({ min: 0, max: 2_000 }), { maxLength: 20 }), (made, times) => {
      const keys = made.map(({ at, isEnded }) => key(`k${at}`, at * DAY, { endedAt: isEnded ? new Date(at * DAY) : undefined }));
      const living = keys.filter(({ endedAt }) => !endedAt);
      const before = new Map<string, number>();
      for (const time of times.sort((a, b) => a - b)) {
        const planned = planKeys(keys, time * DAY);
        const active = planned.filter(({ state }) => state === 'active');
        assert.equal(active.length, living.length > 0 ? 1 : 0);
        assert.ok(active.length === 0 || active[0] === planned[0], 'the signing key comes first');
        const isEarly = active[0] && active[0].activeFrom.getTime() > time * DAY;
        assert.ok(!isEarly || living.every(({ activeFrom }) => activeFrom.getTime() > time * DAY));
        for (const { kid, state } of planned) {
          assert.ok(RANK.indexOf(state) >= (before.get(kid) ?? 0), `${kid} was further`);
          before.set(kid, RANK.indexOf(state));
        }
      }
    }),
  );
});

const NOW = 50 * DAY;
const planned = (...records: readonly KeyRecord[]) => planKeys(records, NOW);
const make = (activeMs: number, ...ends: readonly string[]) => ({ kind: 'make', activeFrom: new Date(activeMs), ends });
const at = (activateAt: Date | 'now' | undefined): Rotation => ({ kind: 'planned', activateAt });
/** Announced an hour ago. */
const NEXT = key('b', 51 * DAY, { createdAt: new Date(NOW - HOUR) });

test('a rotation makes a key that signs after the announcement, or gets the one that is announced', () => {
  assert.deepEqual(planRotation(planned(A), at(undefined), POLICY, NOW), make(NOW + DAY));
  assert.deepEqual(planRotation(planned(A, NEXT), at(undefined), POLICY, NOW), { kind: 'keep', kid: 'b' });
});

test('the moment is chosen, brought forward and put off', () => {
  const soon = new Date(NOW + HOUR);
  assert.deepEqual(planRotation(planned(A), at(soon), POLICY, NOW), make(NOW + HOUR));
  for (const moment of [soon, new Date(NOW), new Date(NOW + 366 * DAY)])
    assert.deepEqual(planRotation(planned(A, NEXT), at(moment), POLICY, NOW), { kind: 'move', kid: 'b', activeFrom: moment });
  assert.deepEqual(planRotation(planned(A, NEXT), at('now'), POLICY, NOW), { kind: 'move', kid: 'b', activeFrom: new Date(NOW) });
  assert.deepEqual(planRotation(planned(A, NEXT), at(NEXT.activeFrom), POLICY, NOW), { kind: 'keep', kid: 'b' });
});

const SECOND = 1_000;
for (const [why, records, moment] of [
  ['at once, for a key that nobody knows', [A], 'now'],
  ['before verifiers have to know a new key', [A], new Date(NOW + 599 * SECOND)],
  ['before verifiers have to know the next key', [A, { ...NEXT, createdAt: new Date(NOW - 300 * SECOND) }], new Date(NOW + 299 * SECOND)],
  ['at once, while they do not', [A, { ...NEXT, createdAt: new Date(NOW - 599 * SECOND) }], 'now'],
  ['in the past', [A, NEXT], new Date(NOW - 1)],
  ['in more than a year', [A, NEXT], new Date(NOW + 366 * DAY + 1)],
] as const) {
  test(`a rotation is refused ${why}`, () => {
    const refused = (error: unknown) =>
      error instanceof Problem && error.code === 'invalid_request' && error.fields[0]?.pointer === '/activate_at';
    assert.throws(() => planRotation(planKeys(records, NOW), at(moment), POLICY, NOW), refused);
  });
}

test('as soon as verifiers have to know it, a key can be used', () => {
  assert.deepEqual(planRotation(planned(A), at(new Date(NOW + 600 * SECOND)), POLICY, NOW), make(NOW + 600 * SECOND));
});

test('after a compromise all keys end that there are, and the new one signs at once', () => {
  const old = key('o', DAY);
  const ended = key('x', 2 * DAY, { endedAt: new Date(3 * DAY) });
  const change = planRotation(planned(old, ended, A, NEXT), { kind: 'compromised' }, POLICY, NOW);
  assert.deepEqual(change, make(NOW, 'a', 'b', 'o'));
});

test('the schedule announces a key in time, one only, and none where it is switched off', () => {
  const due = 100 * DAY - DAY; // it signs for 90 days, and the next one is announced a day before
  const plan = (nowMs: number, records = [A], policy = POLICY) => planSchedule(planKeys(records, nowMs), policy, nowMs);
  assert.equal(plan(due - 1), undefined);
  assert.deepEqual(plan(due), make(100 * DAY));
  assert.deepEqual(plan(due + 5 * DAY), make(due + 6 * DAY), 'late, and announced all the same');
  assert.equal(plan(due, [A, B]), undefined);
  assert.equal(plan(due, [A], { ...POLICY, rotationSeconds: undefined }), undefined);
  assert.equal(plan(due, []), undefined);
});

test('at the start the first key signs at once; another algorithm is announced, in place of a key that was', () => {
  assert.deepEqual(planStart([], POLICY, NOW), make(NOW));
  assert.equal(planStart(planned(A), POLICY, NOW), undefined);
  const eddsa: KeyPolicy = { ...POLICY, alg: 'EdDSA' };
  assert.deepEqual(planStart(planned(A), eddsa, NOW), make(NOW + DAY));
  assert.deepEqual(planStart(planned(A, NEXT), eddsa, NOW), make(NOW + DAY, 'b'));
  assert.equal(planStart(planned(A, { ...NEXT, alg: 'EdDSA' }), eddsa, NOW), undefined);
});

test('a private key is of no use an hour after its last signature', () => {
  assert.deepEqual(keysWithoutUse(planKeys([A, B], 100 * DAY + HOUR - 1), 100 * DAY + HOUR - 1), []);
  assert.deepEqual(keysWithoutUse(planKeys([A, B], 100 * DAY + HOUR), 100 * DAY + HOUR), ['a']);
  assert.deepEqual(keysWithoutUse(planKeys([A, B], 1_000 * DAY), 1_000 * DAY), ['a']);
});

test('/jwks may be kept for half of the announcement, five minutes at most', () => {
  assert.deepEqual([4, 5, 599, 600, 86_400].map(jwksMaxAgeSeconds), [2, 2, 299, 300, 300]);
});

test('the metadata may not be kept beyond the switch to another algorithm', () => {
  const other = (activeMs: number) => key('b', activeMs, { alg: 'RS256' });
  const maxAge = (records: readonly KeyRecord[], announceSeconds = 86_400) =>
    metadataMaxAgeSeconds(planned(...records), announceSeconds, NOW);
  assert.equal(maxAge([A]), 3_600);
  assert.equal(maxAge([A], 100), 50, 'one may be announced at any moment');
  assert.equal(maxAge([A, key('b', NOW + 10_000)]), 3_600, 'the same algorithm');
  assert.equal(maxAge([A, other(NOW + 10_000)]), 10);
  assert.equal(maxAge([A, other(NOW + DAY)]), 3_600);
});
