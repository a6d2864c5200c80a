import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ClientAdministration } from '../../src/core/ports.ts';
import { clientAdministration } from '../../src/postgres/clients.ts';
import { ACTOR, allow, insist, newSecret, settings } from '../contracts/stores.ts';
import { createDatabase } from '../support/database.ts';

async function administrators(t: TestContext, count: number): Promise<{ readonly store: ClientAdministration; readonly ids: string[] }> {
  const { db, drop } = await createDatabase();
  t.after(drop);
  const store = clientAdministration(db, () => undefined);
  const ids = Array.from({ length: count }, (_, n) => `root-${n}`);
  for (const id of ids) await store.insert(id, settings({ scope: 'auth:clients' }), newSecret(id), ACTOR);
  return { store, ids };
}

/** What is done again after an outage may find that it was done. */
const settle = (work: () => Promise<unknown>) =>
  insist(work).then(
    () => 'done',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );

const LATER = new Date('2100-01-01');
type End = (store: ClientAdministration, id: string) => Promise<unknown>;

for (const [how, end] of [
  ['deleted', (store, id) => store.delete(id, allow, ACTOR)],
  ['disabled', (store, id) => store.update(id, (current) => ({ ...current, disabled: true }), ACTOR)],
  ['limited', (store, id) => store.update(id, (current) => ({ ...current, administers: { prefix: 'a' } }), ACTOR)],
  ['left without auth:clients', (store, id) => store.update(id, (current) => ({ ...current, scope: [] }), ACTOR)],
  [
    'left without a secret that lasts',
    (store, id) => store.addSecret(id, { ...newSecret('x'), expiresAt: LATER, othersExpireAt: LATER }, allow, ACTOR),
  ],
] as const satisfies readonly (readonly [string, End])[]) {
  test(`of ten administrators that are ${how} at the same time, one stays`, async (t) => {
    const { store, ids } = await administrators(t, 10);
    const outcomes = await Promise.all(ids.map((id) => settle(() => end(store, id))));
    assert.deepEqual(
      outcomes.filter((outcome) => outcome !== 'done'),
      ['conflict'],
    );
  });
}

test('a secret that ends is as good as it gets where no other is left, and the last of those stays', async (t) => {
  const { store, ids } = await administrators(t, 1);
  const [id = ''] = ids;
  await store.insert('for-now', settings({ scope: 'auth:clients' }), newSecret('n', { expiresAt: LATER }), ACTOR);
  assert.equal(await settle(() => store.delete(id, allow, ACTOR)), 'conflict');
  assert.equal(await settle(() => store.delete('for-now', allow, ACTOR)), 'done');
});

test('who is no administrator is changed as ever', async (t) => {
  const { store } = await administrators(t, 1);
  const client = await store.insert('other', settings({ scope: 'read' }), newSecret('o'), ACTOR);
  assert.equal(await store.removeSecret('other', { secretId: client?.secrets[0]?.id ?? '', tokens: 'keep' }, allow, ACTOR), true);
  assert.equal(await store.delete('other', allow, ACTOR), true);
});
