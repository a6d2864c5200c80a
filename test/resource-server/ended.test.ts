import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ended, type FeedEntry } from '../../src/resource-server/ended.ts';
import { tokenOfClaims, type VerifiedToken } from '../../src/resource-server/verdict.ts';

const entry = (more: Partial<FeedEntry> & Readonly<Record<string, unknown>>): FeedEntry => ({
  cursor: '1-00000000',
  exp: 2_000,
  revoked_at: new Date(1_000_000).toISOString(),
  ...more,
});
const token = (more: object = {}) => tokenOfClaims({ client_id: 'a', sub: 's', iat: 999, exp: 1_500, ...more }) as VerifiedToken;

test('a token has ended by its hash and by its jti, until ten minutes after its end', () => {
  const ended = new Ended(10);
  ended.add(entry({ token_hash: 'h', jti: 'j' }));
  assert.deepEqual(
    [ended.hasToken('h'), ended.hasToken('x', 'j'), ended.hasToken('x', 'y'), ended.hasToken('x')],
    [true, true, false, false],
  );
  ended.sweep(2_599);
  assert.equal(ended.hasToken('h'), true);
  ended.sweep(2_600);
  assert.deepEqual([ended.hasToken('h'), ended.hasToken('x', 'j'), ended.size], [false, false, 0]);
});

const BY_TIME: [why: string, entry: Readonly<Record<string, unknown>>, token: object, ends: boolean][] = [
  ['its client, before', { client_id: 'a', issued_before: 1_000 }, {}, true],
  ['its client, the same second', { client_id: 'a', issued_before: 999 }, {}, false],
  ['another client', { client_id: 'b', issued_before: 1_000 }, {}, false],
  ['its subject', { sub: 's', issued_before: 1_000 }, {}, true],
  ['a subject with the name of the client', { sub: 'a', issued_before: 1_000 }, {}, false],
  ['all', { all: true, issued_before: 1_000 }, { client_id: 'x' }, true],
  ['all, later', { all: true, issued_before: 1_000 }, { iat: 1_000 }, false],
  ['of a kind that is not known: what was issued before', { grant_id: 'g' }, {}, true],
  ['of a kind that is not known, with a time', { grant_id: 'g', issued_before: 1_000 }, {}, true],
  ['of a kind that is not known: not what was issued later', { grant_id: 'g' }, { iat: 1_120 }, false],
];
for (const [why, more, claims, ends] of BY_TIME) {
  test(`an entry by time ends ${ends ? 'a token' : 'no token'}: ${why}`, () => {
    const ended = new Ended(10);
    const before = ended.number;
    ended.add(entry(more));
    assert.equal(ended.hasEndedByTime(token(claims), before), ends);
    assert.equal(ended.hasEndedByTime(token(claims), ended.number), false, 'who asked later knows');
  });
}

test('two entries of one client count as both', () => {
  const ended = new Ended(10);
  ended.add(entry({ client_id: 'a', issued_before: 1_000 }));
  ended.add(entry({ client_id: 'a', issued_before: 500, exp: 3_000 }));
  assert.equal(ended.hasEndedByTime(token(), 1), true);
  ended.sweep(2_500);
  assert.equal(ended.hasEndedByTime(token(), 0), true);
});

test('memory is bounded: the oldest are dropped, and it says so; a dropped time counts for everybody', () => {
  const ended = new Ended(4);
  for (const name of ['1', '2', '3', '4', '5', '6']) ended.add(entry({ token_hash: name }));
  assert.deepEqual([ended.size, ended.dropped, ended.hasToken('2'), ended.hasToken('3')], [4, 2, false, true]);
  for (const name of ['b', 'c', 'd', 'e', 'f']) ended.add(entry({ client_id: name, issued_before: 1_000 }));
  assert.deepEqual([ended.size, ended.dropped], [4, 7]);
  assert.equal(ended.hasEndedByTime(token({ client_id: 'b' }), 0), true);
  assert.equal(ended.hasEndedByTime(token({ client_id: 'b' }), ended.number), false);
});

test('who verifies alone takes for dead what an entry ends, not what one may end: a kind that is not known, or one that was dropped', () => {
  const ended = new Ended(1);
  ended.add(entry({ client_id: 'a', issued_before: 1_000 }));
  assert.deepEqual([ended.isCutOff(token()), ended.isDoubted(token())], [true, false]);
  ended.add(entry({ client_id: 'b', issued_before: 1_000 }));
  assert.deepEqual([ended.isCutOff(token()), ended.isDoubted(token())], [false, true]);
  ended.clear();
  ended.add(entry({ grant_id: 'g', issued_before: 1_000 }));
  assert.deepEqual([ended.isCutOff(token()), ended.isDoubted(token())], [false, true]);
});
