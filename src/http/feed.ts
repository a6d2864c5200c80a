/**
 * The feed of revocations as it goes on: who follows it on this node is told what the change log says, in its order, as soon as this node knows. All
 * readers share one look at the log. A reader that does not keep up is cut off, and comes again with its last cursor.
 */
import type { RevocationStore } from '../core/ports.ts';
import { cursorOf, type Revocation, revocationDocument } from '../core/revocations.ts';

const PAGE = 500;
/** What may wait for a reader beyond what its connection has taken. */
const WAITING_BYTES_MAX = 256 * 1024;
/** How soon a reader is to come back, as it is told. */
const RETRY_MS = 1_000;

export interface FeedOptions {
  readonly store: Pick<RevocationStore, 'list'>;
  /** Whether this node knows all that it should: only then does it say that there is nothing new. */
  readonly isFresh: () => boolean;
  /** how often the stream says that there is nothing new */
  readonly heartbeatMs: number;
}

/** Whether the reader may still read. */
type IsAllowed = () => Promise<boolean>;

interface Reader {
  /** up to here it has everything */
  seq: number;
  readonly isAllowed: IsAllowed;
  /** @param seq what the reader has with it */
  readonly send: (text: Uint8Array, seq: number) => void;
  readonly end: () => void;
}

export class Feed {
  readonly #options: FeedOptions;
  readonly #readers = new Set<Reader>();
  /** who waits for a change of {@link Feed.#applied} */
  readonly #waiting = new Set<() => void>();
  readonly #heartbeat: NodeJS.Timeout;
  /** position that this node has applied */
  #applied = 0;
  /** position up to which all readers were told */
  #told = 0;
  #isTelling = false;
  #isClosed = false;
  /** since the start: those that did not keep up */
  cutOff = 0;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#heartbeat = setInterval(() => void this.#beat(), options.heartbeatMs).unref();
  }

  /** Nothing more comes from this node. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  get readers(): number {
    return this.#readers.size;
  }

  /** Somebody waits for what comes next. */
  get isFollowed(): boolean {
    return this.#readers.size + this.#waiting.size > 0;
  }

  /** To be called after each look at the log: this node has applied all up to this position. */
  applied(seq: number): void {
    if (seq > this.#applied) {
      this.#applied = seq;
      for (const wake of this.#waiting) wake();
    }
    // Also when a look before could not be told of.
    if (this.#readers.size > 0 && this.#told < this.#applied) void this.#tell().catch(() => undefined);
  }

  /** Resolves once this node has applied something behind the position, or after `ms`, or when the server ends. */
  async later(seq: number, ms: number): Promise<void> {
    if (this.#applied > seq || this.#isClosed) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.#waiting.add(end);
    });
  }

  /** The body of a stream that begins behind the position. @param isAllowed is asked with each heartbeat */
  stream(seq: number, isAllowed: IsAllowed): ReadableStream<Uint8Array> {
    let reader: Reader | undefined;
    let wake: () => void = () => undefined;
    const leave = () => {
      if (reader) this.#readers.delete(reader);
      reader = undefined;
      wake();
    };
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          const own: Reader = {
            seq,
            isAllowed,
            send: (text, upTo) => {
              if (reader !== own) return;
              own.seq = Math.max(own.seq, upTo);
              controller.enqueue(text);
              if ((controller.desiredSize ?? 0) > -WAITING_BYTES_MAX) return;
              this.cutOff++;
              leave();
              controller.error(new Error('the reader of the feed does not keep up'));
            },
            end: () => {
              if (reader !== own) return;
              leave();
              controller.close();
            },
          };
          reader = own;
          own.send(encode(`retry: ${RETRY_MS}\n\n`), seq);
          const room = async () => {
            while (reader === own && (controller.desiredSize ?? 0) <= 0)
              await new Promise<void>((resolve) => {
                wake = resolve;
              });
          };
          this.#catchUp(own, room, () => reader === own).catch(() => own.end());
        },
        pull: () => wake(),
        cancel: leave,
      },
      new ByteLengthQueuingStrategy({ highWaterMark: WAITING_BYTES_MAX / 4 }),
    );
  }

  /** Ends all streams and all waiting. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#heartbeat);
    for (const reader of this.#readers) reader.end();
    for (const wake of this.#waiting) wake();
  }

  /** Reads alone until it has what the others have, then with them. */
  async #catchUp(reader: Reader, room: () => Promise<void>, isThere: () => boolean): Promise<void> {
    for (;;) {
      await room();
      const { epoch, lastSeq, readTo, revocations } = await this.#options.store.list(reader.seq, PAGE);
      if (!isThere()) return;
      if (this.#isClosed) return reader.end();
      if (revocations.length > 0) reader.send(eventsOf(revocations, epoch), readTo);
      reader.seq = readTo;
      if (readTo < lastSeq || (this.#readers.size > 0 && readTo < this.#told)) continue;
      if (this.#readers.size === 0) this.#told = readTo;
      this.#readers.add(reader);
      this.applied(this.#applied);
      return;
    }
  }

  async #tell(): Promise<void> {
    if (this.#isTelling) return;
    this.#isTelling = true;
    try {
      while (this.#readers.size > 0 && this.#told < this.#applied) {
        const { epoch, readTo, revocations } = await this.#options.store.list(this.#told, PAGE);
        this.#told = readTo;
        const all = revocations.length > 0 ? eventsOf(revocations, epoch) : undefined;
        for (const reader of this.#readers) {
          const missing = revocations.filter(({ seq }) => seq > reader.seq);
          if (all && missing.length === revocations.length) reader.send(all, readTo);
          else if (missing.length > 0) reader.send(eventsOf(missing, epoch), readTo);
          reader.seq = Math.max(reader.seq, readTo);
        }
      }
    } finally {
      this.#isTelling = false;
    }
  }

  async #beat(): Promise<void> {
    const isUpToDate = this.#options.isFresh() && this.#told >= this.#applied;
    for (const reader of this.#readers) {
      // An outage is no reason: nothing is told meanwhile either.
      if (!(await reader.isAllowed().catch(() => true))) reader.end();
      else if (isUpToDate) reader.send(BEAT, reader.seq);
    }
  }
}

const encoder = new TextEncoder();
const encode = (text: string) => encoder.encode(text);
const BEAT = encode(': nothing new\n\n');

function eventsOf(revocations: readonly Revocation[], epoch: string): Uint8Array {
  const events = revocations.map(
    (revocation) => `id: ${cursorOf(revocation.seq, epoch)}\ndata: ${JSON.stringify(revocationDocument(revocation, epoch))}\n\n`,
  );
  return encode(events.join(''));
}
