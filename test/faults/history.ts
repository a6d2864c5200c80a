/**
 * Load, and what was promised under it. Each worker has clients and tokens of its own and does one thing at a time, so that what an answer must be is
 * known exactly; an operation without an answer, or with a 503, may or may not have happened until it is first observed.
 */
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type Answer, issueToken, postForm, sendJson } from '../support/client.ts';
import { ADMIN } from '../support/faults.ts';
import type { Credentials } from '../support/server.ts';

interface Client extends Credentials {
  state: 'there' | 'unknown' | 'gone';
  readonly tokens: Token[];
}

interface Token {
  readonly value: string;
  readonly client: Client;
  state: 'active' | 'unknown' | 'ended';
}

export interface LoadOptions {
  readonly url: string;
  readonly workers?: number;
  /** connections may break and be refused */
  readonly serverMayDie?: boolean;
  /** no answer may take longer */
  readonly patienceMs?: number;
}

const PACE_MS = 15;

/** The clients and tokens of all loads on one database. */
export class History {
  readonly #clients: Client[] = [];
  readonly #violations: string[] = [];
  /** answered 200, 201 or 204 */
  promises = 0;
  /** answered 503 */
  outages = 0;
  /** the longest that an answer took */
  slowestMs = 0;

  /** Runs workers as long as `work` takes, and ends with their last answers. */
  async load({ url, workers = 4, serverMayDie = false, patienceMs = 15_000 }: LoadOptions, work: () => Promise<void>): Promise<void> {
    const bearer = await issueToken(url, ADMIN);
    let isOver = false;
    const ask = async (what: string, send: () => Promise<Answer>): Promise<Answer | undefined> => {
      const since = performance.now();
      const answer = await send().catch((error: Error) => {
        if (!serverMayDie) this.#violations.push(`${what}: ${error.message} ${String(error.cause ?? '')}`);
        return undefined;
      });
      const ms = performance.now() - since;
      if (answer) this.slowestMs = Math.max(this.slowestMs, ms);
      if (answer && ms > patienceMs) this.#violations.push(`${what}: ${answer.status} after ${Math.round(ms)} ms`);
      if (answer?.status === 503) {
        this.outages++;
        if (answer.headers.get('retry-after') === null) this.#violations.push(`${what}: 503 without Retry-After`);
      } else if (answer && answer.status >= 200 && answer.status < 300) this.promises++;
      else if (answer) this.#violations.push(`${what}: ${answer.status} ${answer.text}`);
      return answer && answer.status < 300 ? answer : undefined;
    };
    const running = Array.from({ length: workers }, async () => {
      const own: Client[] = [];
      while (!isOver) {
        await this.#step(url, bearer, own, ask);
        await pause(PACE_MS);
      }
    });
    try {
      await work();
    } finally {
      isOver = true;
      await Promise.all(running);
    }
  }

  async #step(
    url: string,
    bearer: string,
    own: Client[],
    ask: (what: string, send: () => Promise<Answer>) => Promise<Answer | undefined>,
  ): Promise<void> {
    const there = own.filter((client) => client.state === 'there');
    const tokens = own.flatMap((client) => client.tokens);
    const client = pick(there);
    const dice = randomInt(100);
    if (!client || (dice < 15 && there.length < 4)) {
      const clientId = `c-${randomBytes(9).toString('hex')}`;
      const created = { clientId, clientSecret: '', state: 'unknown' as Client['state'], tokens: [] };
      this.#clients.push(created);
      own.push(created);
      const answer = await ask('create', () => sendJson('POST', `${url}/clients`, bearer, { client_id: clientId }));
      if (answer) Object.assign(created, { state: 'there', clientSecret: answer.body.client_secret });
    } else if (dice < 25 && client.tokens.length > 1) {
      client.state = 'unknown';
      for (const token of client.tokens) if (token.state === 'active') token.state = 'unknown';
      if (await ask('delete', () => sendJson('DELETE', `${url}/clients/${client.clientId}`, bearer))) settleClient(client, 'gone');
    } else if (dice < 60) {
      const answer = await ask('issue', () => postForm(`${url}/token`, { grant_type: 'client_credentials' }, client));
      if (answer) client.tokens.push({ value: answer.body.access_token, client, state: 'active' });
    } else if (dice < 75) {
      const token = pick(client.tokens.filter(({ state }) => state === 'active'));
      if (!token) return;
      token.state = 'unknown';
      if (await ask('revoke', () => postForm(`${url}/revoke`, { token: token.value }, client))) token.state = 'ended';
    } else {
      const token = pick(tokens);
      const answer = token && (await ask('introspect', () => postForm(`${url}/introspect`, { token: token.value }, ADMIN)));
      if (answer) this.#observe(token, answer.body.active);
    }
  }

  #observe(token: Token, active: unknown): void {
    if (active === false && token.state === 'active') this.#violations.push('active: false for a good token');
    if (active === true && token.state === 'ended') this.#violations.push('active: true for a token that was ended');
    if (active !== true && active !== false) this.#violations.push(`active: ${String(active)}`);
    if (active === false) token.state = 'ended';
  }

  /**
   * Asks for everything that was promised, and twice for what was not: its fate is decided by now.
   * No load may be running.
   */
  async verify(url: string): Promise<void> {
    assert.deepEqual(this.#violations, [], 'under load');
    const bearer = await issueToken(url, ADMIN);
    await inParallel(this.#clients, async (client) => {
      const answer = await sendJson('GET', `${url}/clients/${client.clientId}`, bearer);
      const found = answer.status === 200 ? 'there' : answer.status === 404 ? 'gone' : `${answer.status}`;
      if (client.state === 'unknown' && found !== '503') settleClient(client, found as Client['state']);
      assert.equal(found, client.state, `client ${client.clientId}`);
    });
    const tokens = this.#clients.flatMap((client) => client.tokens);
    await inParallel(tokens, async (token) => {
      const { status, body } = await postForm(`${url}/introspect`, { token: token.value }, ADMIN);
      assert.equal(status, 200);
      if (token.state === 'unknown') token.state = body.active ? 'active' : 'ended';
      assert.equal(body.active, token.state === 'active', `a token that is ${token.state}`);
    });
  }
}

/** A client that is gone has taken its tokens along; of one that is not, none has ended for that. */
function settleClient(client: Client, state: Client['state']): void {
  client.state = state;
  if (state === 'gone') for (const token of client.tokens) token.state = 'ended';
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      for (const item of left) await work(item);
    }),
  );
}

function pick<T>(items: readonly T[]): T | undefined {
  return items.length === 0 ? undefined : items[randomInt(items.length)];
}
