/** A process on a machine: it can be paused, suspended with its machine, and killed. Its clocks are its own. */
import type { Clocks } from '../../src/coherence/ports.ts';
import type { Scheduler } from './scheduler.ts';

/** True time and the wall clocks' agree on this at the start: 2027-01-15T08:00:00Z. */
export const BEGINNING_MS = 1_800_000_000_000;

export class Process implements Clocks {
  readonly name: string;
  /** stays the same when it is started again */
  readonly machine: string;
  /** how much quicker than true time its clocks are */
  readonly rate: number;
  readonly #scheduler: Scheduler;
  readonly #held: (() => void)[] = [];
  #isAlive = true;
  #state: 'running' | 'paused' | 'suspended' = 'running';
  /** of the monotonic clock, true time when it was set */
  #since: number;
  #monotonic: number;
  #wallOffset: number;
  /** true time up to which it has been running all the time */
  #runningSince: number;

  /** @param start how often it was started on this machine */
  constructor(machine: string, start: number, scheduler: Scheduler, { rate = 1, wallOffset = 0 } = {}) {
    this.machine = machine;
    this.name = `${machine}.${start}`;
    this.rate = rate;
    this.#scheduler = scheduler;
    this.#since = scheduler.now;
    this.#runningSince = scheduler.now;
    this.#monotonic = scheduler.random.between(1_000, 100_000);
    this.#wallOffset = wallOffset;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isRunning(): boolean {
    return this.#isAlive && this.#state === 'running';
  }

  /** True time since which nothing has held it. */
  get runningSince(): number {
    return this.#runningSince;
  }

  readonly monotonic = (): number => this.#monotonic + (this.#state === 'suspended' ? 0 : (this.#scheduler.now - this.#since) * this.rate);

  readonly wall = (): number => Math.floor(BEGINNING_MS + this.#scheduler.now * this.rate + this.#wallOffset);

  /** Something arrives: at once, when it goes on, or never. */
  enter(run: () => void): void {
    if (!this.#isAlive) return;
    if (this.#state !== 'running') {
      this.#held.push(run);
      return;
    }
    this.#scheduler.touch();
    run();
  }

  /** By its own clock, whole milliseconds and at least one, as Node's timers. */
  timer(ms: number, run: () => void): void {
    const due = this.monotonic() + Math.max(1, Math.ceil(ms));
    const look = () => {
      if (!this.#isAlive) return;
      // A machine that was suspended has its timers later.
      const left = due - this.monotonic();
      if (left > 0.001) this.#scheduler.after(left / this.rate, look);
      else run();
    };
    this.#scheduler.after((due - this.monotonic()) / this.rate, look);
  }

  readonly sleep = (ms: number): Promise<void> => new Promise((resolve) => this.timer(ms, () => this.enter(resolve)));

  /** @param how `paused`: SIGSTOP; `suspended`: the machine, whose monotonic clock stands still */
  hold(how: 'paused' | 'suspended', ms: number): void {
    if (!this.isRunning) return;
    this.#scheduler.note(`${this.name} ${how} for ${ms.toFixed(0)}`);
    this.#setMonotonic();
    this.#state = how;
    this.#scheduler.after(ms, () => this.#goOn());
  }

  stepWall(ms: number): void {
    this.#scheduler.note(`${this.name} wall clock stepped by ${ms.toFixed(0)}`);
    this.#wallOffset += ms;
  }

  kill(): void {
    this.#scheduler.note(`${this.name} killed`);
    this.#isAlive = false;
    this.#held.length = 0;
  }

  #goOn(): void {
    if (!this.#isAlive) return;
    this.#setMonotonic();
    this.#state = 'running';
    this.#runningSince = this.#scheduler.now;
    this.#scheduler.note(`${this.name} goes on`);
    // Each with its own turn: what came first may begin something that the next one ends.
    for (const run of this.#held.splice(0)) this.#scheduler.after(this.#scheduler.random.between(0, 0.5), () => this.enter(run));
  }

  #setMonotonic(): void {
    this.#monotonic = this.monotonic();
    this.#since = this.#scheduler.now;
  }
}
