/** Every route, in one list; what they share: the gate before the start is done, methods, errors. */

import type { BlockList } from 'node:net';
import { Hono } from 'hono';
import type { Logger } from 'pino';
import type { ServerRequest } from 'srvx';
import type { ClientImporter } from '../core/client-import.ts';
import type { IntrospectDeps } from '../core/introspect.ts';
import {
  type Actor,
  type AuditLog,
  type ClientAdministration,
  type ClientDirectory,
  type ClientKeysAt,
  type KeyStore,
  type RevocationStore,
  type ScopeCatalogue,
  type SpendAssertion,
  Unavailable,
} from '../core/ports.ts';
import type { SlowSecrets } from '../core/slow-secrets.ts';
import type { TokenDeps } from '../core/token.ts';
import { sourceAddress } from './address.ts';
import { auditRoutes } from './audit.ts';
import { clientExportRoutes } from './client-export.ts';
import { clientImportRoutes } from './client-import.ts';
import { clientSecretRoutes } from './client-secrets.ts';
import { clientRoutes } from './clients.ts';
import type { Denials } from './denials.ts';
import { answerPrepared, type Documentation, openDocumentation } from './documentation.ts';
import { type ErrorStyle, errorResponse, HttpError } from './errors.ts';
import type { Feed } from './feed.ts';
import { live, type NodeState, ready } from './health.ts';
import { introspectEndpoint } from './introspect.ts';
import { jwks } from './jwks.ts';
import { keyRoutes } from './keys.ts';
import { METADATA_PATH, metadata, metadataPath } from './metadata.ts';
import { type Metrics, metricsPage } from './metrics.ts';
import { type RegistrationDeps, registrationRoutes } from './registration.ts';
import { initialTokenRoutes } from './registration-tokens.ts';
import { requestIdOf } from './request-id.ts';
import { revocationRoutes } from './revocations.ts';
import { revokeEndpoint } from './revoke.ts';
import { scopeRoutes } from './scopes.ts';
import type { FailureThrottle } from './throttle.ts';
import { tokenEndpoint } from './token.ts';

/** What the endpoints need. */
export interface HttpDeps extends TokenDeps, IntrospectDeps {
  /** those in memory; what they do not prove, {@link HttpDeps.clientRecords} decide */
  readonly clients: ClientDirectory;
  /** all of them, asked for each time */
  readonly clientRecords: ClientDirectory;
  /** Resolves when the stores answer; after it, `clients` and `tokens` answer as of a moment after the call. @throws Unavailable */
  readonly prove: () => Promise<void>;
  /** Resolves when the stores answered a moment ago, or do now; costs forty looks a second at most. @throws Unavailable */
  readonly ready: () => Promise<void>;
  readonly state: () => NodeState;
  readonly administration: ClientAdministration;
  readonly registration: RegistrationDeps;
  readonly importer: ClientImporter;
  /** Tells the audit that hashes of secrets were read; what cannot be told is not read. */
  readonly exported: (actor: Actor, detail: object) => Promise<void>;
  readonly slowSecrets: SlowSecrets;
  readonly revocations: RevocationStore;
  readonly scopes: ScopeCatalogue;
  readonly feed: Feed;
  readonly keyAdministration: Pick<KeyStore, 'rotate'>;
  /** how long a key is published before it signs */
  readonly keyAnnounceSeconds: number;
  readonly audit: AuditLog;
  readonly denials: Denials;
  readonly clientKeysAt: ClientKeysAt;
  readonly spendAssertion: SpendAssertion;
  readonly throttle: FailureThrottle;
  /** Is told of each secret that was right; never waits. @param now epoch seconds */
  readonly secretUsed: (secretId: string, now: number) => void;
  readonly trustedProxies: BlockList | undefined;
  /** epoch seconds */
  readonly clock: () => number;
  readonly log: Logger;
}

/** One request: read once, passed on as data. */
export interface Call {
  readonly request: Request;
  readonly authorization: string | null;
  readonly address: string;
  /** names it in the audit */
  readonly requestId: string;
  /** epoch seconds, the same for all of the request */
  readonly now: number;
  /** of the path, decoded */
  readonly param: (name: string) => string;
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly style: ErrorStyle;
  readonly answer: (call: Call, deps: HttpDeps) => Response | Promise<Response>;
  /** `false`: as configured, there is nothing at this path */
  readonly isOffered?: (deps: HttpDeps) => boolean;
}

/** What there is without any store. */
export interface OpenCall {
  readonly request: Request;
  readonly metrics: Metrics;
  readonly documentation: Documentation;
}

/** One that answers before the start is done, too, and when no store does. */
export interface OpenRoute extends Omit<Route, 'answer'> {
  readonly answerAlways: (call: OpenCall) => Response | Promise<Response>;
}

/** Relative to the issuer. docs/conformance.md has a row for each; a test sees to it. */
export const ROUTES: readonly (Route | OpenRoute)[] = [
  { method: 'POST', path: '/token', style: 'oauth', answer: tokenEndpoint },
  { method: 'POST', path: '/introspect', style: 'oauth', answer: introspectEndpoint },
  { method: 'POST', path: '/revoke', style: 'oauth', answer: revokeEndpoint },
  { method: 'GET', path: '/jwks', style: 'oauth', answer: jwks },
  ...clientRoutes,
  ...revocationRoutes,
  ...keyRoutes,
  ...auditRoutes,
  ...clientSecretRoutes,
  ...registrationRoutes,
  ...initialTokenRoutes,
  {
    method: 'GET',
    path: '/openapi.json',
    style: 'oauth',
    answerAlways: async ({ request, documentation }) => answerPrepared(request, (await documentation()).openapi),
  },
  {
    method: 'GET',
    path: '/docs',
    style: 'oauth',
    answerAlways: async ({ request, documentation }) => answerPrepared(request, (await documentation()).page),
  },
  ...scopeRoutes,
  ...clientImportRoutes,
  ...clientExportRoutes,
];

/** At the listener's root, wherever the issuer is. */
export const ROOT_ROUTES: readonly (Route | OpenRoute)[] = [
  { method: 'GET', path: METADATA_PATH, style: 'oauth', answer: metadata },
  { method: 'GET', path: '/health/live', style: 'oauth', answerAlways: live },
  { method: 'GET', path: '/health/ready', style: 'oauth', answer: ready },
  { method: 'GET', path: '/metrics', style: 'oauth', answerAlways: ({ metrics }) => metricsPage(metrics) },
];

/** Without parameters in their paths, and asked for again and again: a listener may hand requests to them past the router. */
const DIRECT: readonly string[] = ['/token', '/introspect', '/revoke'];

export interface App {
  readonly fetch: (request: Request) => Response | Promise<Response>;
  /** what `fetch` would come to for a POST, by its path */
  readonly direct: ReadonlyMap<string, (request: Request) => Promise<Response>>;
}

/** @param deps `undefined` while the start is not done: live, but every answer that needs a store is 503 */
export function buildApp(issuer: string, log: Logger, metrics: Metrics, deps: () => HttpDeps | undefined): App {
  const app = new Hono();
  const direct = new Map<string, (request: Request) => Promise<Response>>();
  const documentation = openDocumentation(issuer);
  const issuerPath = new URL(issuer).pathname.replace(/\/$/, '');
  const routes = [
    ...ROUTES.map((route) => ({ route, path: issuerPath + route.path })),
    ...ROOT_ROUTES.map((route) => ({ route, path: route.path === METADATA_PATH ? metadataPath(issuerPath) : route.path })),
  ];
  for (const { route, path } of routes) {
    const count = metrics.route(route.method, route.path);
    const handle = async (request: Request, param: Call['param']) => {
      const since = performance.now();
      const requestId = requestIdOf(request);
      let response: Response;
      try {
        response =
          'answerAlways' in route
            ? await route.answerAlways({ request, metrics, documentation })
            : await respond(route, { request, requestId, param }, deps());
      } catch (error) {
        if (error instanceof Unavailable && !('answerAlways' in route) && route.answer !== ready) metrics.refused(error.reason);
        response = errorResponse(error, route.style, log);
      }
      if (route.style === 'management') response.headers.set('x-request-id', requestId);
      count(response.status, performance.now() - since);
      return response;
    };
    app.on(route.method, path, (c) => handle(c.req.raw, (name) => c.req.param(name) ?? ''));
    if (DIRECT.includes(route.path)) direct.set(path, (request) => handle(request, () => ''));
  }
  const countOther = metrics.route('other', 'other');
  const refuse = (error: unknown, style: ErrorStyle = 'oauth') => {
    const response = errorResponse(error, style, log);
    countOther(response.status, 0);
    return response;
  };
  for (const path of new Set(routes.map((route) => route.path))) {
    const here = routes.flatMap(({ route, path: its }) => (its === path ? [route] : []));
    const allow = here.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
    app.all(path, () => {
      const isThere = here.some((route) => 'answerAlways' in route || isOffered(route, deps()));
      return refuse(isThere ? new HttpError(405, 'this method is not allowed here', { allow }) : nothingHere(), here[0]?.style);
    });
  }
  app.notFound(() => refuse(nothingHere()));
  app.onError((error) => refuse(error));
  return { fetch: (request) => app.fetch(request), direct };
}

function respond(
  route: Route,
  { request, ...rest }: Pick<Call, 'request' | 'requestId' | 'param'>,
  deps: HttpDeps | undefined,
): Response | Promise<Response> {
  if (!deps) throw new Unavailable('the start is not done', { reason: 'not_started' });
  if (!isOffered(route, deps)) throw nothingHere();
  const address = sourceAddress(request as ServerRequest, deps.trustedProxies);
  const call = { request, authorization: request.headers.get('authorization'), address, now: deps.clock(), ...rest };
  return route.style === 'management' ? manage(route, call, deps) : route.answer(call, deps);
}

function isOffered({ isOffered: asConfigured }: Route, deps: HttpDeps | undefined): boolean {
  return !deps || (asConfigured?.(deps) ?? true);
}

function nothingHere(): HttpError {
  return new HttpError(404, 'there is nothing at this path');
}

/** What is refused for want of authority is told to the audit. */
async function manage(route: Route, call: Call, deps: HttpDeps): Promise<Response> {
  try {
    return await route.answer(call, deps);
  } catch (error) {
    deps.denials.note(error, call, route);
    throw error;
  }
}
