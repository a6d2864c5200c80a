/** What a request presents to say who it is: RFC 6749 §2.3.1, RFC 6750 §2.1, RFC 7521 §4.2. */
import { ASSERTION_TYPE } from '../core/client-assertion.ts';
import type { ClientCredentials } from '../core/client-auth.ts';
import { BearerError, OAuthError } from '../core/errors.ts';
import { formDecode } from './body.ts';

/** A client assertion that nobody has looked into yet. */
export interface UnreadAssertion {
  readonly method: 'private_key_jwt';
  /** of the form; it need not be there */
  readonly clientId: string | undefined;
  readonly jwt: string;
}

/**
 * @param authorization the header, of which the listener lets only one through
 * @returns `undefined` when nothing was presented
 * @throws OAuthError `invalid_request` — two methods in one request, or a malformed header; `invalid_client` — a method that is not supported
 */
export function readClientCredentials(
  authorization: string | null,
  params: ReadonlyMap<string, string>,
): ClientCredentials | UnreadAssertion | undefined {
  const clientId = params.get('client_id');
  const clientSecret = params.get('client_secret');
  const [jwt, type] = [params.get('client_assertion'), params.get('client_assertion_type')];
  if (authorization !== null) {
    if (clientSecret !== undefined || jwt !== undefined || type !== undefined) throw twoMethods();
    const credentials = readBasic(authorization);
    if (clientId !== undefined && clientId !== credentials.clientId)
      throw new OAuthError('invalid_request', 'client_id and the Authorization header differ');
    return credentials;
  }
  if (jwt !== undefined || type !== undefined) {
    if (clientSecret !== undefined) throw twoMethods();
    // RFC 7521 §4.2: both are required.
    if (jwt === undefined || type === undefined)
      throw new OAuthError('invalid_request', 'client_assertion and client_assertion_type belong together');
    if (type !== ASSERTION_TYPE) throw new OAuthError('invalid_client', 'this client_assertion_type is not supported');
    return { method: 'private_key_jwt', clientId, jwt };
  }
  if (clientId === undefined) {
    if (clientSecret !== undefined) throw new OAuthError('invalid_request', 'client_secret without client_id');
    return undefined;
  }
  if (clientSecret !== undefined) return { method: 'client_secret_post', clientId, secrets: [clientSecret] };
  return { method: 'none', clientId, secrets: [] };
}

/**
 * @returns the token of an `Authorization: Bearer` header; `undefined` when there is none, or another scheme
 * @throws BearerError `invalid_request` — not of the form of RFC 6750 §2.1
 */
export function readBearer(authorization: string | null): string | undefined {
  if (authorization === null || !/^bearer(?: |$)/i.test(authorization)) return undefined;
  const token = /^bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(authorization)?.[1];
  if (token === undefined) throw new BearerError('invalid_request', 'the Authorization header is malformed');
  return token;
}

/** Id and secret are form-encoded before they are put together (RFC 6749 §2.3.1), but many clients, curl among them, do not. */
function readBasic(authorization: string): ClientCredentials {
  if (!/^basic /i.test(authorization)) throw new OAuthError('invalid_client', 'this authentication scheme is not supported');
  const userPass = decodeBase64(authorization.slice('basic '.length).trim());
  const colon = userPass?.indexOf(':') ?? -1;
  if (userPass === undefined || colon < 0) throw new OAuthError('invalid_request', 'the Authorization header is malformed');
  const clientId = formDecode(userPass.slice(0, colon));
  if (clientId === undefined) throw new OAuthError('invalid_request', 'the Authorization header is malformed');
  const sent = userPass.slice(colon + 1);
  return { method: 'client_secret_basic', clientId, secrets: [...new Set([formDecode(sent) ?? sent, sent])] };
}

/** Strict: no other alphabet, no junk, no stray bits in the last character, UTF-8 only. */
function decodeBase64(text: string): string | undefined {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64').replace(/=+$/, '') !== text.replace(/={0,2}$/, '')) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function twoMethods(): OAuthError {
  return new OAuthError('invalid_request', 'more than one way of client authentication was used');
}
