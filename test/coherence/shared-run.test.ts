/** Shared work: who asks gets a run that begins after the question (DR8). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SharedRun } from '../../src/coherence/shared-run.ts';
import { Unavailable } from '../../src/core/ports.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function scene() {
  const ends: { resolve(n: number): void; reject(error: Error): void }[] = [];
  const shared = new SharedRun<number>(() => new Promise((resolve, reject) => ends.push({ resolve, reject })));
  return { ends, shared };
}

test('what is under way is not joined; all who ask meanwhile share the next one', async () => {
  const { ends, shared } = scene();
  const first = shared.after();
  assert.ok(shared.running);
  const later = [shared.after(), shared.after()];
  assert.equal(ends.length, 1);
  ends[0]?.resolve(1);
  assert.equal(await first, 1);
  await turn();
  assert.equal(ends.length, 2);
  const third = shared.after(); // the second one is under way
  ends[1]?.resolve(2);
  assert.deepEqual(await Promise.all(later), [2, 2]);
  await turn();
  ends[2]?.resolve(3);
  assert.equal(await third, 3);
  await turn();
  assert.equal(shared.running, undefined);
});

test('a run that fails fails those who wait for it, and nobody else', async () => {
  const { ends, shared } = scene();
  const first = shared.after();
  const second = shared.after();
  ends[0]?.reject(new Unavailable('away'));
  await assert.rejects(first, Unavailable);
  await turn();
  ends[1]?.resolve(2);
  assert.equal(await second, 2);
});

test('whoever asks when, and whatever ends how: never two at a time, and none began before the question', async () => {
  const step = fc.constantFrom('ask', 'resolve', 'reject', 'turn');
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      let began = 0;
      const running: { resolve(n: number): void; reject(error: Error): void }[] = [];
      const shared = new SharedRun<number>(() => {
        const run = ++began;
        assert.equal(running.length, 0);
        return new Promise((resolve, reject) => running.push({ resolve: () => resolve(run), reject }));
      });
      const answers: Promise<unknown>[] = [];
      for (const what of steps) {
        if (what === 'ask') {
          const before = began;
          answers.push(
            shared.after().then(
              (run) => assert.ok(run > before),
              (error: unknown) => assert.ok(error instanceof Unavailable),
            ),
          );
        }
        if (what === 'resolve') running.pop()?.resolve(0);
        if (what === 'reject') running.pop()?.reject(new Unavailable('away'));
        if (what === 'turn') await turn();
      }
      for (let time = 0; time < 3; time++) {
        running.pop()?.resolve(0);
        await turn();
      }
      await Promise.all(answers);
    }),
    { numRuns: 200 },
  );
});
