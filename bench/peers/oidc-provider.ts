/** oidc-provider with its in-memory adapter: an LRU of 1,000 to 2,000 entries, nothing survives. Opaque tokens, its defaults otherwise. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
// @ts-expect-error: it comes without types
import { Provider } from 'oidc-provider';
import { peerOptions, SCOPE, sayListening, TOKEN_TTL_SECONDS } from './peer.ts';

// Advice for production about keys, policies and adapters, of which none costs time on these two paths.
console.info = console.warn = () => undefined;

const { port, clientId, clientSecret } = peerOptions();
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = new Provider(`http://localhost:${port}`, {
  clients: [
    {
      client_id: clientId,
      client_secret: clientSecret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
      scope: SCOPE,
    },
  ],
  scopes: SCOPE.split(' '),
  features: { clientCredentials: { enabled: true }, introspection: { enabled: true }, devInteractions: { enabled: false } },
  routes: { token: '/token', introspection: '/introspect' },
  ttl: { ClientCredentials: TOKEN_TTL_SECONDS },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig' }] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
});
provider.listen(port, '127.0.0.1', sayListening);
