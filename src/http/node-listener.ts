/** The listener on Node: limits, and what Node's parser hides from the application. On another runtime this file has a sibling. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { toNodeHandler } from 'srvx/node';
import type { App } from './app.ts';
import { BODY_BYTES_MAX, IMPORT_BYTES_MAX } from './body.ts';
import { answerDirectly } from './node-direct.ts';

export interface Listener {
  /** Stops accepting and resolves when what is running has been answered, or has been cut off after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
}

/** A request has to be complete within these, or its connection is closed: slow senders hold nothing for long. */
const LIMITS = {
  headersTimeout: 10_000,
  requestTimeout: 20_000,
  connectionsCheckingInterval: 2_000,
  keepAliveTimeout: 65_000,
  maxHeaderSize: 16_384,
};

/** Node keeps only the first of these when there are several; which of them a proxy in front has believed is unknown. */
const ONCE = new Map([
  ['host', 1],
  ['authorization', 2],
  ['content-type', 4],
  ['content-length', 8],
]);
const ONCE_LENGTHS = new Set([...ONCE.keys()].map(({ length }) => length));

/** RFC 3986 §3.2.2 and a port. Anything else could shift where the path begins once it stands in a URL, and not all of these are hosts to URL. */
const HOST = /^(?:[A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/;

/**
 * Paths as this server writes them: unreserved characters, no escapes, no dot segments. A proxy that guards a path must not be passed by
 * another spelling of it. A final `?` begins the query.
 */
const TARGET = /^(?:\/(?!\.{1,2}(?:[/?]|$))[A-Za-z0-9._~-]*)+(?:\?|$)/;
/** The one path that says more than unreserved characters can: a scope token (RFC 6749 §3.3), as it is, or escaped where it has to be. */
const SCOPE_TARGET =
  /^(?:\/(?!\.{1,2}\/)[A-Za-z0-9._~-]*)*\/scopes\/(?!\.{1,2}(?:\?|$))(?:[A-Za-z0-9._~:!'()*-]|%(?!2[DE]|3\d|4[1-9A-F]|5[0-9A]|5F|6[1-9A-F]|7[0-9A]|7E)[2-7][0-9A-F])+(?:\?|$)/;

const IMPORT = /\/clients\/import$/;

/** @param onError what goes wrong while an answer is being sent, as when the peer has gone away */
export async function listen(
  app: App,
  {
    host,
    port,
    tls,
  }: { readonly host: string; readonly port: number; readonly tls: { readonly cert: string; readonly key: string } | undefined },
  onError: (error: unknown) => void,
): Promise<Listener> {
  // srvx's type also allows HTTP/2 requests, which this listener never gets.
  const handler = (maxRequestBodySize: number) => toNodeHandler((request) => app.fetch(request), { maxRequestBodySize }) as RequestListener;
  const [handle, handleImport] = [handler(BODY_BYTES_MAX), handler(IMPORT_BYTES_MAX)];
  const server: Server = tls ? createTlsServer({ ...LIMITS, ...tls, minVersion: 'TLSv1.2' }) : createServer(LIMITS);
  // Beyond a count Node drops headers without a word, and a doubled one with them; their size is limited as it is.
  server.maxHeadersCount = 0;
  server.on('request', (request, response) => {
    // While draining, a connection ends with its answer, however busy its client keeps it.
    if (!server.listening) response.shouldKeepAlive = false;
    const problem = headerProblem(request);
    if (problem !== undefined) {
      response.writeHead(400, { 'content-type': 'application/json', 'cache-control': 'no-store', connection: 'close' });
      response.end(JSON.stringify({ error: 'invalid_request', error_description: problem }));
      return;
    }
    const [path = ''] = (request.url ?? '').split('?', 1);
    const direct = request.method === 'POST' ? app.direct.get(path) : undefined;
    // A `throw` before there is a promise lands here as well: it would end the process.
    new Promise((resolve) =>
      resolve(direct ? answerDirectly(direct, request, response) : (IMPORT.test(path) ? handleImport : handle)(request, response)),
    ).catch((error: unknown) => {
      onError(error);
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, () => resolve());
  });
  return { drain: (timeoutMs) => drain(server, timeoutMs) };
}

function headerProblem(request: IncomingMessage): string | undefined {
  if (isRepeated(request)) return 'a header that may come once was repeated';
  // RFC 9112 §3.2.2: the absolute form is to be taken as well; only its path counts, as the issuer comes from the configuration.
  request.url = /^https?:\/\/[^/?#]+(\/.*)$/i.exec(request.url ?? '')?.[1] ?? request.url;
  const { host = '', 'transfer-encoding': encoding } = request.headers;
  if (!isHost(host) || !isTarget(request.url ?? '')) {
    return 'the host or the request target is malformed';
  }
  // RFC 9112 §6.1: another coding than chunked would be taken for plain bytes, and HTTP/1.0 has none.
  const isPlain = encoding === undefined || (encoding.toLowerCase() === 'chunked' && request.httpVersion !== '1.0');
  return isPlain ? undefined : 'this transfer coding is not supported';
}

function isTarget(target: string): boolean {
  return TARGET.test(target) || SCOPE_TARGET.test(target);
}

let lastHost = '';

/** One name after the other is the same. */
function isHost(host: string): boolean {
  if (host === lastHost) return true;
  if (!HOST.test(host) || (host !== '' && !URL.canParse(`http://${host}`))) return false;
  lastHost = host;
  return true;
}

function isRepeated({ rawHeaders }: IncomingMessage): boolean {
  let seen = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    const bit = ONCE_LENGTHS.has(name.length) ? ONCE.get(name.toLowerCase()) : undefined;
    if (bit === undefined) continue;
    if ((seen & bit) !== 0) return true;
    seen |= bit;
  }
  return false;
}

async function drain(server: Server, timeoutMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // Connections that are kept alive end with their next answer, idle ones now.
  server.closeIdleConnections();
  const idle = setInterval(() => server.closeIdleConnections(), 100);
  const cutOff = setTimeout(() => server.closeAllConnections(), timeoutMs);
  await closed;
  clearInterval(idle);
  clearTimeout(cutOff);
}
