/** Request bodies, read strictly and with a limit: forms (RFC 6749 Appendix B) and JSON. */
import { HttpError } from './errors.ts';

/** The listener reads no more than this of any body, but of an import. */
export const BODY_BYTES_MAX = 64 * 1024;
export const IMPORT_BYTES_MAX = 4 * 1024 * 1024;
const FORM_BYTES_MAX = 16 * 1024;
const JSON_DEPTH_MAX = 32;

/** Parameters of these endpoints; in the query they would end in logs, and beside the body they would count twice (RFC 6749 §2.3.1, §3.2). */
const BODY_ONLY = new Set(
  ['grant_type', 'scope', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type'].concat([
    'token',
    'token_type_hint',
    'resource',
    'access_token',
  ]),
);
/** RFC 8707 §2 and RFC 8693 §2.1 let these repeat. */
const REPEATABLE = new Set(['resource', 'audience']);

export interface Form {
  /** empty ones count as absent (RFC 6749 §3.2); of a repeatable one the first */
  readonly params: ReadonlyMap<string, string>;
  /** all values of `resource`, in their order */
  readonly resources: readonly string[];
}

/**
 * @throws HttpError 400 — another content type, a repeated parameter, a broken escape, bytes that are not UTF-8; 413
 */
export async function readForm(request: Request): Promise<Form> {
  const query = request.url.indexOf('?');
  if (query >= 0) refuseQuery(request.url.slice(query + 1));
  if (mediaType(request) !== 'application/x-www-form-urlencoded')
    throw new HttpError(400, 'the body must be application/x-www-form-urlencoded');
  return parseForm(await readText(request, FORM_BYTES_MAX));
}

/**
 * @param accepted media types, without parameters
 * @returns a JSON object without the keys and values that a store or a prototype could stumble over
 * @throws HttpError 400, 413, 415
 */
export async function readJsonObject(request: Request, ...accepted: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  if (!accepted.includes(mediaType(request)))
    throw new HttpError(415, `the body must be ${accepted.join(' or ')}`, { accept: accepted.join(', ') });
  return parseJsonObject(await readText(request, BODY_BYTES_MAX), 'the body');
}

/**
 * JSON lines: the texts of the lines, without the empty one after the last.
 *
 * @throws HttpError 400, 413, 415
 */
export async function readLines(request: Request, ...accepted: readonly string[]): Promise<readonly string[]> {
  if (!accepted.includes(mediaType(request)))
    throw new HttpError(415, `the body must be ${accepted.join(' or ')}`, { accept: accepted.join(', ') });
  const lines = (await readText(request, IMPORT_BYTES_MAX)).split('\n');
  return lines.at(-1)?.trim() === '' ? lines.slice(0, -1) : lines;
}

/** @param what as an error calls it @throws HttpError 400 */
export function parseJsonObject(text: string, what: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new HttpError(400, `${what} is not JSON`);
  }
  if (!isPlain(value, JSON_DEPTH_MAX)) throw new HttpError(400, 'the JSON is too deep, or has a text or a number that cannot be stored');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new HttpError(400, `${what} must be a JSON object`);
  return value as Record<string, unknown>;
}

export function parseForm(text: string): Form {
  const resources: string[] = [];
  const params = new Map<string, string>();
  const seen = new Set<string>();
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1));
    if (seen.has(name) && !REPEATABLE.has(name)) throw new HttpError(400, 'a parameter is repeated');
    if (value !== '' && !params.has(name)) params.set(name, value);
    if (value !== '' && name === 'resource') resources.push(value);
    seen.add(name);
  }
  return { params, resources };
}

/** `+` and `%XX`; a broken escape or bytes that are not UTF-8 are refused, never repaired. */
export function formDecode(text: string): string | undefined {
  if (!/[%+]/.test(text)) return text;
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}

function decode(text: string): string {
  const decoded = formDecode(text);
  if (decoded === undefined) throw new HttpError(400, 'the form is not correctly encoded');
  return decoded;
}

function refuseQuery(query: string): void {
  for (const pair of query.split('&')) {
    const [name = ''] = pair.split('=', 1);
    if (BODY_ONLY.has(formDecode(name) ?? name)) throw new HttpError(400, 'parameters of this endpoint belong in the body');
  }
}

function mediaType(request: Request): string {
  return (request.headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

async function readText(request: Request, bytesMax: number): Promise<string> {
  const tooLarge = () => new HttpError(413, `the body may have ${bytesMax} bytes`, { connection: 'close' });
  if (Number(request.headers.get('content-length') ?? 0) > bytesMax) throw tooLarge();
  let text: string;
  try {
    text = await request.text();
  } catch (error) {
    // srvx: the listener's limit (BODY_BYTES_MAX), or a sender that went away.
    throw error instanceof Error && 'statusCode' in error && error.statusCode === 413
      ? tooLarge()
      : new HttpError(400, 'the body is incomplete');
  }
  if (Buffer.byteLength(text) > bytesMax) throw tooLarge();
  // What decoding puts in place of bytes that are not UTF-8.
  if (text.includes('\ufffd')) throw new HttpError(400, 'the body is not UTF-8');
  return text;
}

/**
 * NUL and lone surrogates are not text for PostgreSQL, infinite numbers not JSON, and `__proto__` is nobody's claim. Of a number with an exponent
 * `jsonb` writes out every digit: 57 KB of `1e308` would be 3 MB each time that the row is read.
 */
function isPlain(value: unknown, depth: number): boolean {
  if (depth === 0) return false;
  if (typeof value === 'string') return isStorable(value);
  if (typeof value === 'number') return Number.isFinite(value) && !String(value).includes('e');
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return value.every((item) => isPlain(item, depth - 1));
  return Object.entries(value).every(([key, item]) => key !== '__proto__' && isStorable(key) && isPlain(item, depth - 1));
}

function isStorable(text: string): boolean {
  return !/[\0\p{Surrogate}]/u.test(text);
}
