import { jwksMaxAgeSeconds, publishedKeys } from '../core/key-schedule.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps } from './app.ts';

/** `GET /jwks`, RFC 7517 §5: the signing key first. */
export async function jwks(_call: Call, { signingKeys, keyAnnounceSeconds }: HttpDeps): Promise<Response> {
  const cacheControl = `public, max-age=${jwksMaxAgeSeconds(keyAnnounceSeconds)}`;
  return json({ keys: publishedKeys(await signingKeys.schedule()) }, 200, { 'cache-control': cacheControl });
}
