/** The first administrator, who holds every scope of this server's own API. */

import { clientDetail } from '../core/audit.ts';
import { mintClientSecret, secretVerifier } from '../core/client-auth.ts';
import { parseClientMetadata } from '../core/client-metadata.ts';
import { OWN_SCOPES } from '../core/scope.ts';
import { writeAudit } from './audit.ts';
import { appendChange } from './changes.ts';
import { insertClientRow, insertSecret } from './client-rows.ts';
import type { Db, Queries } from './db.ts';

const ADMINISTRATOR_LOCK = 0x61757468_04n;
/** Marks the secret that came from the configuration, so that another value replaces it and no other secret. */
const CONFIGURED_SECRET_NAME = 'AUTH_ADMIN_CLIENT_SECRET';

export interface Administrator {
  readonly clientId: string;
  /** what was made up for the new administrator: to be shown now or never */
  readonly generatedSecret: string | undefined;
}

/**
 * Creates the administrator's client if there is none of this id; a deleted one does not come back. A configured secret becomes
 * the administrator's at each start.
 *
 * @param newSecret what a new administrator gets without a configured one; the same for each attempt of a start, so that an attempt
 * whose commit was not answered is recognized and its secret shown
 */
export async function ensureAdministrator(
  db: Db,
  clientId: string,
  configuredSecret: string | undefined,
  newSecret = mintClientSecret(),
): Promise<Administrator> {
  return db.transaction(async (tx) => {
    await tx.query({ text: 'select pg_advisory_xact_lock($1)', values: [ADMINISTRATOR_LOCK] });
    const [existing] = await tx.query<{ deleted: boolean }>({
      text: 'select deleted_at is not null as deleted from client where client_id = $1 for update',
      values: [clientId],
    });
    if (existing) {
      if (configuredSecret !== undefined && !existing.deleted) await replaceConfiguredSecret(tx, clientId, configuredSecret);
      return { clientId, generatedSecret: (await hasSecret(tx, clientId, newSecret)) ? newSecret : undefined };
    }
    const settings = parseClientMetadata({ client_name: 'Administrator', scope: OWN_SCOPES.join(' ') });
    await insertClientRow(tx, clientId, settings);
    const generatedSecret = configuredSecret === undefined ? newSecret : undefined;
    await insertSecret(tx, clientId, {
      name: configuredSecret === undefined ? undefined : CONFIGURED_SECRET_NAME,
      verifier: secretVerifier(configuredSecret ?? generatedSecret ?? ''),
      expiresAt: undefined,
    });
    await writeAudit(tx, undefined, 'client.create', clientId, clientDetail(settings));
    await appendChange(tx, 'client_record', clientId);
    return { clientId, generatedSecret };
  });
}

async function hasSecret(tx: Queries, clientId: string, secret: string): Promise<boolean> {
  const text = 'select from client_secret where client_id = $1 and verifier = $2';
  return (await tx.query({ text, values: [clientId, secretVerifier(secret)] })).length > 0;
}

async function replaceConfiguredSecret(tx: Queries, clientId: string, secret: string): Promise<void> {
  const verifier = secretVerifier(secret);
  const [same] = await tx.query({
    text: 'select from client_secret where client_id = $1 and name = $2 and verifier = $3 and expires_at is null',
    values: [clientId, CONFIGURED_SECRET_NAME, verifier],
  });
  if (same) return;
  await tx.query({ text: 'delete from client_secret where client_id = $1 and name = $2', values: [clientId, CONFIGURED_SECRET_NAME] });
  const secretId = await insertSecret(tx, clientId, { name: CONFIGURED_SECRET_NAME, verifier, expiresAt: undefined });
  await writeAudit(tx, undefined, 'client.secret.add', clientId, { secret_id: secretId });
  await appendChange(tx, 'client_record', clientId);
}
