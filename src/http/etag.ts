/** Entity tags of clients, and what a request demands of them: RFC 9110 §8.8.3, §13. */
import type { Client } from '../core/clients.ts';
import { Problem } from '../core/errors.ts';

/** Each as it stands in the header, with its quotes; `*`: whatever there is. */
type Tags = readonly string[] | '*';

export interface Preconditions {
  readonly ifMatch: Tags | undefined;
  readonly ifNoneMatch: Tags | undefined;
}

const TAG = '(?:W/)?"[\\x21\\x23-\\x7e\\x80-\\xff]*"';
const TAGS = new RegExp(TAG, 'g');
/** RFC 9110 §5.6.1.2: empty elements count for nothing. */
const LIST = new RegExp(`^[ \\t,]*${TAG}(?:[ \\t]*,(?:[ \\t]*${TAG})?)*[ \\t]*$`);

/** A strong one: of two states of a client no two have the same. */
export function etagOf({ version }: Client): string {
  return `"${version}"`;
}

/** To be read before anything is done. @throws Problem `invalid_request` — a tag without its quotes must not pass for one that differs */
export function readPreconditions({ headers }: Request): Preconditions {
  return { ifMatch: readTags(headers, 'If-Match'), ifNoneMatch: readTags(headers, 'If-None-Match') };
}

/**
 * For a change: to be called with the record that is locked, or somebody else's change comes in between.
 *
 * @throws Problem `precondition_failed`
 */
export function requirePreconditions(preconditions: Preconditions, current: Client): void {
  requireMatch(preconditions, current);
  if (isNotModified(preconditions, current)) throw failed();
}

/** RFC 9110 §13.1.1: strong comparison, so a weak tag equals none. @throws Problem `precondition_failed` */
export function requireMatch({ ifMatch }: Preconditions, current: Client): void {
  if (ifMatch !== undefined && ifMatch !== '*' && !ifMatch.includes(etagOf(current))) throw failed();
}

/** RFC 9110 §13.1.2: weak comparison. */
export function isNotModified({ ifNoneMatch }: Preconditions, current: Client): boolean {
  const etag = etagOf(current);
  return ifNoneMatch === '*' || (ifNoneMatch?.some((tag) => tag === etag || tag === `W/${etag}`) ?? false);
}

function readTags(headers: Headers, name: string): Tags | undefined {
  const value = headers.get(name);
  if (value === null) return undefined;
  if (value.trim() === '*') return '*';
  if (!LIST.test(value))
    throw new Problem('invalid_request', `${name} must be * or entity tags in double quotes, with commas between them`);
  return value.match(TAGS) ?? [];
}

function failed(): Problem {
  return new Problem('precondition_failed', 'the client is not in the state that the request demands: read it again');
}
