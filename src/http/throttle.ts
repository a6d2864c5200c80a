/** Failed client authentication is slowed down per client and source: the right secret from elsewhere is never locked out. */
import { HttpError } from './errors.ts';

const WINDOW_SECONDS = 60;
const FAILURES_MAX = 100;
const ENTRIES_MAX = 20_000;

interface Window {
  readonly endsAt: number;
  failures: number;
}

/** Per process. Bounded: the oldest window goes when too many sources fail at once. */
export class FailureThrottle {
  readonly #windows = new Map<string, Window>();

  /**
   * To be called before the secret is looked at, so that the answer does not depend on it.
   *
   * @param now epoch seconds
   * @throws HttpError 429
   */
  check(clientId: string, address: string, now: number): void {
    const window = this.#windows.get(keyOf(clientId, address));
    if (window && window.endsAt > now && window.failures >= FAILURES_MAX) {
      throw new HttpError(429, 'too many failed attempts', { 'retry-after': String(window.endsAt - now) });
    }
  }

  recordFailure(clientId: string, address: string, now: number): void {
    const key = keyOf(clientId, address);
    const window = this.#windows.get(key);
    if (window && window.endsAt > now) {
      window.failures++;
      return;
    }
    this.#windows.delete(key);
    this.#windows.set(key, { endsAt: now + WINDOW_SECONDS, failures: 1 });
    const oldest = this.#windows.keys().next();
    if (this.#windows.size > ENTRIES_MAX && !oldest.done) this.#windows.delete(oldest.value);
  }
}

/** A client id may be anything that was sent; what is kept of it is short. */
function keyOf(clientId: string, address: string): string {
  return `${address} ${clientId.slice(0, 128)}`;
}
