/** One call of gRPC on a session of HTTP/2: messages in frames, and the status behind them (gRPC over HTTP/2, doc/PROTOCOL-HTTP2.md of gRPC). */
import { type ClientHttp2Session, type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import { EtcdError, GRPC, toEtcdError } from './errors.ts';

/** A deletion of a whole prefix is one revision. In fragments it comes in messages of 1.5 MB; a catch-up that overtakes the answer to the request comes in one. */
export const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
const PREFIX_BYTES = 5;

export interface StreamHandlers {
  onMessage(message: Buffer): void;
  /** Exactly once, and nothing after it. @param error `undefined`: the status is 0, OK */
  onEnd(error: EtcdError | undefined): void;
}

export interface Stream {
  send(message: Uint8Array): void;
  /** There is nothing more to send. */
  finish(): void;
  /** Ends the call on both sides; the handlers hear of it as `error`. */
  abort(error: EtcdError): void;
}

const openStreams = new WeakMap<ClientHttp2Session, number>();

/** How many calls are under way on a session. */
export function openStreamsOf(session: ClientHttp2Session): number {
  return openStreams.get(session) ?? 0;
}

/** Never throws: what goes wrong arrives as `onEnd`, later. What a handler throws ends the call with 13 (internal). */
export function openStream(
  session: ClientHttp2Session,
  path: string,
  metadata: Readonly<Record<string, string>>,
  handlers: StreamHandlers,
): Stream {
  let stream: ClientHttp2Stream;
  try {
    stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...metadata });
  } catch (error) {
    const unavailable = new EtcdError(GRPC.unavailable, 'the session to etcd has ended', error);
    queueMicrotask(() => handlers.onEnd(unavailable));
    return { send: () => undefined, finish: () => undefined, abort: () => undefined };
  }
  openStreams.set(session, openStreamsOf(session) + 1);
  let hasEnded = false;
  let status: EtcdError | 'ok' | undefined;
  let failure: unknown;
  const end = (error: EtcdError | undefined) => {
    if (hasEnded) return;
    hasEnded = true;
    handlers.onEnd(error);
  };
  const abort = (error: EtcdError) => {
    closeSoon(stream, constants.NGHTTP2_CANCEL);
    end(error);
  };
  const take = deframer((message) => hasEnded || handlers.onMessage(message));
  stream.on('response', (headers) => {
    status = readStatus(headers);
    const isGrpc = String(headers['content-type'] ?? '').startsWith('application/grpc');
    if (status === undefined && (headers[':status'] !== 200 || !isGrpc)) {
      abort(new EtcdError(GRPC.unavailable, `this is not etcd: it answers with HTTP status ${headers[':status']}`));
    }
  });
  stream.on('trailers', (headers) => {
    status = readStatus(headers) ?? status;
  });
  stream.on('data', (chunk: Buffer) => {
    if (hasEnded) return;
    try {
      take(chunk);
    } catch (error) {
      abort(toEtcdError(error, GRPC.internal));
    }
  });
  // etcd may end a call before everything is sent to it.
  stream.on('end', () => closeSoon(stream, constants.NGHTTP2_NO_ERROR));
  stream.on('error', (error) => {
    failure = error;
  });
  stream.on('close', () => {
    openStreams.set(session, openStreamsOf(session) - 1);
    if (status !== undefined) end(status === 'ok' ? undefined : status);
    else end(new EtcdError(GRPC.unavailable, `etcd did not answer: ${lossOf(stream, failure)}`, failure));
  });
  return {
    send: (message) => {
      if (!stream.destroyed && stream.writable) stream.write(frame(message));
    },
    finish: () => {
      if (!stream.destroyed && stream.writable) stream.end();
    },
    abort,
  };
}

/**
 * Not now: within an event of a stream nghttp2 is at work on it, and closing it there brings Node down (`Assertion failed:
 * (current_nghttp2_memory_) >= (previous_size)`, nodejs/node#38964; 4 of 4 runs of the test of a frozen etcd in test/etcd/shared.test.ts).
 */
function closeSoon(stream: ClientHttp2Stream, code: number): void {
  setImmediate(() => {
    if (!stream.closed && !stream.destroyed) stream.close(code);
  });
}

function lossOf(stream: ClientHttp2Stream, failure: unknown): string {
  if (failure instanceof Error) return failure.message;
  return stream.rstCode ? `the stream was reset with ${stream.rstCode}` : 'the connection was lost';
}

export interface CallOptions {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * One request, one answer. Its deadline is the only timer here that keeps the process alive: whoever waits for an answer gets one.
 *
 * @throws EtcdError 4 — not within the deadline; 1 — the signal; what etcd answered
 */
export function unary(
  session: ClientHttp2Session,
  path: string,
  metadata: Readonly<Record<string, string>>,
  request: Uint8Array,
  { deadlineMs, signal }: CallOptions,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let answer: Buffer | undefined;
    const stream = openStream(
      session,
      path,
      { ...metadata, 'grpc-timeout': `${Math.max(1, Math.ceil(deadlineMs))}m` },
      {
        onMessage: (message) => {
          answer = message;
        },
        onEnd: (error) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', cancel);
          if (error) reject(error);
          else if (answer) resolve(answer);
          else reject(new EtcdError(GRPC.internal, 'etcd answered OK and nothing else'));
        },
      },
    );
    const timer = setTimeout(
      () => stream.abort(new EtcdError(GRPC.deadlineExceeded, `no answer within ${Math.ceil(deadlineMs)} ms`)),
      deadlineMs,
    );
    const cancel = () => stream.abort(new EtcdError(GRPC.cancelled, 'the call was cancelled'));
    signal?.addEventListener('abort', cancel);
    if (signal?.aborted) cancel();
    stream.send(request);
    stream.finish();
  });
}

/** @returns the status, wherever it stands: in trailers, or in headers that are the whole answer */
function readStatus(headers: IncomingHttpHeaders): EtcdError | 'ok' | undefined {
  const code = headers['grpc-status'];
  if (code === undefined) return undefined;
  if (code === '0') return 'ok';
  const number = /^\d{1,2}$/.test(String(code)) ? Number(code) : GRPC.unknown;
  return new EtcdError(number, percentDecoded(String(headers['grpc-message'] ?? `etcd answers with status ${number}`)));
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A message with its prefix: not compressed, and its length. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  framed.writeUInt8(0, 0);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, PREFIX_BYTES);
  return framed;
}

/**
 * Puts messages together that come in pieces of any size.
 *
 * @returns to be called with each piece; @throws EtcdError 8 — a message of more than `bytesMax`; 12 — a compressed one, which nobody asked for
 */
export function deframer(onMessage: (message: Buffer) => unknown, bytesMax = MESSAGE_BYTES_MAX): (piece: Buffer) => void {
  let pieces: Buffer[] = [];
  let bytes = 0;
  let needed = PREFIX_BYTES;
  return (piece) => {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes < needed) return;
    let rest = pieces.length === 1 ? piece : Buffer.concat(pieces);
    for (;;) {
      needed = PREFIX_BYTES;
      if (rest.length < needed) break;
      if (rest[0] !== 0) throw new EtcdError(GRPC.unimplemented, 'a compressed message');
      const length = rest.readUInt32BE(1);
      if (length > bytesMax) throw new EtcdError(GRPC.resourceExhausted, `a message of ${length} bytes`);
      needed += length;
      if (rest.length < needed) break;
      onMessage(rest.subarray(PREFIX_BYTES, needed));
      rest = rest.subarray(needed);
    }
    pieces = rest.length > 0 ? [rest] : [];
    bytes = rest.length;
  };
}
