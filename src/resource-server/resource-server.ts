/**
 * The library for resource servers, `auth/resource-server` (docs/resource-server.md): says whether an access token is good, from memory wherever it can,
 * and refuses within milliseconds what has been revoked. It stands alone: nothing but `node:` modules and `fetch`.
 */
import { type CheckSettings, openChecks } from './checks.ts';
import {
  type ExpressMiddleware,
  expressMiddleware,
  type FastifyHook,
  fastifyHook,
  type HonoMiddleware,
  honoMiddleware,
} from './middleware.ts';
import { type Admission, judged, malformed, missing, readToken } from './refusals.ts';
import type { Verdict, VerifiedToken } from './verdict.ts';

export type { ExpressMiddleware, FastifyHook, HonoMiddleware } from './middleware.ts';
export type { Verdict, VerifiedToken } from './verdict.ts';

export interface ResourceServerOptions {
  readonly issuer: string;
  /** where the server is reached from here; the issuer unless given */
  readonly url?: string;
  /** a client with the scope `auth:revocations:read`, and in the audience of the tokens by its id or its `resources` */
  readonly clientId: string;
  readonly clientSecret: string;
  /** `introspection`: the server is asked for each token, once. `jwt`: JWTs are verified here */
  readonly mode: 'introspection' | 'jwt';
  /** one of these has to be in the token's `aud`; needed for `jwt` */
  readonly audience?: string | readonly string[];
  /** how long the feed may say nothing before it is not relied on; it says something every 15 s */
  readonly maxSilenceMs?: number;
  /** then: `ask` the server for each request, or `refuse` with 503 */
  readonly whenSilent?: 'ask' | 'refuse';
  /** tokens to be kept in memory */
  readonly cacheTokensMax?: number;
  /** entries of the feed to be kept in memory */
  readonly entriesMax?: number;
  /** for each question to the server */
  readonly timeoutMs?: number;
  /** for the log: why the server could not be asked or followed. There are no tokens in it */
  readonly onProblem?: (error: unknown) => void;
}

export interface Needs {
  /** all of these: a list, or separated by spaces */
  readonly scope?: string | readonly string[];
}

export interface ResourceServer {
  check(token: string): Promise<Verdict>;
  /** RFC 6750: the token of a request, or the answer that it gets instead. */
  authenticate(request: Request, needs?: Needs): Promise<Authentication>;
  express(needs?: Needs): ExpressMiddleware;
  fastify(needs?: Needs): FastifyHook;
  hono(needs?: Needs): HonoMiddleware;
  /** Whether the feed is followed, so that revocations count at once: for a health check. */
  readonly isFollowing: boolean;
  close(): void;
}

export type Authentication =
  | { readonly token: VerifiedToken; readonly refusal?: undefined }
  | { readonly token?: undefined; readonly refusal: Response };

/** Shorter, and the server would be asked all the time. */
const SILENCE_MS_MIN = 1_000;

/** @throws TypeError, RangeError — options that cannot be meant */
export function openResourceServer(options: ResourceServerOptions): ResourceServer {
  const { issuer } = options;
  const checks = openChecks(readOptions(options));
  const admitting =
    ({ scope = [] }: Needs = {}) =>
    async (authorization: string | null | undefined): Promise<Admission> => {
      const presented = readToken(authorization);
      if (presented === undefined) return { refusal: missing(issuer) };
      if (presented === 'malformed') return { refusal: malformed(issuer) };
      const needed = [scope].flat().flatMap((text) => text.split(' ').filter(Boolean));
      return judged(await checks.check(presented.token), needed, issuer);
    };

  return {
    check: checks.check,
    async authenticate(request, needs) {
      const { token, refusal } = await admitting(needs)(request.headers.get('authorization'));
      return refusal ? { refusal: new Response(refusal.body, refusal) } : { token };
    },
    express: (needs) => expressMiddleware(admitting(needs)),
    fastify: (needs) => fastifyHook(admitting(needs)),
    hono: (needs) => honoMiddleware(admitting(needs)),
    get isFollowing() {
      return checks.isFollowing;
    },
    close: checks.close,
  };
}

function readOptions(options: ResourceServerOptions): CheckSettings {
  const { issuer, mode, maxSilenceMs = 45_000, timeoutMs = 5_000, cacheTokensMax = 10_000, entriesMax = 1_000_000 } = options;
  const audience = [options.audience ?? []].flat();
  if (mode === 'jwt' && audience.length === 0) throw new TypeError('audience is needed: a token for somebody else must not be accepted');
  const numbers = { maxSilenceMs, timeoutMs, cacheTokensMax, entriesMax };
  for (const [name, value] of Object.entries(numbers)) if (!(value > 0)) throw new RangeError(`${name} must be more than 0`);
  if (maxSilenceMs < SILENCE_MS_MIN) throw new RangeError(`maxSilenceMs must be ${SILENCE_MS_MIN} or more`);
  const { clientId, clientSecret, whenSilent = 'ask', onProblem = () => undefined } = options;
  const url = (options.url ?? issuer).replace(/\/+$/, '');
  return { ...numbers, issuer, url, clientId, clientSecret, mode, audience, whenSilent, onProblem };
}
