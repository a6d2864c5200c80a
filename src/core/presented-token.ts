/** An access token as somebody presents it, at whichever door: of either form, or none at all. */
import type { AccessTokenRecord } from './access-token.ts';
import type { AccessTokenStore, SigningKeys } from './ports.ts';
import { type AccessToken, couldBeAccessToken, hashToken, isJwt } from './reference-token.ts';
import { kidOf } from './signing-key.ts';

export interface PresentedDeps {
  readonly tokens: AccessTokenStore;
  readonly signingKeys: SigningKeys;
}

/** A token that was issued here and is alive. */
export interface LiveToken {
  readonly token: AccessToken;
  readonly record: AccessTokenRecord;
}

/**
 * @param now epoch seconds
 * @returns `undefined` for one that was never issued, has expired, was revoked, or was signed by a key that has ended
 */
export async function findPresented(
  presented: string,
  now: number,
  { tokens, signingKeys }: PresentedDeps,
): Promise<LiveToken | undefined> {
  if (!couldBeAccessToken(presented)) return undefined;
  // Before the record is looked for: the verdict on that is the last thing that is waited for (docs/coherence.md).
  if (isJwt(presented) && (await hasEnded(kidOf(presented), signingKeys))) return undefined;
  const found = await tokens.find(hashToken(presented), now);
  return found && !found.revoked ? { token: presented, record: found.record } : undefined;
}

/**
 * Those that have ended, and not those that are there: a key that another node has just made must not make its tokens inactive here. Nothing is
 * believed of the header that way: who forges another `kid` has another token, which nobody has issued.
 */
async function hasEnded(kid: string | undefined, signingKeys: SigningKeys): Promise<boolean> {
  return (await signingKeys.schedule()).some((key) => key.kid === kid && key.endedAt !== undefined);
}
