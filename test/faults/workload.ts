/**
 * Load on a cluster, and its record: each worker has clients and tokens of its own, and does to them what an operator and the client would, at any
 * node, some of it twice at once. What ended with no answer is left alone afterwards, but asked for all the same.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Answer, basic, issueToken, request } from '../support/client.ts';
import { ADMIN } from '../support/faults.ts';
import type { Credentials } from '../support/server.ts';
import type { Kind, Operation, Outcome } from './operations.ts';
import type { Random } from './random.ts';

export interface Nodes {
  readonly count: number;
  url(node: number): string;
  consistency(node: number): 'bounded' | 'strict';
}

interface Secret extends Credentials {
  readonly id: string;
}

interface Client {
  readonly id: string;
  secrets: Secret[];
  state: 'there' | 'disabled' | 'left alone';
  readonly tokens: Token[];
}

export interface Token {
  /** in the history */
  readonly name: string;
  readonly value: string;
  readonly client: Client;
  /** as far as the worker knows; the checkers find out by themselves */
  isEnded: boolean;
}

/** Longer than a node is ever paused. */
const PATIENCE_MS = 6_000;
const ATTEMPTS = 5;
const CLIENTS = 3;
const BEARER_MS = 600_000;

export interface WorkloadOptions {
  readonly workers?: number;
  /** between two things that a worker does */
  readonly paceMs?: number;
}

export class Workload {
  readonly operations: Operation[] = [];
  readonly tokens: Token[] = [];
  readonly #nodes: Nodes;
  readonly #random: Random;
  readonly #options: Required<WorkloadOptions>;
  #bearer = { token: '', until: 0 };
  #named = 0;
  #isOver = false;
  #running: Promise<unknown> | undefined;

  constructor(nodes: Nodes, random: Random, { workers = 6, paceMs = 30 }: WorkloadOptions = {}) {
    this.#nodes = nodes;
    this.#random = random;
    this.#options = { workers, paceMs };
  }

  /** All nodes have to be ready. @throws Error — nobody gives the administrator a token */
  async start(): Promise<void> {
    // A round begins where the faults of the one before have only just been mended.
    for (let attempt = 1; ; attempt++) {
      const failure = await this.#renewBearer().catch((error: Error) => error);
      if (!failure) break;
      if (attempt === ATTEMPTS) throw failure;
      await pause(300);
    }
    this.#isOver = false;
    const work = async () => {
      const own: Client[] = [];
      while (!this.#isOver) {
        await this.#step(own);
        await pause(this.#options.paceMs);
      }
    };
    this.#running = Promise.all(Array.from({ length: this.#options.workers }, work));
    this.#running.catch(() => undefined); // who stops it hears of it
  }

  /** Ends with the last answers. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  /** One token ends at this node, and then the others are asked. @returns how long that took, `undefined` if there was none to end */
  async revokeAt(node: number, asked: readonly number[]): Promise<number | undefined> {
    const token = this.#random.pick(this.tokens.slice(-60).filter(({ client, isEnded }) => !isEnded && client.state === 'there'));
    if (!token) return undefined;
    token.isEnded = true;
    const of = { client: token.client, token };
    const { operation } = await this.#post('revoke', node, of, '/revoke', { token: token.value }, this.#random.pick(token.client.secrets));
    await Promise.all(asked.map((other) => this.#introspect(token, other, false)));
    return operation.outcome === 'done' ? operation.end - operation.at : undefined;
  }

  /** Asks all nodes for these, in both ways. */
  async audit(tokens: readonly Token[]): Promise<Operation[]> {
    const found: Operation[] = [];
    const left = tokens.values();
    const ask = async () => {
      for (const token of left) {
        for (let node = 0; node < this.#nodes.count; node++) {
          for (const isStrict of [false, true]) found.push(await this.#insistently(token, node, isStrict));
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, ask));
    return found;
  }

  /** What is wanted here is the truth; whether it may be late is judged elsewhere. */
  async #insistently(token: Token, node: number, isStrict: boolean): Promise<Operation> {
    for (let attempt = 1; ; attempt++) {
      const operation = await this.#introspect(token, node, isStrict);
      if (operation.active !== undefined || attempt === ATTEMPTS) return operation;
      await pause(300);
    }
  }

  get #node(): number {
    return this.#random.below(this.#nodes.count);
  }

  async #renewBearer(): Promise<void> {
    const token = await issueToken(this.#nodes.url(0), ADMIN);
    this.#bearer = { token, until: performance.now() + BEARER_MS };
  }

  async #step(own: Client[]): Promise<void> {
    if (performance.now() > this.#bearer.until) await this.#renewBearer().catch(() => undefined);
    const there = own.filter(({ state }) => state === 'there' || state === 'disabled');
    const client = this.#random.pick(there);
    if (!client || there.length < CLIENTS) return this.#create(own);
    if (client.state === 'disabled') return this.#enable(client);
    const dice = this.#random.below(100);
    if (dice < 18 || client.tokens.length === 0) return void (await this.#issue(client));
    if (dice < 34) return this.#end(client);
    if (dice < 44) return this.#change(client, own);
    const tokens = own.slice(-6).flatMap(({ tokens }) => tokens.slice(-8));
    const token = this.#random.pick(tokens);
    if (token) await this.#introspect(token, this.#node, this.#random.below(3) === 0);
  }

  /** One token ends, at one node or at two at once; then all are asked. */
  async #end(client: Client): Promise<void> {
    const token = this.#random.pick(client.tokens.filter(({ isEnded }) => !isEnded));
    if (!token) return void (await this.#issue(client));
    token.isEnded = true;
    const nodes = this.#random.below(3) === 0 ? [this.#node, this.#node] : [this.#node];
    await Promise.all(
      nodes.map(async (node) => {
        await this.#post('revoke', node, { client, token }, '/revoke', { token: token.value }, this.#random.pick(client.secrets));
        await this.#askAll(token);
      }),
    );
  }

  async #askAll(token: Token): Promise<void> {
    await Promise.all(
      Array.from({ length: this.#nodes.count }, async (_, node) => {
        await this.#introspect(token, node, this.#nodes.consistency(node) === 'bounded' && this.#random.below(2) > 0);
      }),
    );
  }

  async #change(client: Client, own: Client[]): Promise<void> {
    const dice = this.#random.below(10);
    if (dice < 3) {
      // The token that is being issued meanwhile belongs to before or after; to nothing in between.
      await Promise.all([this.#endAll('disable', client, { disabled: true }), this.#issue(client)]);
      if (client.state === 'there') client.state = 'disabled';
    } else if (dice < 4) {
      await this.#endAll('delete', client);
      client.state = 'left alone';
      await this.#json('create', this.#node, client.id, 'POST', '/clients', { client_id: client.id });
    } else if (dice < 7 && client.secrets.length < 4) {
      const { outcome, answer } = await this.#json('add_secret', this.#node, client.id, 'POST', `/clients/${client.id}/secrets`, {});
      if (outcome === 'done') client.secrets.push(secretOf(client.id, answer?.body.id, answer?.body.client_secret));
      else client.state = 'left alone';
    } else if (client.secrets.length > 1) {
      const [secret] = client.secrets.splice(this.#random.below(client.secrets.length), 1);
      const kind = this.#random.below(2) === 0 ? 'remove_secret' : 'end_secret';
      if (secret) await this.#endAll(kind, client, undefined, secret);
      if (secret) await this.#issue(client, secret);
    } else await this.#create(own);
  }

  /** What ends all tokens of a client, or one of its secrets. */
  async #endAll(kind: Kind, client: Client, body?: object, secret?: Secret): Promise<void> {
    const last = client.tokens.at(-1);
    if (kind !== 'remove_secret') for (const token of client.tokens) token.isEnded = true;
    const query = kind === 'end_secret' ? '?revoke_tokens=true' : '';
    const path = `/clients/${client.id}${secret ? `/secrets/${secret.id}${query}` : ''}`;
    const { outcome } = await this.#json(kind, this.#node, client.id, kind === 'disable' ? 'PATCH' : 'DELETE', path, body, secret?.id);
    if (outcome !== 'done') client.state = 'left alone';
    if (last) await this.#askAll(last);
  }

  async #enable(client: Client): Promise<void> {
    await this.#issue(client);
    const { outcome } = await this.#json('enable', this.#node, client.id, 'PATCH', `/clients/${client.id}`, { disabled: false });
    client.state = outcome === 'done' ? 'there' : 'left alone';
  }

  /** Now and then at two nodes at once: one of them gives the id. */
  async #create(own: Client[]): Promise<void> {
    const id = `c${++this.#named}`;
    const client: Client = { id, secrets: [], state: 'left alone', tokens: [] };
    const nodes = this.#random.below(4) === 0 ? [this.#node, this.#node] : [this.#node];
    const body = { client_id: id, scope: `read:${id} write`, claims: { of: id } };
    await Promise.all(
      nodes.map(async (node) => {
        const { outcome, answer } = await this.#json('create', node, id, 'POST', '/clients', body);
        if (outcome !== 'done') return;
        client.secrets = [secretOf(id, answer?.body.secrets[0].id, answer?.body.client_secret)];
        client.state = 'there';
      }),
    );
    if (client.state === 'there') own.push(client);
  }

  /** @param secret one that need not be good */
  async #issue(client: Client, secret = this.#random.pick(client.secrets)): Promise<void> {
    const token = { name: `t${++this.#named}`, client, isEnded: false };
    const { outcome, answer } = await this.#post('issue', this.#node, { client, token }, '/token', GRANT, secret);
    if (outcome !== 'done') return;
    const issued = { ...token, value: String(answer?.body.access_token) };
    client.tokens.push(issued);
    this.tokens.push(issued);
  }

  #introspect(token: Token, node: number, isStrict: boolean): Promise<Operation> {
    const prefer = isStrict ? { prefer: 'consistency=strict' } : undefined;
    const of = { client: token.client, token };
    return this.#post('introspect', node, of, '/introspect', { token: token.value }, ADMIN, prefer).then(({ operation }) => operation);
  }

  #post(
    kind: Kind,
    node: number,
    { client, token }: { readonly client: Client; readonly token: Pick<Token, 'name'> },
    path: string,
    form: Readonly<Record<string, string>>,
    credentials: Credentials | undefined,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Asked> {
    const authorization = basic(credentials ?? ADMIN);
    const body = new URLSearchParams(form).toString();
    const type = 'application/x-www-form-urlencoded';
    const init = { method: 'POST', headers: { authorization, 'content-type': type, ...headers }, body };
    const secret = credentials && 'id' in credentials ? { secret: String(credentials.id) } : {};
    return this.#ask({ kind, node, client: client.id, token: token.name, ...secret }, path, init, headers !== undefined);
  }

  #json(kind: Kind, node: number, client: string, method: string, path: string, body?: object, secret?: string): Promise<Asked> {
    const headers = { authorization: `Bearer ${this.#bearer.token}`, ...(body && { 'content-type': 'application/json' }) };
    const init = { method, headers, ...(body && { body: JSON.stringify(body) }) };
    return this.#ask({ kind, node, client, ...(secret !== undefined && { secret }) }, path, init, false);
  }

  async #ask(
    what: Pick<Operation, 'kind' | 'node' | 'client' | 'token' | 'secret'>,
    path: string,
    init: RequestInit,
    isPreferred: boolean,
  ): Promise<Asked> {
    const { node } = what;
    const url = this.#nodes.url(node) + path;
    const consistency = isPreferred ? 'preferred' : this.#nodes.consistency(node);
    const at = performance.now();
    let answer: Answer | undefined;
    let outcome: Outcome;
    try {
      answer = await request(url, { ...init, signal: AbortSignal.timeout(PATIENCE_MS) });
      outcome = outcomeOf(answer.status);
    } catch (error) {
      outcome = (error as { cause?: { code?: string } }).cause?.code === 'ECONNREFUSED' ? 'unreached' : 'unknown';
    }
    const end = performance.now();
    const seen = answer && outcome === 'done' && what.kind === 'introspect' ? observation(answer) : {};
    const problem = answer && problemOf(answer, outcome, isPreferred);
    const operation: Operation = {
      ...what,
      consistency,
      at,
      end,
      outcome,
      status: answer?.status ?? 0,
      ...seen,
      ...(problem && { problem }),
    };
    this.operations.push(operation);
    return { operation, outcome, answer };
  }
}

interface Asked {
  readonly operation: Operation;
  readonly outcome: Outcome;
  readonly answer: Answer | undefined;
}

const GRANT = { grant_type: 'client_credentials' };
const secretOf = (clientId: string, id: string, clientSecret: string): Secret => ({ clientId, id, clientSecret });

function outcomeOf(status: number): Outcome {
  if (status >= 200 && status < 300) return 'done';
  if (status >= 400 && status < 500) return 'refused';
  return status === 503 ? 'unavailable' : 'broken';
}

function observation({ body }: Answer): Pick<Operation, 'active' | 'claims'> {
  const { active, token_type: _, ...claims } = body;
  if (active !== true) return { active: false };
  return { active, claims: JSON.stringify(Object.fromEntries(Object.entries(claims).sort(([a], [b]) => (a < b ? -1 : 1)))) };
}

function problemOf({ status, headers, body }: Answer, outcome: Outcome, isPreferred: boolean): string | undefined {
  if (outcome === 'unavailable' && headers.get('retry-after') === null) return '503 without Retry-After';
  if (status === 200 && isPreferred && headers.get('preference-applied') !== 'consistency=strict') return 'no Preference-Applied';
  if (status === 200 && body?.active === false && Object.keys(body).length > 1) return 'an inactive token with claims';
  return undefined;
}
