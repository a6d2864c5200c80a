/**
 * The model of PostgreSQL: what the statements do is test/support/memory-stores.ts; here is when they do it, who hears of it, and what is lost.
 * A statement runs at one moment between its question and its answer, which may be late, or never come: then its outcome is unknown.
 */
import type { LiveNode, NodeRegistry } from '../../src/coherence/ports.ts';
import {
  type AccessTokenStore,
  type ChangeEntry,
  type ChangeLog,
  type ClientAdministration,
  type ClientDirectory,
  type RevocationStore,
  Unavailable,
} from '../../src/core/ports.ts';
import { type MemoryStores, memoryStores } from '../support/memory-stores.ts';
import type { Network } from './network.ts';
import { NodeTable } from './node-table.ts';
import { BEGINNING_MS, type Process } from './process.ts';
import type { Scheduler } from './scheduler.ts';
import { Truth } from './truth.ts';

/** As src/postgres/db.ts. */
const REQUEST_MS = 1_000;
const FOLLOWER_MS = 450;
/** What is not flushed by a commit is after this, at the latest (three times `wal_writer_delay`). */
const FLUSHED_AFTER_MS = 600;
const POSTGRES = 'postgres';

export interface PostgresOptions {
  /** entries that one page of the log has at most */
  readonly pageMax: number;
  readonly serviceMeanMs: number;
  /** Mutants of the model: what the statements must not be like. */
  readonly plainSequence?: boolean;
  readonly prolongedAbove?: number;
}

export interface PostgresPorts {
  readonly log: ChangeLog;
  readonly tokens: AccessTokenStore;
  readonly clients: ClientDirectory;
  readonly administration: ClientAdministration;
  readonly revocations: RevocationStore;
  readonly nodes: NodeRegistry;
}

export class Postgres {
  readonly stores: MemoryStores;
  readonly truth: Truth;
  /** Commits were lost. */
  onWentBack: () => void = () => undefined;
  /** Once: a look at the change log has been answered, and the answer is on its way. */
  onLook: ((process: Process) => void) | undefined;
  readonly #scheduler: Scheduler;
  readonly #network: Network;
  readonly #options: PostgresOptions;
  readonly #table: NodeTable;
  readonly #own: Pick<MemoryStores, 'administration' | 'tokens' | 'revocations'>;
  #state: 'running' | 'frozen' | 'down' = 'running';
  /** what came while it was frozen */
  readonly #queue: (() => void)[] = [];
  /** appended by the statement that is running */
  #appended: ChangeEntry[] = [];
  readonly #invisible = new Set<number>();
  #incarnation = 0;
  #epoch = 'epoch 1';
  #histories = 1;
  #clockOffset = 0;
  /** what each process may know of */
  readonly #seenTo = new Map<Process, number>();
  /** those that have not looked since commits were lost without a new epoch: nothing is written until then */
  #unaware: readonly Process[] = [];

  constructor(scheduler: Scheduler, network: Network, options: PostgresOptions) {
    this.#scheduler = scheduler;
    this.#network = network;
    this.#options = options;
    let ids = 0;
    this.stores = memoryStores({ nowMs: () => this.nowMs, newId: () => `id ${++ids}` });
    this.#table = new NodeTable(() => this.nowMs, options.prolongedAbove);
    this.#own = this.stores.connect((entry) => this.#appended.push(entry));
    this.truth = new Truth(this.stores, () => scheduler.now);
  }

  /** Its clock, milliseconds since the epoch. */
  get nowMs(): number {
    return Math.floor(BEGINNING_MS + this.#scheduler.now + this.#clockOffset);
  }

  /** How often it has gone back. */
  get histories(): number {
    return this.#histories;
  }

  get lastSeq(): number {
    return this.stores.changes.length;
  }

  /** @param announce of what this process has committed, once it knows */
  connect(process: Process, announce: (entry: ChangeEntry) => void): PostgresPorts {
    const { stores } = this;
    const read = <T>(what: string, ms: number, run: () => T) => this.#call(process, what, ms, run, undefined);
    const write = <T>(what: string, run: () => T, ms = REQUEST_MS) => this.#call(process, what, ms, run, announce);
    const { tokens, administration, revocations } = this.#own;
    const known = new Set<string>();
    return {
      log: { read: (after, count) => read('read-changes', FOLLOWER_MS, () => this.#readLog(after, count)) },
      clients: { find: (id) => read('find-client', REQUEST_MS, () => stores.directory.find(id)) },
      tokens: {
        find: (hash, now) => read('find-token', REQUEST_MS, () => stores.tokens.find(hash, now)),
        insert: (record) => write('insert-token', () => tokens.insert(record)),
        revoke: (...given) => write('revoke', () => tokens.revoke(...given)),
      },
      administration: {
        list: (...given) => read('list', REQUEST_MS, () => stores.administration.list(...given)),
        insert: (...given) => write('insert-client', () => administration.insert(...given)),
        update: (...given) => write('update-client', () => administration.update(...given)),
        delete: (...given) => write('delete-client', () => administration.delete(...given)),
        addSecret: (...given) => write('add-secret', () => administration.addSecret(...given)),
        removeSecret: (...given) => write('remove-secret', () => administration.removeSecret(...given)),
      },
      revocations: {
        append: (...given) => write('revoke-many', () => revocations.append(...given)),
        count: (target) => read('count-tokens', REQUEST_MS, () => revocations.count(target)),
        list: (...given) => read('list-revocations', REQUEST_MS, () => revocations.list(...given)),
      },
      nodes: {
        renew: async (node, leaseMs) => {
          await write('renew', () => this.#renew(node, leaseMs, known.has(node.id)), FOLLOWER_MS);
          known.add(node.id);
        },
        leave: (id) => write('leave', () => this.#table.leave(id), FOLLOWER_MS),
        live: () => read('live', REQUEST_MS, () => this.#table.live()),
      },
    };
  }

  freeze(ms: number): void {
    if (this.#state !== 'running') return;
    this.#scheduler.note(`postgres frozen for ${ms.toFixed(0)}`);
    this.#state = 'frozen';
    this.#scheduler.after(ms, () => {
      if (this.#state !== 'frozen') return;
      this.#state = 'running';
      this.#scheduler.note('postgres goes on');
      for (const arrival of this.#queue.splice(0)) this.#scheduler.after(this.#scheduler.random.between(0, 1), arrival);
    });
  }

  /** Loses nothing but what did not wait for the disk. @param clockStep of the machine that it is on afterwards, never forward */
  crash(downMs: number, clockStep = 0): void {
    if (this.#state === 'down') return;
    this.#scheduler.note(`postgres crashes, down for ${downMs.toFixed(0)}`);
    this.#goDown();
    this.#table.crash();
    this.#scheduler.after(downMs, () => this.#comeUp(clockStep));
  }

  /** From now on a standby gets nothing more. @returns what makes it the primary: all that was committed meanwhile is lost */
  lag(): (downMs: number, how: FailOver) => void {
    const marks = [this.stores.mark(), this.#table.mark()];
    const history = this.#histories;
    return (downMs, { isSaid, clockStep }) => {
      if (this.#state === 'down' || history !== this.#histories) return;
      this.#scheduler.note(`postgres fails over, down for ${downMs.toFixed(0)}`);
      this.#goDown();
      this.#scheduler.after(downMs, () => {
        for (const back of marks) back();
        this.#histories++;
        if (isSaid) this.#epoch = `epoch ${this.#histories}`;
        this.truth.wentBack(isSaid);
        this.onWentBack();
        const { lastSeq } = this;
        // By numbers alone who knows of more notices it only while nothing has taken their place.
        this.#unaware = isSaid ? [] : [...this.#seenTo].flatMap(([process, seenTo]) => (seenTo > lastSeq ? [process] : []));
        this.#comeUp(clockStep);
      });
    };
  }

  #goDown(): void {
    this.#state = 'down';
    this.#incarnation++;
    this.#queue.length = 0;
  }

  #comeUp(clockStep: number): void {
    this.#clockOffset += Math.min(0, clockStep);
    this.#state = 'running';
    this.#scheduler.note(`postgres is up at ${this.lastSeq} of ${this.#epoch}`);
  }

  #call<T>(
    process: Process,
    what: string,
    deadlineMs: number,
    run: () => T,
    announce: ((entry: ChangeEntry) => void) | undefined,
  ): Promise<Awaited<T>> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      const end = (how: () => void) => {
        if (isOver) return;
        process.enter(() => {
          if (isOver) return;
          isOver = true;
          how();
        });
      };
      const fail = (why: string) => end(() => reject(new Unavailable(`${what}: ${why}`)));
      const back = (how: () => void) => {
        const ms = this.#network.way(POSTGRES, process.machine);
        if (ms !== undefined) this.#scheduler.after(ms, how);
      };
      const arrival = () => {
        if (this.#state === 'down') return back(() => fail('refused'));
        // A statement's own time-out, or its cancellation, may come first.
        if (this.#state === 'frozen')
          return void this.#queue.push(() => (this.#scheduler.random.chance(0.3) ? fail('cancelled') : arrival()));
        if (announce && this.#unaware.some(({ isAlive }) => isAlive)) return back(() => fail('read-only'));
        const { incarnation, entries, result } = this.#execute(process, what, run, announce !== undefined);
        const answer = () =>
          end(() => {
            if (incarnation !== this.#incarnation) return reject(new Unavailable(`${what}: terminated`));
            if (what === 'read-changes') this.#unaware = this.#unaware.filter((other) => other !== process);
            for (const entry of entries) announce?.(entry);
            resolve(result as Awaited<T>);
          });
        this.#visible(entries, () => back(answer));
      };
      process.timer(deadlineMs, () => fail('no answer'));
      const ms = this.#network.way(process.machine, POSTGRES);
      const incarnation = this.#incarnation;
      const begin = () => (incarnation === this.#incarnation ? arrival() : fail('terminated'));
      if (ms !== undefined) this.#scheduler.after(ms + this.#scheduler.random.around(this.#options.serviceMeanMs), begin);
    });
  }

  /** In no time, as of now. */
  #execute<T>(process: Process, what: string, run: () => T, isWrite: boolean): { incarnation: number; entries: ChangeEntry[]; result: T } {
    this.#appended = [];
    const result = run();
    if (result instanceof Promise) result.catch(() => undefined); // who asked may not be there any more
    const entries = this.#appended;
    this.#seenTo.set(process, Math.max(this.lastSeq, this.#seenTo.get(process) ?? 0));
    if (what === 'read-changes') this.onLook?.(process);
    this.truth.appended(entries);
    if (isWrite && what !== 'renew') this.#table.flush();
    if (isWrite || what !== 'read-changes')
      this.#scheduler.note(`${process.name} ${what}${entries.map(({ seq }) => ` = ${seq}`).join('')}`);
    return { incarnation: this.#incarnation, entries, result };
  }

  #renew(node: LiveNode, leaseMs: number, isKnown: boolean): void {
    if (this.#table.renew(node, leaseMs, isKnown)) return;
    const { random } = this.#scheduler;
    const incarnation = this.#incarnation;
    this.#scheduler.after(random.between(0, FLUSHED_AFTER_MS), () => incarnation === this.#incarnation && this.#table.flush());
  }

  #readLog(after: number, count: number): ReturnType<ChangeLog['read']> {
    const epoch = this.#epoch;
    const unseen = new Set(this.#invisible);
    const reading = this.stores.log.read(after, Math.min(count, this.#options.pageMax));
    return reading.then((page) => ({ ...page, epoch, entries: page.entries.filter(({ seq }) => !unseen.has(seq)) }));
  }

  /** By a plain sequence the numbers would be given before the commits, and seen in another order. */
  #visible(entries: readonly ChangeEntry[], then: () => void): void {
    if (!this.#options.plainSequence || entries.length === 0) {
      then();
      return;
    }
    for (const { seq } of entries) this.#invisible.add(seq);
    this.#scheduler.after(this.#scheduler.random.around(10), () => {
      for (const { seq } of entries) this.#invisible.delete(seq);
      then();
    });
  }
}

export interface FailOver {
  /** whether the database says by a new epoch that it went back; else by its position alone, and nothing is written until all have noticed */
  readonly isSaid: boolean;
  readonly clockStep: number;
}
