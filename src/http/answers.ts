/** The one place where answers are made: srvx's response is built without Node's global `Response`, which costs 60 µs more. */
import { FastResponse } from 'srvx';

type Headers = Readonly<Record<string, string>>;

/** RFC 6749 §5.1 asks for both, on every answer that may carry a token, a secret or a verdict. */
const NO_STORE: Headers = { 'cache-control': 'no-store', pragma: 'no-cache' };
const SAFE: Headers = { 'x-content-type-options': 'nosniff' };

/** @param headers may replace the `no-store` by a `cache-control` of their own */
export function json(body: unknown, status = 200, headers: Headers = {}): Response {
  return answer(JSON.stringify(body), 'application/json', status, headers);
}

/** A body of another media type: a bare JWT, a problem document. */
export function answer(body: string | Uint8Array, contentType: string, status = 200, headers: Headers = {}): Response {
  const caching = headers['cache-control'] === undefined ? NO_STORE : {};
  return new FastResponse(body, { status, headers: { ...SAFE, ...caching, 'content-type': contentType, ...headers } });
}

/** A body that goes on (WHATWG HTML §9.2); a proxy in front must not hold it back. */
export function eventStream(body: ReadableStream<Uint8Array>): Response {
  return new FastResponse(body, {
    status: 200,
    headers: { ...SAFE, 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no' },
  });
}

export function empty(status: number, headers: Headers = {}): Response {
  return new FastResponse(null, { status, headers: { ...SAFE, ...NO_STORE, ...headers } });
}
