/** Scope grammar and narrowing, RFC 6749 §3.3. A scope is a list of distinct tokens in the order in which they were given. */
import { OAuthError } from './errors.ts';

/** The scopes of this server's own API; the first administrator holds all of them. */
export const OWN_SCOPES: readonly string[] = [
  'auth:clients',
  'auth:clients:read',
  'auth:introspect',
  'auth:revocations',
  'auth:revocations:read',
  'auth:keys',
  'auth:audit',
];

/** RFC 6749 §3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`, one space between two. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/;

/** @returns the scope tokens without repetitions; `undefined` when the grammar does not allow the text */
export function parseScope(text: string): readonly string[] | undefined {
  if (text === '') return [];
  return SCOPE.test(text) ? [...new Set(text.split(' '))] : undefined;
}

/**
 * What a client gets of what it asked for. Nothing asked: all that it is registered for (the default, docs/get_token.md).
 *
 * @throws OAuthError `invalid_scope` — malformed, or more than the client is registered for
 */
export function narrowScope(requested: string | undefined, registered: readonly string[]): readonly string[] {
  if (requested === undefined) return registered;
  const scope = parseScope(requested);
  if (!scope) throw new OAuthError('invalid_scope', 'scope is malformed');
  if (!scope.every((token) => registered.includes(token)))
    throw new OAuthError('invalid_scope', 'scope exceeds what the client is registered for');
  return scope;
}

/** Scopes that only a holder may give to another client: those of this server's own API. */
export function ownScopes(scope: readonly string[]): readonly string[] {
  return scope.filter((token) => token.startsWith('auth:'));
}
