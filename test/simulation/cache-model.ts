/** The model of the shared cache: what it returns is authentic and of this history, and may be as old as the token. It loses what it likes. */
import type { SharedCache } from '../../src/coherence/ports.ts';
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import type { Process } from './process.ts';
import type { Scheduler } from './scheduler.ts';

/** Its own deadline. */
const CACHE_MS = 50;

export interface CacheFaults {
  readonly lost: number;
  /** mean of an answer, and of what is kept until it is there */
  readonly answerMs: number;
  readonly keptMs: number;
}

export class CacheModel {
  readonly #scheduler: Scheduler;
  readonly #histories: () => number;
  readonly #tokens = new Map<string, AccessTokenRecord>();
  #faults: CacheFaults = { lost: 0, answerMs: 0.5, keptMs: 1 };
  #history = 1;

  /** @param histories how often PostgreSQL has gone back */
  constructor(scheduler: Scheduler, histories: () => number) {
    this.#scheduler = scheduler;
    this.#histories = histories;
  }

  set faults(faults: CacheFaults) {
    this.#faults = faults;
  }

  wipe(): void {
    this.#scheduler.note('cache wiped');
    this.#tokens.clear();
  }

  connect(process: Process): SharedCache {
    const { random } = this.#scheduler;
    // A node follows one history all its life, and what it keeps is of that one.
    const history = this.#histories();
    return {
      findToken: (hash) =>
        new Promise((resolve) => {
          process.timer(CACHE_MS, () => process.enter(() => resolve(undefined)));
          if (random.chance(this.#faults.lost)) return;
          this.#scheduler.after(random.around(this.#faults.answerMs), () => {
            this.#ofNow();
            const record = history === this.#history ? this.#tokens.get(hash) : undefined;
            this.#scheduler.after(random.around(this.#faults.answerMs), () => process.enter(() => resolve(record)));
          });
        }),
      keepToken: (record) => {
        if (random.chance(this.#faults.lost)) return;
        this.#scheduler.after(random.around(this.#faults.keptMs), () => {
          this.#ofNow();
          if (history === this.#history) this.#tokens.set(record.tokenHash, record);
        });
      },
      keepClient: () => undefined,
    };
  }

  #ofNow(): void {
    if (this.#history === this.#histories()) return;
    this.#history = this.#histories();
    this.#tokens.clear();
  }
}
