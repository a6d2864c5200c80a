/** The adapters of src/postgres on a database of their own, for the contract suites. */

import { accessTokenStore } from '../../src/postgres/access-tokens.ts';
import { changeLog } from '../../src/postgres/changes.ts';
import { clientAdministration, clientDirectory } from '../../src/postgres/clients.ts';
import { revocationStore } from '../../src/postgres/revocations.ts';
import type { Stores } from '../contracts/stores.ts';
import { createDatabase } from './database.ts';
import type { Audit, Change } from './memory-stores.ts';

export async function postgresStores(): Promise<Stores> {
  const { db, drop } = await createDatabase();
  return {
    directory: clientDirectory(db),
    administration: clientAdministration(db, () => undefined),
    tokens: accessTokenStore(db, () => undefined),
    revocations: revocationStore(db, () => undefined),
    log: changeLog(db),
    changes: () => db.query<Change & { kind: string }>({ text: 'select seq, kind, key from change order by seq' }),
    audits: () =>
      db.query<Audit & { action: string }>({
        text: 'select action, target, actor_client_id as actor, host(actor_address) as address from audit order by id',
      }),
    close: drop,
  };
}
