/** Public keys of clients, RFC 7517: which of them verify an assertion, and by which algorithms. */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

/** Signatures only: with a MAC the public key would be the secret (RFC 8725 §2.1). `EdDSA` and `Ed25519` are two names of one (RFC 9864). */
export const ASSERTION_ALGS = [
  ...(['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const),
  ...(['PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512'] as const),
] as const;
export type AssertionAlg = (typeof ASSERTION_ALGS)[number];

export type Jwk = Readonly<Record<string, unknown>>;

/** A public key that verifies, with the algorithms that it may be used with: never what an assertion's header asks for. */
export interface ClientKey {
  readonly kid: string | undefined;
  readonly algs: readonly AssertionAlg[];
  readonly key: KeyObject;
}

/** Why a JWK does not verify assertions. */
export interface KeyProblem {
  /** of the JWK; `undefined`: all of it */
  readonly member: string | undefined;
  readonly detail: string;
}

export const KEYS_MAX = 20;
export const KID_CHARACTERS_MAX = 256;
/** RFC 7518 §6.2.2, §6.3.2, §6.4: no business of an authorization server. */
export const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

const EC_ALGS: ReadonlyMap<unknown, AssertionAlg> = new Map([
  ['P-256', 'ES256'],
  ['P-384', 'ES384'],
  ['P-521', 'ES512'],
]);
const OKP_ALGS: readonly AssertionAlg[] = ['EdDSA', 'Ed25519'];
const RSA_ALGS = ASSERTION_ALGS.filter((alg) => /^[PR]S/.test(alg));
const RSA_BITS_MIN = 2048;
/** What a key costs to verify with is the client's choice and the server's time: larger moduli and exponents take milliseconds. */
const RSA_BITS_MAX = 8192;
const RSA_EXPONENT_MAX = 2n ** 32n;

/** One that is for encryption is none of ours, and no mistake. */
export function isForEncryption(jwk: Jwk): boolean {
  return jwk.use === 'enc';
}

/** What a JWK is good for; only its public members are looked at, so that nothing beside them decides how it is used. */
export function readClientKey(jwk: Jwk): ClientKey | KeyProblem {
  const problem = memberProblem(jwk);
  if (problem) return problem;
  const algs = algsOf(jwk);
  if (!('length' in algs)) return algs;
  const key = publicKeyOf(jwk);
  if (!key) return { member: undefined, detail: 'is not a public key of its kty' };
  const { modulusLength, publicExponent } = key.asymmetricKeyDetails ?? {};
  if (jwk.kty === 'RSA') {
    if (modulusLength === undefined || modulusLength < RSA_BITS_MIN || modulusLength > RSA_BITS_MAX)
      return { member: 'n', detail: `must have ${RSA_BITS_MIN} to ${RSA_BITS_MAX} bits` };
    // With 1 anybody could sign.
    if (publicExponent === undefined || publicExponent < 3n || publicExponent % 2n === 0n || publicExponent >= RSA_EXPONENT_MAX)
      return { member: 'e', detail: 'must be odd, from 3 to 4294967295' };
  }
  return { kid: jwk.kid as string | undefined, algs, key };
}

export function isUsable(read: ClientKey | KeyProblem): read is ClientKey {
  return 'key' in read;
}

function memberProblem(jwk: Jwk): KeyProblem | undefined {
  const secret = PRIVATE_MEMBERS.find((member) => Object.hasOwn(jwk, member));
  if (secret !== undefined) return { member: secret, detail: 'is part of a private key' };
  if (jwk.use !== undefined && jwk.use !== 'sig') return { member: 'use', detail: 'must be sig' };
  if (jwk.key_ops !== undefined && !(Array.isArray(jwk.key_ops) && jwk.key_ops.includes('verify')))
    return { member: 'key_ops', detail: 'must contain verify' };
  if (jwk.kid !== undefined && !isKid(jwk.kid))
    return { member: 'kid', detail: `must be 1 to ${KID_CHARACTERS_MAX} characters without control characters` };
  return undefined;
}

export function isKid(value: unknown): value is string {
  return typeof value === 'string' && /^\P{Cc}+$/u.test(value) && value.length <= KID_CHARACTERS_MAX;
}

function algsOf({ kty, crv, alg }: Jwk): readonly AssertionAlg[] | KeyProblem {
  const possible = kty === 'EC' ? [EC_ALGS.get(crv)] : kty === 'OKP' ? (crv === 'Ed25519' ? OKP_ALGS : [undefined]) : RSA_ALGS;
  if (kty !== 'EC' && kty !== 'OKP' && kty !== 'RSA') return { member: 'kty', detail: 'must be EC, OKP or RSA' };
  const algs = possible.filter((candidate) => candidate !== undefined);
  if (algs.length === 0) return { member: 'crv', detail: kty === 'EC' ? 'must be P-256, P-384 or P-521' : 'must be Ed25519' };
  const named = algs.find((candidate) => candidate === alg);
  if (alg !== undefined && named === undefined) return { member: 'alg', detail: `must be ${algs.join(', ')}, or absent` };
  return named === undefined || kty === 'OKP' ? algs : [named];
}

function publicKeyOf({ kty, crv, x, y, n, e }: Jwk): KeyObject | undefined {
  const members = { EC: { kty, crv, x, y }, OKP: { kty, crv, x }, RSA: { kty, n, e } }[kty as 'EC'];
  // node:crypto reads any base64, and skips what is none.
  if (Object.values(members).some((value) => typeof value !== 'string' || !/^[A-Za-z0-9_-]+$/.test(value))) return undefined;
  try {
    return createPublicKey({ key: members as JsonWebKey, format: 'jwk' });
  } catch {
    return undefined;
  }
}
