/** The authorization server as a resource server needs it. Each question has a time-out; what is no proper answer is an {@link AuthServerError}. */
import { setTimeout as pause } from 'node:timers/promises';
import type { FeedEntry } from './ended.ts';

export interface AuthServerOptions {
  /** where its endpoints are, without a final slash */
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly timeoutMs: number;
}

/** Not reachable, or its answer is none: nothing can be concluded from it. Carries no token and no secret. */
export class AuthServerError extends Error {
  readonly status: number | undefined;

  constructor(message: string, status?: number, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/** RFC 7662 §2.2, with how long it may be kept. */
export interface Introspection {
  /** `undefined`: not active */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  readonly maxAgeSeconds: number;
  /** for who follows the feed; 0 unless the answer knows of all that was revoked before the question */
  readonly feedMaxAgeSeconds: number;
}

export interface FeedPage {
  readonly items: readonly FeedEntry[];
  readonly cursor: string;
  readonly hasMore: boolean;
}

export interface KeySetAnswer {
  readonly keys: readonly unknown[];
  readonly maxAgeSeconds: number;
}

const FEED_SCOPE = 'auth:revocations:read';
const RETRY_MS = 100;
const STRICT = 'consistency=strict';
/** A token is renewed so long before its end, or a fifth of its life if that is less. Its end is a whole second. */
const RENEWAL_MS = 60_000;

export class AuthServer {
  readonly #options: AuthServerOptions;
  readonly #basic: string;
  #feedToken: { readonly value: string; readonly renewAt: number } | undefined;

  constructor(options: AuthServerOptions) {
    this.#options = options;
    const encoded = [options.clientId, options.clientSecret].map((text) => new URLSearchParams([['', text]]).toString().slice(1));
    this.#basic = `Basic ${Buffer.from(encoded.join(':')).toString('base64')}`;
  }

  /** @throws AuthServerError */
  async introspect(token: string): Promise<Introspection> {
    const { headers, body } = await this.#insist(() => this.#postForm('/introspect', { token }, { prefer: STRICT }));
    if (body.active === false) return { claims: undefined, maxAgeSeconds: 0, feedMaxAgeSeconds: 0 };
    if (body.active !== true) throw new AuthServerError('/introspect: not an introspection');
    const isStrict = headers.get('preference-applied') === STRICT;
    return {
      claims: body,
      maxAgeSeconds: maxAgeOf(headers),
      feedMaxAgeSeconds: isStrict ? Number(/^\d{1,9}$/.exec(headers.get('auth-feed-max-age') ?? '')?.[0] ?? 0) : 0,
    };
  }

  /** @throws AuthServerError */
  async keys(): Promise<KeySetAnswer> {
    const { headers, body } = await this.#json('/jwks');
    if (!Array.isArray(body.keys)) throw new AuthServerError('/jwks: not a key set');
    return { keys: body.keys, maxAgeSeconds: maxAgeOf(headers) };
  }

  /**
   * @param after a cursor, `latest`, or nothing for the beginning
   * @throws AuthServerError 410 — the cursor is of another history
   */
  async feedPage(after: string | undefined, limit: number): Promise<FeedPage> {
    const query = new URLSearchParams({ limit: String(limit), ...(after !== undefined && { after }) });
    const { body } = await this.#withFeedToken((authorization) => this.#json(`/revocations?${query}`, { headers: { authorization } }));
    const { items, cursor, next_cursor: next } = body;
    if (!Array.isArray(items) || typeof cursor !== 'string') throw new AuthServerError('/revocations: not a page of the feed');
    return { items: items.map(feedEntry), cursor, hasMore: next !== undefined };
  }

  /** @param signal ends the stream @throws AuthServerError */
  async feedStream(cursor: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const query = new URLSearchParams({ after: cursor });
    const headers = { accept: 'text/event-stream', 'last-event-id': cursor };
    const response = await this.#withFeedToken((authorization) =>
      this.#fetch(`/revocations?${query}`, { headers: { ...headers, authorization } }, signal),
    );
    if (response.headers.get('content-type')?.startsWith('text/event-stream') && response.body) return response.body;
    await response.body?.cancel();
    throw new AuthServerError('/revocations: not a stream');
  }

  /** How long the token that the feed is read with is good, as far as is known here. */
  get feedTokenMs(): number {
    return this.#feedToken ? this.#feedToken.renewAt - performance.now() : 0;
  }

  async #withFeedToken<T>(ask: (authorization: string) => Promise<T>): Promise<T> {
    if (this.feedTokenMs <= 0) this.#feedToken = await this.#issueFeedToken();
    try {
      return await ask(`Bearer ${this.#feedToken?.value}`);
    } catch (error) {
      if (error instanceof AuthServerError && error.status === 401) this.#feedToken = undefined;
      throw error;
    }
  }

  async #issueFeedToken(): Promise<{ readonly value: string; readonly renewAt: number }> {
    const askedAt = performance.now();
    const { body } = await this.#postForm('/token', { grant_type: 'client_credentials', scope: FEED_SCOPE });
    const { access_token: value, expires_in: seconds } = body;
    if (typeof value !== 'string' || typeof seconds !== 'number') throw new AuthServerError('/token: not a token');
    return { value, renewAt: askedAt + Math.max((seconds - 1) * 800, seconds * 1000 - RENEWAL_MS) };
  }

  /** Once more, soon: a connection that was just being closed, a node that goes away, one that is not fresh. */
  async #insist<T>(ask: () => Promise<T>): Promise<T> {
    const askedAt = performance.now();
    try {
      return await ask();
    } catch (error) {
      const isPassing = error instanceof AuthServerError && (error.status === undefined || error.status >= 502);
      if (!isPassing || performance.now() - askedAt > this.#options.timeoutMs / 2) throw error;
    }
    await pause(RETRY_MS);
    return ask();
  }

  #postForm(path: string, form: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>> = {}): Promise<JsonAnswer> {
    return this.#json(path, { method: 'POST', headers: { ...headers, authorization: this.#basic }, body: new URLSearchParams(form) });
  }

  async #json(path: string, init: RequestInit = {}): Promise<JsonAnswer> {
    const response = await this.#fetch(path, init, AbortSignal.timeout(this.#options.timeoutMs));
    const body: unknown = await response.json().catch((cause: unknown) => {
      throw new AuthServerError(`${nameOf(path)}: no JSON`, response.status, cause);
    });
    if (typeof body !== 'object' || body === null) throw new AuthServerError(`${nameOf(path)}: no JSON object`, response.status);
    return { headers: response.headers, body: body as Readonly<Record<string, unknown>> };
  }

  /** @throws AuthServerError — no answer, or not 200 */
  async #fetch(path: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
    let response: Response;
    try {
      // The secret is for this address only.
      response = await fetch(`${this.#options.url}${path}`, { ...init, redirect: 'error', signal });
    } catch (error) {
      throw new AuthServerError(`${nameOf(path)}: no answer`, undefined, error);
    }
    if (response.status === 200) return response;
    // Read, so that the connection can be used again.
    await response.text().catch(() => undefined);
    throw new AuthServerError(`${nameOf(path)}: status ${response.status}`, response.status);
  }
}

interface JsonAnswer {
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

/** @throws AuthServerError — what is not understood must not be passed over */
export function feedEntry(value: unknown): FeedEntry {
  const { cursor, exp } = (typeof value === 'object' && value !== null ? value : {}) as Partial<FeedEntry>;
  if (typeof cursor !== 'string' || typeof exp !== 'number') throw new AuthServerError('/revocations: not an entry of the feed');
  return value as FeedEntry;
}

function maxAgeOf(headers: Headers): number {
  const control = headers.get('cache-control') ?? '';
  return /no-store|no-cache/i.test(control) ? 0 : Number(/(?:^|[\s,])max-age=(\d{1,9})/i.exec(control)?.[1] ?? 0);
}

function nameOf(path: string): string {
  return path.split('?', 1)[0] ?? path;
}
