import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { CommandError, EXIT, errorCode } from './exit.ts';

/** A file for a secret, made before the secret exists, so that none is lost because the file cannot be written. */
export interface SecretFile {
  readonly path: string;
  write(secret: string): void;
  /** Removes the file again, if no secret was written to it. */
  close(): void;
}

/** @throws CommandError — there is something at the path already, a link included, or the file cannot be made */
export function createSecretFile(path: string): SecretFile {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'wx', 0o600);
  } catch (error) {
    const code = errorCode(error);
    throw new CommandError(EXIT.usage, `--output ${path}: ${code === 'EEXIST' ? 'exists already' : `cannot be created (${code})`}`);
  }
  let isWritten = false;
  return {
    path,
    write(secret) {
      try {
        writeSync(descriptor, `${secret}\n`);
        isWritten = true;
      } catch (error) {
        throw new CommandError(
          EXIT.output,
          `--output ${path} cannot be written (${errorCode(error)}): the secret is lost, add another one`,
        );
      }
    },
    close() {
      closeSync(descriptor);
      if (!isWritten) unlinkSync(path);
    },
  };
}
