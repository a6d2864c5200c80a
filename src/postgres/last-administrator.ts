/** Whether anybody is left who administers everything (docs/scopes.md). */
import { requireAdministrator, STANDINGS, type Standing } from '../core/delegation.ts';
import type { Queries } from './db.ts';

/**
 * To be called after the change and after {@link writeAudit}, whose lock is the one that all changes wait for: of two administrators that delete each other
 * at the same time, the second finds the first one gone.
 *
 * @param before of the client that was changed; who is no administrator costs no question
 * @throws Problem `conflict`
 */
export async function keepAdministrator(tx: Queries, before: Standing): Promise<void> {
  if (before !== 'none') requireAdministrator(before, await bestStanding(tx));
}

/** As `administratorStanding` in src/core/delegation.ts, of all clients the best. */
async function bestStanding(tx: Queries): Promise<Standing> {
  const [row] = await tx.query<{ standing: number }>({
    name: 'best-administrator',
    text: `select max(case when c.auth_method not like 'client\\_secret\\_%' or (s.id is not null and s.expires_at is null) then 2
        when s.expires_at > clock_timestamp() then 1 else 0 end) as standing
      from client_scope h join client c using (client_id) left join client_secret s using (client_id)
      where h.scope = 'auth:clients' and not h.disabled and c.administers is null and c.auth_method <> 'none'
        and 'client_credentials' = any(c.grant_types)`,
  });
  return STANDINGS[row?.standing ?? 0] ?? 'none';
}
