/** `auth client export`: all clients as JSON lines, page by page (docs/import.md). */
import { once } from 'node:events';
import { OWN_SCOPES } from '../core/scope.ts';
import type { Answer } from './api.ts';
import { callManagement, readClients } from './management.ts';
import { type Document, documentsOf, writeNote } from './output.ts';
import { resolveTarget, type Target, type TargetOptions } from './target.ts';

export interface ExportOptions extends TargetOptions {
  readonly withSecretHashes?: boolean;
}

const PAGE = 500;

/** Each page has a token of its own, so that an export may take longer than one lives. */
export async function exportClients(options: ExportOptions): Promise<void> {
  const target = await resolveTarget(options);
  const next = options.withSecretHashes ? pageWithHashes : page;
  let cursor: unknown;
  let withheld = 0;
  do {
    const { document } = await next(target, cursor);
    const clients = documentsOf(document.items);
    withheld += clients.filter(isWithheld).length;
    const isRead = await write(clients.map((client) => `${JSON.stringify(client)}\n`).join(''));
    cursor = isRead ? document.next_cursor : undefined;
  } while (typeof cursor === 'string');
  if (options.withSecretHashes && withheld > 0)
    writeNote(`the secrets of ${withheld} clients have no hash: they have auth: scopes that "${target.clientId}" may not give`);
}

function isWithheld({ secrets }: Document): boolean {
  return documentsOf(secrets).some((secret) => secret.hash === undefined);
}

function page(target: Target, cursor: unknown): Promise<Answer> {
  const query = new URLSearchParams({ limit: String(PAGE), ...(typeof cursor === 'string' && { cursor }) });
  return readClients(target, (get) => get(`/clients?${query}`));
}

/** With all scopes, if the caller has them: hashes of a client with `auth:` scopes are only for who holds these. */
function pageWithHashes(target: Target, cursor: unknown): Promise<Answer> {
  const json = { limit: PAGE, ...(typeof cursor === 'string' && { cursor }) };
  return callManagement(target, [OWN_SCOPES.join(' '), 'auth:clients'], { method: 'POST', path: '/clients/export', json });
}

/** @returns whether somebody still reads */
async function write(text: string): Promise<boolean> {
  if (process.stdout.write(text)) return !process.stdout.destroyed;
  await once(process.stdout, 'drain').catch(() => undefined);
  return !process.stdout.destroyed;
}
