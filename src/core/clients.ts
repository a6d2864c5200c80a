/** Clients, their secrets, and who may give what to whom (docs/client.md). */
import { randomUUID } from 'node:crypto';
import type { Administers } from './delegation.ts';
import { Problem } from './errors.ts';
import { ownScopes } from './scope.ts';

export const CLIENT_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$/;
export const AUTH_METHODS = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'] as const;
export type AuthMethod = (typeof AUTH_METHODS)[number];

/** Whether a client that authenticates so gets secrets. */
export function hasSecrets(method: AuthMethod): boolean {
  return method === 'client_secret_basic' || method === 'client_secret_post';
}

/** A year and a day: what a cut-off has to be remembered for. */
export const ACCESS_TOKEN_TTL_MAX_SECONDS = 367 * 86_400;
/** They are counted at each issue. */
export const ACCESS_TOKEN_LIMIT_MAX = 10_000;
export const SECRETS_MAX = 10;

/** What an administrator decides about a client. */
export interface ClientSettings {
  readonly authMethod: AuthMethod;
  readonly grantTypes: readonly string[];
  /** what it may ask for, and what it gets when it asks for nothing */
  readonly scope: readonly string[];
  /** `aud` of its tokens; empty: the issuer */
  readonly audience: readonly string[];
  /** absolute URIs that it serves as a resource server */
  readonly resources: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
  readonly accessTokenFormat: 'reference' | 'jwt';
  /** `undefined`: the server's */
  readonly accessTokenTtlSeconds: number | undefined;
  /** so many of its tokens are alive at a time; `undefined`: as many as it asks for */
  readonly accessTokenLimit: number | undefined;
  readonly introspectionMaxAgeSeconds: number;
  readonly disabled: boolean;
  /** which clients it may administer, if it may any; `undefined`: all */
  readonly administers?: Administers | undefined;
  /** the rest of RFC 7591 §2 by its wire names, kept as it came */
  readonly registration: Readonly<Record<string, unknown>>;
}

export interface ClientSecret {
  readonly id: string;
  readonly name: string | undefined;
  /** `sha256:` and the digest in base64url; says nothing about the secret, which has 256 bits. Or a slow hash that was imported: it begins with `$` */
  readonly verifier: string;
  readonly createdAt: Date;
  readonly expiresAt: Date | undefined;
  readonly lastUsedAt: Date | undefined;
}

/** @param now epoch seconds; a secret is wrong from the second on in which it ends */
export function hasEnded({ expiresAt }: Pick<ClientSecret, 'expiresAt'>, now: number): boolean {
  return expiresAt !== undefined && Math.floor(expiresAt.getTime() / 1000) <= now;
}

export interface Client extends ClientSettings {
  readonly id: string;
  /** grows with each change of the client and its secrets, and with nothing else */
  readonly version: number;
  readonly createdAt: Date;
  /** the client that made it; `undefined`: the server itself, or nobody wrote it down */
  readonly createdBy?: string | undefined;
  readonly updatedAt: Date;
  readonly secrets: readonly ClientSecret[];
  /** of one that registered itself */
  readonly registrationAccess?: RegistrationAccess;
}

/** By what a client manages its own record (RFC 7592), and how far. */
export interface RegistrationAccess {
  /** see {@link ClientSecret.verifier}; of its registration access token */
  readonly verifier: string;
  /** of the initial access token; `undefined`: none was needed */
  readonly initialTokenId: string | undefined;
  /** what it may ask for; `undefined`: any scope but `auth:*` */
  readonly allowedScope: readonly string[] | undefined;
}

/**
 * The id that a creation asks for, or a new one.
 *
 * @throws Problem `invalid_client_metadata`
 */
export function newClientId(requested: unknown): string {
  if (requested === undefined) return randomUUID();
  if (typeof requested === 'string' && CLIENT_ID_PATTERN.test(requested)) return requested;
  const detail = 'must be 1 to 128 letters, digits, ".", "_", "~", "-", and begin with a letter or digit';
  throw new Problem('invalid_client_metadata', 'the client metadata is not valid', [{ pointer: '/client_id', detail }]);
}

/**
 * Nobody gives what he has not: an `auth:*` scope goes to a client only by a token that holds it, and a client that holds one is
 * changed only by such a token; else adding a secret to the administrator would be a way to become it.
 *
 * @throws Problem `insufficient_scope`
 */
export function requireOwnScopes(held: readonly string[], ...clients: readonly Pick<ClientSettings, 'scope'>[]): void {
  const missing = clients.flatMap((client) => ownScopes(client.scope)).filter((scope) => !held.includes(scope));
  if (missing.length > 0) throw new Problem('insufficient_scope', 'a client with auth: scopes needs a token that holds the same scopes');
}
