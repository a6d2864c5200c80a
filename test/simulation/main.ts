/**
 * `npm run simulate -- --seeds 1000 [--from 1]`, or `--seed 123 --trace` to see one of them. `--mutant 'words of its name'` runs a program that has a
 * mistake until that is caught; with `--mutants` all of them, one after the other, which is the table of docs/reliability.md.
 */
import { parseArgs } from 'node:util';
import { openMemory } from '../../src/coherence/memory.ts';
import { type Mutant, openMutant } from './mutant.ts';
import { MUTANTS } from './mutants.ts';
import { type RunOptions, type RunResult, simulate } from './run.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string' },
    seed: { type: 'string' },
    trace: { type: 'boolean' },
    mutant: { type: 'string' },
    mutants: { type: 'boolean' },
  },
});
const from = Number(values.seed ?? values.from ?? 1);
const count = values.seed === undefined ? Number(values.seeds ?? 500) : 1;
if (![from, count].every((number) => Number.isSafeInteger(number) && number >= 0)) throw new Error('seeds are whole numbers');
const trace = values.trace ? { trace: (line: string) => console.log(line) } : {};
const mutants = MUTANTS.filter(({ name }) => values.mutants || (values.mutant !== undefined && name.includes(values.mutant)));

if (values.mutants || values.mutant !== undefined) for (const mutant of mutants) await hunt(mutant);
else await search();

/** All seeds on the program as it is. */
async function search(): Promise<void> {
  const began = performance.now();
  const total = { failed: 0, events: 0, judged: 0, virtualMs: 0 };
  const seconds = () => ((performance.now() - began) / 1_000).toFixed(0);
  for (let seed = from; seed < from + count; seed++) {
    const result = await simulate(seed, { openMemory, ...trace });
    total.events += result.events;
    total.judged += result.judged;
    total.virtualMs += result.virtualMs;
    if (result.violations.length > 0) total.failed++;
    report(result);
    const done = seed - from + 1;
    if (done % 500 === 0) console.log(`${done} of ${count} seeds, ${total.failed} with violations, ${seconds()} s`);
  }
  const hours = (total.virtualMs / 3_600_000).toFixed(1);
  console.log(
    `${count} seeds from ${from}: ${total.failed} with violations; ${total.judged} answers judged, ${total.events} events, ${hours} h of their time in ${seconds()} s`,
  );
  process.exitCode = total.failed > 0 ? 1 : 0;
}

function report({ seed, violations, hash, events, faults }: RunResult): void {
  if (violations.length > 0) console.log(`seed ${seed}: ${violations.join('; ')}\n  again: npm run simulate -- --seed ${seed} --trace`);
  if (count === 1) console.log(`seed ${seed}: trace ${hash}, ${events} events, faults: ${faults.join(', ') || 'none'}`);
}

/** Until a seed catches it. */
async function hunt(mutant: Mutant): Promise<void> {
  const options: RunOptions = { openMemory: await openMutant(mutant), ...(mutant.postgres && { postgres: mutant.postgres }), ...trace };
  for (let seed = from; seed < from + count; seed++) {
    const { violations } = await simulate(seed, options);
    if (violations.length > 0) return console.log(`| ${mutant.name} | ${seed} | ${violations[0]} |`);
  }
  console.log(`| ${mutant.name} | not in ${count} | |`);
}
