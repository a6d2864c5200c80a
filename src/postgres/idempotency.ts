/** Requests that may come twice: what was answered to an `Idempotency-Key` is kept for a day, in the transaction that did it. */
import { Problem } from '../core/errors.ts';
import type { Actor, Once } from '../core/ports.ts';
import type { Queries } from './db.ts';

const KEPT = '24 hours';

interface KeptRow {
  readonly is_same: boolean;
  readonly answer: unknown;
}

/**
 * Does `work` unless this was done before. Who comes while the first is under way waits for its end.
 *
 * @param work its result is kept, so it is JSON without secrets
 * @throws Problem `idempotency_key_reused` — for another request
 */
export async function once<T>(tx: Queries, actor: Actor, given: Once | undefined, work: () => Promise<T>): Promise<T> {
  if (!given) return work();
  const values = [actor.clientId, given.key];
  await tx.query({
    name: 'forget-idempotency-key',
    text: `delete from idempotency where client_id = $1 and key = $2 and at < clock_timestamp() - interval '${KEPT}'`,
    values,
  });
  const [first] = await tx.query({
    name: 'keep-idempotency-key',
    text: 'insert into idempotency (client_id, key, request) values ($1, $2, $3) on conflict do nothing returning key',
    values: [...values, given.request],
  });
  if (!first) {
    const [kept] = await tx.query<KeptRow>({
      name: 'find-idempotency-key',
      text: 'select request = $3 as is_same, answer from idempotency where client_id = $1 and key = $2',
      values: [...values, given.request],
    });
    if (!kept?.is_same) throw new Problem('idempotency_key_reused', 'this Idempotency-Key was used for another request');
    return kept.answer as T;
  }
  const result = await work();
  await tx.query({
    name: 'answer-idempotency-key',
    text: 'update idempotency set answer = $3 where client_id = $1 and key = $2',
    values: [...values, JSON.stringify(result ?? null)],
  });
  return result;
}

/** A little at a time: it runs every few minutes. */
export async function forgetIdempotencyKeys(db: Queries): Promise<void> {
  await db.query({
    text: `delete from idempotency where (client_id, key) in
      (select client_id, key from idempotency where at < clock_timestamp() - interval '${KEPT}' limit 10000)`,
  });
}
