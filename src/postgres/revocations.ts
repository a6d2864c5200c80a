/** Bulk revocations, and the feed of all that has ended: both are the change log. */
import type { AccessTokenRecord } from '../core/access-token.ts';
import { type Actor, type RevocationStore, Unavailable } from '../core/ports.ts';
import type { TokenHash } from '../core/reference-token.ts';
import type { Revocation, RevocationTarget } from '../core/revocations.ts';
import { writeAudit } from './audit.ts';
import { type Announce, appendChange, appendRevocation, changing } from './changes.ts';
import { IS_CUT_OFF, IS_REVOKED } from './cut-offs.ts';
import type { Db, Queries } from './db.ts';
import { once } from './idempotency.ts';

interface RevocationRow {
  readonly seq: number;
  readonly kind: Revocation['kind'];
  readonly key: string;
  readonly jti: string | null;
  readonly issued_before: number | null;
  readonly reason: string | null;
  readonly at: Date;
  readonly expires_at: number;
}

const COLUMNS = `c.seq, c.kind, c.key, c.jti, extract(epoch from c.issued_before)::bigint as issued_before, c.reason, c.at,
  extract(epoch from c.expires_at)::bigint as expires_at`;

const COUNT_MS = 30_000;
const IS_MEANT: Readonly<Record<RevocationTarget['kind'], string>> = {
  token: 't.token_hash = $1',
  client: 't.client_id = $1',
  subject: 't.subject = $1',
  all: "$1 = ''",
};

/** A page is bounded by positions as well: a log of a million that have expired must not be one statement. */
const POSITIONS_MAX = 10_000;

/** @param announce of each revocation, once it is durable */
export function revocationStore(db: Db, announce: Announce): RevocationStore {
  let isCounting = false;
  return {
    async append(order, actor, given) {
      let isNew = false;
      const seq = await changing(db, announce, (tx, append) =>
        once<number | null>(tx, actor, given, () => {
          const announced: Announce = (entry) => {
            isNew = true;
            append(entry);
          };
          return end(tx, announced, order, actor);
        }),
      );
      const found = seq === null ? undefined : await findRevocation(db, seq);
      return found ? { outcome: isNew ? 'ended' : 'ended_before', ...found } : { outcome: 'nothing' };
    },
    async count(target) {
      // Each holds a connection for as long as it takes, and requests need the others.
      if (isCounting) throw new Unavailable('a dry run is under way', { reason: 'queue_full' });
      isCounting = true;
      try {
        return await count(db, target);
      } finally {
        isCounting = false;
      }
    },
    async list(after, limit) {
      const rows = await db.query<Partial<RevocationRow> & { epoch: string; last_seq: number }>({
        name: 'list-revocations',
        text: `select l.epoch, l.last_seq, r.* from change_log l left join lateral (
            select ${COLUMNS} from change c
            where c.seq > $1 and c.seq <= $1::bigint + ${POSITIONS_MAX} and c.kind in ('token', 'client', 'subject', 'all')
              and c.expires_at > clock_timestamp()
            order by c.seq limit $2) r on true
          order by r.seq`,
        values: [after, limit],
      });
      const [first] = rows;
      if (!first) throw new Error('the change log has no counter row');
      const revocations = rows.flatMap((row) => (typeof row.seq === 'number' ? [revocationOf(row as RevocationRow)] : []));
      const readTo = revocations.length === limit ? revocations.at(-1)?.seq : undefined;
      return {
        epoch: first.epoch,
        lastSeq: first.last_seq,
        readTo: readTo ?? Math.min(first.last_seq, after + POSITIONS_MAX),
        revocations,
      };
    },
  };
}

/** @returns the position; `null`: there is no such token or client */
async function end(
  tx: Queries,
  append: Announce,
  { target, reason }: { readonly target: RevocationTarget; readonly reason: string | undefined },
  actor: Actor,
): Promise<number | null> {
  if (target.kind === 'token') {
    const record = await findToken(tx, target.tokenHash);
    if (!record) return null;
    const entry = await appendRevocation(tx, record, actor, reason);
    if (entry) append(entry);
    return entry?.seq ?? positionOf(tx, target.tokenHash);
  }
  const { kind, key, issuedBefore } = target;
  if (kind === 'client' && !(await isClient(tx, key))) return null;
  await writeAudit(tx, actor, 'revocation.add', kind === 'all' ? 'all' : key, { kind, issued_before: issuedBefore, reason });
  const entry = await appendChange(tx, kind, key, { issuedBefore, reason });
  append(entry);
  return entry.seq;
}

async function isClient(tx: Queries, id: string): Promise<boolean> {
  const rows = await tx.query({
    name: 'find-client-to-revoke',
    text: 'select from client where client_id = $1 and deleted_at is null',
    values: [id],
  });
  return rows.length > 0;
}

async function findToken(
  tx: Queries,
  tokenHash: TokenHash,
): Promise<Pick<AccessTokenRecord, 'tokenHash' | 'jti' | 'clientId' | 'expiresAt'> | undefined> {
  const [row] = await tx.query<{ jti: string; client_id: string; expires_at: number }>({
    name: 'find-token-to-revoke',
    text: `select t.jti, t.client_id, extract(epoch from t.expires_at)::bigint as expires_at
      from access_token t where t.token_hash = $1 and t.expires_at > clock_timestamp()`,
    values: [Buffer.from(tokenHash, 'base64url')],
  });
  return row && { tokenHash, jti: row.jti, clientId: row.client_id, expiresAt: row.expires_at };
}

/** Of a token that had ended before. */
async function positionOf(tx: Queries, tokenHash: TokenHash): Promise<number | null> {
  const [row] = await tx.query<{ seq: number }>({
    name: 'find-position-of-revocation',
    text: "select seq from change where kind = 'token' and key = $1",
    values: [tokenHash],
  });
  return row?.seq ?? null;
}

async function findRevocation(db: Queries, seq: number): Promise<{ readonly revocation: Revocation; readonly epoch: string } | undefined> {
  const [row] = await db.query<RevocationRow & { epoch: string }>({
    name: 'find-revocation',
    text: `select l.epoch, ${COLUMNS} from change_log l cross join change c where c.seq = $1`,
    values: [seq],
  });
  return row && { revocation: revocationOf(row), epoch: row.epoch };
}

/** Reads all tokens, since none is found by its client: it is given the time. */
async function count(db: Db, target: RevocationTarget): Promise<number> {
  const [row] = await db.transaction(async (tx) => {
    await tx.query({ text: "select set_config('statement_timeout', $1, true)", values: [String(COUNT_MS)] });
    return tx.query<{ tokens: number }>({
      text: `select count(*) as tokens from access_token t
        where t.expires_at > clock_timestamp() and ${IS_MEANT[target.kind]} and not ${IS_CUT_OFF}
          and ($2::bigint is null or t.issued_at < to_timestamp($2))
          and not ${IS_REVOKED}`,
      values: [target.kind === 'token' ? Buffer.from(target.tokenHash, 'base64url') : target.key, secondOf(target)],
      answerMs: COUNT_MS,
    });
  });
  return row?.tokens ?? 0;
}

function secondOf(target: RevocationTarget): number | undefined {
  return target.kind === 'token' ? undefined : target.issuedBefore;
}

function revocationOf(row: RevocationRow): Revocation {
  return {
    seq: row.seq,
    kind: row.kind,
    key: row.key,
    jti: row.jti ?? undefined,
    issuedBefore: row.issued_before ?? undefined,
    reason: row.reason ?? undefined,
    at: row.at,
    expiresAt: row.expires_at,
  };
}
