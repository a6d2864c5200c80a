/** What a page's times become once they are past. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inFuture } from './reader.ts';

const NOW = Date.parse('2028-03-01T12:00:00Z');

for (const [text, expected] of [
  ['{"activate_at": "2026-12-01T04:00:00Z"}', '{"activate_at": "2028-12-01T04:00:00Z"}'],
  ['--activate-at 2026-02-01T04:00:00Z', '--activate-at 2029-02-01T04:00:00Z'],
  ['"2028-03-01T12:10:00Z"', '"2029-03-01T12:10:00Z"'],
  ['"2027-03-01T13:00:00Z"', '"2028-03-01T13:00:00Z"'],
  ['"2031-01-01T00:00:00Z" "2026-06-30T00:00:00Z"', '"2031-01-01T00:00:00Z" "2028-06-30T00:00:00Z"'],
  ['2026-12-01', '2026-12-01'],
] as const) {
  test(`a time that is past comes later: ${text}`, () => assert.equal(inFuture(text, NOW), expected));
}
