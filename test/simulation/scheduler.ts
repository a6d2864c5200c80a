/**
 * The simulated world's time. One event at a time; between two of them the code under test runs until it waits for something. Which of several
 * events that are due at the same time comes first is decided by the seed, and so is everything else: the same seed gives the same trace.
 */
import type { Random } from './random.ts';

interface Event {
  readonly at: number;
  readonly tie: number;
  readonly run: () => void;
}

export class Scheduler {
  readonly random: Random;
  readonly #trace: ((line: string) => void) | undefined;
  readonly #heap: Event[] = [];
  #now = 0;
  #hash = 0x811c9dc5;
  #isTouched = false;
  #events = 0;

  /** @param trace is told every line of the trace */
  constructor(random: Random, trace?: (line: string) => void) {
    this.random = random;
    this.#trace = trace;
  }

  /** True time, milliseconds; nobody in the world can read it. */
  get now(): number {
    return this.#now;
  }

  get events(): number {
    return this.#events;
  }

  /** Of the trace so far. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  after(ms: number, run: () => void): void {
    push(this.#heap, { at: this.#now + Math.max(0, ms), tie: this.random.next(), run });
  }

  /** A line of the trace. FNV-1a over it and its time. */
  note(text: string): void {
    const line = `${this.#now.toFixed(3)} ${text}`;
    for (let at = 0; at < line.length; at++) this.#hash = Math.imul(this.#hash ^ line.charCodeAt(at), 0x01000193);
    this.#trace?.(line);
  }

  /** Code under test has been called: it gets all the turns that it wants before the next event. */
  touch(): void {
    this.#isTouched = true;
  }

  /** Runs the world until then, or until `isOver`. */
  async run(until: number, isOver: () => boolean): Promise<void> {
    for (;;) {
      const event = this.#heap[0];
      if (!event || event.at > until || isOver()) break;
      pop(this.#heap);
      this.#now = event.at;
      this.#events++;
      event.run();
      if (!this.#isTouched) continue;
      this.#isTouched = false;
      await allPromises();
    }
    this.#now = Math.max(this.#now, until);
  }
}

/** Whatever waits for nothing but promises has run by then: Node has its ticks when there are no more of them. (setImmediate takes three times as long.) */
function allPromises(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.tie < b.tie);
}

/** A binary heap. */
function push(heap: Event[], event: Event): void {
  let at = heap.length;
  heap.push(event);
  while (at > 0) {
    const above = (at - 1) >> 1;
    const parent = heap[above] as Event;
    if (!isBefore(event, parent)) break;
    heap[at] = parent;
    at = above;
  }
  heap[at] = event;
}

function pop(heap: Event[]): void {
  const last = heap.pop() as Event;
  if (heap.length === 0) return;
  let at = 0;
  for (;;) {
    let below = 2 * at + 1;
    if (below >= heap.length) break;
    if (below + 1 < heap.length && isBefore(heap[below + 1] as Event, heap[below] as Event)) below++;
    const child = heap[below] as Event;
    if (!isBefore(child, last)) break;
    heap[at] = child;
    at = below;
  }
  heap[at] = last;
}
