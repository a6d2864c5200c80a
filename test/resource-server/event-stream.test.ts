import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventStreamParser, type StreamItem } from '../../src/resource-server/event-stream.ts';

function parse(...chunks: readonly (string | Uint8Array)[]): readonly StreamItem[] {
  const parser = new EventStreamParser();
  return chunks.flatMap((chunk) => parser.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk));
}

const CASES: [why: string, text: string, items: readonly StreamItem[]][] = [
  ['an event', 'id: 1\ndata: a\n\n', [{ id: '1', data: 'a' }]],
  ['one space only is not of the value', 'data:  a\n\n', [{ id: '', data: ' a' }]],
  ['no space', 'id:1\ndata:a\n\n', [{ id: '1', data: 'a' }]],
  ['several lines of data', 'data: a\ndata\ndata: b\n\n', [{ id: '', data: 'a\n\nb' }]],
  ['the id stays', 'id: 1\ndata: a\n\ndata: b\n\n', ['a', 'b'].map((data) => ({ id: '1', data }))],
  ['an id without data is no event, but counts', 'id: 1\n\ndata: a\n\n', [{ id: '1', data: 'a' }]],
  ['an id with NULL is ignored', 'id: 1\nid: 2\0\ndata: a\n\n', [{ id: '1', data: 'a' }]],
  ['comments, other fields', ': nothing new\n\nretry: 1000\nevent: x\nother\n\n', ['comment']],
  ['CR', 'data: a\r\rdata: b\r\r', ['a', 'b'].map((data) => ({ id: '', data }))],
  ['CR LF', 'data: a\r\n\r\ndata: b\r\n\r\n', ['a', 'b'].map((data) => ({ id: '', data }))],
  ['a byte order mark', '\ufeffdata: a\n\n', [{ id: '', data: 'a' }]],
  ['the end comes too early', 'data: a\n\ndata: b\n', [{ id: '', data: 'a' }]],
];
for (const [why, text, items] of CASES) {
  test(`S08 HTML §9.2.6: ${why}`, () => {
    assert.deepEqual(parse(text), items);
    const bytes = Array.from(Buffer.from(text), (byte) => Uint8Array.of(byte));
    assert.deepEqual(parse(...bytes), items);
  });
}

test('S08 HTML §9.2.6: whatever the events, the ends of lines and the cuts, the same comes out', () => {
  const line = fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => text.replaceAll(/[\r\n\0]/g, ''));
  const data = fc.array(line, { minLength: 1, maxLength: 3 }).map((lines) => lines.join('\n'));
  const item = fc.oneof(fc.record({ id: line, data }, { noNullPrototype: true }), fc.constant('comment' as const));
  const lineEnd = fc.constantFrom('\n', '\r', '\r\n');
  fc.assert(
    fc.property(fc.array(item, { maxLength: 8 }), lineEnd, fc.array(fc.nat(400)), (items, end, cuts) => {
      const lines = items.flatMap((one) =>
        one === 'comment' ? [': 1', ''] : [`id: ${one.id}`, ...one.data.split('\n').map((part) => `data: ${part}`), ''],
      );
      const bytes = Buffer.from(lines.map((text) => text + end).join(''));
      const places = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
      assert.deepEqual(parse(...places.slice(1).map((to, n) => bytes.subarray(places[n], to))), items);
    }),
  );
});

test('a line that never ends is an error, and not collected', () => {
  const parser = new EventStreamParser();
  const chunk = Buffer.alloc(64 * 1024, 'a');
  assert.throws(() => {
    for (let n = 0; n < 100; n++) parser.push(chunk);
  }, /too long/);
});
