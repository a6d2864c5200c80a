/** Client authentication as the token, revocation and introspection endpoints share it. */
import { type PresentedAssertion, proveAssertion, readAssertion } from '../core/client-assertion.ts';
import { type Authenticated, authenticateClient, type ClientCredentials, refusal } from '../core/client-auth.ts';
import { OAuthError } from '../core/errors.ts';
import type { ClientDirectory, KnownClient } from '../core/ports.ts';
import type { Call, HttpDeps } from './app.ts';
import { readClientCredentials } from './credentials.ts';

/**
 * @throws OAuthError `invalid_client` — nothing presented, or refused; `invalid_request` — see {@link readClientCredentials}
 * @throws HttpError 429 — too many failures of this client id from this address
 */
export async function authenticate(call: Call, params: ReadonlyMap<string, string>, deps: HttpDeps): Promise<Authenticated> {
  const { clients, clientRecords, throttle, slowSecrets } = deps;
  const credentials = present(call, params, deps.issuer);
  if (!credentials) throw new OAuthError('invalid_client', 'client authentication is missing');
  throttle.check(credentials.clientId, call.address, call.now);
  const by = (directory: ClientDirectory) => prove(credentials, directory, call.now, deps);
  let known: KnownClient | undefined;
  const records: ClientDirectory = { find: async (clientId) => (known = await clientRecords.find(clientId)) };
  /** A slow hash is computed for a client that is there, and never before its record was asked. */
  const learned = async (error: unknown) => {
    if (!(error instanceof OAuthError) || credentials.method === 'private_key_jwt') throw error;
    if (!(await slowSecrets.learn(credentials.secrets, known, call.now))) throw error;
    return by(records);
  };
  try {
    // A client or a secret that was just added, on another node perhaps, is as good as any: what memory does not know the record decides. So
    // every refusal costs one look-up, of a client that there is and of one that there is not.
    const proven = await by(clients).catch((error: unknown) => {
      if (error instanceof OAuthError) return by(records).catch(learned);
      throw error;
    });
    return credentials.method === 'private_key_jwt' ? await spend(credentials, proven, deps) : proven;
  } catch (error) {
    if (error instanceof OAuthError) throttle.recordFailure(credentials.clientId, call.address, call.now);
    throw error;
  }
}

function present(call: Call, params: ReadonlyMap<string, string>, issuer: string): ClientCredentials | PresentedAssertion | undefined {
  const credentials = readClientCredentials(call.authorization, params);
  if (credentials?.method !== 'private_key_jwt') return credentials;
  // Of the request only the path counts: the host is whatever the client has called us.
  const endpoint = new URL(issuer).origin + new URL(call.request.url).pathname;
  return readAssertion(credentials.jwt, credentials.clientId, { issuer, endpoint, now: call.now });
}

async function prove(
  credentials: ClientCredentials | PresentedAssertion,
  directory: ClientDirectory,
  now: number,
  { clientKeysAt, secretUsed, slowSecrets }: HttpDeps,
): Promise<Authenticated> {
  if (credentials.method === 'private_key_jwt')
    return { ...(await proveAssertion(credentials, directory, clientKeysAt)), secretId: undefined };
  const authenticated = await authenticateClient(credentials, now, directory, (...given) => slowSecrets.remembered(...given));
  if (authenticated.secretId !== undefined) secretUsed(authenticated.secretId, now);
  return authenticated;
}

/**
 * After all that may refuse it: a wrong assertion writes nothing, and one that was looked at twice is used once.
 *
 * @throws OAuthError `invalid_client` — used before
 */
async function spend(assertion: PresentedAssertion, proven: KnownClient, deps: HttpDeps): Promise<Authenticated> {
  const { clients, clientRecords, clientKeysAt, spendAssertion } = deps;
  if (!(await spendAssertion(assertion.spends))) {
    throw new OAuthError('invalid_client', 'the client assertion was used before: make one for each request', 'used before');
  }
  // To fetch keys and to write took time, in which the client may have been disabled or its key removed. From here on nothing waits.
  const latest = (await clients.find(assertion.clientId)) ?? (await clientRecords.find(assertion.clientId));
  if (!latest) throw refusal('the client was deleted meanwhile');
  if (latest.client.version !== proven.client.version) await proveAssertion(assertion, { find: async () => latest }, clientKeysAt);
  return { ...latest, secretId: undefined };
}
