/** The thread that computes slow hashes: started when it is first needed, ended when it has had nothing to do for a while. */
import { Worker } from 'node:worker_threads';
import { Unavailable } from '../core/ports.ts';
import type { Job, Verdict } from './worker.ts';

/** One thread, so one core at most, whatever strangers send; who would wait for longer than a few seconds is sent away. */
const WAITING_MAX = 32;
/** So that guesses at one client keep nobody else waiting. */
const WAITING_OF_CLIENT_MAX = 8;
const IDLE_MS = 60_000;

interface Waiting {
  readonly clientId: string;
  readonly worker: Worker;
  readonly settle: (verdict: boolean | Unavailable) => void;
}

export class SlowHashes {
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #jobs = 0;

  /** @throws Unavailable — too many wait, or the thread has ended */
  readonly matches = async (clientId: string, secret: string, hash: string): Promise<boolean> => {
    const ofClient = [...this.#waiting.values()].filter((waiting) => waiting.clientId === clientId).length;
    if (this.#waiting.size >= WAITING_MAX || ofClient >= WAITING_OF_CLIENT_MAX)
      throw new Unavailable('too many secrets wait for their slow hashes', { reason: 'queue_full' });
    clearTimeout(this.#idle);
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const id = this.#jobs++;
    const verdict = await new Promise<boolean | Unavailable>((settle) => {
      this.#waiting.set(id, { clientId, worker, settle });
      worker.postMessage({ id, secret, hash } satisfies Job);
    });
    if (verdict instanceof Unavailable) throw verdict;
    return verdict;
  };

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(new URL('./worker.js', import.meta.url));
    worker.unref();
    worker.on('message', ({ id, matches }: Verdict) => this.#settle(id, matches));
    worker.on('error', () => undefined); // it ends by it, and that is heard below
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      const ended = new Unavailable('the thread that computes slow hashes has ended', { reason: 'queue_full' });
      for (const [id, waiting] of [...this.#waiting]) if (waiting.worker === worker) this.#settle(id, ended);
    });
    return worker;
  }

  #settle(id: number, verdict: boolean | Unavailable): void {
    this.#waiting.get(id)?.settle(verdict);
    this.#waiting.delete(id);
    if (this.#waiting.size > 0 || !this.#worker) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref();
  }
}
