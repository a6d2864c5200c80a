import Negotiator from 'negotiator';
import { authorizeBearer } from '../core/bearer.ts';
import { BearerError, OAuthError } from '../core/errors.ts';
import {
  type ActiveToken,
  type IntrospectionCaller,
  introspect,
  introspectionResponse,
  phantomToken,
  signedIntrospectionResponse,
} from '../core/introspect.ts';
import { isJwt } from '../core/reference-token.ts';
import { answer, empty, json } from './answers.ts';
import type { Call, HttpDeps } from './app.ts';
import { authenticate } from './authenticate.ts';
import { readForm } from './body.ts';
import { readBearer } from './credentials.ts';
import { HttpError } from './errors.ts';

const JSON_TYPE = 'application/json';
const SIGNED_TYPE = 'application/token-introspection+jwt';
const JWT_TYPE = 'application/jwt';
/** In the order of preference where the caller has none. */
const OFFERED = [JSON_TYPE, SIGNED_TYPE, JWT_TYPE];

/** Beside the header. */
const PROOFS = ['client_secret', 'client_assertion', 'client_assertion_type'];

const STRICT = 'consistency=strict';
/** Who may read the feed of revocations. */
const FEED_SCOPES = new Set(['auth:revocations:read', 'auth:revocations']);

interface Caller extends IntrospectionCaller {
  /** how long this caller may keep an active answer */
  readonly maxAgeSeconds: number;
}

/** `POST /introspect`: RFC 7662; RFC 9701; the bare JWT for gateways (phantom token). */
export async function introspectEndpoint(started: Call, deps: HttpDeps): Promise<Response> {
  const { params } = await readForm(started.request);
  const isStrict = prefersStrict(started.request.headers.get('prefer'));
  if (isStrict) await deps.prove();
  const call = { ...started, now: deps.clock() }; // the body may have taken its time
  const type = negotiate(call.request.headers.get('accept'));
  const caller = await identify(call, params, type, deps);
  const token = params.get('token');
  if (token === undefined) throw new OAuthError('invalid_request', 'token is missing');
  if (type === undefined) throw new HttpError(406, `the answer can be ${OFFERED.join(', ')}`, { vary: 'Accept' });
  const active = await introspect(token, caller, call.now, deps);
  const applied = isStrict ? { 'preference-applied': STRICT } : {};
  const headers = { vary: 'Accept', ...applied, ...caching(active, caller, call.now), ...feedCaching(active, caller, call.now) };
  switch (type) {
    case SIGNED_TYPE:
      return answer(await signedIntrospectionResponse(active, caller, call.now, deps), SIGNED_TYPE, 200, headers);
    case JWT_TYPE:
      return active ? answer(await phantomToken(active, deps), JWT_TYPE, 200, headers) : empty(204, headers);
    default:
      return json(introspectionResponse(active, deps.issuer), 200, headers);
  }
}

/** RFC 7240 §2. Preferences that are not known are not obeyed, and no error. */
function prefersStrict(prefer: string | null): boolean {
  return prefer?.split(/[,;]/).some((preference) => preference.replaceAll(/[\s"]/g, '').toLowerCase() === STRICT) ?? false;
}

function negotiate(accept: string | null): string | undefined {
  if (accept === null || accept === '') return JSON_TYPE;
  return new Negotiator({ headers: { accept } }).mediaType(OFFERED);
}

/** A client, or a bearer token with `auth:introspect`; a public client's bare id proves nothing. */
async function identify(call: Call, params: ReadonlyMap<string, string>, type: string | undefined, deps: HttpDeps): Promise<Caller> {
  const bearer = readBearer(call.authorization);
  if (bearer !== undefined) {
    if (PROOFS.some((name) => params.has(name)) || params.has('access_token')) {
      throw new BearerError('invalid_request', 'more than one way of authentication was used');
    }
    const { clientId, scope } = await authorizeBearer(bearer, ['auth:introspect'], call.now, deps);
    return { clientId, scope, resources: [], maxAgeSeconds: 0 };
  }
  const isAnonymous = call.authorization === null && !PROOFS.some((name) => params.has(name));
  // RFC 9701 §5: a caller that does not authenticate gets 400 instead of a signed answer.
  if (isAnonymous && type === SIGNED_TYPE) throw new HttpError(400, 'a signed answer is for authenticated callers only');
  if (isAnonymous) throw new OAuthError('invalid_client', 'client authentication is missing');
  const { client } = await authenticate(call, params, deps);
  // The issuer is nobody's resource but this server's: else who may make clients could see every token without an audience of its own.
  const resources = client.resources.filter((resource) => resource !== deps.issuer);
  return { clientId: client.id, scope: client.scope, resources, maxAgeSeconds: client.introspectionMaxAgeSeconds };
}

/** How long a caller may keep an active answer that follows the feed of revocations, and looks there each time (docs/revocation.md). */
function feedCaching(active: ActiveToken | undefined, caller: Caller, now: number): Readonly<Record<string, string>> {
  // Of a JWT a compromised signing key is the end as well, and the feed says nothing of keys.
  if (!active || isJwt(active.token) || !caller.scope.some((scope) => FEED_SCOPES.has(scope))) return {};
  return { 'auth-feed-max-age': String(active.record.expiresAt - now) };
}

/** `no-store`, unless the calling client may keep an active answer; never beyond the token's end. */
function caching(active: ActiveToken | undefined, caller: Caller, now: number): Readonly<Record<string, string>> {
  if (!active || caller.maxAgeSeconds === 0) return {};
  return { 'cache-control': `private, max-age=${Math.min(caller.maxAgeSeconds, active.record.expiresAt - now)}` };
}
