/** Verifies JWTs by the keys of `/jwks`. Whether one has ended only the feed can tell. */
import type { Ended } from './ended.ts';
import { isMeantFor, isSignedWith, readJwt } from './jwt.ts';
import type { Kept } from './kept.ts';
import type { KeySet } from './key-set.ts';
import { tokenOfClaims, type VerifiedToken } from './verdict.ts';

export interface KeptVerification {
  readonly token: VerifiedToken;
  /** of the keys that it was verified with */
  readonly version: number;
}

export interface VerifyingParts {
  readonly keys: Pick<KeySet, 'find' | 'version'>;
  readonly ended: Ended;
  readonly kept: Kept<KeptVerification>;
  readonly issuer: string;
  readonly audience: readonly string[];
}

/**
 * RFC 9068 §4. @param hash SHA-256 of the token
 *
 * @returns `undefined`: no good token. What has ended is not looked at
 * @throws AuthServerError — the key is not known, and the server cannot be asked
 */
export async function verified(presented: string, hash: string, parts: VerifyingParts): Promise<VerifiedToken | undefined> {
  const { keys, kept } = parts;
  const now = () => Date.now() / 1000;
  const found = kept.get(hash);
  if (found?.version === keys.version) return found.token.expiresAt > now() ? found.token : undefined;
  const jwt = readJwt(presented);
  // Before a key is looked for: what is not for us must not cause a question.
  if (!jwt || !isMeantFor(jwt.claims, { ...parts, now: now() })) return undefined;
  const key = await keys.find(jwt.kid);
  const token = tokenOfClaims(jwt.claims);
  if (!key || !token || !isSignedWith(key, jwt) || token.expiresAt <= now()) return undefined;
  kept.set(hash, { token, version: keys.version });
  return token;
}

/** Who does not ask refuses what an entry by time may have ended. */
export function hasEnded(token: VerifiedToken, hash: string, ended: Ended): boolean {
  return ended.hasToken(hash, token.jti) || ended.isCutOff(token);
}
