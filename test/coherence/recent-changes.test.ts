import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentChanges } from '../../src/coherence/recent-changes.ts';

test('a change is known for fifteen seconds at least, however many come, and forgotten after thirty', () => {
  let now = 0;
  const changes = new RecentChanges(() => now);
  changes.note('a', 1);
  for (now = 0; now <= 14_999; now += 500) changes.note(`other-${now}`, 2);
  assert.equal(changes.at('a'), 1);
  now = 15_001;
  changes.note('b', 3);
  assert.equal(changes.at('a'), 1, 'one generation back');
  now = 30_002;
  changes.note('b', 4);
  assert.deepEqual([changes.at('a'), changes.at('b')], [0, 4]);
  assert.equal(changes.size, 2, 'b twice, and nothing else');
});

test('it never goes back, and a pause by itself forgets nothing', () => {
  let now = 0;
  const changes = new RecentChanges(() => now);
  changes.note('a', 7);
  changes.note('a', 5);
  now = 3_600_000;
  assert.equal(changes.at('a'), 7);
  changes.note('b', 8);
  assert.equal(changes.at('a'), 7, 'a record that was asked for before the pause is judged by it');
});
