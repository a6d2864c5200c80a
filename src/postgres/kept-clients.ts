/** Clients and secrets as they are kept for whoever repeats a request: JSON, and without what proves a secret (src/postgres/idempotency.ts). */
import type { Client, ClientSecret } from '../core/clients.ts';

export function keptClient(client: Client): Client {
  return { ...client, secrets: client.secrets.map(keptSecret) };
}

export function keptSecret(secret: ClientSecret): ClientSecret {
  return { ...secret, verifier: '' };
}

/** Times are text in JSON, and what is not there is not written. */
export function clientOfKept(kept: Client): Client {
  const { createdAt, updatedAt, secrets } = kept;
  return { ...kept, createdAt: new Date(createdAt), updatedAt: new Date(updatedAt), secrets: secrets.map(secretOfKept) };
}

export function secretOfKept(kept: ClientSecret): ClientSecret {
  const { createdAt, expiresAt, lastUsedAt } = kept;
  return {
    ...kept,
    createdAt: new Date(createdAt),
    expiresAt: expiresAt && new Date(expiresAt),
    lastUsedAt: lastUsedAt && new Date(lastUsedAt),
  };
}
