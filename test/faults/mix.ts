/**
 * `npm run faults -- --minutes 30 [--seed S] [--members 1|3]`: random faults, one or two at a time, for so long. Status 1 after a violation; the history
 * is in a file then, which `npm run faults -- --check FILE` judges again. A seed repeats the plan; what meets what is up to the machine.
 */
import { randomInt } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { abandonPostmasters } from '../../src/postgres/embedded.ts';
import { sharedCleanup } from '../support/faults.ts';
import { draw } from './catalogue.ts';
import { check } from './checks.ts';
import { MODES, startCluster } from './cluster.ts';
import { readHistory, writeHistory } from './operations.ts';
import { seeded } from './random.ts';
import { errorsByFault, figures, lines } from './report.ts';
import { FaultRun } from './run.ts';

/** Faults between two judgements. */
const ROUND = 5;
/** A run that hangs is to end all the same. */
const GRACE_MS = 180_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    members: { type: 'string', default: '1' },
    check: { type: 'string' },
  },
});
const t = sharedCleanup();
let isInterrupted = false;

process.exitCode = values.check === undefined ? await faults() : judgeAgain(values.check);

async function faults(): Promise<number> {
  const minutes = Number(values.minutes);
  const members = values.members === '3' ? 3 : 1;
  const until = performance.now() + minutes * 60_000;
  const watchdog = setTimeout(() => void end(2), minutes * 60_000 + GRACE_MS);
  const end = async (code: number) => {
    await t.run().catch((error: unknown) => console.error(error));
    process.exit(code);
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (isInterrupted) void end(130);
      isInterrupted = true;
      console.log('ending after this fault; once more: at once');
    });
  }
  console.log(`seed ${values.seed}, ${minutes} minutes, etcd with ${members} member${members === 1 ? '' : 's'}`);
  try {
    return await mix(until, members);
  } finally {
    clearTimeout(watchdog);
    await t.run();
    abandonPostmasters();
  }
}

async function mix(until: number, members: 1 | 3): Promise<number> {
  const random = seeded(Number(values.seed));
  const cluster = await startCluster(t, { members });
  const run = new FaultRun(t, cluster, random, { workers: 8 });
  t.after(() => run.stop());
  for (let round = 1; performance.now() < until && !isInterrupted; round++) {
    const mode = random.pick(['bounded', 'strict', 'mixed'] as const) ?? 'mixed';
    await cluster.become(MODES[mode]);
    await run.start();
    for (let n = 0; n < ROUND && performance.now() < until && !isInterrupted; n++) await run.suffer(...draw(run, t));
    // A terminal interrupts etcd as well, so there is nobody left to be asked.
    if (isInterrupted) await run.stop();
    const wrong = isInterrupted ? run.wrong() : await run.judge();
    const last = run.recoveries.slice(-ROUND).map(({ what }) => what);
    console.log(`round ${round}, ${mode}: ${run.workload.operations.length} operations; ${last.join(' | ')}`);
    if (wrong.length > 0) return report(run, wrong);
  }
  return report(run, []);
}

function report(run: FaultRun, wrong: readonly string[]): number {
  const history = run.history();
  console.log(
    lines([
      '',
      ...figures(history),
      '',
      ...errorsByFault(history),
      '',
      ...slowest(run),
      '',
      ...run.undecided.map((text) => `undecided on a slow machine: ${text}`),
    ]),
  );
  console.log(`${run.recoveries.length} faults, ${wrong.length} violations`);
  if (wrong.length === 0) return 0;
  const file = `faults-${values.seed}.jsonl`;
  writeFileSync(file, writeHistory(history));
  for (const node of run.cluster.nodes) writeFileSync(`faults-${values.seed}-node-${node.index}.log`, node.output());
  console.log(lines(wrong.slice(0, 30)));
  console.log(`seed ${values.seed}; the history is in ${file}, the servers' logs beside it`);
  return 1;
}

function slowest({ recoveries }: FaultRun): string[] {
  const sorted = [...recoveries].sort((a, b) => b.ms - a.ms);
  return sorted.slice(0, 5).map(({ what, ms }) => `all nodes ready again after ${Math.round(ms)} ms: ${what}`);
}

function judgeAgain(file: string): number {
  const history = readHistory(readFileSync(file, 'utf8'));
  const violations = check(history);
  console.log(lines([...figures(history), `${violations.length} violations`, ...violations.map((each) => JSON.stringify(each, null, 1))]));
  return violations.length === 0 ? 0 : 1;
}
