/** Access tokens that are JWTs: RFC 9068 §4, RFC 7515 §5.2. Pure. */
import { createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto';

export interface Jwt {
  readonly alg: string;
  readonly kid: string;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly signed: Buffer;
  readonly signature: Buffer;
}

export interface PublicKey {
  readonly alg: string;
  readonly key: KeyObject;
}

const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;
const TOKEN_CHARACTERS_MAX = 16 * 1024;
/** RFC 9068 §4: with or without `application/`. */
const TYP = /^(?:application\/)?at\+jwt$/i;

type Check = (signed: Buffer, key: KeyObject, signature: Buffer) => boolean;
const CHECKS: ReadonlyMap<unknown, Check> = new Map<unknown, Check>([
  ['ES256', (signed, key, signature) => verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature)],
  ['EdDSA', (signed, key, signature) => verify(null, signed, key, signature)],
  ['RS256', (signed, key, signature) => verify('sha256', signed, key, signature)],
  [
    'PS256',
    (signed, key, signature) => verify('sha256', signed, { key, padding: 6 /* RSA_PKCS1_PSS_PADDING */, saltLength: 32 }, signature),
  ],
]);

/** @returns `undefined` for what is no signed access token by its form; the signature is not looked at */
export function readJwt(token: string): Jwt | undefined {
  if (token.length > TOKEN_CHARACTERS_MAX) return undefined;
  const [, head, body, signature] = COMPACT.exec(token) ?? [];
  if (head === undefined || body === undefined || signature === undefined) return undefined;
  const header = decode(head);
  const claims = decode(body);
  if (!header || !claims || typeof header.typ !== 'string' || !TYP.test(header.typ)) return undefined;
  // RFC 7515 §4.1.11: an extension that is not understood; none is.
  if (header.crit !== undefined || typeof header.alg !== 'string' || typeof header.kid !== 'string') return undefined;
  return {
    alg: header.alg,
    kid: header.kid,
    claims,
    signed: Buffer.from(`${head}.${body}`),
    signature: Buffer.from(signature, 'base64url'),
  };
}

/** RFC 8725 §3.1: by the algorithm of the key, whatever the token names. */
export function isSignedWith({ alg, key }: PublicKey, jwt: Jwt): boolean {
  return jwt.alg === alg && CHECKS.get(alg)?.(jwt.signed, key, jwt.signature) === true;
}

/** Issuer, audience and time. @param now epoch seconds */
export function isMeantFor(
  { iss, aud, exp, nbf }: Readonly<Record<string, unknown>>,
  { issuer, audience, now }: { readonly issuer: string; readonly audience: readonly string[]; readonly now: number },
): boolean {
  if (iss !== issuer || typeof exp !== 'number' || exp <= now) return false;
  if (nbf !== undefined && !(typeof nbf === 'number' && nbf <= now)) return false;
  return [aud].flat().some((one) => typeof one === 'string' && audience.includes(one));
}

/** @returns the keys that signatures can be checked with, by `kid`; others are passed over */
export function readKeys(jwks: readonly unknown[]): ReadonlyMap<string, PublicKey> {
  const keys = new Map<string, PublicKey>();
  for (const jwk of jwks) {
    if (typeof jwk !== 'object' || jwk === null) continue;
    const { kid, alg, use } = jwk as Readonly<Record<string, unknown>>;
    if (typeof kid !== 'string' || typeof alg !== 'string' || !CHECKS.has(alg) || (use !== undefined && use !== 'sig')) continue;
    try {
      keys.set(kid, { alg, key: createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }) });
    } catch {
      // Of a kind that this runtime has not: a token that was signed with it is refused.
    }
  }
  return keys;
}

function decode(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}
