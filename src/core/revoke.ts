import { OAuthError } from './errors.ts';
import type { AccessTokenStore } from './ports.ts';
import { couldBeAccessToken, hashToken } from './reference-token.ts';

/**
 * Token revocation, RFC 7009 §2.1. Nothing to do for a token that is unknown, malformed, expired or already revoked (§2.2).
 * Resolves once the revocation is durable.
 *
 * @param now epoch seconds
 * @throws OAuthError `invalid_grant` — a live token of another client: refused (§2.1), and it stays active
 */
export async function revoke(token: string, clientId: string, now: number, tokens: AccessTokenStore): Promise<void> {
  if (!couldBeAccessToken(token)) return;
  const found = await tokens.find(hashToken(token), now);
  if (!found || found.revoked) return;
  if (found.record.clientId !== clientId) throw new OAuthError('invalid_grant', 'the token was not issued to this client');
  await tokens.revoke(found.record);
}
