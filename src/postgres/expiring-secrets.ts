/** Secrets that end soon and have no successor: whoever uses them is about to be locked out. */
import type { Queries } from './db.ts';

export const HORIZONS = ['1d', '7d', '30d'] as const;
export type ExpiringSecrets = Readonly<Record<(typeof HORIZONS)[number], number>>;

/** Clients that are enabled and whose last secret ends within the time. One that was rotated is none of them, one that has ended no more. */
export async function countExpiring(db: Queries): Promise<ExpiringSecrets> {
  const [row] = await db.query<Record<(typeof HORIZONS)[number], number>>({
    text: `with last as (
        select max(coalesce(s.expires_at, 'infinity')) as ends from client c join client_secret s on s.client_id = c.client_id
        where c.deleted_at is null and not c.disabled group by c.client_id)
      select count(*) filter (where ends <= clock_timestamp() + interval '1 day') as "1d",
        count(*) filter (where ends <= clock_timestamp() + interval '7 days') as "7d",
        count(*) filter (where ends <= clock_timestamp() + interval '30 days') as "30d"
      from last where ends > clock_timestamp()`,
  });
  if (!row) throw new Error('an aggregate has one row');
  return row;
}
