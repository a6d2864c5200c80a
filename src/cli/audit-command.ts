import type { Command } from 'commander';
import type { AuditOptions } from './audit.ts';
import { addTargetOptions, parseWhole } from './target-options.ts';

export function addAuditCommand(program: Command): void {
  const audit = program
    .command('audit')
    .description('show who did what, newest first (docs/audit.md)')
    .optionsGroup('Which rows:')
    .option('--actor <client_id>', 'done by this client')
    .option('--action <action>', 'client.update, or all that begin alike: client.*')
    .option('--target <id>', 'done to this client, or key')
    .option('--since <time>', 'from this time on, RFC 3339: 2030-01-31T00:00:00Z')
    .option('--until <time>', 'before this time')
    .option('--limit <count>', 'how many; with --follow, how many of those that are there', parseWhole)
    .option('--follow', 'go on with what comes, oldest first, until Ctrl-C');
  addTargetOptions(audit)
    .addHelpText(
      'after',
      `
With --follow, --json prints one JSON object a line.

Examples:
  $ auth audit --target billing
  $ auth audit --action "client.*" --since 2030-01-31T00:00:00Z --limit 500
  $ auth audit --action denied --follow
`,
    )
    .action(async (options: AuditOptions) => (await import('./audit.ts')).showAudit(options));
}
