/** `/registration-tokens`: the initial access tokens of RFC 7591, made and ended by administrators (docs/registration.md). */
import { z } from 'zod';
import { secretVerifier } from '../core/client-auth.ts';
import { Problem } from '../core/errors.ts';
import { readFields } from '../core/fields.ts';
import type { InitialToken } from '../core/registration.ts';
import { mintRegistrationToken } from '../core/registration-token.ts';
import { ownScopes, parseScope } from '../core/scope.ts';
import { empty, json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { administeredBy, authorize, hasBody, JSON_TYPE, parseTime, readChange, readLimit, readQuery } from './management.ts';
import { isRegistrationOffered } from './registration.ts';

const WRITER = 'auth:clients';
const READERS = ['auth:clients:read', WRITER] as const;

const shared = { style: 'management', isOffered: isRegistrationOffered } as const;
export const initialTokenRoutes: readonly Route[] = [
  { method: 'GET', path: '/registration-tokens', answer: listTokens, ...shared },
  { method: 'POST', path: '/registration-tokens', answer: createToken, ...shared },
  { method: 'DELETE', path: '/registration-tokens/:id', answer: deleteToken, ...shared },
];

const LIFE_SECONDS_DEFAULT = 7 * 86_400;
const LIFE_SECONDS_MAX = 367 * 86_400;
const NOT_VALID = 'the registration token is not valid';
const USES_MAX = 1_000_000;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const NEW_TOKEN = z.strictObject({
  name: z
    .string()
    .regex(/^\P{Cc}{1,200}$/u, 'must be 1 to 200 characters of text')
    .optional(),
  uses: z.int().min(1).max(USES_MAX).nullable().default(1),
  scope: z
    .string()
    .max(2_000)
    .refine((text) => parseScope(text) !== undefined, 'must be scope tokens with one space between them (RFC 6749 §3.3)')
    .refine((text) => ownScopes(parseScope(text) ?? []).length === 0, 'must not have an auth: scope: no client gets one by registering')
    .optional(),
  expires_at: z
    .string()
    .refine((text) => parseTime(text) !== undefined, 'must be a time, RFC 3339')
    .optional(),
});

async function listTokens(call: Call, deps: HttpDeps): Promise<Response> {
  const actor = await authorize(call, deps, ...READERS);
  if (await administeredBy(actor, deps)) throw new Problem('insufficient_scope', 'your administration is limited to a part of the clients');
  const query = readQuery(call.request, 'limit', 'cursor');
  const limit = readLimit(query.get('limit'));
  // One more than asked for says whether there is another page.
  const tokens = await deps.registration.initialTokens.list({ after: readCursor(query.get('cursor')), limit: limit + 1 });
  const page = tokens.slice(0, limit);
  const last = page.at(-1);
  const hasMore = tokens.length > limit && last !== undefined;
  return json({ items: page.map(tokenDocument), ...(hasMore && { next_cursor: Buffer.from(last.id).toString('base64url') }) });
}

async function createToken(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = hasBody(call.request)
    ? await readChange(call, deps, WRITER, JSON_TYPE)
    : { actor: await authorize(call, deps, WRITER), document: {} };
  const settings = parseNewToken(document, deps.clock());
  const token = mintRegistrationToken('irt_');
  const made = await deps.registration.initialTokens.insert(settings, secretVerifier(token), actor);
  return json({ ...tokenDocument(made), initial_access_token: token }, 201);
}

async function deleteToken(call: Call, deps: HttpDeps): Promise<Response> {
  const actor = await authorize(call, deps, WRITER);
  const id = call.param('id');
  const isDeleted = ID.test(id) && (await deps.registration.initialTokens.delete(id, actor));
  if (!isDeleted) throw new Problem('not_found', 'there is no such registration token');
  return empty(204);
}

/** @throws Problem `invalid_request` */
function parseNewToken(
  document: Readonly<Record<string, unknown>>,
  now: number,
): Pick<InitialToken, 'name' | 'scope' | 'uses' | 'expiresAt'> {
  const { name, uses, scope, expires_at: end } = readFields(NEW_TOKEN, document, NOT_VALID);
  const expiresAt = parseTime(end) ?? new Date((now + LIFE_SECONDS_DEFAULT) * 1000);
  const lifeSeconds = expiresAt.getTime() / 1000 - now;
  if (lifeSeconds <= 0 || lifeSeconds > LIFE_SECONDS_MAX)
    throw invalid([{ pointer: '/expires_at', detail: 'must be in the future, and at most 367 days away' }]);
  if (uses === null && end === undefined)
    throw invalid([{ pointer: '/expires_at', detail: 'must be given where the number of uses has no limit' }]);
  return { name, uses: uses ?? undefined, scope: scope === undefined ? undefined : parseScope(scope), expiresAt };
}

function invalid(fields: Problem['fields']): Problem {
  return new Problem('invalid_request', NOT_VALID, fields);
}

/** Never the token itself, or its verifier. */
function tokenDocument(token: InitialToken): Readonly<Record<string, unknown>> {
  return {
    id: token.id,
    ...(token.name !== undefined && { name: token.name }),
    ...(token.scope && { scope: token.scope.join(' ') }),
    uses: token.uses ?? null,
    used: token.used,
    created_at: token.createdAt.toISOString(),
    expires_at: token.expiresAt.toISOString(),
  };
}

/** The last id of the page before. @throws Problem `invalid_request` */
function readCursor(text: string | null): string | undefined {
  if (text === null) return undefined;
  const id = Buffer.from(text, 'base64url').toString();
  if (!ID.test(id) || Buffer.from(id).toString('base64url') !== text) throw new Problem('invalid_request', 'cursor is not valid');
  return id;
}
