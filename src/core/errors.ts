/** Codes that an OAuth endpoint may answer: RFC 6749 §5.2, RFC 7009 §2.2.1 and RFC 8707 §2. */
export type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'unsupported_token_type';

/** A refusal the client may see. Anything else thrown is a bug or an outage and answers 5xx. */
export class OAuthError extends Error {
  readonly code: OAuthErrorCode;
  /**
   * @param description sent as `error_description`: constant text, never input or secrets
   * @param cause for the log only: which check failed, and on what
   */
  constructor(code: OAuthErrorCode, description: string, cause?: unknown) {
    super(description, { cause });
    this.code = code;
  }
}

/** The client has as many live tokens as it may have. */
export class TooManyTokens extends Error {
  /** seconds until one of them expires, at least 1 */
  readonly retryAfterSeconds: number;
  constructor(retryAfterSeconds: number) {
    super('the client has as many live access tokens as it may have');
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** A bearer token that does not open the door, RFC 6750 §3.1. */
export class BearerError extends Error {
  readonly code: 'invalid_request' | 'invalid_token' | 'insufficient_scope' | undefined;
  /** the scope that would have opened it; only with `insufficient_scope` */
  readonly scope: string | undefined;
  /** @param code `undefined`: no token was presented, so the challenge carries no error code (RFC 6750 §3.1) */
  constructor(code: BearerError['code'], description: string, scope?: string) {
    super(description);
    this.code = code;
    this.scope = scope;
  }
}

/** One field of a management request that is wrong: `pointer` is a JSON pointer (RFC 6901) into the body. */
export interface FieldProblem {
  readonly pointer: string;
  readonly detail: string;
}

export type ProblemCode =
  | 'invalid_request'
  | 'invalid_client_metadata'
  | 'invalid_redirect_uri'
  | 'unapproved_software_statement'
  | 'not_found'
  | 'conflict'
  | 'cursor_gone'
  | 'idempotency_key_reused'
  | 'precondition_failed'
  | 'insufficient_scope';

/** A refusal on the management endpoints; becomes a problem document (RFC 9457). */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly fields: readonly FieldProblem[];
  /** @param detail constant text, or names of fields: never a value that was sent */
  constructor(code: ProblemCode, detail: string, fields: readonly FieldProblem[] = []) {
    super(detail);
    this.code = code;
    this.fields = fields;
  }
}
