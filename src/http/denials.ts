/** Refused management requests, on their way to the audit: never in the way of the answer, and so few that junk cannot fill the disk. */
import type { Logger } from 'pino';
import type { AccessTokenRecord } from '../core/access-token.ts';
import { CLIENT_ID_PATTERN } from '../core/clients.ts';
import { BearerError, Problem } from '../core/errors.ts';
import { type AccessTokenStore, type AuditLog, Unavailable } from '../core/ports.ts';
import { couldBeAccessToken, hashToken } from '../core/reference-token.ts';
import type { Call, Route } from './app.ts';
import { readBearer } from './credentials.ts';

const WINDOW_SECONDS = 60;
const ROWS_PER_SOURCE_MAX = 10;
const ROWS_MAX = 100;

/** Why a refusal has no row. A closed list, because it is counted (docs/metrics.md). */
export type Unrecorded = 'limit' | 'outage';

interface DenialDeps {
  readonly audit: AuditLog;
  readonly tokens: AccessTokenStore;
  readonly log: Logger;
}

/** Per process. What it remembers is bounded by the rows that it lets through. */
export class Denials {
  readonly unrecorded: Record<Unrecorded, number> = { limit: 0, outage: 0 };
  readonly #deps: DenialDeps;
  #endsAt = 0;
  #rows = 0;
  #rowsBySource = new Map<string, number>();

  constructor(deps: DenialDeps) {
    this.#deps = deps;
  }

  /** To be called with whatever a management endpoint throws. Returns at once; the row is written when it can be. */
  note(error: unknown, call: Call, route: Pick<Route, 'method' | 'path'>): void {
    const refusal = refusalOf(error);
    if (!refusal) return;
    if (!this.#isWithinLimits(call.address, call.now)) {
      this.unrecorded.limit++;
      return;
    }
    this.#write(call, route, refusal).catch((failure: unknown) => {
      this.unrecorded.outage++;
      if (!(failure instanceof Unavailable)) this.#deps.log.error({ err: failure }, 'a refusal could not be written to the audit');
    });
  }

  async #write(call: Call, { method, path }: Pick<Route, 'method' | 'path'>, refusal: Refusal): Promise<void> {
    const caller = refusal.error === 'insufficient_scope' ? await this.#callerOf(call) : undefined;
    const origin = { clientId: caller?.clientId, secretId: caller?.secretId, address: call.address, requestId: call.requestId };
    const id = call.param('client_id');
    const denied = { route: path, clientId: CLIENT_ID_PATTERN.test(id) ? id : undefined };
    await this.#deps.audit.denied(origin, denied, { method, route: path, ...refusal });
  }

  /** Whose token it was, which was good but not enough. */
  async #callerOf(call: Call): Promise<AccessTokenRecord | undefined> {
    const token = readBearer(call.authorization);
    if (token === undefined || !couldBeAccessToken(token)) return undefined;
    return (await this.#deps.tokens.find(hashToken(token), call.now))?.record;
  }

  #isWithinLimits(address: string, now: number): boolean {
    if (now >= this.#endsAt) {
      this.#endsAt = now + WINDOW_SECONDS;
      this.#rows = 0;
      this.#rowsBySource = new Map();
    }
    const rows = this.#rowsBySource.get(address) ?? 0;
    if (this.#rows >= ROWS_MAX || rows >= ROWS_PER_SOURCE_MAX) return false;
    this.#rows++;
    this.#rowsBySource.set(address, rows + 1);
    return true;
  }
}

interface Refusal {
  readonly error: 'invalid_token' | 'insufficient_scope';
  /** the scope that would have opened the door */
  readonly scope?: string;
}

/** A request without a token is none: monitoring and browsers make them, and they try nothing. */
function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof Problem && error.code === 'insufficient_scope') return { error: error.code };
  if (!(error instanceof BearerError)) return undefined;
  const { code, scope } = error;
  if (code !== 'invalid_token' && code !== 'insufficient_scope') return undefined;
  return { error: code, ...(scope !== undefined && { scope }) };
}
