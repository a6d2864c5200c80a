/** The token endpoint, RFC 6749 §3.2: which grant, and whether the client may use it. */

import type { Authenticated } from './client-auth.ts';
import { OAuthError } from './errors.ts';
import { clientCredentials } from './grants/client-credentials.ts';
import type { AccessTokenStore, SigningKeys } from './ports.ts';
import type { AccessToken } from './reference-token.ts';

export interface TokenRequest extends Authenticated {
  readonly params: ReadonlyMap<string, string>;
  /** RFC 8707 §2: where the token is to be used */
  readonly resources: readonly string[];
  /** epoch seconds */
  readonly now: number;
}

export interface TokenDeps {
  readonly tokens: AccessTokenStore;
  readonly signingKeys: SigningKeys;
  readonly issuer: string;
  readonly accessTokenTtlSeconds: number;
}

/** RFC 6749 §5.1. */
export interface TokenResponse {
  readonly access_token: AccessToken;
  readonly token_type: 'Bearer';
  /** seconds */
  readonly expires_in: number;
  /** absent when nothing was granted */
  readonly scope?: string;
}

export type Grant = (request: TokenRequest, deps: TokenDeps) => Promise<TokenResponse>;

export const GRANT_TYPES = ['client_credentials'] as const;
const GRANTS: Readonly<Record<(typeof GRANT_TYPES)[number], Grant>> = { client_credentials: clientCredentials };

/**
 * @throws OAuthError `invalid_request` — no grant_type; `unsupported_grant_type`; `unauthorized_client` — not registered for the
 * client; and what the grant throws
 */
export async function token(request: TokenRequest, deps: TokenDeps): Promise<TokenResponse> {
  const requested = request.params.get('grant_type');
  if (requested === undefined) throw new OAuthError('invalid_request', 'grant_type is missing');
  const grantType = GRANT_TYPES.find((known) => known === requested);
  if (!grantType) throw new OAuthError('unsupported_grant_type', 'this grant type is not supported');
  if (!request.client.grantTypes.includes(grantType))
    throw new OAuthError('unauthorized_client', 'the client is not registered for this grant type');
  return GRANTS[grantType](request, deps);
}
