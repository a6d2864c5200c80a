/**
 * Makes a version of src/coherence/ that has a mistake. Its compiled files are copied with a few words replaced, so nothing in the product knows of it;
 * the words have to be there exactly once, or the mutant is of a program that there is no more.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { OpenMemory } from './node.ts';
import type { PostgresOptions } from './postgres-model.ts';

/** What is to be replaced in which file; white space counts as one blank, however much there is. */
export type Edit = readonly [file: string, was: string, is: string];

export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** the mistake is in the statements, not in the program */
  readonly postgres?: Pick<PostgresOptions, 'plainSequence' | 'prolongedAbove'>;
  /** the first seed that catches it */
  readonly seed: number | undefined;
  /** why none does */
  readonly covered?: string;
}

const SOURCE = new URL('../../src/coherence/', import.meta.url);
const MUTANTS = new URL('./mutants/', import.meta.url);

export async function openMutant({ name, edits }: Mutant): Promise<OpenMemory> {
  const folder = new URL(`${name.replaceAll(/[^a-z0-9]+/gi, '-')}/`, MUTANTS);
  mkdirSync(folder, { recursive: true });
  for (const file of readdirSync(SOURCE)) {
    if (file.endsWith('.map')) continue;
    cpSync(new URL(file, SOURCE), new URL(file, folder));
    const text = readFileSync(new URL(file, SOURCE), 'utf8');
    const mutated = edits.filter(([edited]) => `${edited}.js` === file).reduce((was, edit) => apply(was, edit), text);
    // The same classes as everywhere else: an outage is to be told by `instanceof`.
    writeFileSync(new URL(file, folder), mutated.replaceAll("'../core/", "'../../../../src/core/").replace(/\/\/# sourceMappingURL.*/, ''));
  }
  const { openMemory } = (await import(new URL('memory.js', folder).href)) as { openMemory: OpenMemory };
  return openMemory;
}

function apply(text: string, [file, was, is]: Edit): string {
  const pattern = new RegExp(
    was
      .trim()
      .split(/\s+/)
      .map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('\\s+'),
    'g',
  );
  const found = text.match(pattern)?.length ?? 0;
  if (found !== 1) throw new Error(`to be replaced in ${file}.ts, found ${found} times: ${was}`);
  return text.replace(pattern, () => is);
}
