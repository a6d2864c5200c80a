/** The live tokens of clients that may have so many only. Others leave no trace here, and pay nothing. */
import type { AccessTokenRecord } from '../core/access-token.ts';
import { TooManyTokens } from '../core/errors.ts';
import { IS_CUT_OFF, IS_REVOKED } from './cut-offs.ts';
import type { Db, Queries } from './db.ts';
import { groupCommit } from './group-commit.ts';

/** One of them, and how many of its client may be alive. */
interface Limited {
  readonly record: AccessTokenRecord;
  readonly limit: number;
}

type InsertLimited = (limited: Limited) => Promise<void>;

interface Turns {
  readonly insert: (limited: Limited) => Promise<TooManyTokens | undefined>;
  /** who waits for it */
  waiting: number;
}

/**
 * Counts and inserts in one transaction, one batch of a client after the other, on whatever node. A node has one of them under way for each client: else a
 * client that asks often would hold all connections, each waiting for the lock of the one before, and nobody else would be answered.
 *
 * @param insert the tokens themselves
 * @returns what throws {@link TooManyTokens} for one that is too many
 */
export function limitedInsert(
  db: Db,
  insert: (tx: Queries, records: readonly AccessTokenRecord[]) => Promise<void>,
  batches: { readonly itemsMax: number; readonly waitingMax: number },
): InsertLimited {
  const turns = new Map<string, Turns>();
  return async (limited) => {
    const { clientId } = limited.record;
    const turn = turns.get(clientId) ?? {
      insert: groupCommit({ write: (items: readonly Limited[]) => insertWithin(db, clientId, items, insert), ...batches }),
      waiting: 0,
    };
    turns.set(clientId, turn);
    turn.waiting++;
    try {
      const refused = await turn.insert(limited);
      if (refused) throw refused;
    } finally {
      if (--turn.waiting === 0) turns.delete(clientId);
    }
  };
}

/** @returns for each what refuses it, in their order */
async function insertWithin(
  db: Db,
  clientId: string,
  items: readonly Limited[],
  insert: (tx: Queries, records: readonly AccessTokenRecord[]) => Promise<void>,
): Promise<readonly (TooManyTokens | undefined)[]> {
  return db.transaction(async (tx) => {
    await takeTurn(tx, clientId);
    await deleteEnded(tx, clientId);
    const { live, seconds } = await countLive(tx, clientId);
    const records: AccessTokenRecord[] = [];
    const refusals = items.map(({ record, limit }) => {
      if (live + records.length >= limit) return new TooManyTokens(Math.max(1, live > 0 ? seconds : lifeOf(records[0] ?? record)));
      records.push(record);
      return undefined;
    });
    if (records.length > 0) {
      await insert(tx, records);
      await insertLimited(tx, clientId, records);
    }
    return refusals;
  });
}

function lifeOf({ issuedAt, expiresAt }: AccessTokenRecord): number {
  return expiresAt - issuedAt;
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

async function insertLimited(tx: Queries, clientId: string, records: readonly AccessTokenRecord[]): Promise<void> {
  await tx.query({
    name: 'insert-limited-tokens',
    text: `insert into limited_token (client_id, token_hash, subject, issued_at, expires_at, issued_seq)
      select $1, token_hash, subject, to_timestamp(issued_at), to_timestamp(expires_at), issued_seq
      from unnest($2::bytea[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
        as t (token_hash, subject, issued_at, expires_at, issued_seq)`,
    values: [
      clientId,
      records.map(({ tokenHash }) => Buffer.from(tokenHash, 'base64url')),
      records.map(({ subject }) => subject),
      records.map(({ issuedAt }) => issuedAt),
      records.map(({ expiresAt }) => expiresAt),
      records.map(({ issuedSeq }) => issuedSeq),
    ],
  });
}

/** Of clients that ask no more. A little at a time: it runs every few minutes. */
export async function forgetLimitedTokens(db: Queries): Promise<void> {
  await db.query({
    text: `delete from limited_token where (client_id, token_hash) in
      (select client_id, token_hash from limited_token where expires_at <= clock_timestamp() limit 10000)`,
  });
}
