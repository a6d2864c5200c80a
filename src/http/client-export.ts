/** `POST /clients/export`: clients with the hashes of their secrets, which no other answer has (docs/import.md). */
import { type Client, requireOwnScopes } from '../core/clients.ts';
import { Problem } from '../core/errors.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { clientDocument, secretDocument } from './client-document.ts';
import { readClientCursor } from './clients.ts';
import { JSON_TYPE, readChange, readLimit } from './management.ts';

export const clientExportRoutes: readonly Route[] = [
  { method: 'POST', path: '/clients/export', style: 'management', answer: exportClients },
];

/**
 * The hash of a secret is enough to try out weak ones, so whoever may read that of a client must be able to give the client's `auth:` scopes himself. A
 * POST, because it is in the audit.
 */
async function exportClients(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = await readChange(call, deps, 'auth:clients', JSON_TYPE);
  const { limit: given, cursor = null, ...others } = document;
  if (Object.keys(others).length > 0 || !(cursor === null || typeof cursor === 'string'))
    throw new Problem('invalid_request', 'the body may have limit and cursor');
  const limit = readLimit(given === undefined ? null : String(given));
  const clients = await deps.administration.list({ after: readClientCursor(cursor), limit: limit + 1 });
  const page = clients.slice(0, limit);
  const last = page.at(-1);
  const hasMore = clients.length > limit && last !== undefined;
  const withHashes = page.filter((client) => mayHave(actor.scope, client));
  await deps.exported(actor, { clients: withHashes.length, first: page[0]?.id ?? null, last: last?.id ?? null });
  return json({
    items: page.map((client) => (withHashes.includes(client) ? withSecretHashes(client) : clientDocument(client))),
    ...(hasMore && { next_cursor: Buffer.from(last.id).toString('base64url') }),
  });
}

function mayHave(scope: readonly string[], client: Client): boolean {
  try {
    requireOwnScopes(scope, client);
    return true;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}

function withSecretHashes(client: Client): object {
  return { ...clientDocument(client), secrets: client.secrets.map((secret) => ({ ...secretDocument(secret), hash: secret.verifier })) };
}
