/** Keys that sign, RFC 7518 and RFC 8037, and the compact JWS (RFC 7515 §3.1) that they make. */
import { createHash, createPublicKey, generateKeyPair, type JsonWebKey, type KeyObject, sign as signBytes } from 'node:crypto';
import { promisify } from 'node:util';

export const SIGNING_ALGS = ['ES256', 'RS256', 'EdDSA', 'PS256'] as const;
export type SigningAlg = (typeof SIGNING_ALGS)[number];

export interface SigningKey {
  /** RFC 7638 thumbprint of the public key */
  readonly kid: string;
  readonly alg: SigningAlg;
  readonly privateKey: KeyObject;
}

/** A key as it appears at `/jwks`, RFC 7517: public members only. */
export type PublicJwk = Readonly<Record<string, string>>;

const generate = promisify(generateKeyPair);
const signOnThreadPool = promisify(signBytes);

export async function generateSigningKey(alg: SigningAlg): Promise<SigningKey> {
  const privateKey = await generatePrivateKey(alg);
  return { kid: thumbprint(publicMembers(privateKey)), alg, privateKey };
}

export function publicJwk({ kid, alg, privateKey }: SigningKey): PublicJwk {
  return { ...publicMembers(privateKey), kid, alg, use: 'sig' };
}

/**
 * @param typ media type of the JWT without `application/`, RFC 8725 §3.11
 * @returns a compact JWS
 */
export async function signJwt({ kid, alg, privateKey }: SigningKey, typ: string, claims: object): Promise<string> {
  const input = `${encode({ alg, typ, kid })}.${encode(claims)}`;
  return `${input}.${(await signature(alg, privateKey, Buffer.from(input))).toString('base64url')}`;
}

/** The `kid` of a JWT's header, RFC 7515 §4.1.4, which nobody has verified. @returns `undefined` when there is none, or the header is not JSON */
export function kidOf(jwt: string): string | undefined {
  try {
    const { kid } = JSON.parse(Buffer.from(jwt.slice(0, jwt.indexOf('.')), 'base64url').toString()) ?? {};
    return typeof kid === 'string' ? kid : undefined;
  } catch {
    return undefined;
  }
}

/** RSA takes 0.7 ms, so it goes to the thread pool; the others are cheaper than the way there. */
async function signature(alg: SigningAlg, key: KeyObject, input: Buffer): Promise<Buffer> {
  switch (alg) {
    case 'ES256':
      return signBytes('sha256', input, { key, dsaEncoding: 'ieee-p1363' });
    case 'EdDSA':
      return signBytes(null, input, key);
    case 'RS256':
      return signOnThreadPool('sha256', input, key);
    case 'PS256':
      return signOnThreadPool('sha256', input, { key, padding: 6 /* RSA_PKCS1_PSS_PADDING */, saltLength: 32 });
  }
}

async function generatePrivateKey(alg: SigningAlg): Promise<KeyObject> {
  switch (alg) {
    case 'ES256':
      return (await generate('ec', { namedCurve: 'P-256' })).privateKey;
    case 'EdDSA':
      return (await generate('ed25519')).privateKey;
    case 'RS256':
    case 'PS256':
      return (await generate('rsa', { modulusLength: 2048 })).privateKey;
  }
}

/** The members that RFC 7638 §3.2 hashes, in the order it asks for; none of them is private. */
const THUMBPRINT_MEMBERS: Readonly<Record<string, readonly (keyof JsonWebKey)[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
};

function publicMembers(privateKey: KeyObject): PublicJwk {
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' });
  return Object.fromEntries((THUMBPRINT_MEMBERS[String(jwk.kty)] ?? []).map((member) => [member, String(jwk[member])]));
}

function thumbprint(members: PublicJwk): string {
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
