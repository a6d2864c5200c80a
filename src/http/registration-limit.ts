/** What clients without an initial access token write, counted per source: one source cannot fill the database in an afternoon. */
import { HttpError } from './errors.ts';

const WINDOW_SECONDS = 3_600;
const REGISTRATIONS_MAX = 1_000;
const ENTRIES_MAX = 20_000;

interface Window {
  readonly endsAt: number;
  registrations: number;
}

/** Per process. Bounded: the oldest window goes when too many sources register at once. */
export class RegistrationLimit {
  readonly #windows = new Map<string, Window>();

  /**
   * To be called right before a client is made or replaced: of many at once each counts.
   *
   * @param now epoch seconds
   * @throws HttpError 429
   */
  take(address: string, now: number): void {
    const source = networkOf(address);
    const window = this.#windows.get(source);
    if (window && window.endsAt > now) {
      if (window.registrations >= REGISTRATIONS_MAX)
        throw new HttpError(429, 'too many clients were registered or changed from this address', {
          'retry-after': String(window.endsAt - now),
        });
      window.registrations++;
      return;
    }
    this.#windows.delete(source);
    this.#windows.set(source, { endsAt: now + WINDOW_SECONDS, registrations: 1 });
    const oldest = this.#windows.keys().next();
    if (this.#windows.size > ENTRIES_MAX && !oldest.done) this.#windows.delete(oldest.value);
  }
}

/** Of IPv6 the first 64 bits: who has one address has all that begin alike (RFC 4291 §2.5.1). */
function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  return [...front, ...Array.from({ length: zeros }, () => '0'), ...back]
    .slice(0, 4)
    .map((part) => part.toLowerCase().replace(/^0+(?=.)/, ''))
    .join(':');
}
