/** How a client and its secrets are shown, and how a request names one. */
import { clientMetadata } from '../core/client-metadata.ts';
import { CLIENT_ID_PATTERN, type Client, type ClientSecret } from '../core/clients.ts';
import { Problem } from '../core/errors.ts';
import type { Call } from './app.ts';

/** A client as it is read: RFC 7591 names, never a secret or its verifier. */
export function clientDocument(client: Client): Readonly<Record<string, unknown>> {
  return {
    client_id: client.id,
    client_id_issued_at: Math.floor(client.createdAt.getTime() / 1000),
    ...clientMetadata(client),
    secrets: client.secrets.map(secretDocument),
    created_at: client.createdAt.toISOString(),
    ...(client.createdBy !== undefined && { created_by: client.createdBy }),
    updated_at: client.updatedAt.toISOString(),
  };
}

export function secretDocument(secret: ClientSecret): Readonly<Record<string, unknown>> {
  return {
    id: secret.id,
    ...(secret.name !== undefined && { name: secret.name }),
    created_at: secret.createdAt.toISOString(),
    ...(secret.expiresAt && { expires_at: secret.expiresAt.toISOString() }),
    ...(secret.lastUsedAt && { last_used_at: secret.lastUsedAt.toISOString() }),
  };
}

/** What cannot be an id is not shown to the store. @throws Problem `not_found` */
export function clientIdOf(call: Call): string {
  const id = call.param('client_id');
  if (!CLIENT_ID_PATTERN.test(id)) throw noSuchClient();
  return id;
}

export function noSuchClient(): Problem {
  return new Problem('not_found', 'there is no such client');
}

/** The next page begins after this id. */
export function clientCursor(id: string): string {
  return Buffer.from(id).toString('base64url');
}

/** The last id of the page before. @throws Problem `invalid_request` */
export function readClientCursor(text: string | null): string | undefined {
  if (text === null) return undefined;
  const id = Buffer.from(text, 'base64url').toString();
  if (!CLIENT_ID_PATTERN.test(id) || Buffer.from(id).toString('base64url') !== text)
    throw new Problem('invalid_request', 'cursor is not valid');
  return id;
}
