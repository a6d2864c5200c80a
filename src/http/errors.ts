/** Errors become responses here and nowhere else: RFC 6749 §5.2 at the OAuth endpoints, RFC 9457 at the management endpoints. */
import type { Logger } from 'pino';
import { BearerError, OAuthError, type OAuthErrorCode, Problem, type ProblemCode, TooManyTokens } from '../core/errors.ts';
import { type OutageReason, Unavailable } from '../core/ports.ts';
import { answer, json } from './answers.ts';

/** What HTTP itself refuses, before the protocol has a say. */
export class HttpError extends Error {
  readonly status: 400 | 404 | 405 | 406 | 413 | 415 | 429;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: HttpError['status'], description: string, headers: Readonly<Record<string, string>> = {}) {
    super(description);
    this.status = status;
    this.headers = headers;
  }
}

/** How an endpoint speaks. */
export type ErrorStyle = 'oauth' | 'management';

/** RFC 6749 §5.2: 400, except that failed client authentication is 401. */
const OAUTH_STATUS: Record<OAuthErrorCode, 400 | 401> = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  unauthorized_client: 400,
  unsupported_grant_type: 400,
  invalid_scope: 400,
  invalid_target: 400,
  unsupported_token_type: 400,
};

const PROBLEM_STATUS: Record<ProblemCode, number> = {
  invalid_request: 400,
  invalid_client_metadata: 400,
  invalid_redirect_uri: 400,
  unapproved_software_statement: 400,
  insufficient_scope: 403,
  not_found: 404,
  conflict: 409,
  cursor_gone: 410,
  idempotency_key_reused: 422,
  precondition_failed: 412,
};

/** RFC 6750 §3.1. */
const BEARER_STATUS: Record<NonNullable<BearerError['code']>, number> = {
  invalid_request: 400,
  invalid_token: 401,
  insufficient_scope: 403,
};

const HTTP_CODE: Record<HttpError['status'], string> = {
  400: 'invalid_request',
  404: 'not_found',
  405: 'method_not_allowed',
  406: 'not_acceptable',
  413: 'content_too_large',
  415: 'unsupported_media_type',
  429: 'slow_down',
};

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  409: 'Conflict',
  410: 'Gone',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** What the caller can do something about. */
const OUTAGE: { readonly [reason in OutageReason]?: string } = { client_keys: "the keys at the client's jwks_uri cannot be fetched" };

const UNAVAILABLE = 'temporarily_unavailable';
const BASIC_CHALLENGE = 'Basic realm="auth", charset="UTF-8"';
const RETRY_AFTER_SECONDS = '1';

export function titleOf(status: number): string {
  return TITLES[status] ?? 'Error';
}

/** Every `error` that an answer of this style may have with this status, refusals and outages: for the description of the API. */
export function errorCodes(status: number, style: ErrorStyle): readonly string[] {
  const statuses: readonly Readonly<Record<string, number>>[] = style === 'oauth' ? [OAUTH_STATUS] : [PROBLEM_STATUS, BEARER_STATUS];
  const codes = statuses.flatMap((table) => Object.keys(table).filter((code) => table[code] === status));
  const ofHttp = status === 503 ? UNAVAILABLE : HTTP_CODE[status as HttpError['status']];
  return [...new Set([...codes, ...(ofHttp === undefined ? [] : [ofHttp])])];
}

interface Refusal {
  readonly status: number;
  readonly code: string | undefined;
  readonly description: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly members?: object;
}

export function errorResponse(error: unknown, style: ErrorStyle, log: Logger): Response {
  const refusal = refusalOf(error, log);
  const { status, code, description, headers = {}, members = {} } = refusal;
  if (style === 'oauth') return json({ error: code ?? 'invalid_token', error_description: description }, status, headers);
  const problem = {
    type: 'about:blank',
    title: titleOf(status),
    status,
    detail: description,
    error: code ?? 'invalid_token',
    ...members,
  };
  return answer(JSON.stringify(problem), 'application/problem+json', status, headers);
}

function refusalOf(error: unknown, log: Logger): Refusal {
  if (error instanceof OAuthError) {
    const status = OAUTH_STATUS[error.code];
    if (error.cause !== undefined) log.info({ code: error.code, reason: error.cause }, 'refused');
    return {
      status,
      code: error.code,
      description: error.message,
      ...(status === 401 && { headers: { 'www-authenticate': BASIC_CHALLENGE } }),
    };
  }
  if (error instanceof BearerError) return bearerRefusal(error);
  if (error instanceof Problem) {
    const members = error.fields.length > 0 ? { errors: error.fields } : {};
    return { status: PROBLEM_STATUS[error.code], code: error.code, description: error.message, members };
  }
  if (error instanceof HttpError)
    return { status: error.status, code: HTTP_CODE[error.status], description: error.message, headers: error.headers };
  if (error instanceof TooManyTokens) {
    const headers = { 'retry-after': String(error.retryAfterSeconds) };
    return { status: 429, code: HTTP_CODE[429], description: error.message, headers };
  }
  if (error instanceof Unavailable) {
    log.warn({ err: error }, 'unavailable');
    const headers = { 'retry-after': RETRY_AFTER_SECONDS };
    return {
      status: 503,
      code: UNAVAILABLE,
      description: OUTAGE[error.reason] ?? 'a store that this needs does not answer',
      headers,
    };
  }
  log.error({ err: error }, 'request failed');
  return { status: 500, code: 'server_error', description: 'the server made a mistake; its log says more' };
}

/** RFC 6750 §3: the challenge says what is missing; no error code when no token was presented. */
function bearerRefusal({ code, message, scope }: BearerError): Refusal {
  const status = BEARER_STATUS[code ?? 'invalid_token'];
  const parts = ['Bearer realm="auth"', ...(code ? [`error="${code}"`] : []), ...(scope ? [`scope="${scope}"`] : [])];
  return { status, code, description: message, headers: { 'www-authenticate': parts.join(', ') } };
}
