import { OAuthError } from '../core/errors.ts';
import { revoke } from '../core/revoke.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps } from './app.ts';
import { authenticate } from './authenticate.ts';
import { readForm } from './body.ts';

/** `POST /revoke`, RFC 7009. The empty object: two widespread clients fail on an empty or a non-JSON body. */
export async function revokeEndpoint(started: Call, deps: HttpDeps): Promise<Response> {
  const { params } = await readForm(started.request);
  const call = { ...started, now: deps.clock() }; // the body may have taken its time
  const { client, secretId } = await authenticate(call, params, deps);
  const token = params.get('token');
  if (token === undefined) throw new OAuthError('invalid_request', 'token is missing');
  await revoke(token, { clientId: client.id, secretId, address: call.address, requestId: call.requestId }, call.now, deps.tokens);
  return json({});
}
