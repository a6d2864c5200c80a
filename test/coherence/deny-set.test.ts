import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DenySet } from '../../src/coherence/deny-set.ts';
import { type AccessToken, hashToken, type TokenHash } from '../../src/core/reference-token.ts';

const hashOf = (n: number): TokenHash => hashToken(`token ${n}` as AccessToken);
const tokenOf = (n: number, clientId = 'client', issuedSeq = 10) => ({
  tokenHash: hashOf(n),
  clientId,
  subject: 'subject',
  issuedAt: 1_000,
  issuedSeq,
});
const KEPT_SECONDS = 600;
const SHARDS = 64;

function pruneAll(denied: DenySet, now: number): void {
  for (let turn = 0; turn < SHARDS; turn++) denied.prune(turn, now);
}

test('a client-wide cut-off ends what was issued before it, and stays at its highest whatever the order', () => {
  const denied = new DenySet();
  denied.cutOff({ kind: 'client', key: 'client', seq: 20, expiresAt: 9_000 });
  denied.cutOff({ kind: 'client', key: 'client', seq: 15, expiresAt: 9_000 });
  assert.deepEqual(
    [19, 20, 21].map((issuedSeq) => denied.denies(tokenOf(1, 'client', issuedSeq))),
    [true, false, false],
  );
  assert.equal(denied.denies(tokenOf(1, 'another', 1)), false);
});

const CUT_OFFS = [
  ['of a subject', { kind: 'subject', key: 'subject' }, { subject: 'another' }],
  ['of a client', { kind: 'client', key: 'client' }, { clientId: 'another' }],
  ['of all', { kind: 'all', key: '' }, undefined],
] as const;

for (const [what, of, spared] of CUT_OFFS) {
  test(`a cut-off ${what} by the second of issue ends what was issued before that second, and stays at its highest`, () => {
    const denied = new DenySet();
    for (const issuedBefore of [1_001, 999]) denied.cutOff({ ...of, seq: 2, expiresAt: 9_000, issuedBefore });
    const verdict = (token: object) => denied.denies({ ...tokenOf(1), ...token });
    // The position says nothing here: what was issued after the entry, with an old time, has ended as well.
    assert.deepEqual(
      [1_000, 1_001].map((issuedAt) => verdict({ issuedAt })),
      [true, false],
    );
    assert.equal(verdict({ issuedSeq: 1, issuedAt: 1_001 }), false);
    if (spared) assert.equal(verdict(spared), false);
  });
}

test('a cut-off of a subject by position ends what was issued before it, of all its clients', () => {
  const denied = new DenySet();
  denied.cutOff({ kind: 'subject', key: 'subject', seq: 20, expiresAt: 9_000 });
  assert.deepEqual(
    [19, 20].map((issuedSeq) => denied.denies(tokenOf(1, 'whichever', issuedSeq))),
    [true, false],
  );
  assert.equal(denied.denies({ ...tokenOf(1), subject: 'client' }), false);
});

test('any order, twice, late: the same as a Set (grow-only)', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3_000), { maxLength: 3_000 }), (numbers) => {
      const denied = new DenySet();
      for (const n of numbers) denied.denyToken(hashOf(n), 1_000);
      const expected = new Set(numbers);
      assert.equal(denied.size, expected.size);
      for (let n = 0; n <= 3_000; n += 7) assert.equal(denied.denies(tokenOf(n)), expected.has(n));
    }),
    { numRuns: 20 },
  );
});

test('a token that ended is forgotten ten minutes after its end, so that a clock that is set back revives nothing', () => {
  const denied = new DenySet();
  for (let n = 0; n < 500; n++) denied.denyToken(hashOf(n), n < 250 ? 1_000 : 2_000);
  pruneAll(denied, 1_000 + KEPT_SECONDS - 1);
  assert.equal(denied.size, 500);
  pruneAll(denied, 1_000 + KEPT_SECONDS);
  assert.equal(denied.size, 250);
  for (let n = 0; n < 500; n++) assert.equal(denied.denies(tokenOf(n)), n >= 250);
  denied.denyToken(hashOf(1), 3_000);
  assert.equal(denied.denies(tokenOf(1)), true);
});

test('a token that is denied again keeps the later end', () => {
  const denied = new DenySet();
  denied.denyToken(hashOf(1), 2_000);
  denied.denyToken(hashOf(1), 1_000);
  pruneAll(denied, 1_000 + KEPT_SECONDS);
  assert.equal(denied.denies(tokenOf(1)), true);
});

test('a hundred thousand tokens take at most 40 bytes each', () => {
  const denied = new DenySet();
  for (let n = 0; n < 100_000; n++) denied.denyToken(hashOf(n), 1_000);
  assert.equal(denied.size, 100_000);
  assert.ok(denied.bytes <= 40 * denied.size, String(denied.bytes / denied.size));
});
