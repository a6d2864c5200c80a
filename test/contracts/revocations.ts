/** What every {@link RevocationStore} must do; run on each adapter. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import type { Once, RevocationOutcome } from '../../src/core/ports.ts';
import type { RevocationTarget } from '../../src/core/revocations.ts';
import { ACTOR, insist, NOW, type OpenStores, type Stores, settings, tokenRecord } from './stores.ts';

const LIVE = { expiresAt: NOW + 10 * 366 * 86_400 };

export function revocationContract(open: OpenStores): void {
  describe('RevocationStore', () => {
    let stores: Stores;
    before(async () => {
      stores = await open();
      for (const id of ['billing', 'orders']) await stores.administration.insert(id, settings(), undefined, ACTOR);
    });
    after(() => stores.close());

    const position = async () => (await stores.log.read(0, 1)).lastSeq;
    async function issued(members: Partial<AccessTokenRecord> = {}): Promise<AccessTokenRecord> {
      const record = tokenRecord({ ...LIVE, issuedSeq: await position(), ...members });
      await stores.tokens.insert(record);
      return record;
    }
    const isActive = async (record: AccessTokenRecord) => (await stores.tokens.find(record.tokenHash, NOW))?.revoked === false;
    const end = (target: RevocationTarget, once?: Once, reason?: string): Promise<RevocationOutcome> =>
      insist(() => stores.revocations.append({ target, reason }, ACTOR, once));
    const all = (kind: 'client' | 'subject', key: string, issuedBefore?: number): RevocationTarget => ({ kind, key, issuedBefore });

    for (const [kind, key] of [
      ['client', 'billing'],
      ['subject', 'a user'],
    ] as const) {
      test(`a cut-off of a ${kind} ends what was issued before it, and no other's; one that is issued after it lives`, async () => {
        const mine = kind === 'client' ? {} : { subject: 'a user', clientId: 'orders' };
        const [first, second, other] = [await issued(mine), await issued(mine), await issued({ clientId: 'orders', subject: 'b' })];
        assert.equal(await stores.revocations.count(all(kind, key)), 2);
        assert.equal((await end(all(kind, key))).outcome, 'ended');
        const fresh = await issued(mine);
        assert.deepEqual(await Promise.all([first, second, other, fresh].map(isActive)), [false, false, true, true]);
        assert.equal(await stores.revocations.count(all(kind, key)), 1);
        await end(all(kind, key));
        assert.equal(await isActive(fresh), false);
        assert.equal(await stores.revocations.count(all(kind, key)), 0);
      });

      test(`a cut-off of a ${kind} by the second of issue ends what was issued before that second, whenever it is written`, async () => {
        const mine = kind === 'client' ? {} : { subject: 'a user', clientId: 'orders' };
        const border = NOW - 50;
        const [before, at] = [await issued({ ...mine, issuedAt: border - 1 }), await issued({ ...mine, issuedAt: border })];
        assert.equal(await stores.revocations.count(all(kind, key, border)), 1);
        await end(all(kind, key, border));
        const late = await issued({ ...mine, issuedAt: border - 1 });
        assert.deepEqual(await Promise.all([before, at, late].map(isActive)), [false, true, false]);
      });
    }

    test('a cut-off of all is by the second of issue', async () => {
      const border = NOW - 1_000;
      const [before, at, other] = [
        await issued({ clientId: 'third', subject: 'third', issuedAt: border - 1 }),
        await issued({ clientId: 'third', subject: 'third', issuedAt: border }),
        await issued({ clientId: 'fourth', subject: 'c', issuedAt: border - 1 }),
      ];
      await end({ kind: 'all', key: '', issuedBefore: border });
      assert.deepEqual(await Promise.all([before, at, other].map(isActive)), [false, true, false]);
    });

    test('a token ends by its hash; again, also twenty times at once, it is said when it ended and nothing is written', async () => {
      const record = await issued();
      const target: RevocationTarget = { kind: 'token', tokenHash: record.tokenHash };
      assert.equal(await stores.revocations.count(target), 1);
      const before = await position();
      assert.equal((await end(target)).outcome, 'ended');
      assert.equal(await isActive(record), false);
      assert.equal(await stores.revocations.count(target), 0);
      const outcomes = await Promise.all(Array.from({ length: 20 }, () => end(target)));
      assert.equal(await position(), before + 1);
      const seqs = outcomes.map((outcome) => ('revocation' in outcome ? outcome.revocation.seq : undefined));
      assert.deepEqual(new Set(seqs), new Set([before + 1]));
    });

    test('of a token or a client that is not there, there is nothing to end, and nothing is written', async () => {
      const before = await position();
      for (const target of [{ kind: 'token', tokenHash: tokenRecord().tokenHash }, all('client', 'nobody')] as const) {
        assert.deepEqual(await end(target), { outcome: 'nothing' });
      }
      assert.equal(await position(), before);
    });

    test('the same key and request do it once, also twenty at once, and all hear of the same row; another request does nothing', async () => {
      const once = { key: 'k', request: Buffer.from('request') };
      const before = await position();
      const outcomes = await Promise.all(Array.from({ length: 20 }, () => end(all('subject', 'd'), once)));
      assert.equal(await position(), before + 1);
      for (const outcome of outcomes) assert.equal('revocation' in outcome && outcome.revocation.seq, before + 1);
      const other = { key: 'k', request: Buffer.from('another') };
      await assert.rejects(end(all('subject', 'e'), other), { code: 'idempotency_key_reused' });
      assert.equal(await position(), before + 1);
    });

    test('"nothing" is remembered with its key as well', async () => {
      const record = tokenRecord({ ...LIVE, clientId: 'fifth', subject: 'fifth' });
      const target = { kind: 'token', tokenHash: record.tokenHash } as const;
      const once = { key: 'nothing', request: Buffer.from('request') };
      assert.deepEqual(await end(target, once), { outcome: 'nothing' });
      await stores.tokens.insert(record);
      assert.deepEqual(await end(target, once), { outcome: 'nothing' });
      assert.equal(await isActive(record), true);
    });

    test('the feed has what ended, in order, with what tells it: a hash and a jti, a client, a subject, a second, a reason', async () => {
      const start = await position();
      const record = await issued();
      await stores.tokens.revoke(record);
      await end(all('client', 'orders'), undefined, 'left the company');
      await stores.administration.update('orders', (current) => ({ ...current, scope: ['x'] }), ACTOR);
      await end(all('subject', 'f', NOW - 5));
      await stores.administration.update('orders', (current) => ({ ...current, disabled: true }), ACTOR);
      const { revocations, readTo, lastSeq } = await stores.revocations.list(start, 10);
      assert.deepEqual([readTo, lastSeq], [start + 5, start + 5]);
      assert.deepEqual(
        revocations.map(({ seq, kind, key, jti, issuedBefore, reason }) => [seq - start, kind, key, jti, issuedBefore, reason]),
        [
          [1, 'token', record.tokenHash, record.jti, undefined, undefined],
          [2, 'client', 'orders', undefined, undefined, 'left the company'],
          [4, 'subject', 'f', undefined, NOW - 5, undefined],
          [5, 'client', 'orders', undefined, undefined, undefined],
        ],
      );
      const page = await stores.revocations.list(start, 2);
      assert.deepEqual([page.revocations.length, page.readTo], [2, start + 2]);
      assert.equal(revocations[0]?.expiresAt, record.expiresAt);
    });
  });
}
