import { ASSERTION_ALGS } from './client-keys.ts';
import type { SigningAlg } from './signing-key.ts';
import { GRANT_TYPES } from './token.ts';

const CONFIDENTIAL = ['client_secret_basic', 'client_secret_post', 'private_key_jwt'];

/**
 * Authorization server metadata, RFC 8414 §2: only what is there. `response_types_supported` would be empty, and empty arrays are
 * omitted (§3.2).
 */
export function authorizationServerMetadata(issuer: string, signingAlg: SigningAlg): Readonly<Record<string, unknown>> {
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    token_endpoint_auth_methods_supported: CONFIDENTIAL,
    token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGS,
    grant_types_supported: GRANT_TYPES,
    introspection_endpoint: `${issuer}/introspect`,
    introspection_endpoint_auth_methods_supported: CONFIDENTIAL,
    introspection_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGS,
    introspection_signing_alg_values_supported: [signingAlg],
    revocation_endpoint: `${issuer}/revoke`,
    revocation_endpoint_auth_methods_supported: [...CONFIDENTIAL, 'none'],
    revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGS,
    jwks_uri: `${issuer}/jwks`,
  };
}
