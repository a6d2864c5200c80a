/** The keys of `/jwks`: kept up to date in the background, so that no request waits for them but the first, and those with a new key. */
import { setTimeout as pause } from 'node:timers/promises';
import { type AuthServer, AuthServerError } from './auth-server.ts';
import { type PublicKey, readKeys } from './jwt.ts';

/** Tokens with made-up keys must not become a load on the server. */
const RELOAD_MS_MIN = 1_000;
const MAX_AGE_SECONDS_MAX = 3_600;

export class KeySet {
  readonly #server: Pick<AuthServer, 'keys'>;
  readonly #closing = new AbortController();
  readonly #onProblem: (error: unknown) => void;
  #keys: ReadonlyMap<string, PublicKey> = new Map();
  #text = '';
  #version = 0;
  #askedAt = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;
  #next: NodeJS.Timeout | undefined;

  constructor(server: Pick<AuthServer, 'keys'>, onProblem: (error: unknown) => void) {
    this.#server = server;
    this.#onProblem = onProblem;
    void this.#load().catch(onProblem);
  }

  /** Another one: what was verified before is to be verified again. */
  get version(): number {
    return this.#version;
  }

  /**
   * @returns `undefined`: there is no such key
   * @throws AuthServerError — whether there is one cannot be said
   */
  async find(kid: string): Promise<PublicKey | undefined> {
    const calledAt = performance.now();
    // What was asked for before the call may not know of a key that is new.
    while (!this.#keys.has(kid) && this.#askedAt < calledAt) await this.#load();
    return this.#keys.get(kid);
  }

  close(): void {
    clearTimeout(this.#next);
    this.#closing.abort();
  }

  /** One at a time, for all who wait. */
  #load(): Promise<void> {
    this.#loading ??= this.#loadOnce().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #loadOnce(): Promise<void> {
    clearTimeout(this.#next);
    const waitMs = this.#askedAt + RELOAD_MS_MIN - performance.now();
    if (waitMs > 0) await pause(waitMs);
    if (this.#closing.signal.aborted) throw new AuthServerError('closed');
    let againMs = RELOAD_MS_MIN;
    this.#askedAt = performance.now();
    try {
      const { keys, maxAgeSeconds } = await this.#server.keys();
      const text = JSON.stringify(keys);
      if (text !== this.#text) {
        this.#keys = readKeys(keys);
        this.#text = text;
        this.#version++;
      }
      againMs = Math.max(RELOAD_MS_MIN, Math.min(maxAgeSeconds, MAX_AGE_SECONDS_MAX) * 1000);
    } finally {
      if (!this.#closing.signal.aborted) this.#next = setTimeout(() => void this.#load().catch(this.#onProblem), againMs).unref();
    }
  }
}
