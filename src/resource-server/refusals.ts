/** How a resource server answers who may not go on: RFC 6750 §3. */
import type { Verdict, VerifiedToken } from './verdict.ts';

/** A whole answer, for whatever server sends it. */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** One of the two. */
export type Admission =
  | { readonly token: VerifiedToken; readonly refusal?: undefined }
  | { readonly token?: undefined; readonly refusal: Refusal };

const RETRY_AFTER_SECONDS = 1;
/** RFC 6750 §2.1 */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;
const OTHER_SCHEME = /^(?!bearer(?: |$))/i;

/**
 * The token of a request, RFC 6750 §2.1. In the form or the query it is not looked for.
 *
 * @returns `undefined`: there is none
 */
export function readToken(authorization: string | null | undefined): { readonly token: string } | 'malformed' | undefined {
  if (authorization === null || authorization === undefined || OTHER_SCHEME.test(authorization)) return undefined;
  const token = BEARER.exec(authorization)?.[1];
  return token === undefined ? 'malformed' : { token };
}

export function missing(realm: string): Refusal {
  return challenge(401, realm, {}, { error_description: 'an access token is needed' });
}

export function malformed(realm: string): Refusal {
  return refused(400, realm, 'invalid_request', 'the Authorization header is malformed');
}

/** @param scope all of these are needed */
export function judged(verdict: Verdict, scope: readonly string[], realm: string): Admission {
  if (verdict.outcome === 'unknown') return { refusal: unavailable() };
  if (verdict.outcome === 'inactive') return { refusal: refused(401, realm, 'invalid_token', 'the access token is not valid') };
  const { token } = verdict;
  if (scope.every((one) => token.scope.includes(one))) return { token };
  const needed = { scope: scope.join(' ') };
  return { refusal: refused(403, realm, 'insufficient_scope', 'the access token lacks the scope that this needs', needed) };
}

/** No challenge: the token may be as good as any. */
function unavailable(): Refusal {
  const body = { error: 'temporarily_unavailable', error_description: 'whether the access token is valid cannot be said' };
  return answer(503, { 'retry-after': String(RETRY_AFTER_SECONDS) }, body);
}

function refused(
  status: Refusal['status'],
  realm: string,
  error: string,
  description: string,
  more: Readonly<Record<string, string>> = {},
): Refusal {
  return challenge(status, realm, { error, error_description: description, ...more }, { error, error_description: description });
}

function challenge(status: Refusal['status'], realm: string, parameters: Readonly<Record<string, string>>, body: object): Refusal {
  const quoted = Object.entries({ realm, ...parameters }).map(([name, value]) => `${name}="${value.replaceAll(/[\\"]/g, '\\$&')}"`);
  return answer(status, { 'www-authenticate': `Bearer ${quoted.join(', ')}` }, body);
}

function answer(status: Refusal['status'], headers: Readonly<Record<string, string>>, body: object): Refusal {
  return { status, headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers }, body: JSON.stringify(body) };
}
