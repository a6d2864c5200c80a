/** `npm run bench:memory`: what a million tokens take in memory, each case in a process of its own. Ends with status 1 if a target is missed. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { MemoryOrder, MemoryResult } from './memory-case.ts';
import { facts, table, whole } from './report.ts';
import { readSurroundings, type Surroundings, save, say, usualFile } from './saved.ts';

const USAGE = `npm run bench:memory -- [--quick] [--out bench/results/<date>-<commit>-memory.json]

  --quick    a tenth of the tokens; saved only with --out
`;

interface Target {
  readonly title: string;
  readonly order: MemoryOrder;
  /** of heap and external memory; none: only what is counted has to be right */
  readonly bytesMax: number | undefined;
}

const MILLION = 1_000_000;
const TARGETS: readonly Target[] = [
  { title: 'denied tokens', order: { kind: 'denied', tokens: MILLION, clients: 100 }, bytesMax: 40e6 },
  { title: 'cached tokens', order: { kind: 'cached', tokens: MILLION, clients: 100 }, bytesMax: 350e6 },
  { title: 'cached tokens', order: { kind: 'cached', tokens: MILLION, clients: 10_000 }, bytesMax: 350e6 },
  // Nothing in common: what is counted has to say so.
  { title: 'cached tokens', order: { kind: 'cached', tokens: MILLION / 5, clients: MILLION / 5 }, bytesMax: undefined },
];
/** What is counted may differ from what is measured by this share. */
const COUNTED_APART_MAX = 0.15;
const CASE_MS_MAX = 120_000;

interface Result extends Surroundings {
  readonly results: readonly MemoryResult[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, out: { type: 'string' }, help: { type: 'boolean', default: false } },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const surroundings = readSurroundings();
  const share = values.quick ? 10 : 1;
  const misses: string[] = [];
  const rows: string[][] = [];
  const results: MemoryResult[] = [];
  for (const { title, order, bytesMax } of TARGETS) {
    const reduced = { ...order, tokens: order.tokens / share, clients: Math.min(order.clients, order.tokens / share) };
    const name = `${whole(reduced.tokens)} ${title}${order.kind === 'cached' ? ` of ${whole(reduced.clients)} clients` : ''}`;
    say(name);
    const result = await runCase(reduced);
    results.push(result);
    rows.push(row(name, result, bytesMax && bytesMax / share));
    misses.push(...missed(name, result, bytesMax && bytesMax / share));
  }
  const result: Result = { ...surroundings, results };
  const heads = [
    '',
    'counted MB',
    'heap and external MB',
    'resident MB',
    'target',
    'ns per hit',
    'per miss',
    'slowest entry in, ms',
    'full collection ms',
  ];
  process.stdout.write(`\n${facts(result)}\n\n${table(heads, rows)}\n`);
  const out = values.out ?? (values.quick ? undefined : usualFile('memory'));
  if (out !== undefined) save(out, result);
  for (const miss of misses) say(`MISSED: ${miss}`);
  process.exitCode = misses.length > 0 ? 1 : 0;
}

async function runCase(order: MemoryOrder): Promise<MemoryResult> {
  const child = fork(fileURLToPath(new URL('./memory-case.js', import.meta.url)), {
    execArgv: ['--expose-gc', '--max-old-space-size=4096'],
    timeout: CASE_MS_MAX,
  });
  child.send(order);
  const ended = once(child, 'exit').then(([code, signal]) => Promise.reject(new Error(`the case ended with ${code ?? signal}`)));
  ended.catch(() => undefined);
  const [result] = (await Promise.race([once(child, 'message'), ended])) as [MemoryResult];
  return result;
}

function missed(name: string, { countedBytes, heapBytes }: MemoryResult, bytesMax: number | undefined): string[] {
  const apart = Math.abs(heapBytes / countedBytes - 1);
  const misses: string[] = [];
  if (apart > COUNTED_APART_MAX) misses.push(`${name}: counted ${megabytes(countedBytes)} MB, measured ${megabytes(heapBytes)} MB`);
  if (bytesMax !== undefined && heapBytes > bytesMax)
    misses.push(`${name}: ${megabytes(heapBytes)} MB of at most ${megabytes(bytesMax)} MB`);
  return misses;
}

function row(name: string, result: MemoryResult, bytesMax: number | undefined): string[] {
  const { countedBytes, heapBytes, rssBytes, hitNs, missNs, worstSetMs, collectionMs } = result;
  return [
    name,
    ...[countedBytes, heapBytes].map(megabytes),
    bytesMax === undefined ? '' : `≤ ${megabytes(bytesMax)}`,
    megabytes(rssBytes),
    ...[hitNs, missNs].map(whole),
    worstSetMs.toFixed(1),
    whole(collectionMs),
  ];
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 100e6 ? 1 : 0);
}

await main();
