/** One request to the server; its refusals become a {@link CommandError}. */
import { CommandError, EXIT, errorCode } from './exit.ts';
import { type Document, textOf } from './output.ts';
import type { Target } from './target.ts';

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** from the issuer on, encoded */
  readonly path: string;
  readonly authorization: string;
  readonly form?: Readonly<Record<string, string>> | URLSearchParams;
  readonly json?: Document;
  /** JSON lines */
  readonly lines?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  /** as it came */
  readonly text: string;
  /** the text as a JSON object; empty when it is none */
  readonly document: Document;
}

/** Codes of connections that were not made: nothing has been sent. */
const NOT_SENT = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT)$/;
const CERTIFICATE = /CERT|SELF_SIGNED|ISSUER/;

/** RFC 6749 §2.3.1: both are form-encoded before they are put together. */
export function basicAuthorization({ clientId, clientSecret }: Target): string {
  const encode = (text: string) => new URLSearchParams({ '': text }).toString().slice(1);
  return `Basic ${Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString('base64')}`;
}

/**
 * Whatever the server answers, refusals included.
 *
 * @throws CommandError `unavailable` — no answer; `configuration` — a redirect, which is not followed, with a secret in hand
 */
export async function send(target: Target, request: ApiRequest): Promise<Answer> {
  const { method, path, authorization, form, json, lines, headers = {} } = request;
  const body = lines ?? (json ? JSON.stringify(json) : form && new URLSearchParams(form).toString());
  const contentType = lines !== undefined ? 'application/x-ndjson' : json ? 'application/json' : 'application/x-www-form-urlencoded';
  let response: Response;
  let text: string;
  try {
    response = await fetch(target.url + path, {
      method,
      headers: { accept: 'application/json', authorization, ...(body !== undefined && { 'content-type': contentType }), ...headers },
      ...(body !== undefined && { body }),
      redirect: 'manual',
      signal: AbortSignal.timeout(target.timeoutMs),
    });
    text = await response.text();
  } catch (error) {
    throw unreachable(error, target, request);
  }
  if (response.status >= 300 && response.status < 400) {
    throw new CommandError(EXIT.configuration, `${target.url} redirects elsewhere: is that the issuer's URL?`);
  }
  return { status: response.status, text, document: parseObject(text) ?? {} };
}

/**
 * @returns the answer of a request that was granted
 * @throws CommandError — refused; or an answer that is not from such a server
 */
export function requireSuccess(target: Target, answer: Answer): Answer {
  if (answer.status >= 400) throw refusal(target, answer);
  if (answer.status !== 204 && !parseObject(answer.text)) {
    throw new CommandError(EXIT.configuration, `${target.url} does not answer as this server would: is that the issuer's URL?`);
  }
  return answer;
}

function refusal({ url, clientId }: Target, { status, document }: Answer): CommandError {
  const code = textOf(document.error);
  const description = textOf(document.detail) || textOf(document.error_description);
  const reason = [code, description].filter((part) => part !== '').join(': ') || `HTTP ${status}`;
  const details = Array.isArray(document.errors) ? document.errors.map(fieldText) : [];
  if (status >= 500) return new CommandError(EXIT.unavailable, `${url} cannot do it now: ${reason}`);
  if (status === 401 || status === 403) {
    return new CommandError(EXIT.notAuthorized, `not authorized as client "${clientId}" at ${url}: ${reason}`, details);
  }
  // A client or a secret that is not there is a problem document; a path that is not there is none.
  const hint = status === 404 && document.detail === undefined ? `; is ${url} the issuer's URL?` : '';
  return new CommandError(EXIT.refused, `${reason}${hint}`, details);
}

/** A `FieldProblem` of RFC 9457's `errors[]`. */
function fieldText(problem: unknown): string {
  const { pointer, detail } = (typeof problem === 'object' && problem !== null ? problem : {}) as Document;
  return `${textOf(pointer)} ${textOf(detail)}`.trim();
}

function unreachable(error: unknown, { url, timeoutMs }: Target, { method, path }: ApiRequest): CommandError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = errorCode(cause);
  const isCertificate = CERTIFICATE.test(code);
  const isWrite = method !== 'GET' && /^\/(clients|revocations|keys|registration-tokens)/.test(path);
  const doubt = isWrite && !isCertificate && !NOT_SENT.test(code) ? '; it may have been done all the same: look before you try again' : '';
  if (code === 'TimeoutError') return new CommandError(EXIT.unavailable, `no answer from ${url} within ${timeoutMs / 1000} s${doubt}`);
  const reason = code === 'Error' && cause instanceof Error ? cause.message : code;
  const hint =
    code === 'ECONNREFUSED' ? ': is the server running?' : isCertificate ? ': NODE_EXTRA_CA_CERTS adds authorities to trust' : '';
  return new CommandError(EXIT.unavailable, `cannot reach ${url} (${reason})${hint}${doubt}`);
}

function parseObject(text: string): Document | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Document) : undefined;
  } catch {
    return undefined;
  }
}
