import { clientContract } from '../contracts/clients.ts';
import { postgresStores } from '../support/postgres-stores.ts';

clientContract(postgresStores);
