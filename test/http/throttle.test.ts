import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HttpError } from '../../src/http/errors.ts';
import { FailureThrottle } from '../../src/http/throttle.ts';

const NOW = 1_800_000_000;
const ADDRESS = '192.0.2.1';

function failed(times: number, now = NOW): FailureThrottle {
  const throttle = new FailureThrottle();
  for (let time = 0; time < times; time++) throttle.recordFailure('billing', ADDRESS, now);
  return throttle;
}

const refuses = (throttle: FailureThrottle, clientId: string, address: string, now: number) => {
  try {
    throttle.check(clientId, address, now);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof HttpError && error.status === 429);
    return Number(error.headers['retry-after']);
  }
};

test('the hundredth failure of a minute is the last one that is looked at', () => {
  assert.equal(refuses(failed(99), 'billing', ADDRESS, NOW), undefined);
  assert.equal(refuses(failed(100), 'billing', ADDRESS, NOW), 60);
});

test('the minute begins with the first failure, and Retry-After says when it ends', () => {
  const throttle = failed(100);
  assert.deepEqual(
    [0, 1, 59, 60, 61].map((later) => refuses(throttle, 'billing', ADDRESS, NOW + later)),
    [60, 59, 1, undefined, undefined],
  );
});

test('failures in another minute do not add up', () => {
  const throttle = failed(99);
  throttle.recordFailure('billing', ADDRESS, NOW + 60);
  assert.equal(refuses(throttle, 'billing', ADDRESS, NOW + 60), undefined);
});

test('a new minute counts anew up to a hundred', () => {
  const throttle = failed(100);
  for (let time = 0; time < 100; time++) throttle.recordFailure('billing', ADDRESS, NOW + 60);
  assert.equal(refuses(throttle, 'billing', ADDRESS, NOW + 60), 60);
});

test('failures while throttled do not make the minute longer', () => {
  const throttle = failed(1000, NOW);
  throttle.recordFailure('billing', ADDRESS, NOW + 59);
  assert.equal(refuses(throttle, 'billing', ADDRESS, NOW + 60), undefined);
});

for (const [who, clientId, address] of [
  ['the same client from elsewhere', 'billing', '192.0.2.2'],
  ['another client from there', 'orders', ADDRESS],
  ['a client whose id begins alike', 'billing2', ADDRESS],
  ['a client of another case', 'Billing', ADDRESS],
] as const) {
  test(`${who} is not throttled`, () => {
    assert.equal(refuses(failed(100), clientId, address, NOW), undefined);
  });
}

test('twenty thousand sources are remembered, more push the oldest out', () => {
  const throttle = failed(100);
  const fail = (from: number, to: number) => {
    for (let source = from; source < to; source++) throttle.recordFailure(`client-${source}`, ADDRESS, NOW);
  };
  fail(1, 20_000);
  assert.equal(refuses(throttle, 'billing', ADDRESS, NOW), 60, 'one of 20,000');
  fail(20_000, 20_001);
  assert.equal(refuses(throttle, 'billing', ADDRESS, NOW), undefined, 'the oldest of 20,001');
});

test('what is remembered of an id is short, whatever was sent', () => {
  const throttle = new FailureThrottle();
  for (let time = 0; time < 100; time++) throttle.recordFailure(`${'x'.repeat(128)}${time}`, ADDRESS, NOW);
  assert.equal(refuses(throttle, 'x'.repeat(10_000), ADDRESS, NOW), 60);
});
