/** The same check as a middleware. The types say what is used of each framework, so that none has to be installed. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Admission } from './refusals.ts';
import type { VerifiedToken } from './verdict.ts';

/** @param authorization the header of that name */
type Admit = (authorization: string | undefined) => Promise<Admission>;

/** Express, Connect, plain `node:http`: the token is `request.auth`. */
export type ExpressMiddleware = (
  request: IncomingMessage & { auth?: VerifiedToken },
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void;

/** Fastify's `onRequest` or `preHandler`: the token is `request.auth`. */
export type FastifyHook = (
  request: { readonly headers: IncomingHttpHeaders; auth?: VerifiedToken },
  reply: FastifyReply,
) => Promise<unknown>;

interface FastifyReply {
  code(status: number): unknown;
  header(name: string, value: string): unknown;
  send(body: string): unknown;
}

/** Hono: the token is `c.get('auth')`. */
export type HonoMiddleware = (context: HonoContext, next: () => Promise<void>) => Promise<Response | undefined>;

interface HonoContext {
  readonly req: { header(name: string): string | undefined };
  set(key: 'auth', value: VerifiedToken): void;
}

export function expressMiddleware(admit: Admit): ExpressMiddleware {
  return (request, response, next) => {
    admit(request.headers.authorization).then(({ token, refusal }) => {
      if (refusal) return void response.writeHead(refusal.status, refusal.headers).end(refusal.body);
      request.auth = token;
      next();
    }, next);
  };
}

export function fastifyHook(admit: Admit): FastifyHook {
  return async (request, reply) => {
    const { token, refusal } = await admit(request.headers.authorization);
    if (!refusal) {
      request.auth = token;
      return undefined;
    }
    reply.code(refusal.status);
    for (const [name, value] of Object.entries(refusal.headers)) reply.header(name, value);
    reply.send(refusal.body);
    return reply;
  };
}

export function honoMiddleware(admit: Admit): HonoMiddleware {
  return async (context, next) => {
    const { token, refusal } = await admit(context.req.header('authorization'));
    if (refusal) return new Response(refusal.body, refusal);
    context.set('auth', token);
    await next();
    return undefined;
  };
}
