/** docs/conformance.md says what is tested: this holds it to that. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ROOT_ROUTES, ROUTES } from '../../src/http/app.ts';

const ids = (letter: string, last: number) => Array.from({ length: last }, (_, index) => `${letter}${String(index + 1).padStart(2, '0')}`);
const REQUIRED = [...ids('G', 14), ...ids('A', 8), ...ids('T', 5), 'T23', ...ids('R', 9), ...ids('I', 10), ...ids('M', 5), 'M07', 'M08'];

const rows = readFileSync('docs/conformance.md', 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (id|route|---)/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map((cells) => ({
    subject: cells[1] ?? '',
    files: (cells.at(-2) ?? '').split(', ').map((file) => (file.includes('/') ? file : `test/conformance/${file}`)),
  }));

test('each requirement has a row, and each row a test that begins with its id', () => {
  for (const id of REQUIRED)
    assert.ok(
      rows.some((row) => row.subject === id),
      `no row for ${id}`,
    );
  for (const { subject, files } of rows) {
    for (const file of files) assert.ok(existsSync(file), `${subject}: ${file} does not exist`);
    if (!/^[A-Z]\d\d$/.test(subject)) continue;
    for (const file of files.filter((name) => name.startsWith('test/conformance/')))
      assert.match(readFileSync(file, 'utf8'), new RegExp(`['"\`]${subject} `), `no test ${subject} in ${file}`);
  }
});

test('each route has a row', () => {
  for (const { method, path } of [...ROUTES, ...ROOT_ROUTES])
    assert.ok(
      rows.some((row) => row.subject === `\`${method} ${path}\``),
      `${method} ${path}`,
    );
});
