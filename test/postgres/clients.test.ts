import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientContract } from '../contracts/clients.ts';
import { ACTOR, settings } from '../contracts/stores.ts';
import { postgresStores } from '../support/postgres-stores.ts';

clientContract(postgresStores);

for (const [address, kept] of [
  ['192.0.2.7', '192.0.2.7'],
  ['2001:db8::1', '2001:db8::1'],
  [undefined, null],
] as const) {
  test(`the audit keeps the address ${address}`, async (t) => {
    const { administration, audits, close } = await postgresStores();
    t.after(close);
    assert.ok(await administration.insert('billing', settings(), undefined, { ...ACTOR, address }));
    assert.equal((await audits())[0]?.address, kept);
  });
}
