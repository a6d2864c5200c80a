/**
 * The library for resource servers, `auth/resource-server` (docs/resource-server.md): says whether an access token is good, from memory wherever it can,
 * and refuses within milliseconds what has been revoked. It stands alone: nothing but `node:` modules and `fetch`.
 */
import { createHash } from 'node:crypto';
import { AuthServer, AuthServerError } from './auth-server.ts';
import { Ended } from './ended.ts';
import { FeedFollower } from './feed-follower.ts';
import { Introspecting, type KeptAnswer } from './introspecting.ts';
import { Kept } from './kept.ts';
import { KeySet } from './key-set.ts';
import {
  type ExpressMiddleware,
  expressMiddleware,
  type FastifyHook,
  fastifyHook,
  type HonoMiddleware,
  honoMiddleware,
} from './middleware.ts';
import { type Admission, judged, malformed, missing, readToken } from './refusals.ts';
import { INACTIVE, unknown, type Verdict, type VerifiedToken } from './verdict.ts';
import { hasEnded, type KeptVerification, verified } from './verifying.ts';

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
const SWEEP_MS = 60_000;
/** After an overflow it is tried again once there is so much room. */
const ROOMY_SHARE = 0.9;
/** RFC 6750 §2.1: nothing else needs a question. */
const COULD_BE_A_TOKEN = /^(?=.{1,16384}$)[A-Za-z0-9._~+/-]+=*$/;
/** Where the server is asked because the feed is not enough. */
const NOT_FOLLOWED = { history: 0, isAlive: false };
const SILENT = 'the feed of revocations has been silent for too long';

export function openResourceServer(options: ResourceServerOptions): ResourceServer {
  const { issuer, mode, maxSilenceMs = 45_000, whenSilent = 'ask', timeoutMs = 5_000, onProblem = () => undefined } = options;
  const audience = [options.audience ?? []].flat();
  if (mode === 'jwt' && audience.length === 0) throw new TypeError('audience is needed: a token for somebody else must not be accepted');
  const entriesMax = options.entriesMax ?? 1_000_000;
  const cacheTokensMax = options.cacheTokensMax ?? 10_000;
  for (const [name, value] of Object.entries({ maxSilenceMs, timeoutMs, entriesMax, cacheTokensMax })) {
    if (!(value > 0)) throw new RangeError(`${name} must be more than 0`);
  }
  if (maxSilenceMs < SILENCE_MS_MIN) throw new RangeError(`maxSilenceMs must be ${SILENCE_MS_MIN} or more`);
  const url = (options.url ?? issuer).replace(/\/+$/, '');
  const server = new AuthServer({ url, clientId: options.clientId, clientSecret: options.clientSecret, timeoutMs });
  const ended = new Ended(entriesMax);
  const answers = new Kept<KeptAnswer>(cacheTokensMax);
  const keys = mode === 'jwt' ? new KeySet(server, onProblem) : undefined;
  const follow = () =>
    new FeedFollower({
      server,
      // Who asks learns from the answer what was revoked before; who does not ask has only the feed.
      from: mode === 'jwt' ? 'beginning' : 'latest',
      maxSilenceMs,
      timeoutMs,
      onEntry: (entry) => {
        ended.add(entry);
        if (entry.token_hash !== undefined) answers.delete(entry.token_hash);
      },
      onForget: () => {
        ended.clear();
        answers.clear();
      },
      onProblem,
    });
  let feed = follow();
  const introspecting = new Introspecting({ server, feed: mode === 'jwt' ? NOT_FOLLOWED : feed, ended, kept: answers });
  const verifying = keys && { keys, ended, issuer, audience, kept: new Kept<KeptVerification>(cacheTokensMax) };
  const isForUs = (verdict: Verdict) =>
    verdict.outcome === 'active' && audience.length > 0 && !verdict.token.audience.some((one) => audience.includes(one))
      ? INACTIVE
      : verdict;

  const sweep = setInterval(() => {
    ended.sweep(Date.now() / 1000);
    // What was dropped is missing until all has been read again.
    if (mode !== 'jwt' || ended.dropped === 0 || ended.size > entriesMax * ROOMY_SHARE) return;
    feed.close();
    ended.clear();
    feed = follow();
  }, SWEEP_MS).unref();

  async function checkByAsking(token: string, hash: string): Promise<Verdict> {
    if (ended.hasToken(hash)) return INACTIVE;
    if (whenSilent === 'refuse' && !feed.isAlive) return unknown(SILENT);
    const kept = introspecting.recall(hash);
    return isForUs(kept ? { outcome: 'active', token: kept } : await introspecting.ask(token, hash));
  }

  async function checkByKeys(presented: string, hash: string, parts: NonNullable<typeof verifying>): Promise<Verdict> {
    const token = await verified(presented, hash, parts);
    if (!token || hasEnded(token, hash, ended)) return INACTIVE;
    if (feed.isAlive && ended.dropped === 0) return { outcome: 'active', token };
    if (whenSilent === 'refuse') return unknown(SILENT);
    const verdict = isForUs(await introspecting.ask(presented, hash));
    // The server knows tokens by their hash: not the JWT that a gateway passes on for a reference token.
    return verdict.outcome === 'active' ? verdict : unknown(SILENT);
  }

  async function check(token: string): Promise<Verdict> {
    if (!COULD_BE_A_TOKEN.test(token)) return INACTIVE;
    const hash = createHash('sha256').update(token).digest('base64url');
    if (!feed.isSettled) await feed.settled;
    try {
      return await (verifying ? checkByKeys(token, hash, verifying) : checkByAsking(token, hash));
    } catch (error) {
      if (!(error instanceof AuthServerError)) throw error;
      onProblem(error);
      return unknown(error.message);
    }
  }

  const admitting =
    ({ scope = [] }: Needs = {}) =>
    async (authorization: string | null | undefined): Promise<Admission> => {
      const presented = readToken(authorization);
      if (presented === undefined) return { refusal: missing(issuer) };
      if (presented === 'malformed') return { refusal: malformed(issuer) };
      const needed = [scope].flat().flatMap((text) => text.split(' ').filter(Boolean));
      return judged(await check(presented.token), needed, issuer);
    };

  return {
    check,
    async authenticate(request, needs) {
      const { token, refusal } = await admitting(needs)(request.headers.get('authorization'));
      return refusal ? { refusal: new Response(refusal.body, refusal) } : { token };
    },
    express: (needs) => expressMiddleware(admitting(needs)),
    fastify: (needs) => fastifyHook(admitting(needs)),
    hono: (needs) => honoMiddleware(admitting(needs)),
    get isFollowing() {
      return feed.isAlive;
    },
    close() {
      clearInterval(sweep);
      keys?.close();
      feed.close();
    },
  };
}
