/**
 * Client authentication by `private_key_jwt`: RFC 7521 §4.2, RFC 7523 §2.2 and §3.
 *
 * What an assertion says of itself is judged first, and costs nothing: the answer depends on nothing but what was sent, so it may say what is wrong. Who it
 * is by comes next, with one answer and the same work whatever the reason. Only what is proven is spent.
 */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { compactVerify, decodeJwt, decodeProtectedHeader, errors } from 'jose';
import { refusal } from './client-auth.ts';
import {
  ASSERTION_ALGS,
  type AssertionAlg,
  type ClientKey,
  isForEncryption,
  isKid,
  isUsable,
  type Jwk,
  readClientKey,
} from './client-keys.ts';
import { CLIENT_ID_PATTERN, type Client } from './clients.ts';
import { OAuthError } from './errors.ts';
import type { ClientDirectory, ClientKeysAt, KnownClient, SpentAssertion } from './ports.ts';

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** Before anything is split or decoded. A usual one has 700. */
const ASSERTION_CHARACTERS_MAX = 8_000;
/** Of clocks, both ways. */
const LEEWAY_SECONDS = 30;
/** How far ahead its end may lie: what has to be remembered, and what a stolen one that was never used is good for. */
const LIFE_MAX_SECONDS = 600;
/** The draft that updates RFC 7523 gives assertions a type of their own. Another explicit type (`at+jwt`, `dpop+jwt`) is another kind of JWT (RFC 8725 §3.11). */
const EXPLICIT_TYPE = 'client-authentication+jwt';

/** What a request presented, as far as it can be judged without knowing the client. */
export interface PresentedAssertion {
  readonly method: 'private_key_jwt';
  readonly clientId: string;
  readonly jwt: string;
  readonly alg: AssertionAlg;
  readonly kid: string | undefined;
  readonly spends: SpentAssertion;
}

/** Where it was presented. */
export interface AssertionPlace {
  readonly issuer: string;
  /** its URL below the issuer */
  readonly endpoint: string;
  /** epoch seconds */
  readonly now: number;
}

/**
 * @param clientId of the form, which need not be there (RFC 7521 §4.2)
 * @throws OAuthError `invalid_client` — RFC 7523 §3.2; `invalid_request` — client_id is another one than the assertion's
 */
export function readAssertion(jwt: string, clientId: string | undefined, place: AssertionPlace): PresentedAssertion {
  if (jwt.length > ASSERTION_CHARACTERS_MAX || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt)) throw wrong('is not a signed JWT');
  const [header, claims] = decode(jwt);
  const alg = ASSERTION_ALGS.find((known) => known === header.alg);
  if (alg === undefined) throw wrong('has an alg that is not accepted');
  if (header.crit !== undefined) throw wrong('has a crit header, of which nothing is understood');
  if (header.kid !== undefined && !isKid(header.kid)) throw wrong('has a kid that is none');
  const type = typeOf(header.typ);
  const { iss, sub, jti } = claims;
  if (typeof sub !== 'string' || iss !== sub) throw wrong('must have the client_id as iss and as sub');
  if (clientId !== undefined && clientId !== sub) throw new OAuthError('invalid_request', 'client_id and the client assertion differ');
  if (typeof jti !== 'string' || jti === '') throw wrong('must have a jti');
  requireAudience(claims.aud, type, place);
  const expiresAt = requireTimes(claims, place.now);
  const spends = { clientId: sub, jtiHash: createHash('sha256').update(jti).digest(), endsAt: expiresAt + LEEWAY_SECONDS };
  return { method: 'private_key_jwt', clientId: sub, jwt, alg, kid: header.kid, spends };
}

/**
 * The client whose key has signed it. Writes nothing: two looks at two directories are one use.
 *
 * @throws OAuthError `invalid_client` — unknown or disabled client, another method, no such key, bad signature: one answer
 * @throws Unavailable — the client's keys cannot be fetched
 */
export async function proveAssertion(
  { clientId, jwt, alg, kid }: PresentedAssertion,
  clients: ClientDirectory,
  keysAt: ClientKeysAt,
): Promise<KnownClient> {
  // What cannot be an id is not shown to the store, which would take offence at a NUL.
  const known = await clients.find(CLIENT_ID_PATTERN.test(clientId) ? clientId : '-');
  const keys = known ? await keysOf(known.client, alg, kid, keysAt) : [];
  // The header chooses among the client's keys, and the key says which algorithms it is for.
  const candidates = keys.filter((key) => key.algs.includes(alg) && (kid === undefined || key.kid === kid));
  const isProven = await verifiesAny(jwt, alg, candidates.length > 0 ? candidates.map(({ key }) => key) : [nobodysKey(alg)]);
  if (!known || known.client.disabled) throw refusal(known ? 'client is disabled' : 'unknown client');
  if (!isProven || candidates.length === 0) throw refusal('no key of the client has signed the assertion');
  return known;
}

async function keysOf(client: Client, alg: AssertionAlg, kid: string | undefined, keysAt: ClientKeysAt): Promise<readonly ClientKey[]> {
  const { jwks, jwks_uri: uri, token_endpoint_auth_signing_alg: only } = client.registration;
  if (client.authMethod !== 'private_key_jwt' || client.disabled || (only !== undefined && only !== alg)) return [];
  return typeof uri === 'string' ? keysAt(uri, kid) : registeredKeys(jwks);
}

/** By what they were read from: a refusal reads the record anew, and must not take longer for that than it does for an unknown client. */
const READ = new Map<string, readonly ClientKey[]>();
const READ_MAX = 1_000;

function registeredKeys(jwks: unknown): readonly ClientKey[] {
  if (typeof jwks !== 'object' || jwks === null) return [];
  const source = createHash('sha256').update(JSON.stringify(jwks)).digest('base64url');
  const before = READ.get(source);
  if (before) return before;
  const { keys } = jwks as { readonly keys: readonly Jwk[] };
  const read = keys
    .filter((jwk) => !isForEncryption(jwk))
    .map(readClientKey)
    .filter(isUsable);
  const oldest = READ.keys().next();
  if (READ.size >= READ_MAX && !oldest.done) READ.delete(oldest.value);
  READ.set(source, read);
  return read;
}

async function verifiesAny(jwt: string, alg: AssertionAlg, keys: readonly KeyObject[]): Promise<boolean> {
  for (const key of keys) if (await verifies(jwt, alg, key)) return true;
  return false;
}

async function verifies(jwt: string, alg: AssertionAlg, key: KeyObject): Promise<boolean> {
  try {
    await compactVerify(jwt, key, { algorithms: [alg] });
    return true;
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWSInvalid) return false;
    throw error;
  }
}

const NOBODY = new Map<AssertionAlg, KeyObject>();

/** Stands in for the key of an unknown client, so that a refusal costs the same whether the client exists or not. Any odd number is as much work as a modulus. */
function nobodysKey(alg: AssertionAlg): KeyObject {
  const key = NOBODY.get(alg) ?? makeKey(alg);
  NOBODY.set(alg, key);
  return key;
}

function makeKey(alg: AssertionAlg): KeyObject {
  const curve = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[alg as 'ES256'];
  if (curve) return generateKeyPairSync('ec', { namedCurve: curve }).publicKey;
  if (alg === 'EdDSA' || alg === 'Ed25519') return generateKeyPairSync('ed25519').publicKey;
  const modulus = randomBytes(256);
  modulus[0] = 0xc1;
  modulus[255] = 0xc1;
  return createPublicKey({ key: { kty: 'RSA', n: modulus.toString('base64url'), e: 'AQAB' }, format: 'jwk' });
}

function decode(jwt: string): readonly [ReturnType<typeof decodeProtectedHeader>, Readonly<Record<string, unknown>>] {
  try {
    return [decodeProtectedHeader(jwt), decodeJwt(jwt)];
  } catch {
    throw wrong('is not a signed JWT');
  }
}

/** RFC 7515 §4.1.9: in any case, and `application/` may be left out. */
function typeOf(typ: unknown): 'explicit' | 'general' {
  if (typ === undefined) return 'general';
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : '';
  if (type === 'jwt') return 'general';
  if (type === EXPLICIT_TYPE) return 'explicit';
  throw wrong('has a typ of another kind of JWT');
}

/**
 * The issuer, as the draft that updates RFC 7523 wants it. A server that a client also trusts may have named our token endpoint as its own, to have the
 * client sign for us: so no further value is taken beside it, and an assertion of the new type is for the issuer only. RFC 7523 §3 itself allows the token
 * endpoint, and most libraries that are in use send it, or the URL that they post to (docs/decisions/0022).
 */
function requireAudience(aud: unknown, type: 'explicit' | 'general', { issuer, endpoint }: AssertionPlace): void {
  if (type === 'explicit') {
    if (aud !== issuer) throw wrong('must have the issuer as its aud');
    return;
  }
  const audience = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud;
  if (audience !== issuer && audience !== `${issuer}/token` && audience !== endpoint)
    throw wrong('must have one aud: the issuer, or the URL of the token endpoint');
}

/** @returns `exp` */
function requireTimes({ exp, nbf, iat }: Readonly<Record<string, unknown>>, now: number): number {
  if (!isTime(exp)) throw wrong('must have an exp');
  if (exp <= now - LEEWAY_SECONDS) throw wrong('has expired');
  if (exp > now + LIFE_MAX_SECONDS + LEEWAY_SECONDS) throw wrong(`must expire within ${LIFE_MAX_SECONDS} seconds`);
  for (const time of [nbf, iat]) {
    if (time === undefined) continue;
    if (!isTime(time)) throw wrong('has a time that is none');
    if (time > now + LEEWAY_SECONDS) throw wrong('is from the future');
  }
  return exp;
}

/** RFC 7519 §2: it may have fractions of seconds. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function wrong(what: string): OAuthError {
  return new OAuthError('invalid_client', `the client assertion ${what}`, what);
}
