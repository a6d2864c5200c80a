import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Unavailable } from '../../src/core/ports.ts';
import { openDb } from '../../src/postgres/db.ts';
import { createDatabase } from '../support/database.ts';

test('the queue for a connection is bounded: beyond it the answer is Unavailable, at once', async (t) => {
  const database = await createDatabase();
  const db = openDb(database.connection, () => undefined, { connections: 1, waitingMax: 5, connectMs: 5_000, answerMs: 5_000 });
  t.after(async () => {
    await db.close();
    await database.drop();
  });
  const lock = await db.transaction(async (tx) => {
    const waiting = Array.from({ length: 5 }, () => db.query<{ one: number }>({ text: 'select 1 as one' }));
    assert.deepEqual(db.connections(), { open: 1, idle: 0, waiting: 5 });
    const isFull = (error: unknown) => error instanceof Unavailable && error.reason === 'queue_full';
    await assert.rejects(db.query({ text: 'select 1' }), isFull);
    await assert.rejects(
      db.transaction(async () => assert.fail('it has no connection')),
      isFull,
    );
    await tx.query({ text: 'select 1' });
    return { waiting };
  });
  for (const rows of await Promise.all(lock.waiting)) assert.deepEqual(rows, [{ one: 1 }]);
  assert.deepEqual(await db.query({ text: 'select 2 as two' }), [{ two: 2 }], 'and it empties');
});
