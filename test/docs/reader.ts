/** A reader of the documentation: a folder with a server of his own, as in a checkout after `npm start`, and a shell. */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createDatabase } from '../support/database.ts';
import { freePort, startServer, temporaryFolder } from '../support/server.ts';
import type { Fence, Step } from './page.ts';
import { type Outcome, runInOneShell } from './shell.ts';

export interface Reader {
  /** Runs the steps in one shell. @returns see {@link runInOneShell} */
  follow(steps: readonly Step[], blockMsMax: number): Promise<readonly Outcome[]>;
  /** A step with the addresses of this reader's servers in place of those that are written. */
  adapted(step: Step): Step;
}

export interface ReaderOptions {
  /** of a server on the run's PostgreSQL, which starts sooner; `undefined`: on a private one, with a secret of its own in the data folder */
  readonly adminSecret: string | undefined;
  /** what the page says to start the server with */
  readonly serverEnvironment: Readonly<Record<string, string>>;
}

interface Cleanup {
  after(step: () => Promise<unknown>): void;
}

type Environment = Readonly<Record<string, string>>;

/** @param cleanup is told what has to be ended, in the order in which it was begun */
export async function openReader({ adminSecret, serverEnvironment }: ReaderOptions, cleanup: Cleanup): Promise<Reader> {
  const root = await temporaryFolder();
  cleanup.after(() => rm(root, { recursive: true, force: true }));
  const [directory, programs, scratch] = [join(root, 'checkout'), join(root, 'bin'), join(root, 'scratch')];
  // An unprivileged PostgreSQL has to get to the data folder.
  await chmod(root, 0o755);
  await mkdir(join(directory, 'node_modules'), { recursive: true });
  await symlink(CHECKOUT, join(directory, 'node_modules/auth'));
  for (const folder of [programs, scratch]) await mkdir(folder);
  await writeFile(join(programs, 'npx'), NPX, { mode: 0o755 });

  const [port, portOfApi] = [await freePort(), await freePort()];
  // With a PostgreSQL of one's own the command line is told these two (docs/cli.md).
  const settings: Environment =
    adminSecret === undefined ? {} : { AUTH_ISSUER: `http://localhost:${port}`, AUTH_ADMIN_CLIENT_SECRET: adminSecret };
  const postgresql: Environment =
    adminSecret === undefined ? {} : { DATABASE_URL: await openDatabase(cleanup), AUTH_ENCRYPTION_KEY: randomBytes(32).toString('base64') };
  const server = await startServer({
    dataDir: join(directory, 'data'),
    port,
    env: { ...settings, ...postgresql, ...serverEnvironment },
  });
  cleanup.after(() => server.stop());

  let ownPostgresql = OWN_POSTGRESQL;
  const adaptedFence = (fence: Fence): Fence => ({
    ...fence,
    text: fence.text
      .replace(/\b(localhost|127\.0\.0\.1):8080\b/g, `$1:${port}`)
      .replace(/\b3000\b/g, String(portOfApi))
      .replaceAll(OWN_POSTGRESQL, ownPostgresql),
  });
  const adapted = ({ commands, files, answers }: Step): Step => ({
    commands: adaptedFence({ ...commands, text: inFuture(commands.text, Date.now()) }),
    files: files.map(adaptedFence),
    answers: answers.map(adaptedFence),
  });
  return {
    adapted,
    async follow(steps, blockMsMax) {
      if (steps.some(({ commands }) => commands.text.includes(OWN_POSTGRESQL))) ownPostgresql = await openDatabase(cleanup);
      const own = steps.map(adapted);
      for (const { fileName = '', text } of own.flatMap(({ files }) => files)) await writeFile(join(directory, fileName), text);
      const environment = { PATH: `${programs}:${process.env.PATH}`, HOME: root, LANG: 'C.UTF-8', TZ: 'UTC', PROGRAM, ...settings };
      return runInOneShell(
        own.map(({ commands }) => commands),
        { directory, scratch, blockMsMax, environment },
      );
    },
  };
}

async function openDatabase(cleanup: Cleanup): Promise<string> {
  const database = await createDatabase();
  cleanup.after(() => database.drop());
  return database.url;
}

/** Times that a page gives to the server were to come when it was written: those that are past come some years later. Never a year too late: some may be a year away at most. */
export function inFuture(text: string, nowMs: number): string {
  const soon = new Date(nowMs + SOON_MS).toISOString();
  return text.replace(/\b(\d{4})(-\d\d-\d\dT\d\d:\d\d:\d\dZ)/g, (_, year: string, rest: string) => {
    let moved = Number(year);
    while (`${moved}${rest}` < soon) moved++;
    return `${moved}${rest}`;
  });
}

/** A signing key has to be announced for ten minutes. */
const SOON_MS = 1_800_000;

const CHECKOUT = fileURLToPath(new URL('../../../', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** As the pages write it. The database has the tables of a server that was started on it once. */
const OWN_POSTGRESQL = 'postgres://auth:secret@localhost:5432/auth';

/** In a checkout `npx auth` is the program that was built; nothing else is fetched for a test. */
const NPX = `#!/bin/sh
[ "$1" = auth ] || { echo "npx $1 is not for a test" >&2; exit 127; }
shift
exec "${process.execPath}" "$PROGRAM" "$@"
`;
