/**
 * What may not happen (K1, K2 and K4 of docs/reliability.md), judged at each answer, by true time. A question counts from when the caller sent it, an
 * answer to a change from when the caller has it.
 */
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import type { Client } from '../../src/core/clients.ts';
import type { Node } from './node.ts';
import type { Postgres } from './postgres-model.ts';
import { BEGINNING_MS, type Process } from './process.ts';
import type { Scheduler } from './scheduler.ts';

/** Clocks run at rates that differ by so much. */
const RATE = 1.01;
/** Events at the very same time, and clocks that count whole milliseconds. */
const EPSILON_MS = 2;
const EXPIRY_MS = 150;

export interface Moment {
  /** what came first at the same time */
  readonly order: number;
  readonly at: number;
  readonly storeMs: number;
  readonly histories: number;
}

/** A token that somebody holds. */
export interface Token {
  readonly name: string;
  readonly record: AccessTokenRecord;
  readonly json: string;
  /** somebody has been told that it has ended */
  ended: Moment | undefined;
  /** somebody has been told that it is not active, for that reason */
  seen: Moment | undefined;
  /** by the process itself: what it has said, it may not take back */
  readonly saidBy: Map<Process, Moment>;
}

/** A management change that was answered. */
interface Done {
  readonly moment: Moment;
  readonly process: Process;
  readonly at: number;
  readonly seq: number;
  readonly isCutOff: boolean;
}

export type Found = { readonly record: AccessTokenRecord; readonly revoked: boolean } | undefined;

export class Checkers {
  readonly violations: string[] = [];
  /** answers that were judged */
  judged = 0;
  readonly #scheduler: Scheduler;
  readonly #postgres: Postgres;
  readonly #tokens = new Set<Token>();
  readonly #done = new Map<string, Done[]>();
  readonly #verified = new WeakSet<AccessTokenRecord>();
  #order = 0;

  constructor(scheduler: Scheduler, postgres: Postgres) {
    this.#scheduler = scheduler;
    this.#postgres = postgres;
  }

  get tokens(): readonly Token[] {
    return [...this.#tokens];
  }

  now(): Moment {
    return { order: ++this.#order, at: this.#scheduler.now, storeMs: this.#postgres.nowMs, histories: this.#postgres.histories };
  }

  violation(checker: string, what: string): void {
    const text = `${checker}: ${what}`;
    this.#scheduler.note(`VIOLATION ${text}`);
    this.violations.push(text);
  }

  /** @returns `undefined`: it was dead from the start, as the documents say that it may be; or its commit is lost */
  issued(record: AccessTokenRecord, node: Node, asked: Moment): Token | undefined {
    if (!this.#postgres.truth.isIssued(record)) return undefined;
    const late = this.#known(node, record.clientId, asked).find(({ isCutOff, seq }) => isCutOff && record.issuedSeq < seq);
    if (late) this.violation('K4', `${node.process.name} issued a token that ended before, at ${late.seq}`);
    if (this.#postgres.truth.isEnded(record)) return undefined;
    const name = `t${this.#tokens.size + 1}`;
    const token = { name, record, json: JSON.stringify(record), ended: undefined, seen: undefined, saidBy: new Map() };
    this.#tokens.add(token);
    return token;
  }

  /** Somebody is told that the token has ended. */
  ended(token: Token, node: Node, asked: Moment): void {
    const now = this.now();
    if (asked.histories !== now.histories) return; // what was committed may be lost by now
    token.ended ??= now;
    if (!token.saidBy.has(node.process)) token.saidBy.set(node.process, now);
  }

  /** Who revokes a token that has expired is told so, too: there is nothing to do, which one node sees a moment before the other. */
  expired(token: Token, node: Node): void {
    if (!this.#isExpired(token, -EXPIRY_MS) && this.#postgres.truth.isIssued(token.record))
      this.violation('K4', `${node.process.name} does not know ${token.name}`);
  }

  /** A management change was answered. */
  administered(operation: string, clientId: string, node: Node, asked: Moment): void {
    const commit = this.#postgres.truth.commitOf(operation);
    const moment = this.now();
    if (!commit) this.violation('K1', `${operation} was answered without a commit`);
    if (!commit || asked.histories !== moment.histories) return;
    const { at, seq, kind } = commit;
    this.#done.set(clientId, [
      ...(this.#done.get(clientId) ?? []),
      { moment, process: node.process, at, seq, isCutOff: kind === 'client' },
    ]);
  }

  introspected(token: Token, node: Node, asked: Moment, isProven: boolean, found: Found): void {
    this.judged++;
    const isActive = found !== undefined && !found.revoked;
    if (!this.#tokens.has(token)) return;
    if (isActive) this.#active(token, node, asked, isProven, found.record);
    else this.#inactive(token, node);
  }

  authenticated(clientId: string, verifier: string, node: Node, asked: Moment, isAccepted: boolean): void {
    this.judged++;
    const isGood = (client: Client | undefined) =>
      client?.disabled === false && client.secrets.some((secret) => secret.verifier === verifier);
    const since = Math.max(asked.at - node.maxStalenessMs * RATE - EPSILON_MS, ...this.#known(node, clientId, asked).map(({ at }) => at));
    const between = this.#postgres.truth.clientBetween(clientId, isAccepted ? since : asked.at, this.#scheduler.now);
    if (!isAccepted && between.every(isGood)) this.violation('K4', `${node.process.name} refused a good secret of ${clientId}`);
    if (isAccepted && !between.some(isGood)) this.violation('K1', `${node.process.name} accepted a secret of ${clientId} that had ended`);
  }

  /** Commits are lost; what depended on them binds nobody. */
  wentBack(): void {
    this.#done.clear();
    for (const token of this.#tokens) {
      if (!this.#postgres.truth.isIssued(token.record)) this.#tokens.delete(token);
      if (this.#postgres.truth.isEnded(token.record)) continue;
      token.ended = undefined;
      token.seen = undefined;
      token.saidBy.clear();
    }
  }

  /** In the end, when nothing is wrong any more: a node answers, and what is true. */
  audited(token: Token, node: Node, found: Found): void {
    const { truth } = this.#postgres;
    const isActive = found !== undefined && !found.revoked;
    const isGood = truth.isIssued(token.record) && !truth.isEnded(token.record) && !this.#isExpired(token, -EXPIRY_MS);
    if (isActive && truth.isEnded(token.record)) this.violation('K5', `${node.process.name} says in the end that ${token.name} is active`);
    if (!isActive && isGood && !truth.wasEverEnded(token.record, node.epochs))
      this.violation('K5', `${node.process.name} has lost ${token.name} in the end`);
  }

  #active(token: Token, node: Node, asked: Moment, isProven: boolean, record: AccessTokenRecord): void {
    const { name, maxStalenessMs } = { name: node.process.name, maxStalenessMs: node.maxStalenessMs * RATE + EPSILON_MS };
    const is = (why: string) =>
      `${name} (${node.consistency}${isProven ? ', asked for proof' : ''}) says that ${token.name} is active ${why}`;
    if (!this.#verified.has(record)) {
      if (JSON.stringify(record) !== token.json) this.violation('K4', is('but not as it was issued'));
      this.#verified.add(record);
    }
    const { ended, seen } = token;
    const isStrict = isProven || node.consistency === 'strict';
    if (ended && (isStrict ? asked.order > ended.order : asked.at > ended.at + maxStalenessMs)) {
      this.violation('K1', is(`${(asked.at - ended.at).toFixed(1)} ms after it had ended`));
    }
    const said = token.saidBy.get(node.process);
    if (said && asked.order > said.order) this.violation('K2', is('although it knew that it had ended'));
    if (seen && (isProven ? asked.order > seen.order : asked.at > seen.at + maxStalenessMs)) {
      this.violation('K2', is(`${(asked.at - seen.at).toFixed(1)} ms after somebody was told that it had ended`));
    }
    // A strict answer may rest on a look that took long; it began after the question, and the store's clock may have been set back meanwhile.
    const judgedMs = isStrict ? Math.min(asked.storeMs, this.#postgres.nowMs) : this.#postgres.nowMs;
    if (judgedMs > token.record.expiresAt * 1000 + maxStalenessMs + EXPIRY_MS) this.violation('K4', is('after it has expired'));
  }

  #inactive(token: Token, node: Node): void {
    const { truth } = this.#postgres;
    const now = this.now();
    if (truth.isEnded(token.record)) {
      token.seen ??= now;
      if (!token.saidBy.has(node.process)) token.saidBy.set(node.process, now);
      return;
    }
    if (this.#isExpired(token, -EXPIRY_MS) || truth.wasEverEnded(token.record, node.epochs) || !truth.isIssued(token.record)) return;
    this.violation(
      'K4',
      `${node.process.name} says that ${token.name} is not active, and it is: until ${token.record.expiresAt}, and that is in ${token.record.expiresAt * 1000 - now.storeMs} ms`,
    );
  }

  /** A node carries on the store's clock while there is no answer; that it was set back then, it cannot know. */
  #isExpired({ record }: Token, afterMs: number): boolean {
    return BEGINNING_MS + this.#scheduler.now >= record.expiresAt * 1000 + afterMs;
  }

  /** Changes that the node has to know when it is asked. */
  #known(node: Node, clientId: string, asked: Moment): readonly Done[] {
    const isKnown = ({ moment, process }: Done) =>
      node.consistency === 'strict' || process === node.process
        ? asked.order > moment.order
        : asked.at > moment.at + node.maxStalenessMs * RATE + EPSILON_MS;
    return (this.#done.get(clientId) ?? []).filter(isKnown);
  }
}
