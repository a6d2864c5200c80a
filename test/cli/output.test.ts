import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { printable, writeDocument, writeJson, writeTable } from '../../src/cli/output.ts';

const HOSTILE = '\u001b[2J\r\u009b1A\u202egnp\u2028x\u0000';

function written(t: TestContext, write: () => void): string {
  let text = '';
  const mock = t.mock.method(process.stdout, 'write', (chunk: string) => {
    text += chunk;
    return true;
  });
  write();
  mock.mock.restore();
  return text;
}

test('what could move the cursor or turn the text is not printed', () => {
  assert.equal(printable(HOSTILE), '\ufffd[2J\ufffd\ufffd1A\ufffdgnp\ufffdx\ufffd');
  assert.equal(printable('Zoë 株式会社 👩‍🔧'), 'Zoë 株式会社 👩‍🔧');
});

test('a document of the server is printed without control characters, whatever its names and values', (t) => {
  const text = written(t, () =>
    writeDocument({
      [HOSTILE]: HOSTILE,
      list: [HOSTILE],
      deep: { [HOSTILE]: [1, HOSTILE] },
      empty: [],
      secrets: [{ id: HOSTILE, name: HOSTILE, created_at: HOSTILE }, null],
    }),
  );
  assert.match(text.replaceAll('\n', ''), /^[^\p{Cc}\u2028\u202e]*$/u);
});

test('numeric dates are legible', (t) => {
  assert.equal(
    written(t, () => writeDocument({ exp: 0, iat: 8.64e12, n: 5 })),
    'exp  0 (1970-01-01T00:00:00Z)\niat  8640000000000\nn    5\n',
  );
});

test('JSON is printed as it came, and what a terminal could act upon is escaped', (t) => {
  const ascii = '{ "b":1.0,\n\t"a":"\\u001b" }';
  assert.equal(
    written(t, () => writeJson(ascii)),
    `${ascii}\n`,
  );
  const hostile = JSON.stringify({ name: HOSTILE });
  const text = written(t, () => writeJson(hostile));
  assert.match(text, /^[\x20-\x7e]+\n$/);
  assert.deepEqual(JSON.parse(text), JSON.parse(hostile));
});

test('a table has columns', (t) => {
  assert.equal(
    written(t, () => writeTable(['ID', 'NAME'], [['long-id', 'x']])),
    'ID       NAME\nlong-id  x\n',
  );
});
