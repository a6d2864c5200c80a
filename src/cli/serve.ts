/** `auth serve`: start, say where, stop on a signal. */
import { type Logger, pino } from 'pino';
import { type Config, ConfigError, loadConfig } from '../config.ts';
import { DataFolderError } from '../data-folder.ts';
import type { Administrator } from '../postgres/administrator.ts';
import { abandonPostmasters, EmbeddedPostgresError } from '../postgres/embedded.ts';
import { DecryptionError } from '../postgres/key-seal.ts';
import { MigrationError } from '../postgres/migrate.ts';
import { type Server, startServer } from '../server.ts';

/** sysexits.h: EX_CONFIG */
export const EXIT_CONFIGURATION = 78;
/** A signal that arrives twice within this (npm and the terminal both pass it on) is one. */
const SAME_SIGNAL_MS = 1_000;

/** Reads the configuration or ends the process with status 78 after saying all that is wrong with it. */
export function configOrExit(): { readonly config: Config; readonly warnings: readonly string[] } {
  try {
    return loadConfig(process.env, process.cwd());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(
      `auth cannot start, because of its configuration:\n${error.problems.map((problem) => `  - ${problem}\n`).join('')}`,
    );
    process.exit(EXIT_CONFIGURATION);
  }
}

/** Errors whose message is for the operator, and whose stack says nothing more. */
export function isForOperator(error: unknown): error is Error {
  const kinds = [EmbeddedPostgresError, DataFolderError, MigrationError, DecryptionError];
  return (
    kinds.some((kind) => error instanceof kind) || (error instanceof Error && 'code' in error && /^E(ADDR|ACCES)/.test(String(error.code)))
  );
}

export async function serve(): Promise<void> {
  const isTerminal = process.stdout.isTTY === true;
  const formatters = { level: (level: string) => ({ level }) };
  const log: Logger = pino({ level: isTerminal ? 'warn' : 'info', base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters });
  const { config, warnings } = configOrExit();
  for (const warning of warnings) log.warn(warning);
  let server: Server | undefined;
  try {
    const startedAt = performance.now();
    const starting = startServer(config, log, {
      onAdministrator: (administrator, url) => announceSecret(administrator, url, isTerminal ? undefined : log),
      onDisplaced: () => {
        process.stderr.write(`auth ends: another server has taken ${config.dataDir}\n`);
        process.exit(1);
      },
      onHistoryChanged: (error) => {
        log.fatal({ err: error }, 'the database went back, or is another one: this process ends, so that the next one learns it anew');
        process.exitCode = 1;
        process.kill(process.pid, 'SIGTERM');
      },
    });
    stopOnSignal(starting, log);
    server = await starting;
    const ms = Math.round(performance.now() - startedAt);
    if (isTerminal) process.stdout.write(summary(server, config));
    else log.info({ url: server.url, issuer: config.issuer, database: server.database, ms }, 'listening');
    await server.prepared;
  } catch (error) {
    if (isForOperator(error)) process.stderr.write(`auth cannot start: ${error.message}${hint(error)}\n`);
    else log.fatal({ err: error }, 'auth cannot start');
    await server?.stop();
    process.exit(1);
  }
}

function hint(error: Error): string {
  return 'code' in error && error.code === 'EADDRINUSE' ? ' (another program has this port: set AUTH_PORT to another one)' : '';
}

function summary(server: Server, config: Config): string {
  return `
  auth is running

    URL        ${server.url}
    Issuer     ${config.issuer}
    Database   ${server.database}
    Admin      client "${config.adminClientId}"
    Docs       docs/get_token.md, docs/client.md, docs/config.md

`;
}

/** Shown once: only its hash is kept. */
function announceSecret({ clientId, generatedSecret }: Administrator, url: string, log: Logger | undefined): void {
  if (generatedSecret === undefined) return;
  const curl = `curl -u '${clientId}:${generatedSecret}' -d grant_type=client_credentials ${url}/token`;
  if (log) log.info({ client_id: clientId, client_secret: generatedSecret, curl }, 'administrator created; the secret is shown only now');
  else
    process.stdout.write(`  The administrator's secret, shown only now:\n\n    ${generatedSecret}\n\n  A first token:\n\n    ${curl}\n\n`);
}

/** From the first moment: a start that is interrupted has its PostgreSQL to stop as well. */
function stopOnSignal(starting: Promise<Server>, log: Logger): void {
  let first: number | undefined;
  const onSignal = async (signal: NodeJS.Signals) => {
    const now = performance.now();
    if (first !== undefined) {
      if (now - first < SAME_SIGNAL_MS) return;
      abandonPostmasters();
      process.exit(1);
    }
    first = now;
    log.info({ signal }, 'stopping');
    let started: Server;
    try {
      started = await starting;
    } catch {
      return; // serve() says why and ends the process
    }
    try {
      await started.stop();
      process.exit();
    } catch (error) {
      if (isForOperator(error)) process.stderr.write(`auth could not stop cleanly: ${error.message}\n`);
      else log.fatal({ err: error }, 'could not stop cleanly');
      process.exit(1);
    }
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, (name) => void onSignal(name));
}
