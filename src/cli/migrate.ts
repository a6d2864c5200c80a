/** `auth migrate`: brings the database to the form this program needs, or says what is pending. */
import { Unavailable } from '../core/ports.ts';
import { connectionOf, ensureDatabase } from '../postgres/connect.ts';
import { startEmbeddedPostgres } from '../postgres/embedded.ts';
import { type MigrationStatus, migrate, migrationStatus } from '../postgres/migrate.ts';
import { configOrExit, isForOperator } from './serve.ts';

export async function migrateDatabase({ status, json }: { readonly status: boolean; readonly json: boolean }): Promise<void> {
  const { config } = configOrExit();
  try {
    if (config.databaseUrl !== undefined) {
      const connection = connectionOf(config.databaseUrl);
      if (!status) await ensureDatabase(connection);
      return print(status ? await migrationStatus(connection) : await migrate(connection), json);
    }
    const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir });
    try {
      print(status ? await migrationStatus(embedded.connection) : await migrate(embedded.connection), json);
    } finally {
      // An adopted one belongs to a server that is running, or that the next start will look after.
      if (!embedded.adopted) await embedded.stop();
    }
  } catch (error) {
    if (!isForOperator(error) && !(error instanceof Unavailable)) throw error;
    process.stderr.write(`auth migrate: ${error.message}\n`);
    process.exitCode = error instanceof Unavailable ? 69 : 1;
  }
}

function print({ applied, pending }: MigrationStatus, json: boolean): void {
  const text = [...applied.map((name) => `applied  ${name}`), ...pending.map((name) => `pending  ${name}`)].join('\n');
  process.stdout.write(`${json ? JSON.stringify({ applied, pending }) : text}\n`);
}
