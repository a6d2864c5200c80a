import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forgetInitialTokens, initialTokenStore } from '../../src/postgres/registration-tokens.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
before(async () => {
  database = await createDatabase();
});
after(() => database.drop());

const ACTOR = { clientId: 'admin', scope: [], address: '127.0.0.1' };

test('those that ended more than a week ago are forgotten, and no others', async () => {
  const store = initialTokenStore(database.db, 'open');
  const days = (count: number) => new Date(Date.now() + count * 86_400_000);
  for (const [verifier, end] of [
    ['long ago', -7.1],
    ['lately', -6.9],
    ['not yet', 1],
  ] as const)
    await store.insert({ name: verifier, scope: undefined, uses: 1, expiresAt: days(end) }, verifier, ACTOR);
  await forgetInitialTokens(database.db);
  const left = await store.list({ after: undefined, limit: 10 });
  assert.deepEqual(left.map(({ name }) => name).sort(), ['lately', 'not yet']);
  assert.deepEqual([(await store.find('lately'))?.name, (await store.find('not yet'))?.name], [undefined, 'not yet']);
});
