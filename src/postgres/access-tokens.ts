/** Access tokens: rows that are never updated, and the change log that ends them. */
import type { AccessTokenRecord } from '../core/access-token.ts';
import type { AccessTokenStore } from '../core/ports.ts';
import type { TokenHash } from '../core/reference-token.ts';
import { type Announce, appendRevocation } from './changes.ts';
import { IS_CUT_OFF } from './cut-offs.ts';
import type { Db, Queries } from './db.ts';
import { insertWithin } from './limited-tokens.ts';
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

/** For looking at one in the background: named otherwise, so that it can be told from what requests ask. */
export function auditedToken(db: Db): AccessTokenStore['find'] {
  return (tokenHash, now) => find(db, tokenHash, now, 'audit-access-token');
}

/** @param announce of each revocation, once it is durable */
export function accessTokenStore(db: Db, announce: Announce): AccessTokenStore {
  return {
    insert: (record, limit) => (limit === undefined ? insert(db, record) : insertWithin(db, limit, record, insert)),
    find: (tokenHash, now) => find(db, tokenHash, now),
    async revoke(record, by) {
      const entry = await appendRevocation(db, record, by);
      if (entry) announce(entry);
      return entry;
    },
  };
}

async function insert(db: Queries, record: AccessTokenRecord): Promise<void> {
  await db.query({
    name: 'insert-access-token',
    text: `insert into access_token
        (token_hash, jti, client_id, subject, scope, audience, claims, issued_at, expires_at, issued_seq, long_lived, secret_id)
      values ($1, $2, $3, $4, $5, $6, $7, to_timestamp($8), to_timestamp($9), $10, $11, $12)`,
    values: [
      Buffer.from(record.tokenHash, 'base64url'),
      record.jti,
      record.clientId,
      record.subject,
      record.scope,
      record.audience,
      Object.keys(record.claims).length > 0 ? record.claims : null,
      record.issuedAt,
      record.expiresAt,
      record.issuedSeq,
      isLongLived(record),
      record.secretId,
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
