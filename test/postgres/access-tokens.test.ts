import { accessTokenContract } from '../contracts/access-tokens.ts';
import { postgresStores } from '../support/postgres-stores.ts';

accessTokenContract(postgresStores);
