/** The live tokens of clients that may have so many only. Others leave no trace here, and pay nothing. */
import type { AccessTokenRecord } from '../core/access-token.ts';
import { TooManyTokens } from '../core/errors.ts';
import { IS_CUT_OFF, IS_REVOKED } from './cut-offs.ts';
import type { Db, Queries } from './db.ts';

/**
 * Counts and inserts in one transaction, one token of a client after the other, on whatever node.
 *
 * @param insert the token itself
 * @throws TooManyTokens
 */
export async function insertWithin(
  db: Db,
  limit: number,
  record: AccessTokenRecord,
  insert: (tx: Queries) => Promise<void>,
): Promise<void> {
  await db.transaction(async (tx) => {
    await takeTurn(tx, record.clientId);
    await deleteEnded(tx, record.clientId);
    const { live, seconds } = await countLive(tx, record.clientId);
    if (live >= limit) throw new TooManyTokens(Math.max(1, seconds));
    await insert(tx);
    await insertLimited(tx, record);
  });
}

/** The statements after it see what those before it have committed. */
async function takeTurn(tx: Queries, clientId: string): Promise<void> {
  await tx.query({
    name: 'turn-of-limited-client',
    text: "select pg_advisory_xact_lock(hashtextextended('tokens of ' || $1, 0))",
    values: [clientId],
  });
}

/** Also what was revoked: a client that revokes and asks again makes as much room as it takes. */
async function deleteEnded(tx: Queries, clientId: string): Promise<void> {
  await tx.query({
    name: 'delete-ended-limited-tokens',
    text: `delete from limited_token t where t.client_id = $1 and (t.expires_at <= clock_timestamp() or ${IS_REVOKED} or ${IS_CUT_OFF})`,
    values: [clientId],
  });
}

async function countLive(tx: Queries, clientId: string): Promise<{ readonly live: number; readonly seconds: number }> {
  const [row] = await tx.query<{ live: number; seconds: number }>({
    name: 'count-limited-tokens',
    text: `select count(*) as live, coalesce(ceil(extract(epoch from min(expires_at) - clock_timestamp())), 0)::bigint as seconds
      from limited_token where client_id = $1`,
    values: [clientId],
  });
  return row ?? { live: 0, seconds: 0 };
}

async function insertLimited(
  tx: Queries,
  { tokenHash, clientId, subject, issuedAt, expiresAt, issuedSeq }: AccessTokenRecord,
): Promise<void> {
  await tx.query({
    name: 'insert-limited-token',
    text: `insert into limited_token (client_id, token_hash, subject, issued_at, expires_at, issued_seq)
      values ($1, $2, $3, to_timestamp($4), to_timestamp($5), $6)`,
    values: [clientId, Buffer.from(tokenHash, 'base64url'), subject, issuedAt, expiresAt, issuedSeq],
  });
}

/** Of clients that ask no more. A little at a time: it runs every few minutes. */
export async function forgetLimitedTokens(db: Queries): Promise<void> {
  await db.query({
    text: `delete from limited_token where (client_id, token_hash) in
      (select client_id, token_hash from limited_token where expires_at <= clock_timestamp() limit 10000)`,
  });
}
