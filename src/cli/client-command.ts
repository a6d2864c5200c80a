import { type Command, Option } from 'commander';
import type {
  AddSecretOptions,
  CreateOptions,
  DeleteOptions,
  ListOptions,
  RemoveSecretOptions,
  RotateSecretOptions,
  UpdateOptions,
} from './client.ts';
import type { ExportOptions } from './client-export.ts';
import type { ImportOptions } from './client-import.ts';
import type { TargetOptions } from './target.ts';
import { addTargetOptions, collect, parseSpan, parseWhole } from './target-options.ts';

export function addClientCommands(program: Command): void {
  const client = program
    .command('client')
    .description('manage clients (docs/client.md)')
    .addHelpText('after', '\nExamples:\n  $ auth client list\n  $ auth client create --id billing --scope "invoices:read"\n');
  addCreate(client);
  addList(client);
  addShow(client);
  addUpdate(client);
  addDelete(client);
  addImport(client);
  addExport(client);
  const secret = client
    .command('secret')
    .description("a client's secrets: several at a time, so that they can be changed without an outage")
    .addHelpText(
      'after',
      '\nExample, to change a secret while the old one goes on for a day:\n  $ auth client secret rotate billing --output new.secret\n',
    );
  addSecretAdd(secret);
  addSecretRotate(secret);
  addSecretRemove(secret);
}

function addCreate(client: Command): void {
  const create = client
    .command('create')
    .description('register a client; its secret is shown once')
    .option('--id <client_id>', 'its id; a random one otherwise');
  addMetadataOptions(create);
  create.optionsGroup('Output:').option('--output <file>', 'write the secret to this new file (mode 0600) instead of printing it');
  addTargetOptions(create)
    .addHelpText(
      'after',
      `
Examples:
  $ auth client create --id billing --name "Billing" --scope "invoices:read invoices:write"
  $ auth client create --id gateway --resource https://api.example.com --output gateway.secret
  $ auth client create --id reports --auth-method private_key_jwt --jwks @reports.jwks.json
  $ auth client create --metadata @client.json --ttl 600

--id is the new client's; --client-id is the client that you act as.
`,
    )
    .action(async (options: CreateOptions) => (await import('./client.ts')).createClient(options));
}

function addList(client: Command): void {
  const list = client
    .command('list')
    .description('list clients, in the order of their ids')
    .option('--limit <count>', 'how many; with --all, how many to ask for at a time', parseWhole)
    .option('--all', 'all of them, whatever their number')
    .option('--search <text>', 'those with this in their id or name, whatever the case')
    .option('--scope <scope>', 'those that may have this one scope')
    .addOption(new Option('--disabled', 'those that are disabled').conflicts('enabled'))
    .addOption(new Option('--enabled', 'those that are not'));
  addTargetOptions(list)
    .addHelpText(
      'after',
      `
Examples:
  $ auth client list
  $ auth client list --search invoice --scope invoices:write --enabled
  $ auth client list --all --json | jq -r ".items[].client_id"
`,
    )
    .action(async (options: ListOptions) => (await import('./client.ts')).listClients(options));
}

function addShow(client: Command): void {
  addTargetOptions(client.command('show <client_id>').description('show a client: all but its secrets, of which only hashes are kept'))
    .addHelpText('after', '\nExamples:\n  $ auth client show billing\n  $ auth client show billing --json\n')
    .action(async (id: string, options: TargetOptions) => (await import('./client.ts')).showClient(id, options));
}

function addUpdate(client: Command): void {
  const update = client
    .command('update <client_id>')
    .description('change what is given, and leave the rest as it is (JSON merge patch, RFC 7396)');
  addMetadataOptions(update)
    .addOption(new Option('--disable', 'let it get no more tokens, and end those that it has').conflicts('enable'))
    .addOption(new Option('--enable', 'let it get tokens again'));
  addTargetOptions(update)
    .addHelpText(
      'after',
      `
Lists (--audience, --resource) and --scope are replaced; --claims are merged with those that are there.
In --metadata and --claims null removes a member; --audience "" and --resource "" empty the list.

Examples:
  $ auth client update billing --scope "invoices:read" --ttl 600
  $ auth client update billing --claims '{"tenant":"acme","region":null}'
  $ echo '{"access_token_ttl":null}' | auth client update billing --metadata @-
  $ auth client update billing --disable
`,
    )
    .action(async (id: string, options: UpdateOptions) => (await import('./client.ts')).updateClient(id, options));
}

function addDelete(client: Command): void {
  const remove = client
    .command('delete <client_id>')
    .description('delete a client for ever: all its tokens end, and its id is never given again')
    .option('--yes', 'do not ask; needed where there is no terminal');
  addTargetOptions(remove)
    .addHelpText('after', '\nExamples:\n  $ auth client delete billing\n  $ auth client delete billing --yes\n')
    .action(async (id: string, options: DeleteOptions) => (await import('./client.ts')).deleteClient(id, options));
}

function addImport(client: Command): void {
  const load = client
    .command('import <file>')
    .description('create many clients from JSON lines, 1,000 at a time; - reads standard input (docs/import.md)')
    .option('--dry-run', 'check all lines, and create nothing')
    .option('--partial', 'create those that are right, and report the others');
  addTargetOptions(load)
    .addHelpText(
      'after',
      `
Without --partial all lines are checked first, and one that is wrong keeps all from being created; standard input cannot be read
twice, so from there each 1,000 lines are checked as they are created. A client that is there already just as its line says is left as
it is: what was interrupted is gone on with by the same command.

Examples:
  $ auth client import clients.jsonl --dry-run
  $ auth client import clients.jsonl
  $ auth client export --url https://old.example | auth client import - --url https://new.example
`,
    )
    .action(async (file: string, options: ImportOptions) => (await import('./client-import.ts')).importClients(file, options));
}

function addExport(client: Command): void {
  const save = client
    .command('export')
    .description('print all clients as JSON lines, as auth client import takes them')
    .option(
      '--with-secret-hashes',
      'with the hashes of their secrets, by which these stay valid where they are imported; it is in the audit',
    );
  addTargetOptions(save)
    .addHelpText(
      'after',
      '\nExamples:\n  $ auth client export > clients.jsonl\n  $ (umask 077; auth client export --with-secret-hashes > clients.jsonl)\n',
    )
    .action(async (options: ExportOptions) => (await import('./client-export.ts')).exportClients(options));
}

function addSecretAdd(secret: Command): void {
  const add = secret.command('add <client_id>').description('make another secret; it is shown once, and the others stay valid');
  addTargetOptions(addNewSecretOptions(add))
    .addHelpText(
      'after',
      '\nExamples:\n  $ auth client secret add billing --name "deploy 2030" --output billing.secret\n  $ auth client secret add billing --expires-at 2030-01-31T00:00:00Z\n',
    )
    .action(async (id: string, options: AddSecretOptions) => (await import('./client.ts')).addSecret(id, options));
}

function addSecretRotate(secret: Command): void {
  const rotate = secret
    .command('rotate <client_id>')
    .description('make a new secret, which is shown once, and let all others end')
    .option('--keep <time>', 'how long the others stay valid: 90s, 30m, 24h, 7d', parseSpan, parseSpan('24h'));
  addTargetOptions(addNewSecretOptions(rotate))
    .addHelpText(
      'after',
      `
One that would end before that anyway is left as it is. A secret that has leaked is removed instead (auth client secret remove).

Examples:
  $ auth client secret rotate billing --output billing.secret
  $ auth client secret rotate billing --keep 7d --name 2031 --expires-at 2032-01-31T00:00:00Z
`,
    )
    .action(async (id: string, options: RotateSecretOptions) => (await import('./client.ts')).rotateSecret(id, options));
}

function addNewSecretOptions(command: Command): Command {
  return command
    .option('--name <text>', 'what it is for')
    .option('--expires-at <time>', 'when it ends, RFC 3339: 2030-01-31T00:00:00Z')
    .optionsGroup('Output:')
    .option('--output <file>', 'write the secret to this new file (mode 0600) instead of printing it');
}

function addSecretRemove(secret: Command): void {
  const remove = secret
    .command('remove <client_id> <secret_id>')
    .description('end a secret (auth client show lists their ids); tokens that were got with it stay valid')
    .option('--revoke-tokens', 'end all tokens of the client as well: for a secret that has leaked');
  addTargetOptions(remove)
    .addHelpText('after', '\nExample:\n  $ auth client secret remove billing 6f1c0c1e-6c0f-4b7e-9d5a-0d1f3a5b7c9e\n')
    .action(async (id: string, secretId: string, options: RemoveSecretOptions) =>
      (await import('./client.ts')).removeSecret(id, secretId, options),
    );
}

function addMetadataOptions(command: Command): Command {
  return command
    .optionsGroup('The client:')
    .option('--name <text>', 'what people call it')
    .option('--scope <scopes>', 'what it may ask for, in one argument: "read write"')
    .option('--audience <uri>', 'who its tokens are for; may be repeated', collect)
    .option('--resource <uri>', 'a URI that it serves as a resource server; may be repeated', collect)
    .option('--ttl <seconds>', 'how long its tokens live', parseWhole)
    .addOption(new Option('--format <format>', 'the form of its tokens').choices(['reference', 'jwt']))
    .option('--claims <json>', 'what is put into its tokens; @file and @- (standard input) too')
    .option('--auth-method <method>', 'how it authenticates: client_secret_basic, client_secret_post, private_key_jwt, none')
    .option('--jwks <json>', 'its public keys, for private_key_jwt; @file and @- too')
    .option('--jwks-uri <url>', 'where its public keys are')
    .option(
      '--administers <json>',
      'which clients it may administer, with auth:clients: \'{"prefix":"team-a-"}\', \'{"created":true}\'; all otherwise',
    )
    .option('--metadata <json>', 'all of its metadata (RFC 7591 §2), @file or @-; the other options override');
}
