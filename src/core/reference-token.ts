/** Reference tokens: `at_`, 256 random bits in base64url (43 characters), 6 characters of checksum. */
import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** What the client holds, a reference token or a JWT. Never stored, never logged. */
export type AccessToken = string & { readonly __brand: 'AccessToken' };

/** SHA-256 of an access token, base64url, 43 characters: its key in memory, etcd and PostgreSQL. */
export type TokenHash = string & { readonly __brand: 'TokenHash' };

const PREFIX = 'at_';
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const REFERENCE_TOKEN = /^at_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/;
const JWT = /^[A-Za-z0-9_-]{10,1024}\.[A-Za-z0-9_-]{10,14336}\.[A-Za-z0-9_-]{43,1024}$/;

/** 256 bits: RFC 6749 §10.10 asks for a guess probability of at most 2^-128, better 2^-160. */
export function mintReferenceToken(): AccessToken {
  const body = PREFIX + randomBytes(32).toString('base64url');
  return (body + checksum(body)) as AccessToken;
}

/**
 * Says what cannot be one of our tokens without a look-up: junk costs no query. The checksum is no protection, it is for typing
 * errors and secret scanners. A JWT is known by its shape only: its hash is the look-up key, so any other bytes are another token.
 */
export function couldBeAccessToken(text: string): text is AccessToken {
  if (text.startsWith(PREFIX)) return REFERENCE_TOKEN.test(text) && text.slice(-6) === checksum(text.slice(0, -6));
  return JWT.test(text);
}

export function isJwt(token: AccessToken): boolean {
  return !token.startsWith(PREFIX);
}

export function hashToken(token: AccessToken): TokenHash {
  return hash('sha256', token, 'base64url') as TokenHash;
}

/** CRC-32 in base 62, six characters: the form secret scanners know from other tokens. */
export function checksum(body: string): string {
  let rest = crc32(body);
  let text = '';
  for (let place = 0; place < 6; place++) {
    text = (BASE62[rest % 62] ?? '') + text;
    rest = Math.floor(rest / 62);
  }
  return text;
}
