/** Token introspection: RFC 7662, its signed form RFC 9701, and the JWT that a reference token stands for. */
import { ACCESS_JWT_TYP, type AccessTokenRecord, accessTokenClaims } from './access-token.ts';
import { findPresented, type LiveToken, type PresentedDeps } from './presented-token.ts';
import { isJwt } from './reference-token.ts';
import { signJwt } from './signing-key.ts';

/** Who asks: a client, or the client that a bearer token was issued to. */
export interface IntrospectionCaller {
  readonly clientId: string;
  readonly scope: readonly string[];
  readonly resources: readonly string[];
}

export interface IntrospectDeps extends PresentedDeps {
  readonly issuer: string;
}

/** A token that is active for the caller. */
export type ActiveToken = LiveToken;

/**
 * @param now epoch seconds
 * @returns `undefined` for a token that is unknown, expired, revoked or not for this caller; which of them is not said (RFC 7662 §2.2)
 */
export async function introspect(
  token: string,
  caller: IntrospectionCaller,
  now: number,
  deps: PresentedDeps,
): Promise<ActiveToken | undefined> {
  const found = await findPresented(token, now, deps);
  return found && maySee(caller, found.record) ? found : undefined;
}

/** RFC 7662 §2.2. */
export function introspectionResponse(active: ActiveToken | undefined, issuer: string): Readonly<Record<string, unknown>> {
  // First, because that is what is looked for; and again last, because no claim may change them.
  if (!active) return { active: false };
  const answer: Record<string, unknown> = { active: true, token_type: 'Bearer' };
  Object.assign(answer, accessTokenClaims(active.record, issuer));
  answer.active = true;
  answer.token_type = 'Bearer';
  return answer;
}

/** RFC 9701 §5: the answer as a JWT for this caller, without `sub` and `exp` of its own so that it cannot pass for an access token (§8.1). */
export async function signedIntrospectionResponse(
  active: ActiveToken | undefined,
  caller: IntrospectionCaller,
  now: number,
  { signingKeys, issuer }: IntrospectDeps,
): Promise<string> {
  const claims = { iss: issuer, aud: caller.clientId, iat: now, token_introspection: introspectionResponse(active, issuer) };
  return signJwt(await signingKeys.current(), 'token-introspection+jwt', claims);
}

/** The JWT of the token (RFC 9068): made on demand for a reference token; a JWT stands for itself. */
export async function phantomToken({ token, record }: ActiveToken, { signingKeys, issuer }: IntrospectDeps): Promise<string> {
  return isJwt(token) ? token : signJwt(await signingKeys.current(), ACCESS_JWT_TYP, accessTokenClaims(record, issuer));
}

/** The token's client, a resource server in its audience, or who may see all. */
function maySee(caller: IntrospectionCaller, record: AccessTokenRecord): boolean {
  return (
    caller.clientId === record.clientId ||
    caller.scope.includes('auth:introspect') ||
    record.audience.some((audience) => audience === caller.clientId || caller.resources.includes(audience))
  );
}
