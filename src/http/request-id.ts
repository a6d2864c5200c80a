import { randomUUID } from 'node:crypto';

const GIVEN = /^[A-Za-z0-9._-]{1,128}$/;

/** What names a request in the audit and in the answer: the caller's `X-Request-Id` if it is harmless, or one of ours. */
export function requestIdOf({ headers }: Request): string {
  const given = headers.get('x-request-id');
  return given !== null && GIVEN.test(given) ? given : randomUUID();
}
