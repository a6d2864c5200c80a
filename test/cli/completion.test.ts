import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Command } from 'commander';
import { buildProgram } from '../../src/cli/program.ts';
import { auth } from './run.ts';

let folder: string;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'auth-completion-'));
  const { code, stdout, stderr } = await auth(['completion', 'bash']);
  assert.deepEqual([code, stderr], [0, '']);
  writeFileSync(join(folder, 'auth.bash'), stdout);
});
after(() => rmSync(folder, { recursive: true }));

/** What bash would offer after the last of the words. */
function offered(...words: readonly string[]): readonly string[] {
  const line = ['auth', ...words].map((word) => `'${word}'`).join(' ');
  const script = `source auth.bash; COMP_WORDS=(${line}); COMP_CWORD=${words.length}; _auth; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', script], { cwd: folder, encoding: 'utf8' })
    .split('\n')
    .filter((word) => word !== '');
}

const CASES: readonly [words: readonly string[], expected: readonly string[]][] = [
  [['cl'], ['client']],
  [['client', 'imp'], ['import']],
  [
    ['client', 'secret', 'r'],
    ['rotate', 'remove'],
  ],
  [['client', 'create', '--fo'], ['--format']],
  [
    ['client', 'create', '--format', ''],
    ['reference', 'jwt'],
  ],
  [['client', 'create', '--id', ''], []],
  [['client', 'create', '--name', 'client', '--claims'], ['--claims']],
  [['client', '--id', 'create', 'l'], ['list']],
  [
    ['completion', ''],
    ['bash', 'zsh', 'fish', '--help'],
  ],
  [['nothing', 'x'], []],
];
for (const [words, expected] of CASES) {
  test(`bash: auth ${words.join(' ')}`, () => assert.deepEqual(offered(...words), expected));
}

test('every command and option is in the script of each shell', async () => {
  const names = (command: Command): string[] => [
    ...command.options.map(({ long }) => long ?? ''),
    ...command.commands.flatMap((below) => [below.name(), ...names(below)]),
  ];
  const all = new Set(names(buildProgram()));
  assert.ok(all.size > 40);
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await auth(['completion', shell]);
    assert.equal(code, 0);
    for (const name of all) assert.ok(stdout.includes(shell === 'fish' ? name.replace(/^--/, '-l ') : name), `${shell}: ${name}`);
  }
  assert.equal((await auth(['completion', 'powershell'])).code, 2);
});

/** `serve` runs until it is stopped, and an export is JSON lines whatever is asked for. */
const WITHOUT_JSON = ['serve', 'completion'];
test('every command that prints data takes --json', () => {
  const leaves = (command: Command): readonly Command[] => (command.commands.length === 0 ? [command] : command.commands.flatMap(leaves));
  for (const command of leaves(buildProgram()))
    assert.equal(
      command.options.some(({ long }) => long === '--json'),
      !WITHOUT_JSON.includes(command.name()),
      command.name(),
    );
});
