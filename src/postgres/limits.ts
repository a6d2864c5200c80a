/** What an actor may administer, as its record says now: that it was told less a moment ago counts, whatever its token was issued for. */
import type { Administers } from '../core/delegation.ts';
import type { Actor } from '../core/ports.ts';
import type { Queries } from './db.ts';

export async function limitsOf(tx: Queries, { clientId }: Actor): Promise<Administers | undefined> {
  const [row] = await tx.query<{ administers: Administers | null }>({
    name: 'find-limits',
    text: 'select administers from client where client_id = $1',
    values: [clientId],
  });
  return row?.administers ?? undefined;
}
