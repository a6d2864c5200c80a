/** What an embedded server keeps in its data folder beside PostgreSQL's files; each readable by its owner only. */
import { randomBytes } from 'node:crypto';
import { chmod, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';

const SERVER_LOCK = 0x61757468_05n;
const PENDING_ADMIN_FILE = 'admin.json.pending';
const RETRY_MS = 500;
const ATTEMPTS = 4;

/** What a wait for an answer of a frozen PostgreSQL may take while this process is ending. */
const END_MS = 1_000;
const KEY_BYTES = 32;

/** The data folder cannot be used; the message says why and what to do. */
export class DataFolderError extends Error {}

/** A second server on the same data folder. */
export class DataFolderInUse extends DataFolderError {}

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
      await Promise.race([keeping, delay(END_MS)]);
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
  // It ends with the process in any case; a frozen PostgreSQL would never confirm it.
  const end = () => Promise.race([client.end().catch(() => undefined), delay(END_MS)]);
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

/**
 * The key that was generated at the first start: 32 bytes, base64 in the file.
 *
 * @throws DataFolderError — the file holds something else
 */
export async function encryptionKey(dataDir: string): Promise<Buffer> {
  const file = join(dataDir, 'encryption.key');
  try {
    const key = Buffer.from((await readFile(file, 'utf8')).trim(), 'base64');
    if (key.length === KEY_BYTES) return key;
    throw new DataFolderError(`${file} is damaged: restore it from a backup; without it the signing keys in the database cannot be used`);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    const key = randomBytes(KEY_BYTES);
    await writePrivate(file, `${key.toString('base64')}\n`);
    return key;
  }
}

/** What the command line needs to find this server: `server.json` (URL). */
export function writeServerFile(dataDir: string, url: string): Promise<void> {
  return writePrivate(join(dataDir, 'server.json'), `${JSON.stringify({ url })}\n`);
}

/**
 * And to be let in: `admin.json`. The secret is written down before the database knows it, so that a kill in between leaves it to the
 * next start; {@link settleAdminSecret} gives the file its name.
 *
 * @param newSecret what a new administrator gets, unless an earlier start has written one down and not settled it
 * @returns the secret to use
 */
export async function pendingAdminSecret(dataDir: string, clientId: string, newSecret: string): Promise<string> {
  const file = join(dataDir, PENDING_ADMIN_FILE);
  const pending = await readFile(file, 'utf8')
    .then(JSON.parse)
    .catch(() => undefined); // there is none, or a kill left half of one
  if (pending?.client_id === clientId && typeof pending.client_secret === 'string') return pending.client_secret;
  await writePrivate(file, `${JSON.stringify({ client_id: clientId, client_secret: newSecret })}\n`);
  return newSecret;
}

/** @param isTaken whether the administrator has the pending secret now; else there was one with another secret already */
export async function settleAdminSecret(dataDir: string, isTaken: boolean): Promise<void> {
  const file = join(dataDir, PENDING_ADMIN_FILE);
  await (isTaken ? rename(file, join(dataDir, 'admin.json')) : rm(file, { force: true }));
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
