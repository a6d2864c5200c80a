/** Clients that authenticate by `private_key_jwt`, and what they send. */
import { createHash, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { type JWTHeaderParameters, SignJWT } from 'jose';
import { ASSERTION_TYPE } from '../../src/core/client-assertion.ts';
import { createClient } from './client.ts';
import type { Credentials } from './server.ts';

export interface KeyPair {
  readonly alg: string;
  readonly kid: string;
  readonly privateKey: KeyObject;
  /** as it is registered */
  readonly jwk: Readonly<Record<string, unknown>>;
}

/** @param kid a new one otherwise */
export function keyPair(alg = 'ES256', kid: string = randomUUID()): KeyPair {
  const { privateKey, publicKey } = generate(alg);
  return { alg, kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid } };
}

function generate(alg: string): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  if (/^[RP]S/.test(alg)) return generateKeyPairSync('rsa', { modulusLength: 2048 });
  if (alg.startsWith('Ed')) return generateKeyPairSync('ed25519');
  return generateKeyPairSync('ec', { namedCurve: { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[alg] ?? '' });
}

export interface AssertionParts {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  /** epoch seconds */
  readonly now?: number;
}

/** A good assertion; `claims` and `header` change it, `undefined` takes a member away. */
export function assertion(clientId: string, aud: string, { alg, kid, privateKey }: KeyPair, parts: AssertionParts = {}): Promise<string> {
  const now = parts.now ?? Math.floor(Date.now() / 1000);
  const claims = { iss: clientId, sub: clientId, aud, jti: randomUUID(), iat: now, exp: now + 60, ...parts.claims };
  return new SignJWT(claims as Record<string, unknown>)
    .setProtectedHeader({ alg, kid, ...parts.header } as JWTHeaderParameters)
    .sign(privateKey, parts.header && 'crit' in parts.header ? { crit: { 'urn:example:crit': true } } : {});
}

/** As a form has it. */
export function presented(jwt: string, form: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  return { client_assertion_type: ASSERTION_TYPE, client_assertion: jwt, ...form };
}

/** A JWS by hand: for what no library signs. */
export function compact(header: object, claims: object, sign: (input: string) => Buffer | string): string {
  const input = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const signature = sign(input);
  return `${input}.${typeof signature === 'string' ? signature : signature.toString('base64url')}`;
}

export const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

export async function createKeyClient(
  server: { readonly url: string; readonly admin: Credentials },
  key: KeyPair,
  metadata: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const jwks = 'jwks_uri' in metadata ? {} : { jwks: { keys: [key.jwk] } };
  const client = await createClient(server, { token_endpoint_auth_method: 'private_key_jwt', ...jwks, ...metadata });
  return client.clientId;
}
