/** `npm run simulate -- --seeds 1000 [--from 1]`, or `--seed 123 --trace` to see one of them. */
import { parseArgs } from 'node:util';
import { openMemory } from '../../src/coherence/memory.ts';
import { simulate } from './run.ts';

const { values } = parseArgs({
  options: { seeds: { type: 'string' }, from: { type: 'string' }, seed: { type: 'string' }, trace: { type: 'boolean' } },
});
const from = Number(values.seed ?? values.from ?? 1);
const count = values.seed === undefined ? Number(values.seeds ?? 500) : 1;
if (![from, count].every((number) => Number.isSafeInteger(number) && number >= 0))
  throw new Error('--seeds, --from and --seed are whole numbers');

const began = performance.now();
const total = { failed: 0, events: 0, judged: 0, virtualMs: 0 };
const seconds = () => ((performance.now() - began) / 1_000).toFixed(0);
for (let seed = from; seed < from + count; seed++) {
  const { trace } = values;
  const result = await simulate(seed, { openMemory, ...(trace && { trace: (line: string) => console.log(line) }) });
  total.events += result.events;
  total.judged += result.judged;
  total.virtualMs += result.virtualMs;
  if (result.violations.length > 0) {
    total.failed++;
    console.log(`seed ${seed}: ${result.violations.join('; ')}\n  again: npm run simulate -- --seed ${seed} --trace`);
  }
  if (count === 1)
    console.log(`seed ${seed}: trace ${result.hash}, ${result.events} events, faults: ${result.faults.join(', ') || 'none'}`);
  if ((seed - from + 1) % 500 === 0) console.log(`${seed - from + 1} of ${count} seeds, ${total.failed} with violations, ${seconds()} s`);
}
console.log(
  `${count} seeds from ${from}: ${total.failed} with violations; ${total.judged} answers judged, ${total.events} events, ` +
    `${(total.virtualMs / 3_600_000).toFixed(1)} h of their time in ${seconds()} s`,
);
process.exitCode = total.failed > 0 ? 1 : 0;
