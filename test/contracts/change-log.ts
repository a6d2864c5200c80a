/** What every {@link ChangeLog} must do; run on each adapter. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ACTOR, allow, NOW, type OpenStores, type Stores, settings, tokenRecord } from './stores.ts';

export function changeLogContract(open: OpenStores): void {
  describe('ChangeLog', () => {
    let stores: Stores;
    const record = tokenRecord({ expiresAt: NOW + 86_400 });
    before(async () => {
      stores = await open();
    });
    after(() => stores.close());

    test('an empty log has an epoch and a position', async () => {
      const { epoch, lastSeq, entries } = await stores.log.read(0, 10);
      assert.deepEqual([typeof epoch, lastSeq, entries], ['string', 0, []]);
    });

    test('shows what ended and what changed, in the order in which it was committed', async () => {
      const { epoch } = await stores.log.read(0, 10);
      await stores.administration.insert('billing', settings(), undefined, ACTOR);
      await stores.tokens.insert(record);
      await stores.tokens.revoke(record);
      await stores.administration.update('billing', (current) => ({ ...current, disabled: true }), ACTOR);
      await stores.administration.delete('billing', allow, ACTOR);
      const read = await stores.log.read(0, 10);
      assert.deepEqual([read.epoch, read.lastSeq], [epoch, 4]);
      assert.deepEqual(
        read.entries.map(({ seq, kind, key }) => [seq, kind, key]),
        [
          [1, 'client_record', 'billing'],
          [2, 'token', record.tokenHash],
          [3, 'client', 'billing'],
          [4, 'client', 'billing'],
        ],
      );
      assert.ok(
        read.entries.every(({ expiresAt }) => expiresAt >= record.expiresAt),
        'until nothing that they end is alive',
      );
    });

    test('shows what comes after a position, a page at a time, with the position of the whole log', async () => {
      const page = await stores.log.read(1, 2);
      assert.deepEqual([page.lastSeq, page.entries.map(({ seq }) => seq)], [4, [2, 3]]);
      const rest = await stores.log.read(3, 2);
      assert.deepEqual([rest.lastSeq, rest.entries.map(({ seq }) => seq)], [4, [4]]);
      assert.deepEqual((await stores.log.read(4, 2)).entries, []);
    });
  });
}
