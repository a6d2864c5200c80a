/** The command line: which commands there are and what they take. What they do is loaded when it is asked for. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addAuditCommand } from './audit-command.ts';
import { addClientCommands } from './client-command.ts';
import { addCompletionCommand } from './completion-command.ts';
import { EXIT, errorCode, reportError, writeError } from './exit.ts';
import { addKeysCommands } from './keys-command.ts';
import { addRegistrationTokenCommands } from './registration-token-command.ts';
import { addRevocationCommands } from './revocations-command.ts';
import { addScopeCommands } from './scope-command.ts';
import { addTokenCommands } from './token-command.ts';

const HELP = `
Where the server and the credentials come from, in this order:
  1. --url, --client-id, --client-secret-file, --data-dir
  2. AUTH_ISSUER, AUTH_ADMIN_CLIENT_ID, AUTH_ADMIN_CLIENT_SECRET or AUTH_ADMIN_CLIENT_SECRET_FILE
     in the environment or in .env in this folder: the names that the server reads
  3. server.json and admin.json in the data folder of a server on this machine
     that has a database of its own (AUTH_DATA_DIR, or ./data)
No secret is ever given as an argument, where other users of the machine could see it.

Exit codes:
   0  done
   1  refused by the server, or not confirmed
   2  wrong usage
  69  the server cannot be reached, did not answer in time, or cannot answer now
  70  a mistake in this program
  74  the output cannot be written
  77  not authorized: the credentials are wrong or not enough
  78  configuration: no server or no credentials found, or not usable

Examples:
  $ auth serve
  $ auth client create --id billing --scope "invoices:read invoices:write"
  $ auth token issue | auth token introspect
`;

/** @param args without the program's own name */
export async function run(args: readonly string[]): Promise<void> {
  process.stdout.on('error', (error) => {
    // The reader has seen enough (`| head -1`); there is nothing more to write, and nothing to complain about.
    if (errorCode(error) === 'EPIPE') return;
    writeError(`error: the output cannot be written (${errorCode(error)})`);
    process.exitCode = EXIT.output;
  });
  process.stderr.on('error', () => undefined);
  try {
    await buildProgram().parseAsync(args, { from: 'user' });
  } catch (error) {
    // commander has said what is wrong; help that was asked for ends this way too, with 0.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage;
    else process.exitCode = reportError(error);
  }
}

export function buildProgram(): Command {
  const { version, description } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  const program = new Command('auth')
    .description(description)
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print what a command does and takes')
    .helpCommand('help [command]', 'the same')
    .configureOutput({ outputError: (text) => writeError(text) })
    .addHelpText('after', HELP)
    .exitOverride();
  program
    .command('serve')
    .description('run the server; its configuration is the environment and .env (docs/config.md)')
    .addHelpText('after', '\nExamples:\n  $ auth serve\n  $ AUTH_PORT=9000 AUTH_DATA_DIR=/var/lib/auth auth serve\n')
    .action(async () => {
      const { serve } = await import('./serve.ts');
      await serve();
    });
  program
    .command('migrate')
    .description(
      "bring the database to the form that this version needs; a server does the same when it starts (docs/config.md: the server's configuration)",
    )
    .option('--status', 'show what was applied and what is pending, and change nothing')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExamples:\n  $ auth migrate --status\n  $ DATABASE_URL=postgres://auth@db/auth auth migrate\n')
    .action(async ({ status = false, json = false }: { readonly status?: boolean; readonly json?: boolean }) => {
      const { migrateDatabase } = await import('./migrate.ts');
      await migrateDatabase({ status, json });
    });
  addClientCommands(program);
  addTokenCommands(program);
  addRevocationCommands(program);
  addKeysCommands(program);
  addRegistrationTokenCommands(program);
  addAuditCommand(program);
  addScopeCommands(program);
  addCompletionCommand(program);
  return program;
}
