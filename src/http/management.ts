/** What the management endpoints share: who may, the body of a change, pages. */
import { z } from 'zod';
import { authorizeBearer } from '../core/bearer.ts';
import { type Administers, type Part, partOf } from '../core/delegation.ts';
import { BearerError, Problem } from '../core/errors.ts';
import type { Actor } from '../core/ports.ts';
import type { Call, HttpDeps } from './app.ts';
import { readJsonObject } from './body.ts';
import { readBearer } from './credentials.ts';

export const JSON_TYPE = 'application/json';
export const PAGE_DEFAULT = 100;
export const PAGE_MAX = 500;

/**
 * RFC 6750: the caller's token must hold one of these scopes, the first of which is named to who has none.
 *
 * @throws BearerError
 */
export async function authorize(call: Call, deps: HttpDeps, ...accepted: readonly [string, ...string[]]): Promise<Actor> {
  if (queryOf(call.request).has('access_token')) throw new BearerError('invalid_request', 'the token belongs in the Authorization header');
  const bearer = readBearer(call.authorization);
  if (bearer === undefined) throw new BearerError(undefined, 'a bearer token is needed');
  const { clientId, scope, secretId } = await authorizeBearer(bearer, accepted, call.now, deps);
  return { clientId, secretId, scope, address: call.address, requestId: call.requestId };
}

/**
 * Which clients a caller may see, by its record as it is now: a limit counts at once, also for tokens that were issued before.
 *
 * @returns `undefined`: all
 * @throws BearerError — its client is gone
 */
export async function administeredBy(actor: Actor, deps: Pick<HttpDeps, 'clientRecords'>): Promise<Part | undefined> {
  return partOf(await limitsOf(actor, deps), actor.clientId);
}

/** The limits of a caller as they are now. @throws BearerError — its client is gone */
export async function limitsOf({ clientId }: Actor, { clientRecords }: Pick<HttpDeps, 'clientRecords'>): Promise<Administers | undefined> {
  const known = await clientRecords.find(clientId);
  if (!known) throw new BearerError('invalid_token', 'the access token is not valid');
  return known.client.administers;
}

/**
 * The caller is looked at before the body, so that nobody else's is read, and again after it: it may have taken its time, and a token that was revoked
 * meanwhile changes nothing any more.
 */
export async function readChange(
  call: Call,
  deps: HttpDeps,
  scope: string,
  ...types: readonly string[]
): Promise<{ readonly actor: Actor; readonly document: Readonly<Record<string, unknown>> }> {
  await authorize(call, deps, scope);
  const document = await readJsonObject(call.request, ...types);
  return { actor: await authorize({ ...call, now: deps.clock() }, deps, scope), document };
}

export function queryOf({ url }: Request): URLSearchParams {
  const start = url.indexOf('?');
  return new URLSearchParams(start < 0 ? '' : url.slice(start + 1));
}

/**
 * For lists: a typing error must not show everything, and of two values nobody knows which was meant.
 *
 * @throws Problem `invalid_request`
 */
export function readQuery(request: Request, ...known: readonly string[]): URLSearchParams {
  const query = queryOf(request);
  const names = [...query.keys()];
  if (new Set(names).size < names.length || !names.every((name) => known.includes(name)))
    throw new Problem('invalid_request', `the query may have ${known.join(', ')}, and each of them once`);
  return query;
}

/** @throws Problem `invalid_request` */
export function readLimit(text: string | null): number {
  const limit = text === null ? PAGE_DEFAULT : /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > PAGE_MAX) throw new Problem('invalid_request', `limit must be a number from 1 to ${PAGE_MAX}`);
  return limit;
}

/** Where nothing has to be said, no body is needed. */
export function hasBody({ headers }: Request): boolean {
  return headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) > 0;
}

/** A time in a body, {@link parseTime}. */
export const time = (message: string) =>
  z
    .string(message)
    .meta({ format: 'date-time' })
    .transform((text, context) => {
      const parsed = parseTime(text);
      if (!parsed) context.addIssue({ code: 'custom', message });
      return parsed ?? z.NEVER;
    });

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
