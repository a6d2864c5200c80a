/** Whom a token is for: RFC 9068 §3, RFC 8707. */
import { isAbsoluteUri } from './absolute-uri.ts';
import { OAuthError } from './errors.ts';
import { ownScopes } from './scope.ts';

export interface AudienceRequest {
  /** the client's; empty: the issuer */
  readonly registered: readonly string[];
  /** as granted */
  readonly scope: readonly string[];
  /** RFC 8707 §2, all of them; empty: nothing was asked for */
  readonly resources: readonly string[];
}

/**
 * What was asked for, if the token would be for all of that anyway; else all that the client is registered for.
 *
 * @throws OAuthError `invalid_target` — no absolute URI, or not within the client's audience; or the scope is not for what was asked for: `auth:*` means
 * this server's own API, and a token for others that opens it would be more than it says (RFC 8707 §2.2)
 */
export function audienceOf({ registered, scope, resources }: AudienceRequest, issuer: string): readonly string[] {
  const isForIssuer = ownScopes(scope).length > 0;
  const widest = widestAudience(registered, isForIssuer, issuer);
  if (resources.length === 0) return widest;
  if (!resources.every(isAbsoluteUri)) throw new OAuthError('invalid_target', 'resource must be an absolute URI without a fragment');
  if (!resources.every((resource) => widest.includes(resource)))
    throw new OAuthError('invalid_target', 'resource exceeds the audience that the client is registered for');
  if (isForIssuer && !resources.includes(issuer))
    throw new OAuthError('invalid_target', 'an auth: scope is for this server: ask for the issuer too, or for a scope without it');
  return [...new Set(resources)];
}

/** The issuer is the default, and always in it where an `auth:*` scope is granted, because those mean its own API. */
function widestAudience(registered: readonly string[], isForIssuer: boolean, issuer: string): readonly string[] {
  if (registered.length > 0 && (!isForIssuer || registered.includes(issuer))) return registered;
  return [...registered, issuer];
}
