/** What is read from a page. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPage } from './page.ts';

const fence = (language: string, ...lines: string[]) => [`\`\`\`${language}`, ...lines, '```'];
const page = (...lines: (string | readonly string[])[]) => readPage(lines.flat().join('\n'));
const texts = (fences: readonly { readonly text: string }[]) => fences.map(({ text }) => text);

test('commands with the answers that follow them, whatever stands between', () => {
  const { steps } = page(
    '# Title',
    fence('json', '"before all commands: a sample"'),
    fence('sh', 'first', 'second'),
    'Some words.',
    fence('text', 'one'),
    fence('js', 'nothing of ours'),
    fence('json', '{}'),
    fence('sh', 'third'),
    fence('http', 'HTTP/1.1 200 OK'),
  );
  assert.deepEqual(
    steps.map(({ commands, answers }) => [commands.text, commands.line, texts(answers)]),
    [
      ['first\nsecond', 6, ['one', '{}']],
      ['third', 20, ['HTTP/1.1 200 OK']],
    ],
  );
});

test('a fence in a list loses its indent and no more', () => {
  assert.equal(page('- item', '  ```sh', '  a \\', '    b', '  ```').steps[0]?.commands.text, 'a \\\n  b');
});

test('a comment directly before a fence is for this fence only; an answer that is not compared is not one', () => {
  const { steps, notRun } = page(
    '<!-- not run: Docker -->',
    fence('sh', 'a'),
    fence('sh', 'b'),
    '<!-- not run: an outage -->',
    fence('http', 'c'),
  );
  assert.deepEqual(
    steps.map(({ commands, answers }) => [commands.notRun, texts(answers)]),
    [
      ['Docker', []],
      [undefined, []],
    ],
  );
  assert.deepEqual(
    notRun.map(({ notRun }) => notRun),
    ['Docker', 'an outage'],
  );
  assert.equal(page('<!-- not run: Docker -->', '', fence('sh', 'a')).notRun.length, 0);
});

test('a file that the commands after it need', () => {
  const { steps } = page(
    fence('sh', 'a'),
    '`api.mjs`, in a folder of its own:',
    '',
    fence('js', 'let api;'),
    fence('sh', 'node api.mjs'),
    fence('text', 'x'),
  );
  assert.deepEqual(
    steps.map(({ files }) => files.map(({ fileName, text }) => [fileName, text])),
    [[], [['api.mjs', 'let api;']]],
  );
  assert.deepEqual(texts(steps[1]?.answers ?? []), ['x']);
});

test('where the commands of a page begin, its secret, and how its server is started', () => {
  assert.deepEqual([page('').continues, page('').adminSecret, page('').serverEnvironment], [undefined, undefined, {}]);
  assert.equal(page('The commands continue those of', '[get_token.md](get_token.md), in the same shell.').continues, 'get_token.md');
  assert.equal(page('They use the shell of [client.md](client.md): …').continues, 'client.md');
  assert.equal(page('They continue in [revoke_token.md](revoke_token.md).').continues, undefined);
  assert.equal(page(fence('sh', "ADMIN_SECRET='f3P2'")).adminSecret, 'f3P2');
  assert.deepEqual(page('First start a server with', '`AUTH_REGISTRATION=token AUTH_SCOPES=open npm start`.').serverEnvironment, {
    AUTH_REGISTRATION: 'token',
    AUTH_SCOPES: 'open',
  });
  assert.deepEqual(page('If the port is taken: `AUTH_PORT=8081 npm start`.').serverEnvironment, {});
});

const MISTAKES: [why: string, lines: string[], message: RegExp][] = [
  ['a reason is missing', ['<!-- not run: -->', ...fence('sh', 'a')], /line 1: why/],
  ['a reason is missing, and the colon', ['', '<!--not run-->', ...fence('sh', 'a')], /line 2: why/],
  ['a fence has no end', ['```sh', 'a'], /line 1: a fence without an end/],
  ...['bash', 'console', 'shell'].map((language): [string, string[], RegExp] => [
    `commands are marked as ${language}`,
    fence(language, 'a'),
    /line 1: write ```sh/,
  ]),
];
for (const [why, lines, message] of MISTAKES) {
  test(`a page is refused: ${why}`, () => assert.throws(() => page(lines), message));
}
