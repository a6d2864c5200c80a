/** A reader of server-sent events (WHATWG HTML §9.2), as strict as the tests need it. */
import assert from 'node:assert/strict';
import { until } from './server.ts';

export interface Event {
  readonly id: string;
  // biome-ignore lint/suspicious/noExplicitAny: an assertion says more than a cast
  readonly data: any;
}

export interface EventStream {
  readonly events: readonly Event[];
  /** all that came so far */
  readonly text: () => string;
  readonly isOver: () => boolean;
  /** Waits until so many events have come. */
  has(count: number, timeoutMs?: number): Promise<void>;
  close(): void;
}

export function readStream(body: ReadableStream<Uint8Array>): EventStream {
  const events: Event[] = [];
  const reader = body.getReader();
  let text = '';
  let rest = '';
  let isOver = false;
  const read = async () => {
    const decoder = new TextDecoder();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const chunk = decoder.decode(part.value, { stream: true });
      text += chunk;
      const blocks = (rest + chunk).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const lines = block.split('\n').filter((line) => !line.startsWith(':') && !line.startsWith('retry: '));
        if (lines.length === 0) continue;
        const [, id, data] = /^id: (\S+)\ndata: (.+)$/.exec(lines.join('\n')) ?? [];
        assert.ok(id !== undefined && data !== undefined, `not an event: ${block}`);
        events.push({ id, data: JSON.parse(data) });
      }
    }
  };
  read()
    .catch(() => undefined)
    .finally(() => (isOver = true));
  return {
    events,
    text: () => text,
    isOver: () => isOver,
    has: (count, timeoutMs = 5_000) => until(() => events.length >= count, timeoutMs),
    close: () => void reader.cancel().catch(() => undefined),
  };
}

/** @returns the stream of a 200 answer */
export async function openStream(url: string, token: string, headers: Readonly<Record<string, string>> = {}): Promise<EventStream> {
  const response = await fetch(url, { headers: { accept: 'text/event-stream', authorization: `Bearer ${token}`, ...headers } });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assert.ok(response.body);
  return readStream(response.body);
}
