/** `/scopes`: the catalogue of scopes, and who holds which (docs/scopes.md). */
import { Problem } from '../core/errors.ts';
import { parseScope } from '../core/scope.ts';
import { type CataloguedScope, parseNewScope, parseScopeChange, requireForeign } from '../core/scope-catalogue.ts';
import { empty, json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { clientCursor, readClientCursor } from './client-document.ts';
import { administeredBy, authorize, JSON_TYPE, readChange, readLimit, readQuery } from './management.ts';

const WRITER = 'auth:clients';
const READERS = ['auth:clients:read', WRITER] as const;

export const scopeRoutes: readonly Route[] = [
  { method: 'GET', path: '/scopes', style: 'management', answer: listScopes },
  { method: 'POST', path: '/scopes', style: 'management', answer: addScope },
  { method: 'GET', path: '/scopes/:scope', style: 'management', answer: showScope },
  { method: 'PATCH', path: '/scopes/:scope', style: 'management', answer: describeScope },
  { method: 'DELETE', path: '/scopes/:scope', style: 'management', answer: removeScope },
];

async function listScopes(call: Call, deps: HttpDeps): Promise<Response> {
  const actor = await authorize(call, deps, ...READERS);
  const query = readQuery(call.request, 'limit', 'cursor');
  const limit = readLimit(query.get('limit'));
  const after = readScopeCursor(query.get('cursor'));
  // One more than asked for says whether there is another page.
  const scopes = await deps.scopes.list({ after, limit: limit + 1 }, await administeredBy(actor, deps));
  const page = scopes.slice(0, limit);
  const last = page.at(-1);
  const hasMore = scopes.length > limit && last !== undefined;
  return json({ items: page.map(scopeDocument), ...(hasMore && { next_cursor: Buffer.from(last.name).toString('base64url') }) });
}

async function addScope(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = await readChange(call, deps, WRITER, JSON_TYPE);
  const scope = await deps.scopes.add(parseNewScope(document), actor);
  if (!scope) throw new Problem('conflict', 'this scope is in the catalogue');
  return json(scopeDocument(scope), 201, { location: `${deps.issuer}/scopes/${encodeURIComponent(scope.name)}` });
}

/** With a page of the clients that hold it. */
async function showScope(call: Call, deps: HttpDeps): Promise<Response> {
  const actor = await authorize(call, deps, ...READERS);
  const query = readQuery(call.request, 'limit', 'cursor');
  const limit = readLimit(query.get('limit'));
  const after = readClientCursor(query.get('cursor'));
  const name = scopeOf(call);
  const part = await administeredBy(actor, deps);
  const scope = await deps.scopes.find(name, part);
  if (!scope) throw noSuchScope();
  const ids = await deps.scopes.holders(name, { after, limit: limit + 1 }, part);
  const page = ids.slice(0, limit);
  const last = page.at(-1);
  const hasMore = ids.length > limit && last !== undefined;
  return json({ ...scopeDocument(scope), items: page, ...(hasMore && { next_cursor: clientCursor(last) }) });
}

async function describeScope(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = await readChange(call, deps, WRITER, 'application/merge-patch+json', JSON_TYPE);
  const { description } = parseScopeChange(document);
  const name = scopeOf(call);
  requireForeign(name);
  const scope = await deps.scopes.describe(name, description, actor);
  if (!scope) throw noSuchScope();
  return json(scopeDocument(scope));
}

async function removeScope(call: Call, deps: HttpDeps): Promise<Response> {
  const actor = await authorize(call, deps, WRITER);
  const name = scopeOf(call);
  requireForeign(name);
  switch (await deps.scopes.remove(name, actor)) {
    case 'removed':
      return empty(204);
    case 'held':
      throw new Problem('conflict', 'clients hold this scope: take it from them first');
    case 'absent':
      throw noSuchScope();
  }
}

function scopeDocument({ name, description, createdAt, clients }: CataloguedScope): Readonly<Record<string, unknown>> {
  return { name, ...(description !== undefined && { description }), clients, created_at: createdAt.toISOString() };
}

/** What cannot be a scope is not shown to the store. @throws Problem `not_found` */
function scopeOf(call: Call): string {
  const name = call.param('scope');
  if (parseScope(name)?.length !== 1) throw noSuchScope();
  return name;
}

function noSuchScope(): Problem {
  return new Problem('not_found', 'there is no such scope');
}

/** The last name of the page before. @throws Problem `invalid_request` */
function readScopeCursor(text: string | null): string | undefined {
  if (text === null) return undefined;
  const name = Buffer.from(text, 'base64url').toString();
  if (parseScope(name)?.length !== 1 || Buffer.from(name).toString('base64url') !== text)
    throw new Problem('invalid_request', 'cursor is not valid');
  return name;
}
