/** `POST /clients/export`: clients with the hashes of their secrets, which no other answer has (docs/import.md). */
import { z } from 'zod';
import { type Client, requireOwnScopes } from '../core/clients.ts';
import { type Administers, partOf, requireNoWider } from '../core/delegation.ts';
import { Problem } from '../core/errors.ts';
import { readFields } from '../core/fields.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { clientCursor, clientDocument, readClientCursor, secretDocument } from './client-document.ts';
import { JSON_TYPE, limitsOf, PAGE_DEFAULT, PAGE_MAX, readChange } from './management.ts';

export const EXPORT = z.strictObject({
  limit: z.int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
  cursor: z.string().nullable().optional(),
});

export const clientExportRoutes: readonly Route[] = [
  { method: 'POST', path: '/clients/export', style: 'management', answer: exportClients },
];

/**
 * The hash of a secret is enough to try out weak ones, so whoever may read that of a client must be able to give the client another one: hold its `auth:`
 * scopes, and have limits that are no narrower than its. A POST, because it is in the audit.
 */
async function exportClients(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = await readChange(call, deps, 'auth:clients', JSON_TYPE);
  const { limit, cursor } = readFields(EXPORT, document, 'the export is not valid');
  const limits = await limitsOf(actor, deps);
  const part = partOf(limits, actor.clientId);
  const clients = await deps.administration.list({ after: readClientCursor(cursor ?? null), limit: limit + 1 }, { part });
  const page = clients.slice(0, limit);
  const last = page.at(-1);
  const hasMore = clients.length > limit && last !== undefined;
  const withHashes = page.filter((client) => mayHave(actor.scope, limits, client));
  await deps.exported(actor, { clients: withHashes.length, first: page[0]?.id ?? null, last: last?.id ?? null });
  return json({
    items: page.map((client) => (withHashes.includes(client) ? withSecretHashes(client) : clientDocument(client))),
    ...(hasMore && { next_cursor: clientCursor(last.id) }),
  });
}

function mayHave(scope: readonly string[], limits: Administers | undefined, client: Client): boolean {
  try {
    requireOwnScopes(scope, client);
    requireNoWider(limits, client);
    return true;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}

function withSecretHashes(client: Client): object {
  return { ...clientDocument(client), secrets: client.secrets.map((secret) => ({ ...secretDocument(secret), hash: secret.verifier })) };
}
