import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Unavailable } from '../../src/core/ports.ts';
import { groupCommit } from '../../src/postgres/group-commit.ts';

interface Batch {
  readonly items: readonly number[];
  readonly done: () => void;
  readonly fail: (error: Error) => void;
}

/** Batches that are written when the test says so. An item that is not finite cannot be. */
function scene(itemsMax = 3, waitingMax = 5) {
  const batches: Batch[] = [];
  const add = groupCommit<number, string>({
    write: (items) =>
      new Promise((resolve, reject) => {
        const done = () => {
          if (items.every(Number.isFinite)) resolve(items.map((item) => `written ${item}`));
          else reject(new Error('not a number'));
        };
        batches.push({ items, done, fail: reject });
      }),
    itemsMax,
    waitingMax,
  });
  return { add, batches, shapes: () => batches.map(({ items }) => items) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('who comes alone is written at once; who comes meanwhile, together; each hears its own result', async () => {
  const { add, batches, shapes } = scene();
  const first = add(1);
  const others = [2, 3, 4, 5].map(add);
  assert.deepEqual(shapes(), [[1]]);
  batches[0]?.done();
  assert.equal(await first, 'written 1');
  await turn();
  assert.deepEqual(shapes(), [[1], [2, 3, 4]]);
  batches[1]?.done();
  await turn();
  batches[2]?.done();
  assert.deepEqual(await Promise.all(others), ['written 2', 'written 3', 'written 4', 'written 5']);
  void add(6);
  assert.deepEqual(shapes().at(-1), [6], 'and at once again');
});

test('what cannot be written fails by itself', async () => {
  const { add, batches } = scene();
  const all = Promise.allSettled([1, 2, Number.NaN, 4].map(add));
  for (let written = 0; written < 5; written++) {
    batches[written]?.done();
    await turn();
  }
  assert.deepEqual(
    batches.map(({ items }) => items),
    [[1], [2, Number.NaN, 4], [2], [Number.NaN], [4]],
  );
  assert.deepEqual(
    (await all).map((result) => (result.status === 'fulfilled' ? result.value : result.reason.message)),
    ['written 1', 'written 2', 'not a number', 'written 4'],
  );
});

test('an outage is said to all who wait, at once, and nothing is tried again; who comes afterwards is written', async () => {
  const { add, batches, shapes } = scene();
  const all = Promise.allSettled([1, 2, 3, 4, 5].map(add));
  batches[0]?.fail(new Unavailable('away'));
  assert.ok((await all).every((result) => result.status === 'rejected' && result.reason instanceof Unavailable));
  assert.equal(batches.length, 1);
  const next = add(6);
  assert.deepEqual(shapes().at(-1), [6]);
  batches[1]?.done();
  assert.equal(await next, 'written 6');
});

test('an outage that begins while a batch is written one by one is said to the rest of it and to all who wait, at once', async () => {
  const { add, batches } = scene();
  const all = Promise.allSettled([1, 2, Number.NaN, 4, 5].map(add));
  batches[0]?.done();
  await turn();
  batches[1]?.done();
  await turn();
  batches[2]?.fail(new Unavailable('away'));
  await turn();
  assert.equal(batches.length, 3, 'nothing more is tried');
  const results = await all;
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'rejected', 'rejected'],
  );
  assert.ok(results.slice(1).every((result) => result.status === 'rejected' && result.reason instanceof Unavailable));
});

test('the queue is bounded: beyond it the answer is Unavailable, at once', async () => {
  const { add, batches } = scene();
  const admitted = Promise.all([0, 1, 2, 3, 4, 5].map(add));
  await assert.rejects(add(6), { reason: 'queue_full' });
  for (let written = 0; written < 3; written++) {
    batches[written]?.done();
    await turn();
  }
  assert.equal((await admitted).length, 6);
});
