/** The audit: what was done by whom, in the transaction that did it. */
import type { Actor } from '../core/ports.ts';
import type { Queries } from './db.ts';

export type AuditAction =
  | 'client.create'
  | 'client.update'
  | 'client.delete'
  | 'client.secret.add'
  | 'client.secret.remove'
  | 'keys.create'
  | 'keys.move'
  | 'keys.end'
  | 'revocation.add';

/** @param detail without secrets: names of what changed, ids */
export async function writeAudit(
  tx: Queries,
  actor: Actor | undefined,
  action: AuditAction,
  target: string,
  detail: object = {},
): Promise<void> {
  await tx.query({
    name: 'write-audit',
    text: 'insert into audit (actor_client_id, actor_address, action, target, detail) values ($1, $2, $3, $4, $5)',
    values: [actor?.clientId, actor?.address, action, target, detail],
  });
}
