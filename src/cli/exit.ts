/** How a command ends: its exit code (`auth --help` lists them) and the one short text on stderr. */
import { printable } from './output.ts';

/** After sysexits.h where it has a code. */
export const EXIT = {
  refused: 1,
  usage: 2,
  unavailable: 69,
  bug: 70,
  output: 74,
  notAuthorized: 77,
  configuration: 78,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends the command. The message is for the person at the terminal: no secret, no token, no stack. */
export class CommandError extends Error {
  readonly exitCode: ExitCode;
  /** one line each, below the message */
  readonly details: readonly string[];
  constructor(exitCode: ExitCode, message: string, details: readonly string[] = []) {
    super(message);
    this.exitCode = exitCode;
    this.details = details;
  }
}

/** Writes the error to stderr; returns the exit code. */
export function reportError(error: unknown): ExitCode {
  const { exitCode, message, details } =
    error instanceof CommandError
      ? error
      : new CommandError(EXIT.bug, `this is a mistake in the program: ${error instanceof Error ? error.message : 'unknown'}`);
  writeError([`error: ${message}`, ...details.map((detail) => `  ${detail}`)].join('\n'));
  return exitCode;
}

/** Also what commander has to say about argv, where a token may have been put by mistake, or a secret as an option's value. */
export function writeError(text: string): void {
  const lines = text.trimEnd().split('\n');
  process.stderr.write(`${lines.map((line) => printable(redact(line))).join('\n')}\n`);
}

/** The system's code, or the kind of error. */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

function redact(text: string): string {
  return text
    .replace(/\bat_[A-Za-z0-9_-]{20,}/g, '[token]')
    .replace(/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, '[token]')
    .replace(/unknown option '(--?[\w-]+)=.*'/, "unknown option '$1'");
}
