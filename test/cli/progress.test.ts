import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openProgress } from '../../src/cli/progress.ts';

function written(isTTY: boolean): string {
  const parts: string[] = [];
  const stream = { isTTY, write: (part: string) => parts.push(part) > 0 } as unknown as NodeJS.WriteStream;
  const { show, clear } = openProgress(stream);
  show('checked 500 lines', 50, 200);
  show('waiting', 0, undefined);
  clear();
  return parts.join('');
}

test('on a terminal one line that is written over and taken away; nothing anywhere else', () => {
  assert.equal(written(true), `\r\u001b[K[${'#'.repeat(8)}${'.'.repeat(22)}]  25 % checked 500 lines\r\u001b[Kwaiting\r\u001b[K`);
  assert.equal(written(false), '');
});
