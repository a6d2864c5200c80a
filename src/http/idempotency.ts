import { createHash } from 'node:crypto';
import { Problem } from '../core/errors.ts';
import type { Once } from '../core/ports.ts';

/**
 * `Idempotency-Key`, draft-ietf-httpapi-idempotency-key-header §2: a string of structured fields; bare as well, since most clients send it so.
 *
 * @throws Problem `invalid_request`
 */
export function readOnce({ headers, method, url }: Request, document: object): Once | undefined {
  const given = headers.get('idempotency-key');
  if (given === null) return undefined;
  const key = /^"([\x21\x23-\x5b\x5d-\x7e]{1,200})"$/.exec(given)?.[1] ?? /^[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]{1,200}$/.exec(given)?.[0];
  if (key === undefined) throw new Problem('invalid_request', 'Idempotency-Key must be 1 to 200 visible characters, in quotes or not');
  const asked = [method, new URL(url).pathname, JSON.stringify(document)].join('\n');
  return { key, request: createHash('sha256').update(asked).digest() };
}

/** In place of a secret whose only showing was in the first answer to the same request. */
export function shownBefore(clientId: string): Readonly<Record<string, unknown>> {
  return {
    notice: `this was answered before, to the same Idempotency-Key; the secret was shown then and is not kept. POST /clients/${clientId}/secrets makes another`,
  };
}
