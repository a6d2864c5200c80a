import { token } from '../core/token.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps } from './app.ts';
import { authenticate } from './authenticate.ts';
import { readForm } from './body.ts';

/** `POST /token`, RFC 6749 §3.2. */
export async function tokenEndpoint(call: Call, deps: HttpDeps): Promise<Response> {
  const params = await readForm(call.request);
  const known = await authenticate(call, params, deps);
  return json(await token({ ...known, params, now: call.now }, deps));
}
