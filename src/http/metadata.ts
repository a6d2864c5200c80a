import { authorizationServerMetadata } from '../core/metadata.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps } from './app.ts';

/** `GET /.well-known/oauth-authorization-server`, RFC 8414 §3. */
export function metadata(_call: Call, { issuer, signingAlg }: HttpDeps): Response {
  return json(authorizationServerMetadata(issuer, signingAlg), 200, { 'cache-control': 'public, max-age=3600' });
}
