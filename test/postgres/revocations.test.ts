import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forgetIdempotencyKeys } from '../../src/postgres/idempotency.ts';
import { revocationStore } from '../../src/postgres/revocations.ts';
import { revocationContract } from '../contracts/revocations.ts';
import { ACTOR, insist, settings, tokenRecord } from '../contracts/stores.ts';
import { createDatabase } from '../support/database.ts';
import { postgresStores } from '../support/postgres-stores.ts';

revocationContract(postgresStores);

test('a revocation is one row in the change log and one in the audit, whatever it ends', async (t) => {
  const { revocations, administration, tokens, changes, audits, close } = await postgresStores();
  t.after(close);
  await administration.insert('billing', settings(), undefined, ACTOR);
  for (let n = 0; n < 50; n++) await tokens.insert(tokenRecord());
  const before = [(await changes()).length, (await audits()).length];
  await revocations.append({ target: { kind: 'client', key: 'billing', issuedBefore: undefined }, reason: 'leaked' }, ACTOR, undefined);
  assert.deepEqual(
    [(await changes()).length, (await audits()).length],
    before.map((rows) => (rows ?? 0) + 1),
  );
  const { action, target, actor, address } = (await audits()).at(-1) ?? {};
  assert.deepEqual([action, target, actor, address], ['revocation.add', 'billing', 'admin', '192.0.2.7']);
});

test('an idempotency key is forgotten after a day, by whoever comes with it and by the maintenance', async (t) => {
  const { db, drop } = await createDatabase();
  t.after(drop);
  const revocations = revocationStore(db, () => undefined);
  const end = (sub: string, key: string) =>
    insist(() =>
      revocations.append({ target: { kind: 'subject', key: sub, issuedBefore: undefined }, reason: undefined }, ACTOR, {
        key,
        request: Buffer.from(sub),
      }),
    );
  await end('a', 'one');
  await end('a', 'two');
  await assert.rejects(end('b', 'one'), { code: 'idempotency_key_reused' });
  await db.query({ text: "update idempotency set at = at - interval '25 hours'" });
  assert.equal((await end('b', 'one')).outcome, 'ended');
  await forgetIdempotencyKeys(db);
  assert.deepEqual(await db.query({ text: 'select key from idempotency' }), [{ key: 'one' }]);
});
