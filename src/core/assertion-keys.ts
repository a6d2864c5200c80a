/** What a client that is to authenticate by `private_key_jwt` has to register: RFC 7591 §2. */
import { isForEncryption, isUsable, type Jwk, readClientKey } from './client-keys.ts';
import type { AuthMethod } from './clients.ts';

interface KeyMetadata {
  readonly token_endpoint_auth_method: AuthMethod;
  readonly token_endpoint_auth_signing_alg?: string | undefined;
  readonly jwks?: { readonly keys: readonly Jwk[] } | undefined;
  readonly jwks_uri?: string | undefined;
}

interface FieldIssue {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Of other clients the keys are for others to read, and may be what they are. */
export function assertionKeyProblems(metadata: KeyMetadata): readonly FieldIssue[] {
  if (metadata.token_endpoint_auth_method !== 'private_key_jwt') return [];
  const { jwks, jwks_uri: uri, token_endpoint_auth_signing_alg: alg } = metadata;
  if (uri !== undefined) return uriProblems(uri);
  if (!jwks) return [{ path: ['jwks'], message: 'or jwks_uri is required with private_key_jwt' }];
  const read = jwks.keys.map((jwk) => (isForEncryption(jwk) ? undefined : readClientKey(jwk)));
  const problems = read.flatMap((key, index) =>
    key === undefined || isUsable(key)
      ? []
      : [{ path: ['jwks', 'keys', index, ...(key.member === undefined ? [] : [key.member])], message: key.detail }],
  );
  if (problems.length > 0) return problems;
  const usable = read.filter((key) => key !== undefined && isUsable(key));
  if (usable.length === 0) return [{ path: ['jwks', 'keys'], message: 'must have a key that verifies signatures' }];
  if (alg !== undefined && !usable.some(({ algs }) => algs.some((its) => its === alg)))
    return [{ path: ['token_endpoint_auth_signing_alg'], message: 'no key in jwks can be used with it' }];
  return [];
}

/** Who can change what is answered there becomes the client, so it has to come over TLS; but on one machine. */
function uriProblems(uri: string): readonly FieldIssue[] {
  if (!URL.canParse(uri)) return []; // which has been said
  const { protocol, hostname, username, password } = new URL(uri);
  const isLoopback = hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
  if (protocol !== 'https:' && !isLoopback) return [{ path: ['jwks_uri'], message: 'must be an https URL with private_key_jwt' }];
  if (username !== '' || password !== '') return [{ path: ['jwks_uri'], message: 'must not have a user or a password' }];
  return [];
}
