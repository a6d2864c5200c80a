import { Argument, type Command } from 'commander';
import type { Shell } from './completion.ts';
import { writeLine } from './output.ts';

/** Its shells stand here as well, because what a command does is loaded when it is asked for. */
export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .description('print what a shell needs to complete commands and options')
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `
Examples, for the shell's own start-up file (in zsh after compinit):
  $ source <(auth completion bash)
  $ source <(auth completion zsh)
  $ auth completion fish | source
`,
    )
    .action(async (shell: Shell) => writeLine((await import('./completion.ts')).completionScript(program, shell).trimEnd()));
}
