import type { Command } from 'commander';
import type { TargetOptions } from './target.ts';
import { addTargetOptions, collect } from './target-options.ts';
import type { IssueOptions } from './token.ts';

const TOKEN_HELP =
  'the token, - for standard input (the default if that is no terminal), or @file; as an argument other users of this machine can see it';

export function addTokenCommands(program: Command): void {
  const token = program
    .command('token')
    .description('get, introspect and revoke access tokens')
    .addHelpText('after', '\nExample:\n  $ auth token issue --scope auth:clients:read | auth token introspect\n');
  const issue = token
    .command('issue')
    .description('get an access token as a client (client_credentials) and print it')
    .option('--scope <scopes>', 'in one argument: "read write"; all that the client may have otherwise')
    .option('--resource <uri>', "where it is to be used, a URI of the client's audience; may be repeated (RFC 8707)", collect);
  addTargetOptions(issue)
    .addHelpText(
      'after',
      `
Examples:
  $ auth token issue --client-id billing --client-secret-file billing.secret --scope invoices:read
  $ auth token issue --client-id billing --client-secret-file billing.secret --resource https://invoices.example.com
  $ curl -H "Authorization: Bearer $(auth token issue)" https://api.example.com/
`,
    )
    .action(async (options: IssueOptions) => (await import('./token.ts')).issueToken(options));
  addTargetOptions(
    token.command('introspect').description('say whether a token is active, and what it says').argument('[token]', TOKEN_HELP),
  )
    .addHelpText(
      'after',
      `
"active false" is an answer, so the exit code is 0; with --json, jq -e .active turns it into one.
A client sees its own tokens and those that are for it; with the scope auth:introspect, all.

Examples:
  $ auth token introspect < token.txt
  $ auth token introspect --json @token.txt | jq -e .active
`,
    )
    .action(async (argument: string | undefined, options: TargetOptions) =>
      (await import('./token.ts')).introspectToken(argument, options),
    );
  addTargetOptions(token.command('revoke').description('end a token').argument('[token]', TOKEN_HELP))
    .addHelpText(
      'after',
      `
Only the client that the token was issued to can revoke it (RFC 7009 §2.1).

Examples:
  $ auth token revoke --client-id billing --client-secret-file billing.secret < token.txt
  $ auth token issue | auth token revoke
`,
    )
    .action(async (argument: string | undefined, options: TargetOptions) => (await import('./token.ts')).revokeToken(argument, options));
}
