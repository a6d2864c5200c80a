/**
 * The feed of revocations as it goes on: who follows it on this node is told what the change log says, in its order, as soon as this node knows. All
 * readers share one look at the log. A reader that does not keep up is cut off, and comes again with its last cursor.
 */
import { type RevocationStore, Unavailable } from '../core/ports.ts';
import { cursorOf, type Revocation, type RevocationPage, revocationDocument } from '../core/revocations.ts';

const PAGE = 500;
/** What may wait for a reader beyond what its connection has taken. */
const WAITING_BYTES_MAX = 256 * 1024;
/** Who takes nothing for so long holds its connection for nothing. */
const STALLED_MS = 60_000;
const READERS_MAX = 20_000;
/** How soon a reader is to come back, as it is told. */
const RETRY_MS = 1_000;

export interface FeedOptions {
  readonly store: Pick<RevocationStore, 'list'>;
  /** Whether this node knows all that it should: only then does it say that there is nothing new. */
  readonly isFresh: () => boolean;
  /** how often the stream says that there is nothing new */
  readonly heartbeatMs: number;
  /** see {@link revocationDocument} */
  readonly marginSeconds: number;
}

/** Whether the reader may still read. */
type IsAllowed = () => Promise<boolean>;

interface Reader {
  /** up to here it has everything */
  seq: number;
  /** it has what the others have, and is told what comes */
  isFollowing: boolean;
  /** by `performance.now()`: when it last took something, or had nothing to take */
  tookAt: number;
  readonly isAllowed: IsAllowed;
  /** @param seq what the reader has with it */
  readonly send: (text: Uint8Array, seq: number) => void;
  readonly end: () => void;
  /** Without what is still to be sent. */
  readonly cutOff: () => void;
  /** It has not taken what is there. */
  readonly isBehind: () => boolean;
}

export class Feed {
  readonly #options: FeedOptions;
  readonly #readers = new Set<Reader>();
  readonly #pages = new Map<string, Promise<RevocationPage>>();
  /** who waits for a change of {@link Feed.#applied} */
  readonly #waiting = new Set<() => void>();
  readonly #heartbeat: NodeJS.Timeout;
  /** position that this node has applied */
  #applied = 0;
  /** position up to which all readers were told */
  #told = 0;
  #isTelling = false;
  #isBeating = false;
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

  /** Those that have all that was told so far. */
  get following(): number {
    return this.#following.length;
  }

  get #following(): Reader[] {
    return [...this.#readers].filter(({ isFollowing }) => isFollowing);
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

  /** A page for who has waited: all who wait at the same place share one reading. */
  page(after: number, limit: number): Promise<RevocationPage> {
    const key = `${after} ${limit}`;
    const reading =
      this.#pages.get(key) ??
      this.#options.store.list(after, limit).finally(() => {
        this.#pages.delete(key);
      });
    this.#pages.set(key, reading);
    return reading;
  }

  /** An entry, as a reader is told it. */
  documentOf(revocation: Revocation, epoch: string): Readonly<Record<string, unknown>> {
    return revocationDocument(revocation, epoch, this.#options.marginSeconds);
  }

  /** Resolves once this node has applied something behind the position, or after `ms`, or when the reader or the server ends. */
  async later(seq: number, ms: number, signal: AbortSignal): Promise<void> {
    if (this.#applied > seq || this.#isClosed || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener('abort', end);
      this.#waiting.add(end);
    });
  }

  /** The body of a stream that begins behind the position. @param isAllowed is asked with each heartbeat @throws Unavailable — there are too many */
  stream(seq: number, isAllowed: IsAllowed): ReadableStream<Uint8Array> {
    if (this.#readers.size >= READERS_MAX) throw new Unavailable('too many follow the feed at this node', { reason: 'queue_full' });
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
          const cutOff = () => {
            this.cutOff++;
            leave();
            controller.error(new Error('the reader of the feed does not keep up'));
          };
          const own: Reader = {
            seq,
            isFollowing: false,
            tookAt: performance.now(),
            isAllowed,
            cutOff,
            send: (text, upTo) => {
              if (reader !== own) return;
              own.seq = Math.max(own.seq, upTo);
              controller.enqueue(text);
              if ((controller.desiredSize ?? 0) <= -WAITING_BYTES_MAX) cutOff();
            },
            isBehind: () => (controller.desiredSize ?? 0) <= 0,
            end: () => {
              if (reader !== own) return;
              leave();
              controller.close();
            },
          };
          reader = own;
          this.#readers.add(own);
          own.send(encode(`retry: ${RETRY_MS}\n\n`), seq);
          const room = async () => {
            while (reader === own && (controller.desiredSize ?? 0) <= 0)
              await new Promise<void>((resolve) => {
                wake = resolve;
              });
          };
          this.#catchUp(own, room, () => reader === own).catch(() => own.end());
        },
        pull: () => {
          if (reader) reader.tookAt = performance.now();
          wake();
        },
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
      if (revocations.length > 0) reader.send(this.#eventsOf(revocations, epoch), readTo);
      reader.seq = readTo;
      const others = this.#following.length;
      if (readTo < lastSeq || (others > 0 && readTo < this.#told)) continue;
      if (others === 0) this.#told = readTo;
      reader.isFollowing = true;
      this.applied(this.#applied);
      return;
    }
  }

  async #tell(): Promise<void> {
    if (this.#isTelling) return;
    this.#isTelling = true;
    try {
      while (this.#told < this.#applied && this.#following.length > 0) {
        const from = this.#told;
        const { epoch, readTo, revocations } = await this.#options.store.list(from, PAGE);
        // All have gone meanwhile, and somebody has come who needs what lies before.
        if (this.#told !== from) continue;
        this.#told = readTo;
        const all = revocations.length > 0 ? this.#eventsOf(revocations, epoch) : undefined;
        for (const reader of this.#following) {
          const missing = revocations.filter(({ seq }) => seq > reader.seq);
          if (all && missing.length === revocations.length) reader.send(all, readTo);
          else if (missing.length > 0) reader.send(this.#eventsOf(missing, epoch), readTo);
          reader.seq = Math.max(reader.seq, readTo);
        }
      }
    } finally {
      this.#isTelling = false;
    }
  }

  async #beat(): Promise<void> {
    if (this.#isBeating) return;
    this.#isBeating = true;
    const beatFor = async (reader: Reader) => {
      // An outage is no reason: nothing is told meanwhile either.
      if (!(await reader.isAllowed().catch(() => true))) return reader.end();
      if (!reader.isBehind()) reader.tookAt = performance.now();
      else if (performance.now() - reader.tookAt > STALLED_MS) return reader.cutOff();
      // Now, and not when the round began: to ask may have taken its time.
      if (reader.isFollowing && this.#options.isFresh() && this.#told >= this.#applied) reader.send(BEAT, reader.seq);
    };
    await Promise.all([...this.#readers].map(beatFor));
    this.#isBeating = false;
  }

  #eventsOf(revocations: readonly Revocation[], epoch: string): Uint8Array {
    const events = revocations.map((revocation) => {
      return `id: ${cursorOf(revocation.seq, epoch)}\ndata: ${JSON.stringify(this.documentOf(revocation, epoch))}\n\n`;
    });
    return encode(events.join(''));
  }
}

const encoder = new TextEncoder();
const encode = (text: string) => encoder.encode(text);
const BEAT = encode(': nothing new\n\n');
