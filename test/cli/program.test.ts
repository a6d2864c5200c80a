import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Command } from 'commander';
import { buildProgram } from '../../src/cli/program.ts';
import { auth, PROGRAM } from './run.ts';

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
const TOKEN = `at_${'x'.repeat(49)}`;

function commands(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(commands)];
}

const SAYS: [args: string[], code: number, stdout: RegExp, stderr: RegExp][] = [
  [['--version'], 0, new RegExp(`^${version.replaceAll('.', '\\.')}\n$`), /^$/],
  [['--help'], 0, /Exit codes:\n {3}0 {2}done/, /^$/],
  [['help', 'client'], 0, /Usage: auth client/, /^$/],
  [['client', 'create', '--help'], 0, /--client-secret-file <path>/, /^$/],
  [['token', 'introspect', '--help'], 0, /exit code is 0/, /^$/],
  [[], 2, /^$/, /Usage: auth/],
  [['client'], 2, /^$/, /Usage: auth client/],
  [['clinet'], 2, /^$/, /unknown command 'clinet'\n\(Did you mean client\?\)/],
  [['client', 'list', '--limt', '1'], 2, /^$/, /Did you mean --limit\?/],
  [['client', 'show'], 2, /^$/, /missing required argument 'client_id'/],
  [['client', 'list', '--limit', '0'], 2, /^$/, /whole number from 1/],
  [['client', 'list', '--timeout', 'soon'], 2, /^$/, /number of seconds/],
  [['client', 'create', '--format', 'xml'], 2, /^$/, /Allowed choices are reference, jwt/],
  [['client', 'create', '--claims', 'tenant'], 2, /^$/, /--claims is not JSON \(a file is given as @file\)/],
  [['client', 'create', '--metadata', '[]'], 2, /^$/, /--metadata must be a JSON object/],
  [['client', 'create', '--metadata', '@/nowhere/client.json'], 2, /^$/, /--metadata: the file cannot be read \(ENOENT\)/],
  [['client', 'create', '--metadata', '@-', '--claims', '@-'], 2, /^$/, /--metadata|--claims/],
  [['client', 'update', 'a'], 2, /^$/, /nothing to change/],
  [['client', 'update', 'a', '--enable', '--disable'], 2, /^$/, /cannot be used with/],
  [['client', 'show', '..'], 2, /^$/, /is not an id/],
  [['token', 'revoke'], 2, /^$/, /the token is empty/],
  [['client', 'list', '--url', 'http://auth.example.com'], 78, /^$/, /^error: [^\n]+ in clear [^\n]+\n$/],
  [['client', 'list', '--url', 'http://127.0.0.1:9', '--client-secret-file', '-'], 69, /^$/, /^error: cannot reach [^\n]+\n$/],
];
for (const [args, code, stdout, stderr] of SAYS) {
  test(`auth ${args.join(' ')} ends with ${code}`, async () => {
    const result = await auth(args, { input: args.includes('@-') || args.includes('-') ? '{}' : '' });
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stdout, stdout);
    assert.match(result.stderr, stderr);
  });
}

test('every command has a description and an example, and none takes a secret as an argument', () => {
  for (const command of commands(buildProgram())) {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    assert.match(help, /Examples?(, [^\n]*)?:\n {2}\$ /, command.name());
    assert.notEqual(command.description(), '', command.name());
    const withValue = command.options.filter(({ required, optional }) => required || optional);
    const withSecrets = withValue.filter(({ long }) => /secret|token|password/.test(long ?? '') && long !== '--client-secret-file');
    assert.deepEqual(withSecrets, []);
  }
});

test('what was put into the arguments by mistake is not repeated', async () => {
  const results = await Promise.all([
    auth(['client', 'list', '--client-secret=hunter2hunter2']),
    auth(['client', 'list', '--client-secret-file', 'hunter2hunter2', '--url', 'http://localhost:8080']),
    auth(['token', TOKEN]),
    auth(['token', 'revoke', `@${TOKEN}`]),
  ]);
  for (const { code, stderr } of results) {
    assert.equal(code, 2);
    assert.doesNotMatch(stderr, /hunter2|xxxx/);
  }
});

test('a pipe that is closed early ends the command quietly', () => {
  const script = `"$0" "$1" --help 2>&1 | head -1; echo "\${PIPESTATUS[0]}"`;
  const output = execFileSync('bash', ['-c', script, process.execPath, PROGRAM], { encoding: 'utf8' });
  assert.equal(output, 'Usage: auth [options] [command]\n0\n');
});

test('output that cannot be written is an error', { skip: process.platform !== 'linux' }, () => {
  const script = `"$0" "$1" --version > /dev/full; echo "$?"`;
  const output = execFileSync('bash', ['-c', script, process.execPath, PROGRAM], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  assert.equal(output, '74\n');
});
