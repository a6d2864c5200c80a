import { type Command, InvalidArgumentError } from 'commander';

/** The options of every command that talks to a server; {@link TargetOptions} is what they become. */
export function addTargetOptions(command: Command): Command {
  return command
    .optionsGroup('Output:')
    .option('--json', "print the server's JSON, one document")
    .optionsGroup('Server and credentials (where else they come from: auth --help):')
    .option('--url <url>', "the server's issuer URL")
    .option('--client-id <id>', 'the client to act as')
    .option('--client-secret-file <path>', 'the file with its secret; - reads it from standard input')
    .option('--data-dir <dir>', 'the data folder of a server on this machine: its URL and its administrator')
    .option('--timeout <seconds>', 'how long to wait for an answer', parseSeconds, 10);
}

/** Of an option that may be repeated. */
export function collect(value: string, values: readonly string[] = []): readonly string[] {
  return [...values, value];
}

/** @throws InvalidArgumentError */
export function parseWhole(value: string): number {
  if (!/^[1-9]\d{0,9}$/.test(value)) throw new InvalidArgumentError('It must be a whole number from 1 on.');
  return Number(value);
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** @returns seconds @throws InvalidArgumentError */
export function parseSpan(value: string): number {
  const [, count = '', unit = ''] = /^([1-9]\d{0,4})([smhd])$/.exec(value) ?? [];
  const seconds = Number(count) * (UNIT_SECONDS[unit] ?? 0);
  if (seconds === 0) throw new InvalidArgumentError('It must be a number and its unit: 90s, 30m, 24h, 7d.');
  return seconds;
}

function parseSeconds(value: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : 0;
  if (seconds < 0.001 || seconds > 86_400) throw new InvalidArgumentError('It must be a number of seconds.');
  return seconds;
}
