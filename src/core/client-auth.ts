/** Client authentication at the token, revocation and introspection endpoints, RFC 6749 §2.3. */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { type AuthMethod, CLIENT_ID_PATTERN, type Client, type ClientSecret, hasEnded } from './clients.ts';
import { OAuthError } from './errors.ts';
import type { ClientDirectory, KnownClient } from './ports.ts';

/** What a request presented. */
export interface ClientCredentials {
  readonly method: Exclude<AuthMethod, 'private_key_jwt'>;
  readonly clientId: string;
  /** what may be the secret: a Basic password counts as it is and form-decoded (docs/decisions/0005); empty with `none` */
  readonly secrets: readonly string[];
}

/** Who it is, and how that was proven. */
export interface Authenticated extends KnownClient {
  /** of the secret that was right; `undefined` for a client without one */
  readonly secretId: string | undefined;
}

/** 256 bits in base64url, 43 characters: what makes one SHA-256 enough as its verifier. */
export function mintClientSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** @see ClientSecret.verifier */
export function secretVerifier(secret: string): string {
  return `sha256:${digest(secret).toString('base64url')}`;
}

/** Stands in for an unknown client's secrets, so that a refusal costs the same whether the client exists or not. */
const NOBODY = ['', randomBytes(32)] as const;

/** Finds among secrets whose verifier is a slow hash the one that was computed before (src/core/slow-secrets.ts); answers at once. */
export type Remembered = (presented: readonly string[], secrets: readonly ClientSecret[]) => string | undefined;

/**
 * The client that the credentials belong to. A wrong secret, an unknown id, an expired secret and a disabled client take the same
 * path and get the same answer.
 *
 * @param now epoch seconds
 * @throws OAuthError `invalid_client` — RFC 6749 §5.2
 */
export async function authenticateClient(
  credentials: ClientCredentials,
  now: number,
  clients: ClientDirectory,
  remembered: Remembered = () => undefined,
): Promise<Authenticated> {
  // What cannot be an id is not shown to the store, which would take offence at a NUL.
  const known = await clients.find(CLIENT_ID_PATTERN.test(credentials.clientId) ? credentials.clientId : '-');
  const secretId = provenSecret(credentials.secrets, known, now, remembered);
  if (!known || known.client.disabled) throw refusal(known ? 'client is disabled' : 'unknown client');
  if (credentials.method === 'none') {
    if (known.client.authMethod !== 'none') throw refusal('no secret was sent');
    return { ...known, secretId: undefined };
  }
  if (secretId === undefined) throw refusal('wrong or expired secret');
  // Only who has proven the secret learns the registered method: no silent change of it (RFC 7591 §2).
  if (known.client.authMethod !== credentials.method) {
    throw new OAuthError('invalid_client', `the client is registered for ${known.client.authMethod}`);
  }
  return { ...known, secretId };
}

/** Whether this is one of the client's secrets, in constant time. @param now epoch seconds */
export function holdsSecret(client: Client, secret: string, now: number): boolean {
  return provenSecret([secret], { client }, now) !== undefined;
}

/** @returns the id of the secret that one of these is */
function provenSecret(
  presented: readonly string[],
  known: Pick<KnownClient, 'client'> | undefined,
  now: number,
  remembered: Remembered = () => undefined,
): string | undefined {
  const live = known?.client.secrets.filter((secret) => !hasEnded(secret, now)) ?? [];
  const fast = live.filter(({ verifier }) => verifier.startsWith('sha256:'));
  const verifiers =
    fast.length > 0 ? fast.map(({ id, verifier }) => [id, Buffer.from(verifier.slice('sha256:'.length), 'base64url')] as const) : [NOBODY];
  let proven: string | undefined;
  for (const secret of presented) {
    const digested = digest(secret);
    for (const [id, verifier] of verifiers) if (verifier.length === digested.length && timingSafeEqual(verifier, digested)) proven = id;
  }
  return proven ?? remembered(presented, live);
}

function digest(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

/** The one answer to whoever is not who he says. @param reason for the log only */
export function refusal(reason: string): OAuthError {
  return new OAuthError('invalid_client', 'client authentication failed', reason);
}
