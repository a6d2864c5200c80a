import { type Command, Option } from 'commander';
import type { RotateOptions } from './keys.ts';
import type { TargetOptions } from './target.ts';
import { addTargetOptions } from './target-options.ts';

export function addKeysCommands(program: Command): void {
  const keys = program
    .command('keys')
    .description('the keys that sign JWTs, and when which of them does (docs/keys.md)')
    .addHelpText('after', '\nExamples:\n  $ auth keys list\n  $ auth keys rotate\n');
  addTargetOptions(keys.command('list').description('list the signing keys: the one that signs, the next one, those of before'))
    .addHelpText(
      'after',
      '\nExamples:\n  $ auth keys list\n  $ auth keys list --json | jq -r ".items[] | select(.state == \\"next\\").active_from"\n',
    )
    .action(async (options: TargetOptions) => (await import('./keys.ts')).listKeys(options));
  const rotate = keys
    .command('rotate')
    .description('announce the next signing key; if there is one already, show it or move its moment')
    .option('--activate-at <time>', 'when it is to sign, RFC 3339 (2030-01-31T00:00:00Z), or now')
    .addOption(new Option('--compromised', 'end all keys and the JWTs that they signed; a new key signs at once').conflicts('activateAt'))
    .option('--yes', 'do not ask before --compromised; needed where there is no terminal');
  addTargetOptions(rotate)
    .addHelpText(
      'after',
      `
Examples:
  $ auth keys rotate
  $ auth keys rotate --activate-at 2030-01-31T00:00:00Z
  $ auth keys rotate --compromised
`,
    )
    .action(async (options: RotateOptions) => (await import('./keys.ts')).rotateKeys(options));
}
