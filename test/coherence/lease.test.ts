/** The lease: a right that ends by itself, and at once when there is a doubt (DR5). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lease } from '../../src/coherence/lease.ts';
import { handClock } from '../support/hand-clock.ts';

function granted(ms = 1_000) {
  const clock = handClock();
  const lease = new Lease(clock);
  lease.grant(lease.ask(), ms);
  return { clock, lease };
}

test('it holds from the question on, not from the answer, up to the last millisecond', async () => {
  const clock = handClock();
  const lease = new Lease(clock);
  assert.equal(lease.holds(), false, 'not before the first grant');
  const asked = lease.ask();
  await clock.pass(400);
  lease.grant(asked, 1_000);
  await clock.pass(600);
  assert.equal(lease.holds(), true);
  await clock.pass(1);
  assert.equal(lease.holds(), false);
});

test('an answer to an earlier question takes nothing away', async () => {
  const { clock, lease } = granted();
  const early = lease.ask();
  await clock.pass(500);
  lease.grant(lease.ask(), 1_000);
  lease.grant(early, 1_000);
  await clock.pass(1_000);
  assert.equal(lease.holds(), true);
});

test('after a doubt only a question that is asked later counts, not one that is under way', () => {
  const { lease } = granted();
  const underWay = lease.ask();
  lease.discard();
  assert.equal(lease.holds(), false);
  lease.grant(underWay, 1_000);
  assert.equal(lease.holds(), false);
  lease.grant(lease.ask(), 1_000);
  assert.equal(lease.holds(), true);
});

test('a machine that slept for more than 200 ms, by its wall clock, holds nothing; nor one whose clock was set', async () => {
  for (const ms of [201, 3_600_000]) {
    const { clock, lease } = granted();
    clock.suspend(ms);
    assert.equal(lease.holds(), false, `slept for ${ms}`);
  }
  for (const ms of [201, -201, -3_600_000]) {
    const { clock, lease } = granted();
    clock.setWall(ms);
    assert.equal(lease.holds(), false, `set by ${ms}`);
    clock.setWall(-ms);
    assert.equal(lease.holds(), true, 'and set back');
  }
});

test('a sleep between question and answer is noticed as well', () => {
  const clock = handClock();
  const lease = new Lease(clock);
  const asked = lease.ask();
  clock.suspend(5_000);
  lease.grant(asked, 1_000);
  assert.equal(lease.holds(), false);
});

test('clocks may drift apart by 200 ms from one grant to the next, not from the first one on', () => {
  const { clock, lease } = granted();
  for (let time = 0; time < 10; time++) {
    clock.setWall(150);
    assert.equal(lease.holds(), true);
    lease.grant(lease.ask(), 1_000);
  }
});
