/** The change log: entries in the order of their commits, without gaps. */
import type { AccessTokenRecord } from '../core/access-token.ts';
import { ACCESS_TOKEN_TTL_MAX_SECONDS } from '../core/clients.ts';
import { type ChangeEntry, type ChangeLog, type Origin, Unavailable } from '../core/ports.ts';
import { auditEntry } from './audit.ts';
import type { Db, Queries } from './db.ts';

export type ChangeKind = ChangeEntry['kind'];

export interface CutOffDetail {
  /** epoch seconds; `undefined`: what was issued before the entry */
  readonly issuedBefore?: number | undefined;
  readonly reason?: string | undefined;
}

/** Is told what was appended to the log, once that is durable and before whoever did it is answered. */
export type Announce = (entry: ChangeEntry) => void;

/** Tokens that ended so long ago are dead by any clock. */
const KEPT = '10 minutes';

/**
 * Appends one entry and takes the counter's row lock until the commit: to be the last statement of a transaction but the audit's. It is kept until the
 * last token that a client may have been given by then has expired, by the database's clock as all that reads it.
 *
 * @param key what `kind` speaks of: a client id, a subject, a key id
 */
export async function appendChange(
  tx: Queries,
  kind: Exclude<ChangeKind, 'token'>,
  key: string,
  { issuedBefore, reason }: CutOffDetail = {},
): Promise<ChangeEntry> {
  const [row] = await tx.query<{ seq: number; expires_at: number }>({
    name: 'append-change',
    text: `with next as (update change_log set last_seq = last_seq + 1 returning last_seq)
      insert into change (seq, kind, key, expires_at, issued_before, reason)
      select last_seq, $1, $2, date_trunc('second', coalesce(to_timestamp($4), clock_timestamp())) + $3 * interval '1 s', to_timestamp($4), $5 from next
      returning seq, extract(epoch from expires_at)::bigint as expires_at`,
    values: [kind, key, ACCESS_TOKEN_TTL_MAX_SECONDS + 1, issuedBefore, reason],
  });
  if (!row) throw new Error('the change log has no counter row');
  return { seq: row.seq, kind, key, expiresAt: row.expires_at, ...(issuedBefore !== undefined && { issuedBefore }) } as ChangeEntry;
}

/**
 * Appends that a token has ended, unless that is there: whoever says it again and again must make neither the log grow nor the audit, which is told in the
 * same statement.
 */
export async function appendRevocation(
  db: Queries,
  { tokenHash, expiresAt, clientId, jti }: Pick<AccessTokenRecord, 'tokenHash' | 'expiresAt' | 'clientId' | 'jti'>,
  by?: Origin,
  reason?: string,
): Promise<ChangeEntry | undefined> {
  const detail = { jti, ...(reason !== undefined && { reason }) };
  const [row] = await db.query<{ seq: number; id: number; at: Date }>({
    name: 'append-revocation',
    text: `with next as (
        update change_log set last_seq = last_seq + 1 where not exists (select from change where kind = 'token' and key = $1) returning last_seq),
      entry as (insert into change (seq, kind, key, expires_at, jti, reason)
        select last_seq, 'token', $1, to_timestamp($2), $3, $4 from next returning seq),
      noted as (insert into audit (actor_client_id, actor_address, action, target, detail, request_id, actor_secret_id)
        select $5, $6, 'token.revoke', $7, $8, $9, $10 from entry returning id, at)
      select seq, id, at from entry, noted`,
    values: [tokenHash, expiresAt, jti, reason, by?.clientId, by?.address, clientId, detail, by?.requestId, by?.secretId],
  });
  if (!row) return undefined;
  const { seq, ...noted } = row;
  db.audited?.(auditEntry(by, { ...noted, action: 'token.revoke', target: clientId, detail }));
  return { seq, kind: 'token', key: tokenHash, expiresAt };
}

/** A transaction that may append; what it has appended is announced after its commit. */
export async function changing<T>(
  db: Db,
  announce: Announce,
  work: (tx: Queries, append: (entry: ChangeEntry) => void) => Promise<T>,
): Promise<T> {
  const entries: ChangeEntry[] = [];
  const result = await db.transaction((tx) => work(tx, (entry) => entries.push(entry)));
  for (const entry of entries) announce(entry);
  return result;
}

interface ChangeRow {
  readonly epoch: string;
  readonly last_seq: number;
  readonly read_to: number;
  readonly now_ms: number;
  readonly before: string | null;
  readonly tail: string | null;
  readonly is_standby: boolean;
  readonly is_synchronous: boolean;
  readonly seq: number | null;
  readonly kind: ChangeKind;
  readonly key: string;
  readonly expires_at: number;
  readonly issued_before: number | null;
}

/**
 * Where commits wait for a standby, so does each reading: its transaction writes a record, and its answer comes with the commit. An old primary whose
 * standby was promoted elsewhere gets no confirmation any more, so it cannot prove what it no longer knows (DR6). Whatever the new primary has committed
 * came after the promotion, the promotion after the last confirmation, and that after the snapshot of the reading that it confirms.
 *
 * A message in the log of changes needs no table, takes no lock and leaves nothing to vacuum.
 */
const CONFIRMED = `materialized (select set_config('synchronous_commit', 'on', true), pg_logical_emit_message(true, 'auth', ''::text))`;
const AS_IT_IS = '(select 1)';

/** No two entries have this in common, in whatever history. */
const ENTRY = "concat_ws(' ', kind, key, extract(epoch from at))";

/** A page is bounded by positions, not by entries: a log of a million that have expired must not be one statement. */
const readChanges = (proof: typeof CONFIRMED | typeof AS_IT_IS) => `with proof as ${proof}
  select l.epoch, l.last_seq, least(l.last_seq, $1::bigint + $2) as read_to, (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms,
    (select ${ENTRY} from change where seq = $1) as before,
    (select ${ENTRY} from change where seq = least(l.last_seq, $1::bigint + $2)) as tail,
    pg_is_in_recovery() as is_standby, current_setting('synchronous_standby_names') <> '' as is_synchronous,
    c.seq, c.kind, c.key, extract(epoch from c.expires_at)::bigint as expires_at,
    extract(epoch from c.issued_before)::bigint as issued_before
  from proof cross join change_log l left join change c
    on c.seq > $1 and c.seq <= $1::bigint + $2 and c.expires_at > clock_timestamp() - interval '${KEPT}'
  order by c.seq`;

const READ = { name: 'read-changes', text: readChanges(AS_IT_IS) };
const READ_CONFIRMED = { name: 'read-changes-confirmed', text: readChanges(CONFIRMED) };

export function changeLog(db: Queries): ChangeLog {
  let isSynchronous = false;
  return {
    async read(after, count) {
      const read = () => db.query<ChangeRow>({ ...(isSynchronous ? READ_CONFIRMED : READ), values: [after, count] });
      let rows = await read();
      const wasConfirmed = isSynchronous;
      isSynchronous = rows[0]?.is_synchronous ?? false;
      if (isSynchronous && !wasConfirmed) rows = await read();
      const [first] = rows;
      if (!first) throw new Error('the change log has no counter row');
      // What a standby has not heard of yet it does not know to be missing.
      if (first.is_standby) throw new Unavailable('this PostgreSQL is a standby: it cannot say that it is up to date');
      const entries = rows.flatMap(({ seq, kind, key, expires_at, issued_before }) =>
        seq === null
          ? []
          : [{ seq, kind, key, expiresAt: expires_at, ...(issued_before !== null && { issuedBefore: issued_before }) } as ChangeEntry],
      );
      return {
        epoch: first.epoch,
        lastSeq: first.last_seq,
        readTo: first.read_to,
        nowMs: first.now_ms,
        before: first.before ?? undefined,
        tail: first.tail ?? undefined,
        entries,
      };
    },
  };
}
