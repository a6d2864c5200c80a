/** Joins the parts: the server, the feed, what has ended, what is kept. Here is decided what is said of a token. */
import { createHash } from 'node:crypto';
import { AuthServer, AuthServerError } from './auth-server.ts';
import { Ended } from './ended.ts';
import { FeedFollower } from './feed-follower.ts';
import { Introspecting, type KeptAnswer } from './introspecting.ts';
import { Kept } from './kept.ts';
import { KeySet } from './key-set.ts';
import { INACTIVE, unknown, type Verdict } from './verdict.ts';
import { hasEnded, type KeptVerification, verified } from './verifying.ts';

/** See `ResourceServerOptions`. */
export interface CheckSettings {
  readonly issuer: string;
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly mode: 'introspection' | 'jwt';
  /** none: any that the server shows */
  readonly audience: readonly string[];
  readonly maxSilenceMs: number;
  readonly whenSilent: 'ask' | 'refuse';
  readonly cacheTokensMax: number;
  readonly entriesMax: number;
  readonly timeoutMs: number;
  readonly onProblem: (error: unknown) => void;
}

export interface Checks {
  check(token: string): Promise<Verdict>;
  readonly isFollowing: boolean;
  close(): void;
}

const SWEEP_MS = 60_000;
/** After an overflow it is tried again once there is so much room. */
const ROOMY_SHARE = 0.9;
/** RFC 6750 §2.1: nothing else needs a question. */
const COULD_BE_A_TOKEN = /^(?=.{1,16384}$)[A-Za-z0-9._~+/-]+=*$/;
/** Where the server is asked because the feed is not enough. */
const NOT_FOLLOWED = { history: 0, isAlive: false };
const SILENT = 'the feed of revocations has been silent for too long';

export function openChecks(settings: CheckSettings): Checks {
  const { issuer, mode, audience, maxSilenceMs, whenSilent, cacheTokensMax, entriesMax, timeoutMs, onProblem } = settings;
  const server = new AuthServer(settings);
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
    if (feed.isAlive && ended.dropped === 0 && !ended.isDoubted(token)) return { outcome: 'active', token };
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

  return {
    check,
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
