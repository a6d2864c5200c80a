/** Membership: whoever is not known to the others answers from nothing that it knew before (DR8). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Membership } from '../../src/coherence/membership.ts';
import type { NodeRegistry } from '../../src/coherence/ports.ts';
import { Unavailable } from '../../src/core/ports.ts';
import { handClock } from '../support/hand-clock.ts';
import { memoryNodes } from '../support/memory-nodes.ts';

const RELIED_ON_MS = 2_500;
const ROW_MS = 5_000;

function scene(renewed: NodeRegistry['renew'] = async () => undefined) {
  const clock = handClock();
  const table = memoryNodes(clock.monotonic);
  let joined = 0;
  const nodes: NodeRegistry = {
    ...table,
    async renew(...row) {
      await table.renew(...row);
      await renewed(...row);
    },
  };
  const membership = new Membership({ ...clock, nodeId: 'node', nodes, maxStalenessMs: 700, onJoined: () => joined++ });
  return { clock, table, membership, joined: () => joined };
}

test('a node relies on its row for half as long as the others do', async () => {
  const { clock, table, membership } = scene();
  assert.equal(membership.isLive(), false);
  await membership.renew(4);
  assert.deepEqual(await table.live(), [{ id: 'node', appliedSeq: 4, maxStalenessMs: 700 }]);
  await clock.pass(RELIED_ON_MS);
  assert.equal(membership.isLive(), true);
  await clock.pass(1);
  assert.equal(membership.isLive(), false);
  await clock.pass(ROW_MS - RELIED_ON_MS - 2);
  assert.equal((await table.live()).length, 1);
});

test('it counts from before the row was written, however late the answer comes', async () => {
  const { clock, membership } = scene((): Promise<void> => clock.sleep(2_000));
  const renewed = membership.renew(0);
  await clock.pass(2_000);
  await renewed;
  await clock.pass(RELIED_ON_MS - 2_000);
  assert.equal(membership.isLive(), true);
  await clock.pass(1);
  assert.equal(membership.isLive(), false);
});

test('what was proven before counts no more when the row comes to life, at first and after it had lapsed; not while it lives', async () => {
  const { clock, membership, joined } = scene();
  await membership.renew(0);
  assert.equal(joined(), 1);
  await clock.pass(RELIED_ON_MS);
  await membership.renew(0);
  assert.equal(joined(), 1);
  await clock.pass(RELIED_ON_MS + 1);
  await membership.renew(0);
  assert.equal(joined(), 2);
});

test('a machine that slept is no member, whatever its row says, and joins anew', async () => {
  const { clock, membership, joined } = scene();
  await membership.renew(0);
  clock.suspend(60_000);
  assert.equal(membership.isLive(), false);
  await membership.renew(0);
  assert.deepEqual([membership.isLive(), joined()], [true, 2]);
});

test('a renewal that fails prolongs nothing', async () => {
  let isAway = false;
  const { clock, membership } = scene(async () => {
    if (isAway) throw new Unavailable('the answer is lost');
  });
  await membership.renew(0);
  isAway = true;
  await clock.pass(2_000);
  await assert.rejects(membership.renew(0), Unavailable);
  await clock.pass(501);
  assert.equal(membership.isLive(), false);
});

test('who leaves answers nothing from then on, not even with a renewal that was under way', async () => {
  const { clock, table, membership } = scene((): Promise<void> => clock.sleep(100));
  const first = membership.renew(0);
  await clock.pass(100);
  await first;
  const underWay = membership.renew(0);
  await clock.turn();
  const left = membership.leave();
  assert.equal(membership.isLive(), false, 'before the row is gone');
  await clock.pass(100);
  await Promise.all([underWay, left]);
  assert.equal(membership.isLive(), false);
  assert.deepEqual(await table.live(), []);
});
