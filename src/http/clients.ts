/** `/clients`: client management (docs/client.md). */

import { mintClientSecret, secretVerifier } from '../core/client-auth.ts';
import { clientMetadata, parseClientMetadata } from '../core/client-metadata.ts';
import { CLIENT_ID_PATTERN, type Client, type ClientSettings, newClientId, requireOwnScopes } from '../core/clients.ts';
import { Problem } from '../core/errors.ts';
import type { Actor, ClientFilter } from '../core/ports.ts';
import { parseScope } from '../core/scope.ts';
import { empty, json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { clientDocument, clientIdOf, noSuchClient } from './client-document.ts';
import { etagOf, isNotModified, readPreconditions, requireMatch, requirePreconditions } from './etag.ts';
import { authorize, JSON_TYPE, readChange, readLimit, readQuery } from './management.ts';
import { mergePatch } from './merge-patch.ts';

const WRITER = 'auth:clients';
const READERS = ['auth:clients:read', WRITER] as const;

export const clientRoutes: readonly Route[] = [
  { method: 'GET', path: '/clients', style: 'management', answer: listClients },
  { method: 'POST', path: '/clients', style: 'management', answer: createClient },
  { method: 'GET', path: '/clients/:client_id', style: 'management', answer: showClient },
  { method: 'PUT', path: '/clients/:client_id', style: 'management', answer: replaceClient },
  { method: 'PATCH', path: '/clients/:client_id', style: 'management', answer: patchClient },
  { method: 'DELETE', path: '/clients/:client_id', style: 'management', answer: deleteClient },
];

async function listClients(call: Call, deps: HttpDeps): Promise<Response> {
  await authorize(call, deps, ...READERS);
  const query = readQuery(call.request, 'q', 'scope', 'disabled', 'limit', 'cursor');
  const filter = readFilter(query);
  const limit = readLimit(query.get('limit'));
  // One more than asked for says whether there is another page.
  const clients = await deps.administration.list({ after: readClientCursor(query.get('cursor')), limit: limit + 1 }, filter);
  const page = clients.slice(0, limit);
  const last = page.at(-1);
  const hasMore = clients.length > limit && last !== undefined;
  return json({ items: page.map(clientDocument), ...(hasMore && { next_cursor: Buffer.from(last.id).toString('base64url') }) });
}

async function createClient(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = await readChange(call, deps, WRITER, JSON_TYPE);
  const settings = parseClientMetadata(document);
  const id = newClientId(document.client_id);
  requireOwnScopes(actor.scope, settings);
  const secret = settings.authMethod === 'none' ? undefined : mintClientSecret();
  const newSecret = secret === undefined ? undefined : { name: undefined, verifier: secretVerifier(secret), expiresAt: undefined };
  const client = await deps.administration.insert(id, settings, newSecret, actor);
  if (!client) throw new Problem('conflict', 'this client_id is in use, or was used by a client that has been deleted');
  const shownOnce = secret === undefined ? {} : { client_secret: secret, client_secret_expires_at: 0 };
  return json({ ...clientDocument(client), ...shownOnce }, 201, {
    location: `${deps.issuer}/clients/${client.id}`,
    etag: etagOf(client),
  });
}

async function showClient(call: Call, deps: HttpDeps): Promise<Response> {
  await authorize(call, deps, ...READERS);
  const preconditions = readPreconditions(call.request);
  const known = await deps.clientRecords.find(clientIdOf(call));
  if (!known) throw noSuchClient();
  requireMatch(preconditions, known.client);
  const headers = { etag: etagOf(known.client) };
  return isNotModified(preconditions, known.client) ? empty(304, headers) : json(clientDocument(known.client), 200, headers);
}

async function replaceClient(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = await readChange(call, deps, WRITER, JSON_TYPE);
  return update(call, actor, () => document, deps);
}

async function patchClient(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = await readChange(call, deps, WRITER, 'application/merge-patch+json', JSON_TYPE);
  return update(call, actor, (current) => mergePatch(clientMetadata(current), document), deps);
}

async function update(
  call: Call,
  actor: Actor,
  next: (current: Client) => Readonly<Record<string, unknown>>,
  deps: HttpDeps,
): Promise<Response> {
  const id = clientIdOf(call);
  const preconditions = readPreconditions(call.request);
  const change = (current: Client): ClientSettings => {
    requireOwnScopes(actor.scope, current);
    requirePreconditions(preconditions, current);
    const document = next(current);
    if (document.client_id !== undefined && document.client_id !== id) {
      throw new Problem('invalid_client_metadata', 'the client metadata is not valid', [
        { pointer: '/client_id', detail: 'cannot be changed' },
      ]);
    }
    const settings = parseClientMetadata(document);
    requireOwnScopes(actor.scope, settings);
    return settings;
  };
  const client = await deps.administration.update(id, change, actor);
  if (!client) throw noSuchClient();
  return json(clientDocument(client), 200, { etag: etagOf(client) });
}

async function deleteClient(call: Call, deps: HttpDeps): Promise<Response> {
  const actor = await authorize(call, deps, WRITER);
  const preconditions = readPreconditions(call.request);
  const check = (current: Client) => {
    requireOwnScopes(actor.scope, current);
    requirePreconditions(preconditions, current);
  };
  const deleted = await deps.administration.delete(clientIdOf(call), check, actor);
  if (!deleted) throw noSuchClient();
  return empty(204);
}

/** @throws Problem `invalid_request` */
function readFilter(query: URLSearchParams): ClientFilter {
  const [text, scope, disabled] = [query.get('q') ?? undefined, query.get('scope') ?? undefined, query.get('disabled') ?? undefined];
  if (text !== undefined && !/^\P{Cc}{1,200}$/u.test(text)) throw new Problem('invalid_request', 'q must be 1 to 200 characters of text');
  if (scope !== undefined && parseScope(scope)?.length !== 1) throw new Problem('invalid_request', 'scope must be one scope token');
  if (disabled !== undefined && disabled !== 'true' && disabled !== 'false')
    throw new Problem('invalid_request', 'disabled must be true or false');
  return { text, scope, disabled: disabled === undefined ? undefined : disabled === 'true' };
}

/** The last id of the page before. @throws Problem `invalid_request` */
export function readClientCursor(text: string | null): string | undefined {
  if (text === null) return undefined;
  const id = Buffer.from(text, 'base64url').toString();
  if (!CLIENT_ID_PATTERN.test(id) || Buffer.from(id).toString('base64url') !== text)
    throw new Problem('invalid_request', 'cursor is not valid');
  return id;
}
