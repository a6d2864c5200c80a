/** Resource servers for tests, which use the library as their owners would: one for each shape of middleware. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Hono } from 'hono';
import { serve } from 'srvx/node';
import type { ResourceServer, ResourceServerOptions, VerifiedToken } from '../../src/resource-server/resource-server.ts';
import { openResourceServer } from '../../src/resource-server/resource-server.ts';
import { createClient } from './client.ts';
import type { Cleanup } from './faults.ts';
import type { Credentials, InProcessServer } from './server.ts';

export const AUDIENCE = 'https://orders.example.com';
export const SCOPE = 'orders:read';

export interface Parties {
  /** whose tokens are good at the resource servers */
  readonly client: Credentials;
  /** the resource servers' own */
  readonly reader: Credentials;
  readonly issuer: string;
}

export async function createParties(server: InProcessServer, metadata: Readonly<Record<string, unknown>> = {}): Promise<Parties> {
  return {
    client: await createClient(server, { scope: `${SCOPE} orders:write`, audience: [AUDIENCE], ...metadata }),
    reader: await createClient(server, { scope: 'auth:revocations:read', resources: [AUDIENCE] }),
    issuer: `http://localhost:${new URL(server.url).port}`,
  };
}

export function openLibrary(
  t: Cleanup,
  url: string,
  { issuer, reader }: Parties,
  options: Partial<ResourceServerOptions> = {},
): ResourceServer {
  const library = openResourceServer({ issuer, url, ...reader, mode: 'introspection', audience: AUDIENCE, ...options });
  t.after(async () => library.close());
  return library;
}

export const SHAPES = ['express', 'hono', 'fetch'] as const;

/** @returns its address; `GET /orders` needs {@link SCOPE}, and answers with the `sub` of the token */
export async function openApi(t: Cleanup, library: ResourceServer, shape: (typeof SHAPES)[number]): Promise<string> {
  const needs = { scope: SCOPE };
  if (shape === 'express') {
    const guard = library.express(needs);
    return listen(t, (request: Parameters<typeof guard>[0], response) => {
      guard(request, response, (error) => {
        response.statusCode = error ? 500 : 200;
        response.end(request.auth?.subject);
      });
    });
  }
  const app = new Hono<{ Variables: { auth: VerifiedToken } }>();
  if (shape === 'hono') app.get('/orders', library.hono(needs), (c) => c.text(c.get('auth').subject));
  else {
    app.get('/orders', async (c) => {
      const { token, refusal } = await library.authenticate(c.req.raw, needs);
      return refusal ?? c.text(token.subject);
    });
  }
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1', silent: true });
  await server.ready();
  t.after(() => server.close(true));
  return server.url ?? '';
}

export async function listen(t: Cleanup, listener: RequestListener): Promise<string> {
  const server: Server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}
