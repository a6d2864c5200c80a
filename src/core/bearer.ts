/** Bearer tokens at this server's own doors, RFC 6750: the management endpoints and `/introspect`. */

import type { AccessTokenRecord } from './access-token.ts';
import { BearerError } from './errors.ts';
import { findPresented, type PresentedDeps } from './presented-token.ts';

/**
 * @param accepted any one of these scopes opens the door; the first is the one named in the refusal
 * @param now epoch seconds
 * @throws BearerError `invalid_token` — unknown, expired or revoked; `insufficient_scope`
 */
export async function authorizeBearer(
  presented: string,
  accepted: readonly [string, ...string[]],
  now: number,
  deps: PresentedDeps,
): Promise<AccessTokenRecord> {
  const found = await findPresented(presented, now, deps);
  if (!found) throw new BearerError('invalid_token', 'the access token is not valid');
  if (!accepted.some((scope) => found.record.scope.includes(scope))) {
    throw new BearerError('insufficient_scope', 'the access token lacks the scope that this needs', accepted[0]);
  }
  return found.record;
}
