/** `auth keys …`: the signing keys and their schedule over `/keys` (docs/keys.md). */
import { confirm } from './confirm.ts';
import { callManagement } from './management.ts';
import { documentsOf, textOf, writeDocument, writeJson, writeTable } from './output.ts';
import { resolveTarget, type TargetOptions } from './target.ts';

interface Options extends TargetOptions {
  readonly json?: boolean;
}

export interface RotateOptions extends Options {
  readonly activateAt?: string;
  readonly compromised?: boolean;
  readonly yes?: boolean;
}

const SCOPE = 'auth:keys';

export async function listKeys({ json, ...options }: Options): Promise<void> {
  const target = await resolveTarget(options);
  const { text, document } = await callManagement(target, [SCOPE], { method: 'GET', path: '/keys' });
  if (json) return writeJson(text);
  const rows = documentsOf(document.items).map((key) =>
    ['kid', 'alg', 'state', 'active_from', 'retiring_from', 'gone_at'].map((name) => textOf(key[name]) || '-'),
  );
  writeTable(['KID', 'ALG', 'STATE', 'ACTIVE FROM', 'RETIRING FROM', 'GONE AT'], rows);
}

export async function rotateKeys({ json: asJson, activateAt, compromised = false, yes, ...options }: RotateOptions): Promise<void> {
  const target = await resolveTarget(options);
  if (compromised && !yes) await confirm(`End all signing keys at ${target.url}? All JWTs that they signed end with them.`);
  const json = { ...(activateAt !== undefined && { activate_at: activateAt }), ...(compromised && { compromised }) };
  const { text, document } = await callManagement(target, [SCOPE], { method: 'POST', path: '/keys/rotate', json });
  if (asJson) writeJson(text);
  else writeDocument(document);
}
