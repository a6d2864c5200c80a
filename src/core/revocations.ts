/** Bulk revocation: what a call may ask for, and how an entry of the feed says what has ended (docs/revocation.md). */
import { z } from 'zod';
import { CLIENT_ID_PATTERN } from './clients.ts';
import { Problem } from './errors.ts';
import { readFields } from './fields.ts';
import { couldBeAccessToken, hashToken, type TokenHash } from './reference-token.ts';

/** Whose tokens end. */
export type RevocationTarget =
  | { readonly kind: 'token'; readonly tokenHash: TokenHash }
  /** `key`: a client id, a subject; empty for all. `issuedBefore`: epoch seconds; without it all that were issued until now */
  | { readonly kind: 'client' | 'subject' | 'all'; readonly key: string; readonly issuedBefore: number | undefined };

export interface RevocationOrder {
  /** `undefined`: there can be no such token, so there is nothing to end */
  readonly target: RevocationTarget | undefined;
  readonly reason: string | undefined;
  readonly isDryRun: boolean;
}

/** What has ended, as the record has it. */
export interface Revocation {
  /** position in the change log */
  readonly seq: number;
  readonly kind: RevocationTarget['kind'];
  /** a token's hash, a client id, a subject; empty for all */
  readonly key: string;
  readonly jti: string | undefined;
  readonly issuedBefore: number | undefined;
  readonly reason: string | undefined;
  readonly at: Date;
  /** epoch seconds: when nothing that it ends is alive any more */
  readonly expiresAt: number;
}

/** A part of the feed, in the order of the log. */
export interface RevocationPage {
  /** names the history that the positions are of */
  readonly epoch: string;
  readonly lastSeq: number;
  /** position up to which this page goes */
  readonly readTo: number;
  readonly revocations: readonly Revocation[];
}

const TARGETS = ['token', 'token_hash', 'grant_id', 'client_id', 'sub', 'all'] as const;
const REASON_CHARACTERS_MAX = 200;
const SUBJECT_CHARACTERS_MAX = 255;

const text = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^\P{Cc}*$/u, 'must not contain control characters');
export const ORDER = z.strictObject({
  token: z.string().min(1).optional(),
  token_hash: z
    .string()
    .regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/, 'must be a SHA-256 digest in base64url, 43 characters')
    .optional(),
  grant_id: z.string().optional(),
  client_id: z.string().regex(CLIENT_ID_PATTERN, 'is not a client id').optional(),
  sub: text(SUBJECT_CHARACTERS_MAX).optional(),
  all: z.literal(true, 'must be true').optional(),
  issued_before: z.int().min(0).optional(),
  reason: text(REASON_CHARACTERS_MAX).optional(),
  dry_run: z.boolean().default(false),
});

/**
 * The body of `POST /revocations`, read strictly.
 *
 * @param now epoch seconds
 * @throws Problem `invalid_request` — one entry per field that is wrong
 */
export function parseRevocation(document: Readonly<Record<string, unknown>>, now: number): RevocationOrder {
  const { reason, dry_run: isDryRun, issued_before: issuedBefore, ...order } = readFields(ORDER, document, 'the revocation is not valid');
  const named = TARGETS.filter((name) => order[name] !== undefined);
  if (named.length !== 1) throw invalid(`exactly one of ${TARGETS.join(', ')} is needed`);
  if (order.grant_id !== undefined) {
    throw invalid('the revocation is not valid', [
      { pointer: '/grant_id', detail: 'no token has one: client_credentials makes no grants' },
    ]);
  }
  const isOfToken = order.token !== undefined || order.token_hash !== undefined;
  const problem = isOfToken
    ? issuedBefore !== undefined && 'goes with client_id, sub or all'
    : issuedBefore === undefined
      ? order.all && 'is needed with all'
      : issuedBefore > now && 'must not be in the future';
  if (problem) throw invalid('the revocation is not valid', [{ pointer: '/issued_before', detail: problem }]);
  return { target: targetOf(order, issuedBefore), reason, isDryRun };
}

function targetOf(
  { token, token_hash: tokenHash, client_id: clientId, sub }: Partial<Record<(typeof TARGETS)[number], unknown>>,
  issuedBefore: number | undefined,
): RevocationTarget | undefined {
  if (typeof token === 'string') return couldBeAccessToken(token) ? { kind: 'token', tokenHash: hashToken(token) } : undefined;
  if (tokenHash !== undefined) return { kind: 'token', tokenHash: tokenHash as TokenHash };
  if (typeof clientId === 'string') return { kind: 'client', key: clientId, issuedBefore };
  if (typeof sub === 'string') return { kind: 'subject', key: sub, issuedBefore };
  return { kind: 'all', key: '', issuedBefore };
}

/**
 * An entry of the feed, so that a resource server can match it with what it knows of a token: its SHA-256, `jti`, `client_id`, `sub` and `iat`. A cut-off
 * by position becomes a time that is a little too late rather than too early: what matches is to be asked for again, not taken for dead.
 *
 * @param marginSeconds from when the entry is written until no server issues what it ends any more: its transaction, and what a node may be behind
 */
export function revocationDocument(
  { kind, key, seq, at, ...rest }: Revocation,
  epoch: string,
  marginSeconds: number,
): Readonly<Record<string, unknown>> {
  const { jti, issuedBefore = Math.floor(at.getTime() / 1000) + marginSeconds, reason, expiresAt } = rest;
  return {
    cursor: cursorOf(seq, epoch),
    ...(kind === 'token' && { token_hash: key, ...(jti !== undefined && { jti }) }),
    ...(kind === 'client' && { client_id: key, issued_before: issuedBefore }),
    ...(kind === 'subject' && { sub: key, issued_before: issuedBefore }),
    ...(kind === 'all' && { all: true, issued_before: issuedBefore }),
    ...(reason !== undefined && { reason }),
    revoked_at: at.toISOString(),
    exp: expiresAt,
  };
}

const EPOCH_CHARACTERS = 8;

/** A place in the feed, good at every node: the position, and the history that it is of. */
export function cursorOf(seq: number, epoch: string): string {
  return `${seq}-${epoch.slice(0, EPOCH_CHARACTERS)}`;
}

/** @returns `undefined` for what no cursor looks like */
export function readCursor(cursor: string): { readonly seq: number; readonly isOf: (page: RevocationPage) => boolean } | undefined {
  const [, position, history = ''] = /^(\d{1,15})-([0-9a-f]{8})$/.exec(cursor) ?? [];
  if (position === undefined) return undefined;
  const seq = Number(position);
  return { seq, isOf: ({ epoch, lastSeq }) => epoch.startsWith(history) && seq <= lastSeq };
}

function invalid(detail: string, fields: Problem['fields'] = []): Problem {
  return new Problem('invalid_request', detail, fields);
}
