/** Asks the authorization server, and keeps the answer as docs/revocation.md, "Caching in a resource server", allows. */
import type { AuthServer } from './auth-server.ts';
import { AuthServerError } from './auth-server.ts';
import type { Ended } from './ended.ts';
import type { FeedFollower } from './feed-follower.ts';
import type { Kept } from './kept.ts';
import { INACTIVE, tokenOfClaims, type Verdict, type VerifiedToken } from './verdict.ts';

export interface Answer {
  /** `undefined`: not active */
  readonly token: VerifiedToken | undefined;
  /** it knows of the entries of the feed up to this number */
  readonly number: number;
}

export interface KeptAnswer extends Answer {
  readonly token: VerifiedToken;
  /** moments of `performance.now()`: without the feed, with it */
  readonly until: number;
  readonly untilWithFeed: number;
}

export interface IntrospectingParts {
  readonly server: Pick<AuthServer, 'introspect'>;
  readonly feed: Pick<FeedFollower, 'history' | 'isAlive'>;
  readonly ended: Ended;
  readonly kept: Kept<KeptAnswer>;
}

export class Introspecting {
  readonly #parts: IntrospectingParts;
  readonly #underway = new Map<string, Promise<Answer>>();

  constructor(parts: IntrospectingParts) {
    this.#parts = parts;
  }

  /** What is known without asking. @param hash SHA-256 of the token */
  recall(hash: string): VerifiedToken | undefined {
    const { ended, feed, kept } = this.#parts;
    const found = kept.get(hash);
    if (!found) return undefined;
    const { token, number, until, untilWithFeed } = found;
    const now = performance.now();
    const isFresh = now < until || (now < untilWithFeed && feed.isAlive);
    return isFresh && !ended.hasToken(hash, token.jti) && !ended.hasEndedByTime(token, number) ? token : undefined;
  }

  /** @throws AuthServerError */
  async ask(token: string, hash: string): Promise<Verdict> {
    // Without the feed only a question after the call tells of all that was revoked before it.
    const { ended, feed } = this.#parts;
    const underway = feed.isAlive ? this.#underway.get(hash) : undefined;
    let answer = await (underway ?? this.#askShared(token, hash));
    // What came meanwhile may be why somebody asks now.
    if (answer.token && ended.hasEndedByTime(answer.token, answer.number)) answer = await this.#askShared(token, hash);
    return answer.token && !ended.hasToken(hash, answer.token.jti) ? { outcome: 'active', token: answer.token } : INACTIVE;
  }

  #askShared(token: string, hash: string): Promise<Answer> {
    const asking = this.#askOnce(token, hash).finally(() => {
      if (this.#underway.get(hash) === asking) this.#underway.delete(hash);
    });
    this.#underway.set(hash, asking);
    return asking;
  }

  async #askOnce(presented: string, hash: string): Promise<Answer> {
    const { ended, feed, kept, server } = this.#parts;
    const askedAt = performance.now();
    const { history } = feed;
    const { number, dropped } = ended;
    const { claims, maxAgeSeconds, feedMaxAgeSeconds } = await server.introspect(presented);
    if (!claims) return { token: undefined, number };
    const token = tokenOfClaims(claims);
    if (!token) throw new AuthServerError('/introspect: a member is missing');
    const leftMs = token.expiresAt * 1000 - Date.now();
    const until = (seconds: number) => askedAt + Math.min(seconds * 1000, leftMs);
    // A place in the feed comes before the question, and nothing of what came since then may be lost.
    const isToldOf = history > 0 && ended.dropped === dropped;
    const answer = { token, number, until: until(maxAgeSeconds), untilWithFeed: isToldOf ? until(feedMaxAgeSeconds) : 0 };
    if (feed.history === history && Math.max(answer.until, answer.untilWithFeed) > performance.now()) kept.set(hash, answer);
    return answer;
  }
}
