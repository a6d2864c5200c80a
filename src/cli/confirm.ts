import { createInterface } from 'node:readline';
import { CommandError, EXIT } from './exit.ts';
import { printable } from './output.ts';

/** Asks on the terminal before what cannot be undone. @throws CommandError — not confirmed, or nobody there to ask */
export async function confirm(question: string): Promise<void> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) throw new CommandError(EXIT.usage, 'without a terminal this needs --yes');
  // Not in raw mode, so that Ctrl-C ends the program as everywhere else.
  const lines = createInterface({ input: process.stdin, terminal: false });
  process.stderr.write(`${printable(question)} [y/N] `);
  let reply = '';
  for await (const line of lines) {
    reply = line;
    break;
  }
  lines.close();
  if (!/^y(es)?$/i.test(reply.trim())) throw new CommandError(EXIT.refused, 'not confirmed, nothing was done');
}
