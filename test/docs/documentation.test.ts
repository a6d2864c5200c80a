/** Each command that the documentation shows is run against a server, and what it prints is compared with what the page says (CONTRIBUTING.md). */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { type Page, readPage, type Step } from './page.ts';
import { openReader } from './reader.ts';
import { differences } from './shape.ts';
import type { Outcome } from './shell.ts';

/** With the servers' start, most pages take three seconds; a machine that does much else is slower. */
const BLOCK_MS_MAX = 30_000;

const paths = [
  'README.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const pages = new Map(paths.map((path) => [path, readPageAt(path)]));

function readPageAt(path: string): Page {
  try {
    return readPage(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path}, ${(error as Error).message}`);
  }
}

/** Of the programs that pages use, those that a machine may be without. */
const MISSING = ['psql'].filter((program) => !process.env.PATH?.split(':').some((folder) => existsSync(join(folder, program))));
const missing = ({ commands }: Step) => MISSING.find((program) => new RegExp(`\\b${program}\\b`).test(commands.text));
const isRun = (step: Step) => step.commands.notRun === undefined && missing(step) === undefined;

test('documentation', { concurrency: 2 }, async (t) => {
  const runnable = [...pages].filter(([, page]) => page.steps.some(isRun));
  await Promise.all(runnable.map(([path, page]) => t.test(path, () => runPage(path, page))));
});

test('of a page with curl at least one block is run; what is not run says why', (t) => {
  for (const [path, { steps, notRun }] of pages) {
    const isAboutCurl = steps.some(({ commands }) => /\bcurl\b/.test(commands.text));
    assert.ok(!isAboutCurl || steps.some(isRun), `${path} has curl, and none of its blocks is run`);
    for (const fence of notRun) t.diagnostic(`${path}:${fence.line} is not run: ${fence.notRun}`);
    for (const step of steps)
      if (missing(step)) t.diagnostic(`${path}:${step.commands.line} is not run: there is no ${missing(step)} here`);
  }
  t.diagnostic(`${[...pages.values()].flatMap(({ notRun }) => notRun).length} blocks are not run`);
});

/** What comes before on other pages, the first page first. */
function readBefore(path: string, page: Page): readonly (readonly [path: string, page: Page])[] {
  if (page.continues === undefined) return [];
  const before = join(dirname(path), page.continues);
  const found = pages.get(before);
  assert.ok(found, `${path} continues ${before}, which is not there`);
  return [...readBefore(before, found), [before, found]];
}

async function runPage(path: string, page: Page): Promise<void> {
  const all = [...readBefore(path, page), [path, page] as const];
  const steps = all.flatMap(([of, { steps }]) => steps.filter(isRun).map((step) => ({ of, step })));
  const ends: (() => Promise<unknown>)[] = [];
  try {
    const reader = await openReader(
      {
        adminSecret: all.map(([, { adminSecret }]) => adminSecret).find((secret) => secret !== undefined),
        serverEnvironment: Object.assign({}, ...all.map(([, { serverEnvironment }]) => serverEnvironment)),
      },
      { after: (end) => void ends.push(end) },
    );
    const outcomes = await reader.follow(
      steps.map(({ step }) => step),
      BLOCK_MS_MAX,
    );
    const problems = outcomes.flatMap((outcome, index) => {
      const { of, step } = steps[index] ?? {};
      if (step === undefined) return [];
      // Who goes on from a page has run it as it is; whether it is right is for its own run.
      const found = of === path || outcome.failure !== undefined ? judge(reader.adapted(step), outcome) : [];
      return found.length === 0 ? [] : [`${of}:${step.commands.line}\n${indent(found)}\nprinted:\n${indent(outcome.output.split('\n'))}`];
    });
    if (problems.length > 0) throw new Error(problems.join('\n\n'));
    assert.equal(outcomes.length, steps.length);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

function judge({ answers }: Step, { output, failure }: Outcome): readonly string[] {
  if (failure !== undefined) return [failure];
  if (answers.length > 0) return differences(answers, output);
  return /"error": ?"/.test(output) ? ['was refused, which the page does not show'] : [];
}

function indent(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join('\n');
}
