import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { Unavailable } from '../../src/core/ports.ts';
import { openDb } from '../../src/postgres/db.ts';
import { createDatabase } from '../support/database.ts';
import { DROP, openProxy, PASS } from '../support/proxy.ts';

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

test('a connection that is ended in the moment in which it is there, as in a crash of PostgreSQL, is an outage and ends no process', async (t) => {
  const message = (type: string, body: Buffer) => {
    const head = Buffer.alloc(5);
    head.write(type, 0);
    head.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  };
  const fatal = Buffer.from('SFATAL\0VFATAL\0C57P02\0Mterminating connection because of crash of another server process\0\0');
  const greeting = [message('R', Buffer.alloc(4)), message('Z', Buffer.from('I')), message('E', fatal)];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    // In one piece, so that nobody has the connection yet when its end is read.
    socket.once('data', () => socket.end(Buffer.concat(greeting)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const db = openDb({ host: '127.0.0.1', port, user: 'auth', database: 'auth' }, () => undefined);
  t.after(async () => {
    await db.close();
    server.close();
  });
  await assert.rejects(db.query({ text: 'select 1' }), Unavailable);
  await assert.rejects(
    db.transaction((tx) => tx.query({ text: 'select 1' })),
    Unavailable,
  );
});

test('after one question that nobody answered the other connections are not asked either: the network is back, and so are the answers', async (t) => {
  const database = await createDatabase();
  const { host, port } = database.connection;
  const network = await openProxy(t, { path: `${host}/.s.PGSQL.${port}` });
  const limits = { connections: 5, waitingMax: 10, connectMs: 5_000, answerMs: 1_000 };
  let silences = 0;
  const db = openDb(
    { ...database.connection, host: '127.0.0.1', port: network.port },
    () => undefined,
    limits,
    () => silences++,
  );
  t.after(async () => {
    await db.close();
    await database.drop();
  });
  const one = { text: 'select pg_sleep(0.1)' };
  await Promise.all(Array.from({ length: 5 }, () => db.query(one)));
  assert.equal(db.connections().open, 5);
  network.set({ up: DROP, down: DROP });
  await assert.rejects(db.query(one), Unavailable);
  network.set({ up: PASS, down: PASS });
  await Promise.all(Array.from({ length: 5 }, () => db.query(one)));
  assert.equal(silences, 1);

  const connections = network.connections();
  db.distrust();
  await db.transaction((tx) => tx.query(one));
  assert.equal(network.connections(), connections + 1, 'as well when somebody else has noticed');
});
