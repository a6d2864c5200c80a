/** A file of JSON lines, read as it is sent: so many lines at a time, whatever its size. */
import { createReadStream, type ReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { CommandError, EXIT, errorCode } from './exit.ts';

export interface Batch {
  /** of the first line, from 1 on */
  readonly line: number;
  readonly lines: readonly string[];
  /** of the file that have been read */
  readonly bytes: number;
}

/** What the server takes in one transaction. */
const LINES_MAX = 1_000;
const BYTES_MAX = 3.5 * 1024 * 1024;
const LINE_BYTES_MAX = 64 * 1024;

/** @returns `undefined` for standard input @throws CommandError — it cannot be read */
export async function sizeOf(file: string): Promise<number | undefined> {
  if (file === '-') return undefined;
  try {
    return (await stat(file)).size;
  } catch (error) {
    throw unreadable(error);
  }
}

/** @throws CommandError — it cannot be read, is not UTF-8, or has a line that no server takes */
export async function* batchesOf(file: string): AsyncGenerator<Batch> {
  let lines: string[] = [];
  let [line, size, bytes] = [1, 0, 0];
  for await (const text of linesOf(file)) {
    const length = Buffer.byteLength(text) + 1;
    if (length > LINE_BYTES_MAX) throw tooLong(line + lines.length);
    if (lines.length === LINES_MAX || size + length > BYTES_MAX) {
      yield { line, lines, bytes };
      line += lines.length;
      [lines, size] = [[], 0];
    }
    lines.push(text);
    size += length;
    bytes += length;
  }
  if (lines.length > 0) yield { line, lines, bytes };
}

async function* linesOf(file: string): AsyncGenerator<string> {
  const source: NodeJS.ReadableStream | ReadStream = file === '-' ? process.stdin : createReadStream(file);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  let line = 1;
  try {
    for await (const chunk of source) {
      const parts = (rest + decoder.decode(chunk as Buffer, { stream: true })).split('\n');
      rest = parts.pop() ?? '';
      yield* parts;
      line += parts.length;
      // A file without an end of line must not become one line of all its bytes.
      if (rest.length > LINE_BYTES_MAX) throw tooLong(line);
    }
    rest += decoder.decode();
  } catch (error) {
    throw error instanceof CommandError ? error : unreadable(error);
  }
  if (rest !== '') yield rest;
}

function tooLong(line: number): CommandError {
  return new CommandError(EXIT.usage, `line ${line} is longer than ${LINE_BYTES_MAX / 1024} KiB`);
}

function unreadable(error: unknown): CommandError {
  return errorCode(error) === 'ERR_ENCODING_INVALID_ENCODED_DATA'
    ? new CommandError(EXIT.usage, 'the file is not UTF-8 text')
    : new CommandError(EXIT.usage, `the file cannot be read (${errorCode(error)})`);
}
