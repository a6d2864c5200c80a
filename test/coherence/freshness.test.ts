/** The lease: proofs count from before they were sent, and nothing is joined that began too early (DR5, DR8). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Freshness } from '../../src/coherence/freshness.ts';
import type { Observer } from '../../src/coherence/ports.ts';
import { Unavailable } from '../../src/core/ports.ts';
import { UNOBSERVED } from '../support/observers.ts';

/** A clock that stands still, and probes that end when the test says so. */
function scene(maxStalenessMs = 1_000, observer: Pick<Observer, 'proved' | 'proofFailed'> = UNOBSERVED) {
  const time = { monotonic: 10_000, wall: 1_800_000_000_000 };
  const slept: number[] = [];
  const wake: (() => void)[] = [];
  const sent: { answer(): void; fail(error?: Error): void }[] = [];
  const freshness = new Freshness({
    maxStalenessMs,
    monotonic: () => time.monotonic,
    wall: () => time.wall,
    sleep: (ms) => {
      slept.push(ms);
      return new Promise((resolve) => wake.push(resolve));
    },
    observer,
    probe: () =>
      new Promise((resolve, reject) => sent.push({ answer: resolve, fail: (error = new Unavailable('no answer')) => reject(error) })),
  });
  const pass = (ms: number) => {
    time.monotonic += ms;
    time.wall += ms;
  };
  const probe = (n: number) => {
    const found = sent[n];
    assert.ok(found, `probe ${n} was not sent`);
    return found;
  };
  return { freshness, time, sent, pass, probe, slept, wake };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('nothing is fresh before the first proof', () => {
  assert.equal(scene().freshness.isFresh(), false);
});

test('a proof counts from the moment before it was sent, not from its answer', async () => {
  const { freshness, pass, probe } = scene();
  const proven = freshness.prove();
  pass(400);
  probe(0).answer();
  await proven;
  pass(600);
  assert.equal(freshness.isFresh(), true);
  pass(1);
  assert.equal(freshness.isFresh(), false);
});

test('an answer that comes when the bound has passed proves nothing', async () => {
  const { freshness, pass, probe } = scene();
  const ensured = freshness.ensure();
  pass(1_001);
  probe(0).answer();
  await turn();
  probe(1).answer(); // it is asked once more
  await ensured;
  assert.equal(freshness.isFresh(), true);
});

test('two answers in a row that come too late: Unavailable', async () => {
  const { freshness, pass, probe } = scene();
  const refused = assert.rejects(freshness.ensure(), Unavailable);
  for (const n of [0, 1]) {
    pass(1_001);
    probe(n).answer();
    await turn();
  }
  await refused;
});

test('a probe that fails extends nothing, and the one before still counts', async () => {
  const { freshness, pass, probe } = scene();
  const first = freshness.prove();
  probe(0).answer();
  await first;
  pass(900);
  const second = freshness.prove();
  probe(1).fail();
  await assert.rejects(second, Unavailable);
  pass(100);
  assert.equal(freshness.isFresh(), true);
  pass(1);
  assert.equal(freshness.isFresh(), false);
});

test('prove() never joins a probe that was sent before; all who wait share the next one', async () => {
  const { freshness, sent, probe } = scene();
  const first = freshness.prove();
  const later = [freshness.prove(), freshness.prove(), freshness.prove()];
  let isDone = false;
  const all = Promise.all(later).then(() => {
    isDone = true;
  });
  probe(0).answer();
  await first;
  await turn();
  assert.deepEqual([sent.length, isDone], [2, false]);
  probe(1).answer();
  await all;
  assert.equal(sent.length, 2);
});

test('the next probe is sent even if the one under way fails, and its failure is its own', async () => {
  const { freshness, probe } = scene();
  const first = freshness.prove();
  const second = freshness.prove();
  probe(0).fail();
  await assert.rejects(first, Unavailable);
  await turn();
  probe(1).answer();
  await second;
  assert.equal(freshness.isFresh(), true);
});

test('ensure() is content with the probe under way: it proves enough for the bound', async () => {
  const { freshness, sent, probe } = scene();
  const first = freshness.prove();
  const ensured = freshness.ensure();
  probe(0).answer();
  await Promise.all([first, ensured]);
  assert.equal(sent.length, 1);
});

test('a wall clock that disagrees with the monotonic one by more than 200 ms discards the lease until the next proof', async () => {
  for (const jump of [201, -201, 3_600_000, -3_600_000]) {
    const { freshness, time, probe } = scene();
    const first = freshness.prove();
    probe(0).answer();
    await first;
    time.wall += Math.sign(jump) * 200;
    assert.equal(freshness.isFresh(), true);
    time.wall += jump - Math.sign(jump) * 200;
    assert.equal(freshness.isFresh(), false, 'the machine slept, or its clock was set');
    const second = freshness.ensure();
    probe(1).answer();
    await second;
    assert.equal(freshness.isFresh(), true);
  }
});

test('after discard() only a new proof helps', async () => {
  const { freshness, probe } = scene();
  const first = freshness.prove();
  probe(0).answer();
  await first;
  freshness.discard();
  assert.equal(freshness.isFresh(), false);
});

test('who observes hears how old each proof had become, and of failures; to who asked, a failure means that there is no proof', async () => {
  const ages: number[] = [];
  let failures = 0;
  const { freshness, pass, probe } = scene(1_000, { proved: (ageMs) => ages.push(ageMs), proofFailed: () => failures++ });
  const prove = async (n: number, ms: number) => {
    const proven = freshness.prove();
    pass(ms);
    probe(n).answer();
    await proven;
  };
  await prove(0, 30);
  pass(100);
  await prove(1, 20);
  assert.deepEqual(ages, [Number.POSITIVE_INFINITY, 150], 'from before one was sent until the next one is there');
  const failed = freshness.prove();
  probe(2).fail();
  await assert.rejects(failed, (error) => error instanceof Unavailable && error.reason === 'not_fresh');
  const changed = freshness.prove();
  probe(3).fail(new Unavailable('another history', { reason: 'history_changed' }));
  await assert.rejects(changed, (error) => error instanceof Unavailable && error.reason === 'history_changed');
  assert.deepEqual([ages.length, failures], [2, 2]);
});

test('a question waits for a second and a half, whatever the look takes; the look goes on, and its proof counts', async () => {
  for (const ask of ['prove', 'ensure'] as const) {
    const { freshness, probe, slept, wake } = scene();
    const refused = assert.rejects(freshness[ask](), { reason: 'not_fresh' });
    assert.deepEqual(slept, [1_500]);
    wake[0]?.();
    await refused;
    probe(0).answer();
    await turn();
    assert.equal(freshness.isFresh(), true);
  }
});
