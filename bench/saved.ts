/** What every saved result says about where and on what it was measured. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { dirname } from 'node:path';

export interface Surroundings {
  readonly date: string;
  readonly commit: string;
  readonly machine: { readonly cpu: string; readonly cores: number; readonly memoryBytes: number; readonly os: string };
  /** 1-minute load average when the run began: above 0.5, others were at work */
  readonly loadAverage: number;
  readonly node: string;
}

export function readSurroundings(): Surroundings {
  const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--', 'src', 'migrations', 'package-lock.json') !== '';
  return {
    date: new Date().toISOString(),
    commit: `${git('rev-parse', '--short', 'HEAD')}${changed ? '-changed' : ''}`,
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, memoryBytes: totalmem(), os: `${type()} ${release()}` },
    loadAverage: loadavg()[0] ?? 0,
    node: process.versions.node,
  };
}

/** @param kind of what `npm run bench:<kind>` saves; none for `npm run bench` */
export function usualFile(kind = ''): string {
  return `bench/results/${new Date().toISOString().slice(0, 10)}-<commit>${kind && `-${kind}`}.json`;
}

/** @param file `<commit>` in it is replaced */
export function save(file: string, result: Surroundings): void {
  const path = file.replace('<commit>', result.commit);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
  say(`saved: ${path}`);
}

/** Progress; the tables alone go to stdout. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
