import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Queries, Statement } from '../../src/postgres/db.ts';
import { nodeRegistry } from '../../src/postgres/nodes.ts';
import { nodeRegistryContract } from '../contracts/nodes.ts';
import { createDatabase } from '../support/database.ts';

nodeRegistryContract(async () => {
  const { db, drop } = await createDatabase();
  return {
    nodes: nodeRegistry(db, db),
    pass: (ms) => db.query({ text: 'select pg_sleep($1)', values: [ms / 1000] }).then(() => undefined),
    close: drop,
  };
});

test('a row is prolonged without waiting for the disk only while most of its lease is left: a crash may lose that', async () => {
  const { db, drop } = await createDatabase();
  const names: (string | undefined)[] = [];
  const own: Queries = {
    query: async (statement: Statement) => {
      names.push(statement.name);
      return db.query(statement);
    },
  };
  const nodes = nodeRegistry(own, db);
  const node = { id: '7f1f3e1e-1111-4111-8111-111111111111', appliedSeq: 0, maxStalenessMs: 1_000 };
  await nodes.renew(node, 60_000);
  await nodes.renew(node, 60_000);
  assert.deepEqual(names.splice(0), ['insert-node', 'prolong-node']);
  // Its lease is to be much longer from now on, so there is little left of it.
  await nodes.renew(node, 120_000);
  assert.deepEqual(names, ['prolong-node', 'insert-node']);
  await drop();
});
