/** `/clients/{client_id}/secrets` (docs/client.md). */
import { z } from 'zod';
import { mintClientSecret, secretVerifier } from '../core/client-auth.ts';
import { type Client, hasEnded, hasSecrets, requireOwnScopes, SECRETS_MAX } from '../core/clients.ts';
import { Problem } from '../core/errors.ts';
import { readFields } from '../core/fields.ts';
import type { FurtherSecret } from '../core/ports.ts';
import { empty, json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { clientIdOf, noSuchClient, secretDocument } from './client-document.ts';
import { readPreconditions, requirePreconditions } from './etag.ts';
import { readOnce, shownBefore } from './idempotency.ts';
import { authorize, hasBody, JSON_TYPE, queryOf, readChange, time } from './management.ts';

const WRITER = 'auth:clients';
const NOT_VALID = 'the secret is not valid';
const NAME = 'must be 1 to 200 characters of text';
const FUTURE = {
  expires_at: 'must be a time in the future, RFC 3339',
  previous_expires_at: 'must be a time in the future, RFC 3339; a secret that is to end now is removed',
};

export const NEW_SECRET = z.strictObject({
  name: z
    .string(NAME)
    .regex(/^\P{Cc}{1,200}$/u, NAME)
    .optional(),
  expires_at: time(FUTURE.expires_at).optional(),
  previous_expires_at: time(FUTURE.previous_expires_at).optional(),
});

export const clientSecretRoutes: readonly Route[] = [
  { method: 'POST', path: '/clients/:client_id/secrets', style: 'management', answer: addSecret },
  { method: 'DELETE', path: '/clients/:client_id/secrets/:secret_id', style: 'management', answer: removeSecret },
];

async function addSecret(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = hasBody(call.request)
    ? await readChange(call, deps, WRITER, JSON_TYPE)
    : { actor: await authorize(call, deps, WRITER), document: {} };
  const now = deps.clock();
  const { name, expiresAt, othersExpireAt } = parseNewSecret(document, now);
  const preconditions = readPreconditions(call.request);
  const check = (current: Client) => {
    requireOwnScopes(actor.scope, current);
    requirePreconditions(preconditions, current);
    if (!hasSecrets(current.authMethod))
      throw new Problem('conflict', `a client with token_endpoint_auth_method "${current.authMethod}" has no secrets`);
    if (current.secrets.filter((secret) => !hasEnded(secret, now)).length >= SECRETS_MAX)
      throw new Problem('conflict', `a client has at most ${SECRETS_MAX} secrets: remove one first`);
  };
  const clientId = clientIdOf(call);
  const secret = mintClientSecret();
  const verifier = secretVerifier(secret);
  const further = { name, verifier, expiresAt, othersExpireAt };
  const added = await deps.administration.addSecret(clientId, further, check, actor, readOnce(call.request, document));
  if (!added) throw noSuchClient();
  return json({ ...secretDocument(added), ...(added.verifier === verifier ? { client_secret: secret } : shownBefore(clientId)) }, 201);
}

async function removeSecret(call: Call, deps: HttpDeps): Promise<Response> {
  const actor = await authorize(call, deps, WRITER);
  const secretId = call.param('secret_id');
  const preconditions = readPreconditions(call.request);
  const check = (current: Client) => {
    requireOwnScopes(actor.scope, current);
    requirePreconditions(preconditions, current);
  };
  const secret = { secretId, tokens: readRevokeTokens(call) };
  const removed = /^[0-9a-f-]{36}$/.test(secretId) && (await deps.administration.removeSecret(clientIdOf(call), secret, check, actor));
  if (!removed) throw new Problem('not_found', 'there is no such secret');
  return empty(204);
}

/** A typing error must not leave tokens alive that were to end, so nothing but the two words is taken. */
function readRevokeTokens({ request }: Call): 'keep' | 'end' {
  const values = queryOf(request).getAll('revoke_tokens');
  const value = values.length > 1 ? undefined : (values[0] ?? 'false');
  if (value !== 'true' && value !== 'false') throw new Problem('invalid_request', 'revoke_tokens must be true or false');
  return value === 'true' ? 'end' : 'keep';
}

function parseNewSecret(document: Readonly<Record<string, unknown>>, now: number): Omit<FurtherSecret, 'verifier'> {
  const given = readFields(NEW_SECRET, document, NOT_VALID);
  const { name, expires_at: expiresAt, previous_expires_at: othersExpireAt } = given;
  const fields = Object.entries(FUTURE)
    .filter(([member]) => hasEnded({ expiresAt: given[member as keyof typeof FUTURE] }, now))
    .map(([member, detail]) => ({ pointer: `/${member}`, detail }));
  if (fields.length > 0) throw new Problem('invalid_request', NOT_VALID, fields);
  return { name, expiresAt, othersExpireAt };
}
