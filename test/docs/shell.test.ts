/** What a page's commands share, and what counts as their failure. */
import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { temporaryFolder, until } from '../support/server.ts';
import { type Outcome, runInOneShell } from './shell.ts';

interface Run {
  readonly outcomes: readonly Outcome[];
  readonly folder: string;
}

async function run(t: TestContext, texts: readonly string[], blockMsMax = 10_000): Promise<Run> {
  const folder = await temporaryFolder();
  t.after(() => rm(folder, { recursive: true }));
  const blocks = texts.map((text, index) => ({ text, line: 100 * (index + 1) }));
  const environment = { PATH: process.env.PATH ?? '', NAME: 'reader' };
  return { outcomes: await runInOneShell(blocks, { directory: folder, scratch: folder, environment, blockMsMax }), folder };
}

test('variables and functions carry over; standard error is shown in its place; standard input is empty', async (t) => {
  const { outcomes } = await run(t, [
    'A="1  2"\nsay() { echo "$1 to $NAME"; }',
    'say "$A"; echo problem >&2; cat; say done',
    '# nothing\n',
  ]);
  assert.deepEqual(outcomes, [
    { output: '', failure: undefined },
    { output: '1  2 to reader\nproblem\ndone to reader\n', failure: undefined },
    { output: '', failure: undefined },
  ]);
});

const FAILURES: [why: string, text: string, failure: RegExp, output: RegExp][] = [
  ['a command', 'echo before\n(exit 22)\necho after', /^line 201: .* status 22$/, /^before\n$/],
  ['the first of a pipe', 'true\ntrue\ngrep x /dev/null | cat', /^line 202: .* status 1$/, /^$/],
  ['an assignment', 'X=$(exit 3)', /^line 200: .* status 3$/, /^$/],
  ['a function', 'f() { echo in; return 4; }\nf', /^line 201: .* status 4$/, /^in\n$/],
  ['a command that there is not', 'no-such-command', /status 127$/, /not found/],
  ['a variable that is not set', 'echo "$SECRET"', /^the shell ended here$/, /SECRET: unbound variable/],
  ['the shell itself', 'exit 0', /^the shell ended here$/, /^$/],
  ['the syntax', 'if', /status \d+$|the shell ended here/, /syntax error/],
];
for (const [why, text, failure, output] of FAILURES) {
  test(`what fails ends the page: ${why}`, async (t) => {
    const { outcomes } = await run(t, ['echo first', text, 'echo never']);
    assert.deepEqual([outcomes.length, outcomes[0]], [2, { output: 'first\n', failure: undefined }]);
    assert.match(outcomes[1]?.failure ?? '', failure);
    assert.match(outcomes[1]?.output ?? '', output);
  });
}

for (const text of [
  'false || echo saved',
  'if false; then :; fi',
  '(exit 28)',
  '(exit 124) | cat',
  'yes | head -n 1',
  'false\necho "exit code $?"',
  '! true',
]) {
  test(`no failure: ${JSON.stringify(text)}`, async (t) => {
    const { outcomes } = await run(t, [text, 'echo on']);
    assert.deepEqual([outcomes[0]?.failure, outcomes[1]?.output], [undefined, 'on\n']);
  });
}

test('the block after one that looks at a failure is strict again', async (t) => {
  const { outcomes } = await run(t, ['false\necho $?', 'false', 'echo never']);
  assert.deepEqual(
    outcomes.map(({ failure }) => failure === undefined),
    [true, false],
  );
});

test('a block that does not end is ended, and what is left in the background with it', async (t) => {
  const { outcomes, folder } = await run(t, ['sleep 1000 &\necho $! > pid', 'echo begun\nsleep 1000'], 500);
  assert.deepEqual(outcomes, [
    { output: '', failure: undefined },
    { output: 'begun\n', failure: 'not done within 500 ms' },
  ]);
  const pid = Number(await readFile(join(folder, 'pid'), 'utf8'));
  await until(async () => !(await isRunning(pid)), 5_000);
});

test('what is left in the background after the last block ends with the page', async (t) => {
  const { outcomes, folder } = await run(t, ['sleep 1000 &\necho $! > pid']);
  assert.equal(outcomes[0]?.failure, undefined);
  const pid = Number(await readFile(join(folder, 'pid'), 'utf8'));
  await until(async () => !(await isRunning(pid)), 5_000);
});

/** A process that has ended may stay as a zombie where nobody collects orphans. */
async function isRunning(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return status !== '' && !/^State:\s+Z/m.test(status);
}
