/** What a command reads beside its arguments: files and standard input, which has only one reader. */
import { readFile } from 'node:fs/promises';
import { CommandError, EXIT, errorCode } from './exit.ts';
import type { Document } from './output.ts';

let stdinReader: string | undefined;

/**
 * @param value `-` is standard input
 * @returns the secret without its final newline, as the server reads such files. The path is in no message: it may be the secret itself
 * @throws CommandError — cannot be read, empty
 */
export async function readSecretFile(option: string, value: string): Promise<string> {
  const text = value === '-' ? await readStdin(option) : await readText(option, value);
  const secret = text.replace(/\r?\n$/, '');
  if (secret === '') throw new CommandError(EXIT.usage, `${option}: the secret is empty`);
  return secret;
}

/**
 * @param value a JSON object, `@` and a file with one, or `@-` for standard input
 * @throws CommandError
 */
export async function readJsonObject(option: string, value: string): Promise<Document> {
  const text = await readReference(option, value);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    const hint = value.startsWith('@') || /^\s*\{/.test(value) ? '' : ' (a file is given as @file)';
    throw new CommandError(EXIT.usage, `${option} is not JSON${hint}`);
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new CommandError(EXIT.usage, `${option} must be a JSON object`);
  }
  return document as Document;
}

/**
 * @param argument the token, `@` and its file, or `-`; `undefined` is standard input too, if that is no terminal
 * @throws CommandError
 */
export async function readToken(argument: string | undefined): Promise<string> {
  if (argument === undefined && process.stdin.isTTY) {
    throw new CommandError(
      EXIT.usage,
      'no token: pipe it in, or give @file (or the token itself, which other users of this machine can see)',
    );
  }
  const token = (await readReference('the token', argument === undefined || argument === '-' ? '@-' : argument)).trim();
  if (token === '') throw new CommandError(EXIT.usage, 'the token is empty');
  return token;
}

async function readReference(what: string, value: string): Promise<string> {
  if (!value.startsWith('@')) return value;
  return value === '@-' ? readStdin(what) : readText(what, value.slice(1));
}

async function readText(what: string, path: string): Promise<string> {
  try {
    return decode(what, await readFile(path));
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(EXIT.usage, `${what}: the file cannot be read (${errorCode(error)})`);
  }
}

async function readStdin(what: string): Promise<string> {
  if (stdinReader !== undefined) throw new CommandError(EXIT.usage, `${stdinReader} and ${what} cannot both come from standard input`);
  stdinReader = what;
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return decode(what, Buffer.concat(chunks));
}

function decode(what: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new CommandError(EXIT.usage, `${what} is not UTF-8 text`);
  }
}
