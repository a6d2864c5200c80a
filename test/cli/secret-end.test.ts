import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endOf, nextEnd } from '../../src/cli/secret-end.ts';

const NOW_MS = Date.UTC(2027, 0, 15, 8);
const inMs = (ms: number) => new Date(NOW_MS + ms).toISOString();
const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000];

for (const [ms, far, near] of [
  [-1, 'ended', 'ended'],
  [0, 'ended', 'ended'],
  [1, '(in 1 min)', 'in 1 min'],
  [90 * MINUTE, '(in 90 min)', 'in 90 min'],
  [2 * HOUR, '(in 2 h)', 'in 2 h'],
  [47 * HOUR, '(in 47 h)', 'in 47 h'],
  [3 * DAY + HOUR, '(in 3 d)', 'in 3 d'],
  [30 * DAY, '(in 30 d)', 'in 30 d'],
  [31 * DAY, 'expires', '2027-02-15'],
] as const) {
  test(`a secret that ends in ${ms} ms: ${near}`, () => {
    const end = inMs(ms);
    const expected = far === 'ended' ? `ended ${end}` : far === 'expires' ? `expires ${end}` : `expires ${end} ${far}`;
    assert.equal(endOf(end, NOW_MS), expected);
    assert.equal(nextEnd([end], NOW_MS), near);
  });
}

test('of several the next one that is still good counts', () => {
  assert.equal(nextEnd([], NOW_MS), '-');
  assert.equal(nextEnd([undefined, undefined], NOW_MS), '-');
  assert.equal(nextEnd([undefined, inMs(-DAY)], NOW_MS), '-');
  assert.equal(nextEnd([inMs(9 * DAY), undefined, inMs(5 * DAY), inMs(-DAY)], NOW_MS), 'in 5 d');
  assert.equal(nextEnd([inMs(-DAY), 'what no server says'], NOW_MS), 'ended');
});
