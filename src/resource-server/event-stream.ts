/** Server-sent events, WHATWG HTML §9.2.6: bytes in, cut anywhere; events and comments out. */

export interface StreamEvent {
  /** the last `id` that was given, here or before */
  readonly id: string;
  readonly data: string;
}

export type StreamItem = StreamEvent | 'comment';

/** What never ends must not be collected. */
const EVENT_CHARACTERS_MAX = 1024 * 1024;

export class EventStreamParser {
  readonly #decoder = new TextDecoder();
  #line = '';
  #endedWithCr = false;
  #id = '';
  #data: string[] = [];
  #characters = 0;

  /** @throws Error — an event that is too long */
  push(bytes: Uint8Array): readonly StreamItem[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === '') return [];
    // CR LF is one end of a line, also where a chunk ends between the two.
    if (this.#endedWithCr && text.startsWith('\n')) text = text.slice(1);
    this.#endedWithCr = text.endsWith('\r');
    const lines = text.split(/\r\n|\n|\r/);
    const unfinished = lines.pop() ?? '';
    const items: StreamItem[] = [];
    for (const line of lines) {
      const item = this.#take(this.#line + line);
      this.#line = '';
      if (item) items.push(item);
    }
    this.#line += unfinished;
    if (this.#characters + this.#line.length > EVENT_CHARACTERS_MAX) throw new Error('an event of the feed is too long');
    return items;
  }

  #take(line: string): StreamItem | undefined {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return 'comment';
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (field === 'data') {
      this.#data.push(value);
      this.#characters += value.length;
    } else if (field === 'id' && !value.includes('\0')) this.#id = value;
    return undefined;
  }

  #dispatch(): StreamEvent | undefined {
    if (this.#data.length === 0) return undefined;
    const event = { id: this.#id, data: this.#data.join('\n') };
    this.#data = [];
    this.#characters = 0;
    return event;
  }
}
