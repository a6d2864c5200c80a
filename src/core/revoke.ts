import { OAuthError } from './errors.ts';
import type { AccessTokenStore, Origin } from './ports.ts';
import { couldBeAccessToken, hashToken } from './reference-token.ts';

/**
 * Token revocation, RFC 7009 §2.1. Nothing to do for a token that is unknown, malformed, expired or already revoked (§2.2).
 * Resolves once the revocation is durable.
 *
 * @param by the client, authenticated
 * @param now epoch seconds
 * @throws OAuthError `invalid_grant` — a live token of another client: refused (§2.1), and it stays active
 */
export async function revoke(token: string, by: Origin, now: number, tokens: AccessTokenStore): Promise<void> {
  if (!couldBeAccessToken(token)) return;
  const found = await tokens.find(hashToken(token), now);
  if (!found) return;
  const isOwn = found.record.clientId === by.clientId;
  if (!isOwn && !found.revoked) throw new OAuthError('invalid_grant', 'the token was not issued to this client');
  // Also when it has ended already: whoever says so again, the owner or not, must not be answered before the first one could be (DR2b).
  await tokens.revoke(found.record, by);
}
