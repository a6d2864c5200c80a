import { randomUUID } from 'node:crypto';
import { ACCESS_JWT_TYP, type AccessTokenRecord, accessTokenClaims } from '../access-token.ts';
import { audienceOf } from '../audience.ts';
import { OAuthError } from '../errors.ts';
import { type AccessToken, hashToken, mintReferenceToken } from '../reference-token.ts';
import { narrowScope } from '../scope.ts';
import { signJwt } from '../signing-key.ts';
import type { TokenDeps, TokenRequest, TokenResponse } from '../token.ts';

/**
 * Client credentials grant, RFC 6749 §4.4.
 *
 * @returns the §5.1 body; never a refresh token (§4.4.3)
 * @throws OAuthError `unauthorized_client` — a public client (§4.4: confidential clients only)
 * @throws OAuthError `invalid_scope` — see {@link narrowScope}
 * @throws OAuthError `invalid_target` — see {@link audienceOf}
 * @throws TooManyTokens — the client has a limit
 */
export async function clientCredentials(
  { client, asOfSeq, secretId, params, resources, now }: TokenRequest,
  deps: TokenDeps,
): Promise<TokenResponse> {
  if (client.authMethod === 'none') throw new OAuthError('unauthorized_client', 'the client must be confidential');
  const scope = narrowScope(params.get('scope'), client.scope);
  const ttlSeconds = client.accessTokenTtlSeconds ?? deps.accessTokenTtlSeconds;
  const issued = {
    jti: randomUUID(),
    clientId: client.id,
    subject: client.id,
    scope,
    audience: audienceOf({ registered: client.audience, scope, resources }, deps.issuer),
    claims: client.claims,
    issuedAt: now,
    expiresAt: now + ttlSeconds,
    issuedSeq: asOfSeq,
    secretId,
  };
  const accessToken = client.accessTokenFormat === 'jwt' ? await mintJwt(issued, deps) : mintReferenceToken();
  await deps.tokens.insert({ ...issued, tokenHash: hashToken(accessToken) }, client.accessTokenLimit);
  return { access_token: accessToken, token_type: 'Bearer', expires_in: ttlSeconds, ...(scope.length > 0 && { scope: scope.join(' ') }) };
}

async function mintJwt(issued: Omit<AccessTokenRecord, 'tokenHash'>, { signingKeys, issuer }: TokenDeps): Promise<AccessToken> {
  return (await signJwt(await signingKeys.current(), ACCESS_JWT_TYP, accessTokenClaims(issued, issuer))) as AccessToken;
}
