/** Which server a command talks to, and as whom: options, then the server's own variables, then the data folder of a server on this machine. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { CommandError, EXIT, errorCode } from './exit.ts';
import { readSecretFile } from './input.ts';
import type { Document } from './output.ts';
import { readSettings, type Settings } from './settings.ts';

/** The same for all commands that talk to a server. */
export interface TargetOptions {
  readonly url?: string;
  readonly clientId?: string;
  readonly clientSecretFile?: string;
  readonly dataDir?: string;
  /** seconds */
  readonly timeout: number;
}

export interface Target {
  /** the issuer's URL, without a trailing slash */
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly timeoutMs: number;
}

interface Credentials {
  readonly clientId: string;
  readonly clientSecret: string;
}

/** What an embedded server leaves in its data folder (src/data-folder.ts). */
interface DataFolder {
  readonly path: string;
  /** given as an option: goes before the environment, and its credentials to whatever `--url` says */
  readonly isExplicit: boolean;
  url(): string | undefined;
  credentials(): Credentials | undefined;
}

/** Where the command was started. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly directory: string;
}

/** @throws CommandError — not found, or not usable; the message says what to do */
export async function resolveTarget(
  options: TargetOptions,
  { environment, directory }: Surroundings = { environment: process.env, directory: process.cwd() },
): Promise<Target> {
  const settings = readSettings(environment, directory);
  const folder = dataFolder(resolve(directory, options.dataDir ?? settings('AUTH_DATA_DIR') ?? 'data'), options.dataDir !== undefined);
  const url = parseServerUrl(findUrl(options, settings, folder));
  const credentials = await findCredentials(options, settings, folder, url);
  return { url, ...credentials, timeoutMs: options.timeout * 1000 };
}

/**
 * @returns the URL without a trailing slash
 * @throws CommandError — no http(s) URL, or one over which secrets would travel in clear
 */
export function parseServerUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || /[?#]/.test(text)) {
    throw new CommandError(EXIT.configuration, "the server's URL must be http:// or https://, without user, query and fragment");
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw new CommandError(EXIT.configuration, `secrets would travel in clear to ${url.host}: use https (http is for this machine only)`);
  }
  return url.href.replace(/\/+$/, '');
}

function findUrl(options: TargetOptions, settings: Settings, folder: DataFolder): string {
  const url = options.url ?? (folder.isExplicit ? folder.url() : (settings('AUTH_ISSUER') ?? folder.url()));
  if (url !== undefined) return url;
  const missing = `${join(folder.path, 'server.json')} does not exist`;
  throw new CommandError(
    EXIT.configuration,
    folder.isExplicit
      ? `no server found: ${missing}; has a server with its own database been started on that folder?`
      : `no server found: give --url, or set AUTH_ISSUER, or give the --data-dir of a server on this machine (${missing})`,
  );
}

/** An id and a secret from two places are put together only if the second is known to be of that id. */
async function findCredentials(options: TargetOptions, settings: Settings, folder: DataFolder, url: string): Promise<Credentials> {
  const { clientId, clientSecretFile } = options;
  if (clientSecretFile !== undefined) {
    const clientSecret = await readSecretFile('--client-secret-file', clientSecretFile);
    return { clientId: clientId ?? settings('AUTH_ADMIN_CLIENT_ID') ?? 'admin', clientSecret };
  }
  const wanted = (found: Credentials | undefined, id: string | undefined) =>
    found && (id === undefined || found.clientId === id) ? found : undefined;
  const fromSettings = () => wanted(settingsCredentials(settings), clientId);
  const fromFolder = () => {
    const id = clientId ?? (folder.isExplicit ? undefined : settings('AUTH_ADMIN_CLIENT_ID'));
    const found = wanted(folder.credentials(), id);
    if (found) requireOwnServer(options, folder, url);
    return found;
  };
  const found = folder.isExplicit ? (fromFolder() ?? fromSettings()) : (fromSettings() ?? fromFolder());
  if (found) return found;
  throw new CommandError(
    EXIT.configuration,
    clientId === undefined
      ? `no credentials for ${url}: give --client-id and --client-secret-file, or set AUTH_ADMIN_CLIENT_SECRET or AUTH_ADMIN_CLIENT_SECRET_FILE`
      : `no secret of client "${clientId}", which you want to act as: give --client-secret-file`,
  );
}

function settingsCredentials(settings: Settings): Credentials | undefined {
  const clientSecret = settings('AUTH_ADMIN_CLIENT_SECRET');
  return clientSecret === undefined ? undefined : { clientId: settings('AUTH_ADMIN_CLIENT_ID') ?? 'admin', clientSecret };
}

/** The secret of the server that happens to run in this folder is not for whatever host somebody names. */
function requireOwnServer(options: TargetOptions, folder: DataFolder, url: string): void {
  if (options.url === undefined || folder.isExplicit || isLoopback(new URL(url).hostname) || folder.url() === url) return;
  const path = join(folder.path, 'admin.json');
  throw new CommandError(EXIT.configuration, `${path} is for another server than ${url}: give --client-id and --client-secret-file`);
}

function dataFolder(path: string, isExplicit: boolean): DataFolder {
  return {
    path,
    isExplicit,
    url: () => {
      const document = readDocument(join(path, 'server.json'), 'url');
      return document && String(document.url);
    },
    credentials: () => {
      const document = readDocument(join(path, 'admin.json'), 'client_id', 'client_secret');
      return document && { clientId: String(document.client_id), clientSecret: String(document.client_secret) };
    },
  };
}

/** @returns `undefined` if there is no such file @throws CommandError — it cannot be read, or a member is no text */
function readDocument(path: string, ...members: readonly string[]): Document | undefined {
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    const hint = code === 'EACCES' ? '; only the user that runs the server may' : '';
    throw new CommandError(EXIT.configuration, `${path} cannot be read (${code})${hint}`);
  }
  const object = typeof document === 'object' && document !== null ? (document as Document) : {};
  if (members.some((member) => typeof object[member] !== 'string' || object[member] === '')) {
    throw new CommandError(EXIT.configuration, `${path} is not what a server writes`);
  }
  return object;
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    (isIP(hostname) === 4 && hostname.startsWith('127.'))
  );
}
