import type { Command } from 'commander';
import type { AddOptions, ListOptions } from './revocations.ts';
import { addTargetOptions, parseWhole } from './target-options.ts';

export function addRevocationCommands(program: Command): void {
  const revocations = program
    .command('revocations')
    .description('end many tokens by one call, and see what has ended (docs/revocation.md)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ auth revocations add --client billing --reason "found in a log"\n  $ auth revocations follow\n',
    );
  const add = revocations
    .command('add')
    .description('end one token, or all of a kind, whatever their number; a client itself stays as it is')
    .argument('[token]', '- for standard input, or @file; as an argument other users of this machine can see it')
    .optionsGroup('Whose tokens, if it is not one that is given:')
    .option('--hash <sha256>', 'the one with this SHA-256, base64url')
    .option('--client <client_id>', 'all of this client')
    .option('--sub <subject>', 'all with this sub')
    .option('--all', 'all of everybody, with --issued-before')
    .optionsGroup('How:')
    .option('--issued-before <time>', 'only those: 2030-01-31T00:00:00Z, or seconds since 1970')
    .option('--reason <text>', 'goes to the audit and into the feed')
    .option('--dry-run', 'count them, and end none')
    .option('--idempotency-key <key>', 'of a call whose answer was lost: what was done is not done again')
    .option('--yes', 'do not ask; needed for --all where there is no terminal');
  addTargetOptions(add)
    .addHelpText(
      'after',
      `
Examples:
  $ auth revocations add --client billing --dry-run
  $ auth revocations add --sub billing --reason "laptop lost"
  $ auth revocations add - < leaked.txt
  $ auth revocations add --all --issued-before 2030-01-31T00:00:00Z
`,
    )
    .action(async (token: string | undefined, options: AddOptions) => (await import('./revocations.ts')).addRevocation(token, options));
  const list = revocations
    .command('list')
    .description('show what has ended and has not expired, the oldest first')
    .option('--after <cursor>', 'what came behind it')
    .option('--limit <count>', 'how many', parseWhole);
  addTargetOptions(list)
    .addHelpText('after', '\nExample:\n  $ auth revocations list --limit 20\n')
    .action(async (options: ListOptions) => (await import('./revocations.ts')).listRevocations(options));
  const follow = revocations
    .command('follow')
    .description('show what ends from now on, until Ctrl-C')
    .option('--after <cursor>', 'begin behind it instead');
  addTargetOptions(follow)
    .addHelpText('after', '\nExamples:\n  $ auth revocations follow\n  $ auth revocations follow --json | jq -r .token_hash\n')
    .action(async (options: ListOptions) => (await import('./revocations.ts')).followRevocations(options));
}
