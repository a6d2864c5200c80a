/** Client authentication as the token, revocation and introspection endpoints share it. */
import { type Authenticated, authenticateClient } from '../core/client-auth.ts';
import { OAuthError } from '../core/errors.ts';
import type { ClientDirectory, KnownClient } from '../core/ports.ts';
import type { Call, HttpDeps } from './app.ts';
import { readClientCredentials } from './credentials.ts';

/**
 * @throws OAuthError `invalid_client` — nothing presented, or refused; `invalid_request` — see {@link readClientCredentials}
 * @throws HttpError 429 — too many failures of this client id from this address
 */
export async function authenticate(
  call: Call,
  params: ReadonlyMap<string, string>,
  { clients, clientRecords, throttle, secretUsed, slowSecrets }: HttpDeps,
): Promise<Authenticated> {
  const credentials = readClientCredentials(call.authorization, params);
  if (!credentials) throw new OAuthError('invalid_client', 'client authentication is missing');
  throttle.check(credentials.clientId, call.address, call.now);
  const by = async (directory: ClientDirectory) => {
    const authenticated = await authenticateClient(credentials, call.now, directory, (...given) => slowSecrets.remembered(...given));
    if (authenticated.secretId !== undefined) secretUsed(authenticated.secretId, call.now);
    return authenticated;
  };
  try {
    return await by(clients);
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error;
  }
  // A client or a secret that was just added, on another node perhaps, is as good as any: what memory does not know the record decides. So
  // every refusal costs one look-up, of a client that there is and of one that there is not.
  let known: KnownClient | undefined;
  const records: ClientDirectory = { find: async (clientId) => (known = await clientRecords.find(clientId)) };
  const decide = () =>
    by(records).catch(async (error: unknown) => {
      if (!(error instanceof OAuthError) || !(await slowSecrets.learn(credentials.secrets, known, call.now))) throw error;
      return by(records);
    });
  try {
    return await decide();
  } catch (error) {
    if (error instanceof OAuthError) throttle.recordFailure(credentials.clientId, call.address, call.now);
    throw error;
  }
}
