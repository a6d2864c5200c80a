/** The access token's record and the JWT that it stands for, RFC 9068. */
import type { TokenHash } from './reference-token.ts';

/** What is stored of an access token: never changed after it was issued, so it may be cached anywhere. Times in epoch seconds. */
export interface AccessTokenRecord {
  readonly tokenHash: TokenHash;
  /** UUID; names the token in its JWT and in logs, opens nothing */
  readonly jti: string;
  readonly clientId: string;
  readonly subject: string;
  readonly scope: readonly string[];
  /** never empty */
  readonly audience: readonly string[];
  /** static claims of the client at the time of issue */
  readonly claims: Readonly<Record<string, unknown>>;
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** position in the change log: a cut-off after it ends the token */
  readonly issuedSeq: number;
  /** of the client, that it was asked for with: for the audit alone; `undefined`: without one, or nobody knows */
  readonly secretId?: string | undefined;
}

/**
 * Claims that the protocol gives a meaning to: RFC 7519 §4.1, RFC 7662 §2.2, RFC 9068 §2.2, RFC 8693 §4, RFC 7800, RFC 9396.
 * A client's static claims may not use them.
 */
export const PROTOCOL_CLAIMS: ReadonlySet<string> = new Set([
  ...['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'client_id', 'scope', 'active', 'token_type', 'username'],
  ...['auth_time', 'acr', 'amr', 'cnf', 'act', 'may_act', 'authorization_details', 'token_introspection', 'grant_id'],
]);

/** Media type of the JWT form without `application/`, RFC 9068 §2.1. */
export const ACCESS_JWT_TYP = 'at+jwt';

/** The claims of RFC 9068 §2.2, the client's static ones beneath them. `aud` is a string when there is one (RFC 7519 §4.1.3). */
export function accessTokenClaims(record: Omit<AccessTokenRecord, 'tokenHash'>, issuer: string): Readonly<Record<string, unknown>> {
  return {
    ...record.claims,
    iss: issuer,
    sub: record.subject,
    aud: record.audience.length === 1 ? record.audience[0] : record.audience,
    client_id: record.clientId,
    exp: record.expiresAt,
    iat: record.issuedAt,
    jti: record.jti,
    // Undefined is not written; a static claim of that name would be otherwise.
    scope: record.scope.length > 0 ? record.scope.join(' ') : undefined,
  };
}

/** What {@link accessTokenClaims} was made from, but for what a JWT does not carry. */
export function recordOfClaims(all: Readonly<Record<string, unknown>>): Omit<AccessTokenRecord, 'tokenHash' | 'issuedSeq' | 'secretId'> {
  const { iss: _, sub, aud, client_id, exp, iat, jti, scope, ...claims } = all;
  return {
    jti: String(jti),
    clientId: String(client_id),
    subject: String(sub),
    scope: typeof scope === 'string' ? scope.split(' ') : [],
    audience: Array.isArray(aud) ? aud.map(String) : [String(aud)],
    claims,
    issuedAt: Number(iat),
    expiresAt: Number(exp),
  };
}
