/** Strict revocation: who is waited for, and for how long (DR8). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Acknowledgements } from '../../src/coherence/acknowledgements.ts';
import type { LiveNode, Observer } from '../../src/coherence/ports.ts';
import { Unavailable } from '../../src/core/ports.ts';
import { handClock } from '../support/hand-clock.ts';
import { UNOBSERVED } from '../support/observers.ts';

const MAX_STALENESS_MS = 1_000;
const WAIT_MS = 1_010;

function scene(live: () => Promise<readonly LiveNode[]>, observer: Pick<Observer, 'settled'> = UNOBSERVED) {
  const clock = handClock();
  let looks = 0;
  const acknowledgements = new Acknowledgements({
    nodeId: 'self',
    maxStalenessMs: MAX_STALENESS_MS,
    monotonic: clock.monotonic,
    sleep: clock.sleep,
    observer,
    nodes: {
      live() {
        looks++;
        return live();
      },
    },
  });
  /** @returns whether it is over, and how long that took; asked at any time */
  function watch(work: Promise<unknown>) {
    const began = clock.monotonic();
    const state: { tookMs?: number; error?: unknown } = {};
    const over = (error?: unknown) => {
      state.tookMs = clock.monotonic() - began;
      state.error = error;
    };
    work.then(() => over(), over);
    return state;
  }
  return { clock, acknowledgements, watch, looks: () => looks };
}

const node = (id: string, appliedSeq = 0, maxStalenessMs = MAX_STALENESS_MS): LiveNode => ({ id, appliedSeq, maxStalenessMs });

test('nobody else is there: no wait', async () => {
  const { clock, acknowledgements, watch } = scene(async () => [node('self')]);
  acknowledgements.announced(1);
  const settled = watch(acknowledgements.settle([1]));
  await clock.turn();
  assert.equal(settled.tookMs, 0);
});

test('each live node has to say so, on the bus or in its row; then there is no wait for anything else', async () => {
  let rows = [node('self'), node('bus'), node('row')];
  const { clock, acknowledgements, watch } = scene(async () => rows);
  acknowledgements.announced(7);
  const settled = watch(acknowledgements.settle([7]));
  await clock.pass(10);
  acknowledgements.acknowledged(7, 'bus');
  await clock.pass(10);
  assert.equal(settled.tookMs, undefined);
  rows = [node('self'), node('bus'), node('row', 7)];
  await clock.pass(20);
  assert.ok(settled.tookMs !== undefined && settled.tookMs <= 30, String(settled.tookMs));
});

test('an acknowledgement that comes before anybody waits counts, one of another change does not, and one of nobody is ignored', async () => {
  const { clock, acknowledgements, watch } = scene(async () => [node('other')]);
  acknowledgements.announced(1);
  acknowledgements.announced(2);
  acknowledgements.acknowledged(1, 'other');
  acknowledgements.acknowledged(99, 'other');
  const [first, second] = [watch(acknowledgements.settle([1])), watch(acknowledgements.settle([2]))];
  await clock.pass(100);
  assert.equal(first.tookMs, 0);
  assert.equal(second.tookMs, undefined);
  acknowledgements.acknowledged(2, 'other');
  acknowledgements.acknowledged(2, 'other'); // twice
  await clock.turn();
  assert.equal(second.tookMs, 100);
});

test('a dead node delays by its bound and a hundredth, no more and no less', async () => {
  const { clock, acknowledgements, watch } = scene(async () => [node('dead')]);
  acknowledgements.announced(1);
  const settled = watch(acknowledgements.settle([1]));
  await clock.pass(WAIT_MS - 1);
  assert.equal(settled.tookMs, undefined);
  await clock.pass(1);
  assert.equal(settled.tookMs, WAIT_MS);
});

test('nodes with different bounds: the longest of those that are late counts, and not of those that are not', async () => {
  for (const [slowApplied, waited] of [
    [0, 3_030],
    [1, WAIT_MS],
  ] as const) {
    const { clock, acknowledgements, watch } = scene(async () => [node('slow', slowApplied, 3_000), node('quick', 0, 300)]);
    acknowledgements.announced(1);
    const settled = watch(acknowledgements.settle([1]));
    await clock.pass(4_000);
    assert.equal(settled.tookMs, waited);
  }
});

test('a row that lapses is waited for no more: its node relies on it for half as long', async () => {
  let rows = [node('dead', 0, 60_000)];
  const { clock, acknowledgements, watch } = scene(async () => rows);
  acknowledgements.announced(1);
  const settled = watch(acknowledgements.settle([1]));
  await clock.pass(2_000);
  assert.equal(settled.tookMs, undefined);
  rows = [];
  await clock.pass(30);
  assert.ok(settled.tookMs !== undefined && settled.tookMs <= 2_030);
});

test('a node that registers after the revoker has looked is not waited for: what it knew before counts for nothing', async () => {
  let rows: readonly LiveNode[] = [];
  const { clock, acknowledgements, watch } = scene(async () => {
    const seen = rows;
    rows = [node('new')]; // before the answer is there
    return seen;
  });
  acknowledgements.announced(1);
  const settled = watch(acknowledgements.settle([1]));
  await clock.turn();
  assert.equal(settled.tookMs, 0);
});

test('a look that was under way is not joined: it may have been before the commit', async () => {
  const answers: ((rows: readonly LiveNode[]) => void)[] = [];
  const { clock, acknowledgements, watch } = scene(() => new Promise((resolve) => answers.push(resolve)));
  acknowledgements.announced(1);
  const first = watch(acknowledgements.settle([1]));
  await clock.turn();
  acknowledgements.announced(2);
  const second = watch(acknowledgements.settle([2]));
  answers[0]?.([]);
  await clock.turn();
  assert.equal(first.tookMs, 0);
  assert.equal(second.tookMs, undefined);
  answers[1]?.([]);
  await clock.turn();
  assert.equal(second.tookMs, 0);
});

test('who is there cannot be said: Unavailable after the bound, for another one may be longer; a later look that succeeds decides', async () => {
  let isAway = true;
  const live = async () => {
    if (isAway) throw new Unavailable('away');
    return [node('other', 5)];
  };
  const { clock, acknowledgements, watch } = scene(live);
  acknowledgements.announced(1);
  const refused = watch(acknowledgements.settle([1]));
  await clock.pass(WAIT_MS);
  assert.equal(refused.tookMs, WAIT_MS);
  assert.ok(refused.error instanceof Unavailable);
  acknowledgements.announced(2);
  const settled = watch(acknowledgements.settle([2]));
  await clock.pass(300);
  isAway = false;
  await clock.pass(30);
  assert.ok(settled.tookMs !== undefined && settled.tookMs <= 330);
  assert.equal(settled.error, undefined);
});

test('looks that fail after one that succeeded: those of that one are waited for', async () => {
  let isAway = false;
  const live = async () => {
    if (isAway) throw new Unavailable('away');
    isAway = true;
    return [node('dead', 0, 2_000)];
  };
  const { clock, acknowledgements, watch } = scene(live);
  acknowledgements.announced(1);
  const settled = watch(acknowledgements.settle([1]));
  await clock.pass(2_020);
  assert.deepEqual([settled.tookMs, settled.error], [2_020, undefined]);
});

test('many revocations at once share their looks', async () => {
  let rows = [node('other')];
  const { clock, acknowledgements, watch, looks } = scene(async () => rows);
  const settled = Array.from({ length: 50 }, (_, index) => {
    acknowledgements.announced(index + 1);
    return watch(acknowledgements.settle([index + 1]));
  });
  await clock.pass(100);
  assert.ok(looks() <= 10, String(looks()));
  rows = [node('other', 50)];
  await clock.pass(30);
  assert.ok(settled.every(({ tookMs }) => tookMs !== undefined));
});

test('a change made by others: only the rows say who has applied it', async () => {
  let rows = [node('other', 4)];
  const { clock, acknowledgements, watch } = scene(async () => rows);
  const settled = watch(acknowledgements.settleAll(5));
  acknowledgements.acknowledged(5, 'other');
  await clock.pass(50);
  assert.equal(settled.tookMs, undefined);
  rows = [node('other', 5)];
  await clock.pass(30);
  assert.ok(settled.tookMs !== undefined);
});

test('settling() waits for what was announced during the work, also when the work fails', async () => {
  const { clock, acknowledgements, watch } = scene(async () => [node('other')]);
  const done = watch(
    acknowledgements.settling(async () => {
      acknowledgements.announced(1);
      throw new Error('after its commit');
    }),
  );
  await clock.pass(50);
  assert.equal(done.tookMs, undefined);
  acknowledgements.acknowledged(1, 'other');
  await clock.turn();
  assert.equal((done.error as Error).message, 'after its commit');
});

test('who observes hears how long a wait took, and whether time had to end it', async () => {
  const settled: unknown[] = [];
  const { clock, acknowledgements } = scene(async () => [node('self'), node('other')], { settled: (...wait) => settled.push(wait) });
  acknowledgements.announced(1);
  const first = acknowledgements.settle([1]);
  await clock.pass(10);
  acknowledgements.acknowledged(1, 'other');
  await first;
  acknowledgements.announced(2);
  const second = acknowledgements.settle([2]);
  await clock.pass(WAIT_MS);
  await second;
  assert.deepEqual(settled, [
    [10, 'acknowledgement'],
    [WAIT_MS, 'time'],
  ]);
});
