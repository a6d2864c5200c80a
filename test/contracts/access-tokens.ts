/** What every {@link AccessTokenStore} must do; run on each adapter. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import { ACTOR, allow, insist, NOW, type OpenStores, type Stores, settings, tokenRecord } from './stores.ts';

const RECORDS: readonly [why: string, members: Partial<AccessTokenRecord>][] = [
  ['as most are', {}],
  ['without scope and claims', { scope: [], claims: {} }],
  ['of several audiences', { audience: ['https://a.example', 'b', 'urn:c'] }],
  ['with claims of every JSON type', { claims: { tenant: 'Ünï "\\" {}', level: 1.5, flags: [true, null, { deep: [] }], none: null } }],
  [
    'with texts that SQL could stumble over',
    { scope: ["'; drop--", '{a,b}', 'NULL', '\\'], subject: '"', audience: ['a,b', '{}', 'null'] },
  ],
  ['that lives a second', { expiresAt: NOW + 1 }],
  ['that lives a day and a second', { expiresAt: NOW + 86_401 }],
  ['that lives a year and a day', { expiresAt: NOW + 367 * 86_400 }],
  ['that was asked for with a secret', { secretId: '5ad1f6ae-6ef1-4d2c-a3b0-6b3a4f1f6c0d' }],
  ['issued late in the change log', { issuedSeq: 2 ** 40 }],
];

export function accessTokenContract(open: OpenStores): void {
  describe('AccessTokenStore', () => {
    let stores: Stores;
    before(async () => {
      stores = await open();
    });
    after(() => stores.close());

    /** A client's cut-off, made the way that an administrator makes one. */
    async function clientWithTokens(id: string, ...members: readonly Partial<AccessTokenRecord>[]): Promise<AccessTokenRecord[]> {
      await stores.administration.insert(id, settings(), undefined, ACTOR);
      const asOfSeq = (await stores.directory.find(id))?.asOfSeq ?? Number.NaN;
      const records = members.map((given) => tokenRecord({ clientId: id, issuedSeq: asOfSeq, ...given }));
      for (const record of records) await stores.tokens.insert(record);
      return records;
    }
    const isActive = async (record: AccessTokenRecord) => (await stores.tokens.find(record.tokenHash, NOW))?.revoked === false;
    const setDisabled = (id: string, disabled: boolean) => stores.administration.update(id, (current) => ({ ...current, disabled }), ACTOR);

    for (const [why, members] of RECORDS) {
      test(`finds a token ${why} as it was inserted`, async () => {
        const record = tokenRecord(members);
        await stores.tokens.insert(record);
        assert.deepEqual(await stores.tokens.find(record.tokenHash, NOW), { record, revoked: false });
      });
    }

    test('does not find what was never issued', async () => {
      assert.equal(await stores.tokens.find(tokenRecord().tokenHash, NOW), undefined);
    });

    test('finds a token until the second before it expires, and never from then on (RFC 7662 §2.2)', async () => {
      const record = tokenRecord({ expiresAt: NOW + 10 });
      await stores.tokens.insert(record);
      const found = await Promise.all([9, 10, 11, 10_000].map((later) => stores.tokens.find(record.tokenHash, NOW + later)));
      assert.deepEqual(
        found.map((token) => token !== undefined),
        [true, false, false, false],
      );
    });

    test('a revoked token is revoked for good, and no other one is', async () => {
      const [revoked, other] = [tokenRecord(), tokenRecord()];
      await stores.tokens.insert(revoked);
      await stores.tokens.insert(other);
      await stores.tokens.revoke(revoked);
      for (const later of [0, 1, 3599]) assert.equal((await stores.tokens.find(revoked.tokenHash, NOW + later))?.revoked, true);
      assert.equal(await isActive(other), true);
    });

    test('a revocation that is durable before its token is inserted ends it all the same', async () => {
      const record = tokenRecord();
      await stores.tokens.revoke(record);
      await stores.tokens.insert(record);
      assert.equal(await isActive(record), false);
    });

    test('revoking again, and twenty at once, changes nothing and fails nobody', async () => {
      const record = tokenRecord();
      await stores.tokens.insert(record);
      await Promise.all(Array.from({ length: 20 }, () => insist(() => stores.tokens.revoke(record))));
      await stores.tokens.revoke(record);
      assert.equal(await isActive(record), false);
    });

    test('a revocation appends to the change log', async () => {
      const record = tokenRecord();
      await stores.tokens.insert(record);
      const before = await stores.changes();
      await stores.tokens.revoke(record);
      const appended = (await stores.changes()).slice(before.length);
      assert.deepEqual(appended, [{ seq: before.length + 1, kind: 'token', key: record.tokenHash }]);
    });

    test('each entry that a revocation appends has its row in the audit, with who did it; what appends nothing has none', async () => {
      const record = tokenRecord();
      await stores.tokens.insert(record);
      const before = await stores.audits();
      await Promise.all(Array.from({ length: 20 }, () => insist(() => stores.tokens.revoke(record, ACTOR))));
      for (let times = 0; times < 3; times++) assert.equal(await stores.tokens.revoke(record, ACTOR), undefined);
      const appended = (await stores.changes()).filter(({ key }) => key === record.tokenHash);
      assert.ok(appended.length > 0);
      const row = { action: 'token.revoke', target: record.clientId, actor: ACTOR.clientId, address: ACTOR.address };
      assert.deepEqual(
        (await stores.audits()).slice(before.length),
        appended.map(() => row),
      );
    });

    test('turning `disabled` on ends all tokens of that client, and of no other', async () => {
      const ended = await clientWithTokens('disable-1', {}, {});
      const others = await clientWithTokens('disable-2', {});
      await setDisabled('disable-1', true);
      assert.deepEqual(await Promise.all([...ended, ...others].map(isActive)), [false, false, true]);
    });

    test('enabling again revives no token; one issued after that lives', async () => {
      const [old] = await clientWithTokens('enable', {});
      await setDisabled('enable', true);
      await setDisabled('enable', false);
      const asOfSeq = (await stores.directory.find('enable'))?.asOfSeq ?? Number.NaN;
      const fresh = tokenRecord({ clientId: 'enable', issuedSeq: asOfSeq });
      await stores.tokens.insert(fresh);
      assert.ok(old);
      assert.deepEqual(await Promise.all([old, fresh].map(isActive)), [false, true]);
    });

    test('a cut-off ends what was issued before it, not what was issued knowing of it', async () => {
      await clientWithTokens('border');
      await setDisabled('border', true);
      const asOfSeq = (await stores.directory.find('border'))?.asOfSeq ?? Number.NaN;
      const [before, at] = [asOfSeq - 1, asOfSeq].map((issuedSeq) => tokenRecord({ clientId: 'border', issuedSeq }));
      assert.ok(before && at);
      for (const record of [before, at]) await stores.tokens.insert(record);
      assert.deepEqual(await Promise.all([before, at].map(isActive)), [false, true]);
    });

    test('a change that is no cut-off ends no token', async () => {
      const [record] = await clientWithTokens('renamed', {});
      await stores.administration.update('renamed', (current) => ({ ...current, scope: ['other'] }), ACTOR);
      await stores.administration.addSecret('renamed', { name: undefined, verifier: 'sha256:x', expiresAt: undefined }, allow, ACTOR);
      assert.ok(record);
      assert.equal(await isActive(record), true);
    });

    test('deleting a client ends its tokens', async () => {
      const [record] = await clientWithTokens('deleted', {});
      await stores.administration.delete('deleted', allow, ACTOR);
      assert.ok(record);
      assert.equal(await isActive(record), false);
    });

    // The issue that read its client before the cut-off and inserts after it: the race that a bulk revocation has to win.
    for (const [what, cutOff] of [
      ['disabled', (id: string) => setDisabled(id, true)],
      ['disabled and enabled', (id: string) => setDisabled(id, true).then(() => setDisabled(id, false))],
      ['deleted', (id: string) => stores.administration.delete(id, allow, ACTOR)],
    ] as const) {
      test(`a token whose client was read before it was ${what}, inserted after, is dead`, async () => {
        const id = `race-${what.replaceAll(' ', '-')}`;
        await stores.administration.insert(id, settings(), undefined, ACTOR);
        const read = await stores.directory.find(id);
        assert.ok(read);
        await cutOff(id);
        const record = tokenRecord({ clientId: id, issuedSeq: read.asOfSeq });
        await stores.tokens.insert(record);
        assert.equal(await isActive(record), false);
      });
    }

    test('issues that race with a cut-off: none that read the client before it lives', async () => {
      await stores.administration.insert('storm', settings(), undefined, ACTOR);
      const issue = async () => {
        const read = await stores.directory.find('storm');
        assert.ok(read);
        const record = tokenRecord({ clientId: 'storm', issuedSeq: read.asOfSeq });
        await stores.tokens.insert(record);
        return { record, wasDisabled: read.client.disabled };
      };
      const [first, second, ...issued] = await Promise.all([
        insist(() => setDisabled('storm', true)),
        insist(() => setDisabled('storm', true)),
        ...Array.from({ length: 30 }, () => insist(issue)),
      ]);
      assert.ok(first?.disabled && second?.disabled);
      for (const { record, wasDisabled } of issued) assert.equal(await isActive(record), wasDisabled);
    });
  });
}
