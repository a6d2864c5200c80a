import { token } from '../core/token.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps } from './app.ts';
import { authenticate } from './authenticate.ts';
import { readForm } from './body.ts';

/** `POST /token`, RFC 6749 §3.2. */
export async function tokenEndpoint(started: Call, deps: HttpDeps): Promise<Response> {
  const { params, resources } = await readForm(started.request);
  const call = { ...started, now: deps.clock() }; // the body may have taken its time
  const known = await authenticate(call, params, deps);
  return json(await token({ ...known, params, resources, now: call.now }, deps));
}
