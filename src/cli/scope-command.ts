import type { Command } from 'commander';
import type { AddOptions, PageOptions } from './scope.ts';
import type { TargetOptions } from './target.ts';
import { addTargetOptions, parseWhole } from './target-options.ts';

export function addScopeCommands(program: Command): void {
  const scope = program
    .command('scope')
    .description('the catalogue of scopes, and which clients hold them (docs/scopes.md)')
    .addHelpText('after', '\nExamples:\n  $ auth scope list\n  $ auth scope add invoices:read --description "see invoices"\n');
  addPageOptions(scope.command('list').description('list the scopes that there are, in the order of their names'))
    .addHelpText('after', '\nExamples:\n  $ auth scope list\n  $ auth scope list --all --json | jq -r ".items[].name"\n')
    .action(async (options: PageOptions) => (await import('./scope.ts')).listScopes(options));
  addPageOptions(scope.command('show <scope>').description('show a scope, and which clients hold it'))
    .addHelpText('after', '\nExamples:\n  $ auth scope show invoices:read\n  $ auth scope show invoices:read --all --json\n')
    .action(async (name: string, options: PageOptions) => (await import('./scope.ts')).showScope(name, options));
  const add = scope.command('add <scope>').description('add a scope to the catalogue').option('--description <text>', 'what it allows');
  addTargetOptions(add)
    .addHelpText('after', '\nExample:\n  $ auth scope add invoices:read --description "see invoices"\n')
    .action(async (name: string, options: AddOptions) => (await import('./scope.ts')).addScope(name, options));
  addTargetOptions(scope.command('describe <scope> <description>').description('say what a scope allows; "" takes the description away'))
    .addHelpText('after', '\nExample:\n  $ auth scope describe invoices:read "see invoices and their files"\n')
    .action(async (name: string, description: string, options: TargetOptions) =>
      (await import('./scope.ts')).describeScope(name, description, options),
    );
  addTargetOptions(scope.command('remove <scope>').description('remove a scope that no client holds from the catalogue'))
    .addHelpText('after', '\nExample:\n  $ auth scope remove invoices:read\n')
    .action(async (name: string, options: TargetOptions) => (await import('./scope.ts')).removeScope(name, options));
}

function addPageOptions(command: Command): Command {
  return addTargetOptions(
    command
      .option('--limit <count>', 'how many; with --all, how many to ask for at a time', parseWhole)
      .option('--all', 'all of them, whatever their number'),
  );
}
