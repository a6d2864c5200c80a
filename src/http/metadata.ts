import { metadataMaxAgeSeconds } from '../core/key-schedule.ts';
import { authorizationServerMetadata } from '../core/metadata.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps } from './app.ts';

export const METADATA_PATH = '/.well-known/oauth-authorization-server';

/** RFC 8414 §3.1: the well-known part is inserted before the issuer's path. @param issuerPath without a slash at its end */
export function metadataPath(issuerPath: string): string {
  return METADATA_PATH + issuerPath;
}

/** `GET /.well-known/oauth-authorization-server`, RFC 8414 §3. */
export async function metadata({ now }: Call, { issuer, signingKeys, keyAnnounceSeconds, registration }: HttpDeps): Promise<Response> {
  const keys = await signingKeys.schedule();
  const [signing] = keys;
  if (!signing) throw new Error('there is no signing key');
  const maxAge = metadataMaxAgeSeconds(keys, keyAnnounceSeconds, now * 1000);
  const metadata = {
    ...authorizationServerMetadata(issuer, signing.alg),
    ...(registration.mode !== 'off' && { registration_endpoint: `${issuer}/register` }),
  };
  return json(metadata, 200, { 'cache-control': `public, max-age=${maxAge}` });
}
