/** What an embedded server keeps in its data folder beside PostgreSQL's files; each readable by its owner only. */
import { randomBytes } from 'node:crypto';
import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';

const SERVER_LOCK = 0x61757468_05n;
const RETRY_MS = 500;
const ATTEMPTS = 4;

/** A second server on the same data folder. */
export class DataFolderInUse extends Error {}

export interface Hold {
  release(): Promise<void>;
}

/**
 * Makes this process the only server on the data folder: a session lock in its PostgreSQL, which ends with the process however that
 * ends. A lost session (PostgreSQL restarted) is taken again.
 *
 * @param onDisplaced the session was lost, and another server was quicker: PostgreSQL is that one's now
 * @throws DataFolderInUse
 */
export async function holdDataFolder(connection: pg.ClientConfig, dataDir: string, onDisplaced: () => void): Promise<Hold> {
  let session = await takeLock(connection);
  // The session of a server that was killed a moment ago may not have ended yet.
  for (let attempt = 1; !session && attempt < ATTEMPTS; attempt++) {
    await delay(RETRY_MS);
    session = await takeLock(connection);
  }
  if (!session) throw new DataFolderInUse(`another server is running on ${dataDir}: stop it, or set AUTH_DATA_DIR to another folder`);
  let released = false;
  const keep = async () => {
    while (!released) {
      await session?.ended;
      if (!released) await delay(RETRY_MS);
      if (released) return;
      try {
        session = await takeLock(connection);
        if (!session) return onDisplaced();
      } catch {
        session = undefined; // PostgreSQL is not back yet
      }
    }
  };
  const keeping = keep();
  return {
    async release() {
      released = true;
      await session?.end();
      await keeping;
    },
  };
}

interface LockSession {
  readonly ended: Promise<void>;
  end(): Promise<void>;
}

/** @returns `undefined` when somebody else has the lock */
async function takeLock(connection: pg.ClientConfig): Promise<LockSession | undefined> {
  const client = new pg.Client({ ...connection, application_name: 'auth data folder lock', connectionTimeoutMillis: 2_000 });
  const ended = new Promise<void>((resolve) => client.once('end', resolve));
  client.on('error', () => undefined);
  const end = () => client.end().catch(() => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ held: boolean }>('select pg_try_advisory_lock($1) as held', [SERVER_LOCK]);
    if (rows[0]?.held) return { ended, end };
    await end();
    return undefined;
  } catch (error) {
    await end();
    throw error;
  }
}

/** The key that was generated at the first start: 32 bytes, base64 in the file. */
export async function encryptionKey(dataDir: string): Promise<Buffer> {
  const file = join(dataDir, 'encryption.key');
  try {
    return Buffer.from((await readFile(file, 'utf8')).trim(), 'base64');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    const key = randomBytes(32);
    await writePrivate(file, `${key.toString('base64')}\n`);
    return key;
  }
}

/** What the command line needs to find this server: `server.json` (URL). */
export function writeServerFile(dataDir: string, url: string): Promise<void> {
  return writePrivate(join(dataDir, 'server.json'), `${JSON.stringify({ url })}\n`);
}

/** And to be let in: `admin.json`, written when the administrator's secret was generated. */
export function writeAdminFile(dataDir: string, clientId: string, clientSecret: string): Promise<void> {
  return writePrivate(join(dataDir, 'admin.json'), `${JSON.stringify({ client_id: clientId, client_secret: clientSecret })}\n`);
}

/** Whole or not at all, and never readable by others in between. */
async function writePrivate(file: string, content: string): Promise<void> {
  const temporary = `${file}.${process.pid}`;
  await writeFile(temporary, content, { mode: 0o600, flush: true });
  await chmod(temporary, 0o600);
  await rename(temporary, file);
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
