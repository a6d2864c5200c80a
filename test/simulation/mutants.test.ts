/** The checkers are checked (K8): a program that has a mistake has to be caught. `npm run simulate -- --mutants` looks for the seeds anew. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Mutant, openMutant } from './mutant.ts';
import { MUTANTS } from './mutants.ts';
import { simulate } from './run.ts';

/** Whatever changes what is asked of a port makes other worlds of the same seeds; then some others are tried. */
const OTHERS = 60;

async function catches({ postgres }: Mutant, openMemory: Awaited<ReturnType<typeof openMutant>>, seed: number): Promise<boolean> {
  return (await simulate(seed, { openMemory, ...(postgres && { postgres }) })).violations.length > 0;
}

for (const mutant of MUTANTS) {
  const { name, seed, covered } = mutant;
  // Rare: looked for by `npm run simulate -- --mutants`, and held by unit tests (docs/reliability.md).
  if (seed === undefined && covered === undefined) continue;
  if (covered !== undefined) {
    test(`is a mistake that another rule makes up for: ${name}`, async () => {
      const openMemory = await openMutant(mutant);
      for (let number = 1; number <= 5; number++)
        assert.equal(await catches(mutant, openMemory, number), false, `seed ${number} catches it`);
    });
    continue;
  }
  test(`is caught: ${name}`, async (t) => {
    const openMemory = await openMutant(mutant);
    if (seed !== undefined && (await catches(mutant, openMemory, seed))) return;
    for (let other = 1; other <= OTHERS; other++) {
      if (!(await catches(mutant, openMemory, other))) continue;
      t.diagnostic(`seed ${seed} does not catch it any more, ${other} does`);
      return;
    }
    assert.fail(`neither seed ${seed} nor 1 to ${OTHERS} catch it: npm run simulate -- --mutant '${name}' --seeds 5000`);
  });
}
