/** The slow hash that a secret came with gives way to one SHA-256, once the secret is known (docs/decisions/0025). */
import { writeAudit } from './audit.ts';
import { appendChange } from './changes.ts';
import type { Db } from './db.ts';

/** A secret that has got another verifier meanwhile, or is gone, stays as it is. */
export async function rehashSecret(db: Db, clientId: string, secretId: string, from: string, to: string): Promise<void> {
  await db.transaction(async (tx) => {
    // The client first, as every change of it does: else two of them could wait for each other.
    await tx.query({ name: 'lock-client', text: 'select from client where client_id = $1 for update', values: [clientId] });
    const [changed] = await tx.query({
      name: 'rehash-secret',
      text: 'update client_secret set verifier = $3 where id = $1 and verifier = $2 returning id',
      values: [secretId, from, to],
    });
    if (!changed) return;
    await writeAudit(tx, undefined, 'client.secret.rehash', clientId, { secret_id: secretId });
    await appendChange(tx, 'client_record', clientId);
  });
}
