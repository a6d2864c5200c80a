/** Initial and registration access tokens, RFC 7591 §1.2: a prefix, 256 random bits in base64url, and the checksum of reference tokens. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { secretVerifier } from './client-auth.ts';
import type { Client } from './clients.ts';
import { checksum } from './reference-token.ts';

/** `irt_`: initial, to register by. `rat_`: registration access, by which a client manages its own record. */
export type RegistrationTokenPrefix = 'irt_' | 'rat_';

const BODY = /^[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/;

export function mintRegistrationToken(prefix: RegistrationTokenPrefix): string {
  const body = prefix + randomBytes(32).toString('base64url');
  return body + checksum(body);
}

/** Says what cannot be one without a look-up. */
export function couldBeRegistrationToken(prefix: RegistrationTokenPrefix, text: string): boolean {
  return text.startsWith(prefix) && BODY.test(text.slice(prefix.length)) && text.slice(-6) === checksum(text.slice(0, -6));
}

/** Stands in for a client that is not there, or has no such token: a refusal costs the same. */
const NOBODY = secretVerifier(mintRegistrationToken('rat_'));

/** Whether this is the client's registration access token. */
export function opensRegistration(presented: string, client: Client | undefined): boolean {
  const digest = (verifier: string) => createHash('sha256').update(verifier).digest();
  const isSame = timingSafeEqual(digest(secretVerifier(presented)), digest(client?.registrationAccess?.verifier ?? NOBODY));
  return isSame && client?.registrationAccess !== undefined;
}
