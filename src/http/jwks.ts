import { json } from './answers.ts';
import type { Call, HttpDeps } from './app.ts';

/** `GET /jwks`, RFC 7517 §5: the signing key first. */
export async function jwks(_call: Call, { signingKeys }: HttpDeps): Promise<Response> {
  return json({ keys: await signingKeys.all() }, 200, { 'cache-control': 'public, max-age=300' });
}
