import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HttpError } from '../../src/http/errors.ts';
import { RegistrationLimit } from '../../src/http/registration-limit.ts';

const NOW = 1_800_000_000;

/** @returns seconds to wait; `undefined`: it was taken */
function refused(limit: RegistrationLimit, address: string, now = NOW): number | undefined {
  try {
    limit.take(address, now);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof HttpError && error.status === 429);
    return Number(error.headers['retry-after']);
  }
}

function taken(times: number, address: string): RegistrationLimit {
  const limit = new RegistrationLimit();
  for (let time = 0; time < times; time++) limit.take(address, NOW);
  return limit;
}

test('a thousand an hour; the hour begins with the first, and Retry-After says when it ends', () => {
  const limit = taken(999, '192.0.2.1');
  assert.deepEqual(
    [0, 0, 1, 3_599, 3_600].map((later) => refused(limit, '192.0.2.1', NOW + later)),
    [undefined, 3_600, 3_599, 1, undefined],
  );
  assert.equal(refused(limit, '192.0.2.2'), undefined, 'others go on');
});

for (const [address, same, other] of [
  ['2001:db8:1:2:3:4:5:6', '2001:DB8:1:2::1', '2001:db8:1:3:3:4:5:6'],
  ['2001:db8::1', '2001:0db8:0000:0000:ffff::', '2001:db8:0:1::1'],
  ['::1', '0:0:0:0:5::', '1::1'],
] as const) {
  test(`of IPv6 the first 64 bits count: ${address} is ${same}, and not ${other}`, () => {
    const limit = taken(1_000, address);
    assert.deepEqual([refused(limit, same), refused(limit, other)], [3_600, undefined]);
  });
}

test('twenty thousand sources are remembered, more push the oldest out', () => {
  const limit = taken(1_000, 'first');
  for (let source = 1; source < 20_000; source++) limit.take(`source-${source}`, NOW);
  assert.equal(refused(limit, 'first'), 3_600, 'one of 20,000');
  limit.take('source-20000', NOW);
  assert.equal(refused(limit, 'first'), undefined, 'the oldest of 20,001');
});
