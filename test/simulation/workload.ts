/** What the world asks the nodes for, as the HTTP layer would do it: each operation with its question and its answer, by true time. */
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import { type Actor, Unavailable } from '../../src/core/ports.ts';
import type { TokenHash } from '../../src/core/reference-token.ts';
import type { Checkers, Moment, Token } from './checkers.ts';
import type { Node } from './node.ts';
import type { Scheduler } from './scheduler.ts';

/** Two looks at the log, the cache, three statements and a look at the nodes, each at its deadline. */
const DEADLINES_MS = 5_500;
const RATES = 1.02;

/** A client, and what the administrators know of its secrets. */
export interface KnownSecrets {
  readonly id: string;
  readonly verifiers: string[];
}

export interface WorkloadOptions {
  readonly scheduler: Scheduler;
  readonly checkers: Checkers;
  /** those that take requests */
  readonly nodes: () => readonly Node[];
  readonly maxStalenessMs: number;
}

export class Workload {
  readonly #options: WorkloadOptions;
  #operations = 0;
  readonly unavailable = new Map<string, number>();

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  issue(node: Node, clientId: string, ttlSeconds: number): Promise<Token | undefined> {
    const { checkers, scheduler } = this.#options;
    const hash = scheduler.random.hash() as TokenHash;
    return this.#asked(node, `issue for ${clientId}`, async (asked) => {
      const { memory } = node;
      const known = (await memory.clients.find(clientId)) ?? (await memory.clientRecords.find(clientId));
      if (!known || known.client.disabled) return undefined;
      const now = memory.now();
      const record: AccessTokenRecord = {
        ...{ tokenHash: hash, jti: hash.slice(0, 8), clientId, subject: clientId, scope: ['read'], audience: ['api'], claims: {} },
        ...{ issuedAt: now, expiresAt: now + ttlSeconds, issuedSeq: known.asOfSeq },
      };
      const insertion = memory.tokens.insert(record);
      // Somebody has guessed it, or has not waited: nothing that he is told counts.
      if (scheduler.random.chance(0.3)) this.#ask(scheduler.random.pick(this.#options.nodes()), hash);
      await insertion;
      return checkers.issued(record, node, asked);
    });
  }

  #ask(node: Node, hash: TokenHash): void {
    const ask = () => node.memory.tokens.find(hash, node.memory.now()).catch(() => undefined);
    node.process.enter(() => void (node.isReady && ask()));
  }

  /** @param isProven as `Prefer: consistency=strict` asks */
  introspect(node: Node, token: Token, isProven: boolean): Promise<void> {
    return this.#asked(node, `introspect ${token.name}${isProven ? ' strictly' : ''}`, async (asked) => {
      const { memory } = node;
      if (isProven) await memory.prove();
      const found = await memory.tokens.find(token.record.tokenHash, memory.now());
      this.#options.checkers.introspected(token, node, asked, isProven, found);
      return found && !found.revoked ? 'active' : 'inactive';
    }).then(() => undefined);
  }

  /** As src/core/revoke.ts. @returns whether it was answered with 200 */
  async revoke(node: Node, token: Token): Promise<boolean> {
    const { checkers, scheduler, maxStalenessMs } = this.#options;
    const done = await this.#asked(node, `revoke ${token.name}`, async (asked) => {
      const found = await node.memory.tokens.find(token.record.tokenHash, node.memory.now());
      if (!found) {
        checkers.expired(token, node);
        return false;
      }
      await node.memory.tokens.revoke(found.record);
      checkers.ended(token, node, asked);
      const took = scheduler.now - asked.at;
      if (node.process.runningSince < asked.at && took > maxStalenessMs * RATES + DEADLINES_MS)
        checkers.violation('K6', `a revocation was answered after ${took.toFixed(0)} ms`);
      return true;
    });
    return done ?? false;
  }

  async authenticate(node: Node, clientId: string, verifier: string): Promise<void> {
    await this.#asked(node, `authenticate ${clientId}`, async (asked) => {
      const { memory, consistency: _ } = node;
      const isGood = (known: Awaited<ReturnType<typeof memory.clients.find>>) =>
        known !== undefined && !known.client.disabled && known.client.secrets.some((secret) => secret.verifier === verifier);
      const isAccepted = isGood(await memory.clients.find(clientId)) || isGood(await memory.clientRecords.find(clientId));
      this.#options.checkers.authenticated(clientId, verifier, node, asked, isAccepted);
      return isAccepted;
    });
  }

  /** @returns what ended with it; `undefined`: it was not done, as far as is known */
  async disable(node: Node, clientId: string, disabled: boolean): Promise<readonly Token[] | undefined> {
    return this.#administer(node, disabled ? 'disable' : 'enable', clientId, disabled, (actor) =>
      node.memory.administration.update(clientId, (current) => ({ ...current, disabled }), actor),
    );
  }

  async remove(node: Node, clientId: string): Promise<readonly Token[] | undefined> {
    return this.#administer(node, 'delete', clientId, true, (actor) => node.memory.administration.delete(clientId, () => undefined, actor));
  }

  async addSecret(node: Node, { id, verifiers }: KnownSecrets): Promise<void> {
    const verifier = `secret ${++this.#operations}`;
    verifiers.push(verifier); // whatever becomes of it: the checkers know when it is good
    const secret = { name: undefined, expiresAt: undefined, verifier };
    // What only adds waits for nobody, so its answer binds nobody to what was committed before it either.
    await this.#asked(node, `add ${verifier} ${id}`, () => {
      const actor = { clientId: 'admin', scope: [], address: `operation ${++this.#operations}` };
      return node.memory.administration.addSecret(id, secret, () => undefined, actor);
    });
  }

  async removeSecret(node: Node, clientId: string, verifier: string, tokens: 'keep' | 'end'): Promise<readonly Token[] | undefined> {
    return this.#administer(node, `remove ${verifier} (${tokens})`, clientId, tokens === 'end', async (actor) => {
      const known = await node.memory.clientRecords.find(clientId);
      const secretId = known?.client.secrets.find((secret) => secret.verifier === verifier)?.id;
      return secretId !== undefined && node.memory.administration.removeSecret(clientId, { secretId, tokens }, () => undefined, actor);
    });
  }

  async #administer(
    node: Node,
    what: string,
    clientId: string,
    endsTokens: boolean,
    work: (actor: Actor) => Promise<unknown>,
  ): Promise<readonly Token[] | undefined> {
    const { checkers } = this.#options;
    const operation = `operation ${++this.#operations}`;
    const existing = checkers.tokens.filter(({ record }) => record.clientId === clientId);
    return this.#asked(node, `${what} ${clientId}`, async (asked) => {
      const done = await work({ clientId: 'admin', scope: [], address: operation });
      if (!done) return undefined;
      checkers.administered(operation, clientId, node, asked);
      if (!endsTokens) return [];
      for (const token of existing) checkers.ended(token, node, asked);
      return existing;
    });
  }

  /** @returns `undefined` when the answer was 503; nothing at all when the node dies meanwhile */
  #asked<T>(node: Node, what: string, work: (asked: Moment) => Promise<T>): Promise<T | undefined> {
    const { scheduler, checkers } = this.#options;
    const operation = ++this.#operations;
    const { name } = node.process;
    const asked = checkers.now();
    scheduler.note(`${operation} ${name}: ${what}`);
    return new Promise((resolve) => {
      const answered = (answer: T | undefined) => {
        const text = typeof answer === 'object' ? 'done' : String(answer);
        scheduler.note(`${operation} ${name}: ${what}: ${text}`);
        resolve(answer);
      };
      const failed = (error: unknown) => {
        if (!(error instanceof Unavailable)) checkers.violation('K4', `${what} at ${name} ended with ${String(error)}`);
        this.unavailable.set(what.split(' ')[0] ?? '', (this.unavailable.get(what.split(' ')[0] ?? '') ?? 0) + 1);
        scheduler.note(`${operation} ${name}: ${what}: 503`);
        resolve(undefined);
      };
      const work503 = () => Promise.reject(new Unavailable('not ready'));
      node.process.enter(() => void (node.isReady ? work(asked) : work503()).then(answered, failed));
    });
  }
}
