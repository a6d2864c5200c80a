import { type Command, Option } from 'commander';
import type { CreateOptions, DeleteOptions, ListOptions } from './registration-token.ts';
import { addTargetOptions, parseSpan, parseWhole } from './target-options.ts';

export function addRegistrationTokenCommands(program: Command): void {
  const tokens = program
    .command('registration-token')
    .description('initial access tokens: who has one registers clients (docs/registration.md)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ auth registration-token create --name "build farm" --uses 20 --scope "jobs:read"\n  $ auth registration-token list\n',
    );
  const create = tokens
    .command('create')
    .description('make one; it is shown once')
    .option('--name <text>', 'what it is for')
    .addOption(new Option('--uses <count>', 'how many clients it registers; 1 otherwise').argParser(parseWhole))
    .addOption(new Option('--unlimited', 'any number of clients, until it expires; needs --expires-in').conflicts('uses'))
    .option('--expires-in <time>', 'how long it is good: 30m, 24h, 90d; 7 days otherwise', parseSpan)
    .option('--scope <scopes>', 'what its clients may ask for, in one argument: "read write"; any scope but auth:* otherwise')
    .optionsGroup('Output:')
    .option('--output <file>', 'write the token to this new file (mode 0600) instead of printing it');
  addTargetOptions(create)
    .addHelpText(
      'after',
      `
Examples:
  $ auth registration-token create --output initial.token
  $ auth registration-token create --uses 20 --scope "jobs:read jobs:write" --expires-in 24h
  $ auth registration-token create --unlimited --expires-in 90d
`,
    )
    .action(async (options: CreateOptions) => (await import('./registration-token.ts')).createToken(options));
  const list = tokens
    .command('list')
    .description('list them, also those that are spent or ended within the last week')
    .option('--limit <count>', 'how many; with --all, how many to ask for at a time', parseWhole)
    .option('--all', 'all of them, whatever their number');
  addTargetOptions(list)
    .addHelpText(
      'after',
      '\nExamples:\n  $ auth registration-token list\n  $ auth registration-token list --all --json | jq -r ".items[].id"\n',
    )
    .action(async (options: ListOptions) => (await import('./registration-token.ts')).listTokens(options));
  const remove = tokens.command('delete <id>').description('end one (registration-token list tells its id); its clients stay as they are');
  addTargetOptions(remove)
    .addHelpText('after', '\nExample:\n  $ auth registration-token delete 6f1c0c1e-6c0f-4b7e-9d5a-0d1f3a5b7c9e\n')
    .action(async (id: string, options: DeleteOptions) => (await import('./registration-token.ts')).deleteToken(id, options));
}
