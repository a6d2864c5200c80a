/**
 * Work that many wait for. Whoever asks gets a run that begins after the question: one that is under way may have looked before whatever the caller
 * knows of. All who ask meanwhile share the next one, so there is never more than one at a time.
 */
export class SharedRun<Result> {
  readonly #work: () => Promise<Result>;
  #running: Promise<Result> | undefined;
  #next: Promise<Result> | undefined;

  constructor(work: () => Promise<Result>) {
    this.#work = work;
  }

  /** The one that is under way, if there is one. */
  get running(): Promise<Result> | undefined {
    return this.#running;
  }

  /** A run that begins after this call. */
  after(): Promise<Result> {
    if (!this.#running) return this.#start();
    // By then somebody else may have begun one, later than this call as well.
    this.#next ??= this.#running.catch(() => undefined).then(() => this.#running ?? this.#start());
    return this.#next;
  }

  #start(): Promise<Result> {
    this.#next = undefined;
    this.#running = this.#work().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }
}
