/** `/clients`: client management (docs/client.md). */

import { mintClientSecret, secretVerifier } from '../core/client-auth.ts';
import {
  CLIENT_ID_PATTERN,
  type Client,
  type ClientSecret,
  type ClientSettings,
  clientMetadata,
  newClientId,
  parseClientMetadata,
  requireOwnScopes,
  SECRETS_MAX,
} from '../core/clients.ts';
import { Problem } from '../core/errors.ts';
import type { Actor } from '../core/ports.ts';
import { empty, json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { authorize, JSON_TYPE, queryOf, readChange, readLimit } from './management.ts';
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
  { method: 'POST', path: '/clients/:client_id/secrets', style: 'management', answer: addSecret },
  { method: 'DELETE', path: '/clients/:client_id/secrets/:secret_id', style: 'management', answer: removeSecret },
];

async function listClients(call: Call, deps: HttpDeps): Promise<Response> {
  await authorize(call, deps, ...READERS);
  const query = queryOf(call.request);
  const limit = readLimit(query.get('limit'));
  // One more than asked for says whether there is another page.
  const clients = await deps.administration.list({ after: readCursor(query.get('cursor')), limit: limit + 1 });
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
  return json({ ...clientDocument(client), ...shownOnce }, 201, { location: `${deps.issuer}/clients/${client.id}` });
}

async function showClient(call: Call, deps: HttpDeps): Promise<Response> {
  await authorize(call, deps, ...READERS);
  const known = await deps.clientRecords.find(clientIdOf(call));
  if (!known) throw noSuchClient();
  return json(clientDocument(known.client));
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
  const change = (current: Client): ClientSettings => {
    const document = next(current);
    if (document.client_id !== undefined && document.client_id !== id) {
      throw new Problem('invalid_client_metadata', 'the client metadata is not valid', [
        { pointer: '/client_id', detail: 'cannot be changed' },
      ]);
    }
    const settings = parseClientMetadata(document);
    requireOwnScopes(actor.scope, current, settings);
    return settings;
  };
  const client = await deps.administration.update(id, change, actor);
  if (!client) throw noSuchClient();
  return json(clientDocument(client));
}

async function deleteClient(call: Call, deps: HttpDeps): Promise<Response> {
  const actor = await authorize(call, deps, WRITER);
  const deleted = await deps.administration.delete(clientIdOf(call), (current) => requireOwnScopes(actor.scope, current), actor);
  if (!deleted) throw noSuchClient();
  return empty(204);
}

async function addSecret(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = hasBody(call.request)
    ? await readChange(call, deps, WRITER, JSON_TYPE)
    : { actor: await authorize(call, deps, WRITER), document: {} };
  const { name, expiresAt } = parseNewSecret(document, deps.clock());
  const check = (current: Client) => {
    requireOwnScopes(actor.scope, current);
    if (current.authMethod === 'none') throw new Problem('conflict', 'a client with token_endpoint_auth_method "none" has no secrets');
    if (current.secrets.length >= SECRETS_MAX)
      throw new Problem('conflict', `a client has at most ${SECRETS_MAX} secrets: remove one first`);
  };
  const secret = mintClientSecret();
  const added = await deps.administration.addSecret(clientIdOf(call), { name, verifier: secretVerifier(secret), expiresAt }, check, actor);
  if (!added) throw noSuchClient();
  return json({ ...secretDocument(added), client_secret: secret }, 201);
}

async function removeSecret(call: Call, deps: HttpDeps): Promise<Response> {
  const actor = await authorize(call, deps, WRITER);
  const secretId = call.param('secret_id');
  const check = (current: Client) => requireOwnScopes(actor.scope, current);
  const secret = { secretId, tokens: readRevokeTokens(call) };
  const removed = /^[0-9a-f-]{36}$/.test(secretId) && (await deps.administration.removeSecret(clientIdOf(call), secret, check, actor));
  if (!removed) throw new Problem('not_found', 'there is no such secret');
  return empty(204);
}

/** A typing error must not leave tokens alive that were to end, so nothing but the two words is taken. */
function readRevokeTokens({ request }: Call): 'keep' | 'end' {
  const values = queryOf(request).getAll('revoke_tokens');
  const value = values.length > 1 ? undefined : (values[0] ?? 'false');
  if (value !== 'true' && value !== 'false') throw new Problem('invalid_request', 'revoke_tokens must be true or false');
  return value === 'true' ? 'end' : 'keep';
}

/** A secret without a name and an end needs no body. */
function hasBody({ headers }: Request): boolean {
  return headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) > 0;
}

/** What cannot be an id is not shown to the store. */
function clientIdOf(call: Call): string {
  const id = call.param('client_id');
  if (!CLIENT_ID_PATTERN.test(id)) throw noSuchClient();
  return id;
}

/** The last id of the page before. */
function readCursor(text: string | null): string | undefined {
  if (text === null) return undefined;
  const id = Buffer.from(text, 'base64url').toString();
  if (!CLIENT_ID_PATTERN.test(id) || Buffer.from(id).toString('base64url') !== text)
    throw new Problem('invalid_request', 'cursor is not valid');
  return id;
}

function parseNewSecret(
  document: Readonly<Record<string, unknown>>,
  now: number,
): { readonly name: string | undefined; readonly expiresAt: Date | undefined } {
  const { name, expires_at: expires, ...others } = document;
  const expiresAt = parseTime(expires);
  const fields = [
    ...Object.keys(others).map((other) => ({ pointer: `/${other}`, detail: 'is not a known member' })),
    ...(name === undefined || (typeof name === 'string' && /^\P{Cc}{1,200}$/u.test(name))
      ? []
      : [{ pointer: '/name', detail: 'must be 1 to 200 characters of text' }]),
    ...(expires === undefined || (expiresAt && expiresAt.getTime() > now * 1000)
      ? []
      : [{ pointer: '/expires_at', detail: 'must be a time in the future, RFC 3339' }]),
  ];
  if (fields.length > 0) throw new Problem('invalid_request', 'the secret is not valid', fields);
  return { name: name as string | undefined, expiresAt };
}

/** RFC 3339; JavaScript would take the 30th of February for the 2nd of March, and lets an offset lead into the year 10000, which no text of RFC 3339 names. */
export function parseTime(text: unknown): Date | undefined {
  const date = /^(\d{4})-(\d\d)-(\d\d)T(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/.exec(
    typeof text === 'string' ? text : '',
  );
  if (!date) return undefined;
  const [year = 0, month = 0, day = 0] = date.slice(1).map(Number);
  const time = new Date(date[0]);
  return new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day && time.getUTCFullYear() <= 9999 ? time : undefined;
}

/** A client as it is read: RFC 7591 names, never a secret or its verifier. */
function clientDocument(client: Client): Readonly<Record<string, unknown>> {
  return {
    client_id: client.id,
    client_id_issued_at: Math.floor(client.createdAt.getTime() / 1000),
    ...clientMetadata(client),
    secrets: client.secrets.map(secretDocument),
    created_at: client.createdAt.toISOString(),
    updated_at: client.updatedAt.toISOString(),
  };
}

function secretDocument(secret: ClientSecret): Readonly<Record<string, unknown>> {
  return {
    id: secret.id,
    ...(secret.name !== undefined && { name: secret.name }),
    created_at: secret.createdAt.toISOString(),
    ...(secret.expiresAt && { expires_at: secret.expiresAt.toISOString() }),
    ...(secret.lastUsedAt && { last_used_at: secret.lastUsedAt.toISOString() }),
  };
}

function noSuchClient(): Problem {
  return new Problem('not_found', 'there is no such client');
}
