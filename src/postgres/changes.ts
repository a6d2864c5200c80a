/** The change log: entries in the order of their commits, without gaps. */
import type { Queries } from './db.ts';

export type ChangeKind = 'token' | 'client' | 'client_record' | 'keys';

/**
 * Appends one entry and takes the counter's row lock until the commit: to be the last statement of a transaction but the audit's.
 *
 * @param key what `kind` speaks of: a token hash, a client id, a key id
 * @param expiresAt epoch seconds: when nothing that it could end is alive any more
 */
export async function appendChange(tx: Queries, kind: ChangeKind, key: string, expiresAt: number): Promise<void> {
  await tx.query({
    name: 'append-change',
    text: `with next as (update change_log set last_seq = last_seq + 1 returning last_seq)
      insert into change (seq, kind, key, expires_at) select last_seq, $1, $2, to_timestamp($3) from next`,
    values: [kind, key, expiresAt],
  });
}
