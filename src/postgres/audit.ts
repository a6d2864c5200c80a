/** The audit: what was done by whom, in the transaction that did it; and what was refused. */
import type { AuditEntry, AuditLog, AuditQuery, DeniedPath, Origin } from '../core/ports.ts';
import type { Db, Queries } from './db.ts';

export type AuditAction =
  | 'client.create'
  | 'client.export'
  | 'client.update'
  | 'client.delete'
  | 'client.secret.add'
  | 'client.secret.rehash'
  | 'client.secret.remove'
  | 'keys.create'
  | 'keys.move'
  | 'keys.end'
  | 'registration_token.create'
  | 'registration_token.delete'
  | 'revocation.add'
  | 'scope.create'
  | 'scope.delete'
  | 'scope.update'
  | 'token.revoke';

/**
 * Takes the lock of the change log's counter until the commit, as its entry will: so rows become visible in the order of their ids, and who has seen one
 * has seen all before it.
 *
 * @param origin `undefined`: the server itself
 * @param detail without secrets: names of what changed, ids
 */
export async function writeAudit(
  tx: Queries,
  origin: Origin | undefined,
  action: AuditAction,
  target: string,
  detail: object = {},
): Promise<void> {
  const [row] = await tx.query<Pick<AuditRow, 'id' | 'at'>>({
    name: 'write-audit',
    text: `with turn as materialized (select from change_log for update)
      insert into audit (actor_client_id, actor_address, action, target, detail, request_id, actor_secret_id)
      select $1, $2, $3, $4, $5, $6, $7 from turn
      returning id, at`,
    values: [origin?.clientId, origin?.address, action, target, detail, origin?.requestId, origin?.secretId],
  });
  if (row) tx.audited?.(auditEntry(origin, { ...row, action, target, detail: { ...detail } }));
}

/** As {@link writeAudit}, in a statement of its own. */
async function writeDenied(db: Db, origin: Origin, { clientId, route }: DeniedPath, detail: object): Promise<void> {
  const [row] = await db.query<Pick<AuditRow, 'id' | 'at' | 'target'>>({
    name: 'write-denied',
    text: `with turn as materialized (select from change_log for update)
      insert into audit (actor_client_id, actor_address, action, target, detail, request_id, actor_secret_id)
      select $1, $2, 'denied', coalesce((select client_id from client where client_id = $3), $4), $5, $6, $7 from turn
      returning id, at, target`,
    values: [origin.clientId, origin.address, clientId, route, detail, origin.requestId, origin.secretId],
  });
  if (row) db.audited?.(auditEntry(origin, { ...row, action: 'denied', detail: { ...detail } }));
}

/** A row as it will be read. */
export function auditEntry(origin: Origin | undefined, written: Omit<AuditEntry, keyof Origin>): AuditEntry {
  return { clientId: origin?.clientId, secretId: origin?.secretId, address: origin?.address, requestId: origin?.requestId, ...written };
}

/** The same database; `listener` is told of each row of the audit that is written through it, once that is durable. */
export function tellAudit(db: Db, listener: (entry: AuditEntry) => void): Db {
  return {
    ...db,
    audited: listener,
    async transaction(work) {
      const entries: AuditEntry[] = [];
      const result = await db.transaction((tx) => work({ ...tx, audited: (entry) => entries.push(entry) }));
      for (const entry of entries) listener(entry);
      return result;
    },
  };
}

interface AuditRow {
  readonly id: number;
  readonly at: Date;
  readonly actor_client_id: string | null;
  readonly actor_address: string | null;
  readonly action: string;
  readonly target: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly request_id: string | null;
  readonly actor_secret_id: string | null;
}

export function auditLog(db: Db): AuditLog {
  return {
    read: (query) => read(db, query),
    denied: (origin, path, detail) => writeDenied(db, origin, path, detail),
  };
}

/** Not a prepared statement: which index is the right one depends on the filters and on how many rows they leave. */
async function read(db: Db, { actor, action, target, since, until, from, limit }: AuditQuery): Promise<readonly AuditEntry[]> {
  const conditions: string[] = [];
  const values: unknown[] = [];
  const where = (condition: string, value: unknown) => {
    if (value === undefined) return;
    values.push(value);
    conditions.push(`${condition} $${values.length}`);
  };
  where('actor_client_id =', actor);
  where('action =', action?.is);
  where('action like', action?.beginsWith && `${action.beginsWith.replaceAll(/[\\%_]/g, '\\$&')}%`);
  where('target =', target);
  where('at >=', since);
  where('at <', until);
  where('id <', from.before);
  where('id >', from.after);
  const rows = await db.query<AuditRow>({
    text: `select id, at, actor_client_id, host(actor_address) as actor_address, action, target, detail, request_id, actor_secret_id
      from audit ${conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`}
      order by id ${from.after === undefined ? 'desc' : 'asc'} limit ${limit}`,
    values,
  });
  return rows.map(entryOf);
}

function entryOf(row: AuditRow): AuditEntry {
  return {
    id: row.id,
    at: row.at,
    action: row.action,
    clientId: row.actor_client_id ?? undefined,
    secretId: row.actor_secret_id ?? undefined,
    address: row.actor_address ?? undefined,
    target: row.target,
    detail: row.detail,
    requestId: row.request_id ?? undefined,
  };
}
