/** `/register`: clients that register themselves (RFC 7591) and manage their own record (RFC 7592); docs/registration.md. */
import { mintClientSecret, secretVerifier } from '../core/client-auth.ts';
import { clientMetadata } from '../core/client-metadata.ts';
import { CLIENT_ID_PATTERN, type Client, newClientId } from '../core/clients.ts';
import { BearerError, Problem } from '../core/errors.ts';
import type { Actor, InitialTokenStore, RegistrationStore } from '../core/ports.ts';
import { OPEN_POLICY, type RegistrationMode, type RegistrationPolicy, registeredSettings, replacedSettings } from '../core/registration.ts';
import { couldBeRegistrationToken, mintRegistrationToken, opensRegistration } from '../core/registration-token.ts';
import { ownScopes } from '../core/scope.ts';
import { empty, json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { readJsonObject } from './body.ts';
import { readBearer } from './credentials.ts';
import { JSON_TYPE, queryOf } from './management.ts';
import type { RegistrationLimit } from './registration-limit.ts';

export interface RegistrationDeps {
  readonly mode: RegistrationMode;
  readonly clients: RegistrationStore;
  readonly initialTokens: InitialTokenStore;
  readonly limit: RegistrationLimit;
}

export const isRegistrationOffered = ({ registration }: HttpDeps): boolean => registration.mode !== 'off';

const shared = { style: 'oauth', isOffered: isRegistrationOffered } as const;
export const registrationRoutes: readonly Route[] = [
  { method: 'POST', path: '/register', answer: register, ...shared },
  { method: 'GET', path: '/register/:client_id', answer: showOwn, ...shared },
  { method: 'PUT', path: '/register/:client_id', answer: replaceOwn, ...shared },
  { method: 'DELETE', path: '/register/:client_id', answer: deleteOwn, ...shared },
];

/** So many members tell what is wrong with them. */
const FIELDS_SAID_MAX = 10;

async function register(call: Call, deps: HttpDeps): Promise<Response> {
  // Before the body, so that nobody's is read who may not register; the uses of the token are counted when the client is made.
  const policy = await policyOf(call, deps);
  const document = await readJsonObject(call.request, JSON_TYPE);
  const settings = await inWords(async () => registeredSettings(document, policy));
  const { clients, limit } = deps.registration;
  if (policy === OPEN_POLICY) limit.take(call.address, call.now);
  const [secret, token] = [mintClientSecret(), mintRegistrationToken('rat_')];
  const client = await inWords(() =>
    clients.register(
      {
        id: newClientId(undefined),
        settings,
        secret: { name: undefined, verifier: secretVerifier(secret), expiresAt: undefined },
        access: { verifier: secretVerifier(token), ...policy },
      },
      { clientId: undefined, address: call.address, requestId: call.requestId },
    ),
  );
  if (!client) throw invalidToken();
  return json({ ...clientInformation(client, token, deps), client_secret: secret, client_secret_expires_at: 0 }, 201);
}

async function showOwn(call: Call, deps: HttpDeps): Promise<Response> {
  const { client, token } = await authorizeOwn(call, deps);
  return json(clientInformation(client, token, deps));
}

async function replaceOwn(call: Call, deps: HttpDeps): Promise<Response> {
  const { client, token, actor } = await authorizeOwn(call, deps);
  requireUnprivileged(client);
  const document = await readJsonObject(call.request, JSON_TYPE);
  // Nobody has let it in, and each change is a row in the audit and in the change log.
  if (client.registrationAccess?.initialTokenId === undefined) deps.registration.limit.take(call.address, call.now);
  const asOf = { now: deps.clock(), mode: deps.registration.mode };
  const change = (current: Client) => {
    requireOwn(current, token);
    requireUnprivileged(current);
    return replacedSettings(document, current, asOf);
  };
  const updated = await inWords(() => deps.administration.update(client.id, change, actor));
  if (!updated) throw invalidToken();
  return json(clientInformation(updated, token, deps));
}

async function deleteOwn(call: Call, deps: HttpDeps): Promise<Response> {
  const { client, token, actor } = await authorizeOwn(call, deps);
  const check = (current: Client) => {
    requireOwn(current, token);
    requireUnprivileged(current);
  };
  const deleted = await deps.administration.delete(client.id, check, actor);
  if (!deleted) throw invalidToken();
  return empty(204);
}

/**
 * How far a registration may go. A token that is sent has to be good, even where none is needed.
 *
 * @throws BearerError
 */
async function policyOf(call: Call, { registration }: HttpDeps): Promise<RegistrationPolicy> {
  const presented = bearerOf(call);
  if (presented === undefined && registration.mode === 'open') return OPEN_POLICY;
  if (presented === undefined) throw new BearerError(undefined, 'an initial access token is needed');
  const isOne = couldBeRegistrationToken('irt_', presented);
  const found = isOne ? await registration.initialTokens.find(secretVerifier(presented)) : undefined;
  if (!found) throw invalidToken();
  return { initialTokenId: found.id, allowedScope: found.scope };
}

interface OwnRecord {
  readonly client: Client;
  /** as it was presented: only its hash is kept, and RFC 7592 §3 wants it in every answer */
  readonly token: string;
  readonly actor: Actor;
}

/**
 * RFC 7592 §2: the record decides, and no memory. A wrong token, another client's, and a client that is not there cost the same and look the same.
 *
 * @throws BearerError
 */
async function authorizeOwn(call: Call, { clientRecords }: HttpDeps): Promise<OwnRecord> {
  const token = bearerOf(call);
  if (token === undefined) throw new BearerError(undefined, 'a registration access token is needed');
  if (!couldBeRegistrationToken('rat_', token)) throw invalidToken();
  const id = call.param('client_id');
  const known = await clientRecords.find(CLIENT_ID_PATTERN.test(id) ? id : '-');
  const client = requireOwn(known?.client, token);
  return { client, token, actor: { clientId: client.id, scope: [], address: call.address, requestId: call.requestId } };
}

/** @throws BearerError — not its token; or an administrator has disabled it, and it does nothing until he enables it (RFC 7592 §2.1: 403) */
function requireOwn(client: Client | undefined, token: string): Client {
  if (!opensRegistration(token, client) || !client) throw invalidToken();
  if (client.disabled) throw new BearerError('insufficient_scope', 'an administrator has disabled this client');
  return client;
}

/** As for all others, a client with `auth:` scopes is changed only by who holds them (docs/decisions/0007), and this token holds none. @throws BearerError */
function requireUnprivileged(client: Client): void {
  if (ownScopes(client.scope).length > 0)
    throw new BearerError('insufficient_scope', 'a client with auth: scopes is changed by an administrator only');
}

/** @throws BearerError `invalid_request` */
function bearerOf(call: Call): string | undefined {
  if (queryOf(call.request).has('access_token')) throw new BearerError('invalid_request', 'the token belongs in the Authorization header');
  return readBearer(call.authorization);
}

function invalidToken(): BearerError {
  return new BearerError('invalid_token', 'the token is not valid');
}

/** RFC 7591 §3.2.1, RFC 7592 §3: all that is registered. Not the secret, of which only a hash is kept. */
function clientInformation(client: Client, token: string, { issuer }: HttpDeps): Readonly<Record<string, unknown>> {
  return {
    client_id: client.id,
    client_id_issued_at: Math.floor(client.createdAt.getTime() / 1000),
    ...clientMetadata(client),
    registration_access_token: token,
    registration_client_uri: `${issuer}/register/${client.id}`,
  };
}

/** RFC 7591 §3.2.2 has no place for fields but the text, in the characters of RFC 6749 §5.2. */
async function inWords<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Problem) || error.fields.length === 0) throw error;
    const said = error.fields.slice(0, FIELDS_SAID_MAX).map(({ pointer, detail }) => `${pointer} ${detail}`);
    const text = `${error.message}: ${said.join('; ')}`.replaceAll('"', "'").replaceAll(/[^\x20-\x5b\x5d-\x7e]/g, '?');
    throw new Problem(error.code, text);
  }
}
