/** Access tokens: rows that are never updated, and the change log that ends them. */
import type { AccessTokenRecord } from '../core/access-token.ts';
import type { AccessTokenStore } from '../core/ports.ts';
import type { TokenHash } from '../core/reference-token.ts';
import { type Announce, appendRevocation } from './changes.ts';
import { IS_CUT_OFF } from './cut-offs.ts';
import type { Db, Queries } from './db.ts';
import { groupCommit } from './group-commit.ts';
import { limitedInsert } from './limited-tokens.ts';
import { isLongLived } from './partitions.ts';

interface AccessTokenRow {
  readonly jti: string;
  readonly client_id: string;
  readonly subject: string;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly claims: Readonly<Record<string, unknown>> | null;
  readonly issued_at: number;
  readonly expires_at: number;
  readonly issued_seq: number;
  readonly secret_id: string | null;
  readonly revoked: boolean;
}

/** A statement of so many takes some milliseconds. */
const BATCHES = { itemsMax: 256, waitingMax: 2_000 };

/** For looking at one in the background: named otherwise, so that it can be told from what requests ask. */
export function auditedToken(db: Db): AccessTokenStore['find'] {
  return (tokenHash, now) => find(db, tokenHash, now, 'audit-access-token');
}

/** @param announce of each revocation, once it is durable */
export function accessTokenStore(db: Db, announce: Announce): AccessTokenStore {
  const insertSoon = groupCommit({
    async write(records: readonly AccessTokenRecord[]) {
      await insert(db, records);
      return records;
    },
    ...BATCHES,
  });
  const insertLimited = limitedInsert(db, insert, BATCHES);
  return {
    async insert(record, limit) {
      if (limit === undefined) await insertSoon(record);
      else await insertLimited({ record, limit });
    },
    find: (tokenHash, now) => find(db, tokenHash, now),
    async revoke(record, by) {
      const entry = await appendRevocation(db, record, by);
      if (entry) announce(entry);
      return entry;
    },
  };
}

/**
 * All or none, in one statement. An array of arrays would have to be a rectangle, so what is a list in a row comes as JSON.
 */
async function insert(db: Queries, records: readonly AccessTokenRecord[]): Promise<void> {
  await db.query({
    name: 'insert-access-tokens',
    text: `insert into access_token
        (token_hash, jti, client_id, subject, scope, audience, claims, issued_at, expires_at, issued_seq, long_lived, secret_id)
      select token_hash, jti, client_id, subject, array(select jsonb_array_elements_text(scope)), array(select jsonb_array_elements_text(audience)),
        claims, to_timestamp(issued_at), to_timestamp(expires_at), issued_seq, long_lived, secret_id
      from unnest($1::bytea[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::jsonb[], $8::bigint[], $9::bigint[], $10::bigint[],
          $11::boolean[], $12::uuid[])
        as t (token_hash, jti, client_id, subject, scope, audience, claims, issued_at, expires_at, issued_seq, long_lived, secret_id)`,
    values: [
      records.map(({ tokenHash }) => Buffer.from(tokenHash, 'base64url')),
      records.map(({ jti }) => jti),
      records.map(({ clientId }) => clientId),
      records.map(({ subject }) => subject),
      records.map(({ scope }) => JSON.stringify(scope)),
      records.map(({ audience }) => JSON.stringify(audience)),
      records.map(({ claims }) => (Object.keys(claims).length > 0 ? JSON.stringify(claims) : null)),
      records.map(({ issuedAt }) => issuedAt),
      records.map(({ expiresAt }) => expiresAt),
      records.map(({ issuedSeq }) => issuedSeq),
      records.map(isLongLived),
      records.map(({ secretId }) => secretId ?? null),
    ],
  });
}

/** Row and revocations in one statement, so from one snapshot. */
async function find(db: Db, tokenHash: TokenHash, now: number, name = 'find-access-token'): ReturnType<AccessTokenStore['find']> {
  const [row] = await db.query<AccessTokenRow>({
    name,
    text: `select t.jti, t.client_id, t.subject, t.scope, t.audience, t.claims, t.issued_seq, t.secret_id,
        extract(epoch from t.issued_at)::bigint as issued_at, extract(epoch from t.expires_at)::bigint as expires_at,
        exists (select from change c where c.kind = 'token' and c.key = $2) or ${IS_CUT_OFF} as revoked
      from access_token t where t.token_hash = $1 and t.expires_at > to_timestamp($3)`,
    values: [Buffer.from(tokenHash, 'base64url'), tokenHash, now],
  });
  if (!row) return undefined;
  const record: AccessTokenRecord = {
    tokenHash,
    jti: row.jti,
    clientId: row.client_id,
    subject: row.subject,
    scope: row.scope,
    audience: row.audience,
    claims: row.claims ?? {},
    issuedAt: row.issued_at,
    expiresAt: row.expires_at,
    issuedSeq: row.issued_seq,
    secretId: row.secret_id ?? undefined,
  };
  return { record, revoked: row.revoked };
}
