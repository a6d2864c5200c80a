/** The server's own variables, as its clients on the same machine read them (docs/config.md). Without src/config.ts, which checks and loads all. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { CommandError, EXIT, errorCode } from './exit.ts';

type Name = 'AUTH_ISSUER' | 'AUTH_ADMIN_CLIENT_ID' | 'AUTH_ADMIN_CLIENT_SECRET' | 'AUTH_DATA_DIR';

/** The value of a variable, or what is in the file that its `_FILE` names; empty counts as not set. @throws CommandError */
export type Settings = (name: Name) => string | undefined;

/**
 * The environment, which wins, and `.env` in `directory`.
 *
 * @throws CommandError — there is a `.env` that cannot be read
 */
export function readSettings(environment: Readonly<Record<string, string | undefined>>, directory: string): Settings {
  const variables = { ...readDotEnv(join(directory, '.env')), ...environment };
  return (name) => {
    const value = variables[name] || undefined;
    const file = variables[`${name}_FILE`] || undefined;
    if (file === undefined) return value;
    if (value !== undefined) throw new CommandError(EXIT.configuration, `${name} and ${name}_FILE are both set: keep one`);
    try {
      return readFileSync(resolve(directory, file), 'utf8').replace(/\r?\n$/, '') || undefined;
    } catch (error) {
      throw new CommandError(EXIT.configuration, `${name}_FILE names a file that cannot be read (${errorCode(error)})`);
    }
  };
}

function readDotEnv(path: string): Readonly<Record<string, string | undefined>> {
  try {
    return parseEnv(readFileSync(path, 'utf8'));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return {};
    throw new CommandError(EXIT.configuration, `.env cannot be read (${errorCode(error)})`);
  }
}
