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
