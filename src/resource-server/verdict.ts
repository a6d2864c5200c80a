/** What a resource server is told of a token. */

/** A token that is active, for this resource server. Times in epoch seconds. */
export interface VerifiedToken {
  readonly clientId: string;
  readonly subject: string;
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly jti: string | undefined;
  /** all of them, as RFC 7662 §2.2 or RFC 9068 §2.2 names them */
  readonly claims: Readonly<Record<string, unknown>>;
}

export type Verdict =
  | { readonly outcome: 'active'; readonly token: VerifiedToken }
  | { readonly outcome: 'inactive' }
  /** nothing can be concluded: an outage is no reason to call a token invalid */
  | { readonly outcome: 'unknown'; readonly why: string };

export const INACTIVE: Verdict = { outcome: 'inactive' };

export function unknown(why: string): Verdict {
  return { outcome: 'unknown', why };
}

/** @returns `undefined` where a member is missing that each token of this issuer has */
export function tokenOfClaims(claims: Readonly<Record<string, unknown>>): VerifiedToken | undefined {
  const { client_id: clientId, sub: subject, iat: issuedAt, exp: expiresAt, aud, scope, jti } = claims;
  if (typeof clientId !== 'string' || typeof subject !== 'string') return undefined;
  if (typeof issuedAt !== 'number' || typeof expiresAt !== 'number') return undefined;
  return {
    clientId,
    subject,
    scope: typeof scope === 'string' && scope !== '' ? scope.split(' ') : [],
    audience: [aud].flat().filter((audience) => typeof audience === 'string'),
    issuedAt,
    expiresAt,
    jti: typeof jti === 'string' ? jti : undefined,
    claims,
  };
}
