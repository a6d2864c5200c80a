/** The listener on Node: limits, and what Node's parser hides from the application. On another runtime this file has a sibling. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Hono } from 'hono';
import { toNodeHandler } from 'srvx/node';
import { BODY_BYTES_MAX } from './body.ts';

export interface Listener {
  readonly port: number;
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
const ONCE = ['host', 'authorization', 'content-type', 'content-length'];

export async function listen(
  app: Hono,
  {
    host,
    port,
    tls,
  }: { readonly host: string; readonly port: number; readonly tls: { readonly cert: string; readonly key: string } | undefined },
): Promise<Listener> {
  // srvx's type also allows HTTP/2 requests, which this listener never gets.
  const handle = toNodeHandler((request) => app.fetch(request), { maxRequestBodySize: BODY_BYTES_MAX }) as RequestListener;
  const server: Server = tls ? createTlsServer({ ...LIMITS, ...tls, minVersion: 'TLSv1.2' }) : createServer(LIMITS);
  server.on('request', (request, response) => {
    if (ONCE.some((name) => count(request, name) > 1)) {
      response.writeHead(400, { 'content-type': 'application/json', 'cache-control': 'no-store', connection: 'close' });
      response.end('{"error":"invalid_request","error_description":"a header that may come once was repeated"}');
      return;
    }
    void handle(request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, () => resolve());
  });
  return { port: (server.address() as AddressInfo).port, drain: (timeoutMs) => drain(server, timeoutMs) };
}

function count({ rawHeaders }: IncomingMessage, name: string): number {
  let found = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) if (rawHeaders[index]?.toLowerCase() === name) found++;
  return found;
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
