/** What PostgreSQL has committed, for the checkers: now, and at any time before. */
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import type { Client } from '../../src/core/clients.ts';
import type { ChangeEntry } from '../../src/core/ports.ts';
import type { MemoryStores } from '../support/memory-stores.ts';

interface ClientState {
  readonly from: number;
  readonly client: Client | undefined;
}

export interface Commit {
  readonly at: number;
  readonly seq: number;
  readonly kind: ChangeEntry['kind'];
}

export class Truth {
  readonly #stores: MemoryStores;
  readonly #now: () => number;
  readonly #ended = { tokens: new Set<string>(), cutOffs: new Map<string, number>() };
  /** by epoch: in its history, or in one that is lost */
  readonly #everEnded = [{ tokens: new Set<string>(), cutOffs: new Map<string, number>() }];
  readonly #clients = new Map<string, ClientState[]>();
  readonly #commits = new Map<string, Commit>();

  constructor(stores: MemoryStores, now: () => number) {
    this.#stores = stores;
    this.#now = now;
  }

  /** What was there before the run. */
  learn(): void {
    for (const { key } of this.#stores.changes) this.#remember(key);
  }

  appended(entries: readonly ChangeEntry[]): void {
    for (const { seq, kind, key } of entries) {
      for (const { tokens, cutOffs } of [this.#ended, this.#everEnded.at(-1) ?? this.#ended]) {
        if (kind === 'token') tokens.add(key);
        if (kind === 'client') cutOffs.set(key, Math.max(seq, cutOffs.get(key) ?? 0));
      }
      if (kind !== 'client' && kind !== 'client_record') continue;
      this.#remember(key);
      const operation = this.#stores.audits.at(-1)?.address;
      if (operation !== undefined) this.#commits.set(operation, { at: this.#now(), seq, kind });
    }
  }

  /** Commits are lost. @param isSaid by a new epoch */
  wentBack(isSaid: boolean): void {
    this.#ended.tokens.clear();
    this.#ended.cutOffs.clear();
    for (const { seq, kind, key } of this.#stores.changes) {
      if (kind === 'token') this.#ended.tokens.add(key);
      if (kind === 'client') this.#ended.cutOffs.set(key, seq);
    }
    for (const id of this.#clients.keys()) this.#remember(id);
    if (isSaid) this.#everEnded.push({ tokens: new Set(this.#ended.tokens), cutOffs: new Map(this.#ended.cutOffs) });
  }

  /** Which epoch there is now. */
  get epochs(): number {
    return this.#everEnded.length;
  }

  isIssued({ tokenHash }: AccessTokenRecord): boolean {
    return this.#stores.issued.has(tokenHash);
  }

  isEnded(record: AccessTokenRecord): boolean {
    return isIn(this.#ended, record);
  }

  /** @param epochs when the node was started that says so */
  wasEverEnded(record: AccessTokenRecord, epochs: number): boolean {
    return this.#everEnded.slice(epochs - 1).some((ended) => isIn(ended, record));
  }

  /** Of a management operation that was done. */
  commitOf(operation: string): Commit | undefined {
    return this.#commits.get(operation);
  }

  /** All states that a client had at some time between. */
  clientBetween(id: string, from: number, to: number): readonly (Client | undefined)[] {
    const states = this.#clients.get(id) ?? [];
    return states
      .filter((state, index) => state.from <= to && (states[index + 1]?.from ?? Number.POSITIVE_INFINITY) >= from)
      .map(({ client }) => client);
  }

  #remember(id: string): void {
    const states = this.#clients.get(id) ?? [{ from: Number.NEGATIVE_INFINITY, client: undefined }];
    this.#clients.set(id, states);
    states.push({ from: this.#now(), client: this.#stores.clientNow(id) });
  }
}

function isIn(
  ended: { tokens: Set<string>; cutOffs: Map<string, number> },
  { tokenHash, clientId, issuedSeq }: AccessTokenRecord,
): boolean {
  return ended.tokens.has(tokenHash) || issuedSeq < (ended.cutOffs.get(clientId) ?? 0);
}
