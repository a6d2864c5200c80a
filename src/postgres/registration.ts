/** Clients that register themselves, RFC 7591: the client and the use of the initial access token are one transaction. */
import { clientDetail } from '../core/audit.ts';
import type { Client } from '../core/clients.ts';
import type { NewRegistration, Origin, RegistrationStore } from '../core/ports.ts';
import type { ScopePolicy } from '../core/scope-catalogue.ts';
import { writeAudit } from './audit.ts';
import { type Announce, appendChange, changing } from './changes.ts';
import { findClient, insertClientRow, insertSecret } from './client-rows.ts';
import type { Db, Queries } from './db.ts';
import { requireCatalogued } from './scopes.ts';

/**
 * @param announce of each change, once it is durable
 * @param policy what becomes of a scope that is not in the catalogue
 */
export function registrationStore(db: Db, announce: Announce, policy: ScopePolicy): RegistrationStore {
  return { register: (registration, origin) => register(db, announce, policy, registration, origin) };
}

async function register(
  db: Db,
  announce: Announce,
  policy: ScopePolicy,
  { id, settings, secret, access }: NewRegistration,
  origin: Origin,
): Promise<Client | undefined> {
  return changing(db, announce, async (tx, append) => {
    const { initialTokenId } = access;
    if (initialTokenId !== undefined && !(await spendInitialToken(tx, initialTokenId))) return undefined;
    await requireCatalogued(tx, policy, settings.scope, { scope: [] });
    await insertClientRow(tx, id, settings);
    await insertSecret(tx, id, secret);
    await insertRegistrationAccess(tx, id, access);
    const registration = initialTokenId === undefined ? 'open' : { registration_token_id: initialTokenId };
    await writeAudit(tx, origin, 'client.create', id, { ...clientDetail(settings), registration });
    append(await appendChange(tx, 'client_record', id));
    return findClient(tx, id);
  });
}

/** Holds the token's row until the commit, so that of many at once no more succeed than it has uses. */
async function spendInitialToken(tx: Queries, id: string): Promise<boolean> {
  const spent = await tx.query({
    name: 'spend-initial-token',
    text: `update registration_token set used = used + 1
      where id = $1 and expires_at > clock_timestamp() and (uses is null or used < uses) returning id`,
    values: [id],
  });
  return spent.length > 0;
}

async function insertRegistrationAccess(tx: Queries, clientId: string, access: NewRegistration['access']): Promise<void> {
  await tx.query({
    name: 'insert-registration-access',
    text: 'insert into registration_access (client_id, verifier, registration_token_id, allowed_scope) values ($1, $2, $3, $4)',
    values: [clientId, access.verifier, access.initialTokenId, access.allowedScope],
  });
}
