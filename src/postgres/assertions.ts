/** Assertions that clients have used: once each, at whatever node (RFC 7523 §3). */
import type { SpendAssertion } from '../core/ports.ts';
import type { Db, Queries } from './db.ts';

const BATCH = 10_000;
/** Of one maintenance, which every node has every few minutes: a thousand assertions a second for each. */
const BATCHES_MAX = 30;

/** One statement decides; if its answer is lost, the outcome is unknown, and the assertion is not accepted. */
export function spendAssertion(db: Db): SpendAssertion {
  return async ({ clientId, jtiHash, endsAt }) => {
    const rows = await db.query({
      name: 'spend-assertion',
      text: `insert into client_assertion (client_id, jti_hash, ends_at) values ($1, $2, to_timestamp($3))
        on conflict do nothing returning client_id`,
      values: [clientId, jtiHash, endsAt],
    });
    return rows.length > 0;
  };
}

/** Those that have ended long ago by the database's clock: no node whose own is behind would take one again. */
export async function forgetAssertions(db: Queries): Promise<void> {
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    const rows = await db.query({
      text: `delete from client_assertion where ctid = any(array(
        select ctid from client_assertion where ends_at < clock_timestamp() - interval '10 minutes' limit ${BATCH} for update skip locked)) returning 1`,
    });
    if (rows.length < BATCH) return;
  }
}
