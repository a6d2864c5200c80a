/** What a process and its descendants cost, from /proc (Linux only); PostgreSQL's part apart. */
import { readdirSync, readFileSync } from 'node:fs';

/** One quantity, split by who caused it. */
export interface Cost {
  readonly node: number;
  readonly postgres: number;
}

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  readonly cpuMs: number;
}

/** USER_HZ, in which /proc counts: 100 on every architecture that Node runs on. */
const TICK_MS = 10;

/** CPU time since the start, user and system, of the tree below and including `pid`, milliseconds. Children that have ended count as their parent's. */
export function cpuMs(pid: number): Cost {
  return sum(pid, (process) => process.cpuMs);
}

/**
 * Memory of the tree, bytes, as if it were alone on the machine. For Node the resident set (Rss): other Node processes, the bench's own
 * among them, map the same program, and a proportional share (Pss) would be less the more of them there are. For PostgreSQL Pss, because
 * its processes share their buffers with each other.
 */
export function memoryBytes(pid: number): Cost {
  return sum(pid, (process) => {
    const rollup = readProc(`/proc/${process.pid}/smaps_rollup`) ?? '';
    const kibibytes = (isPostgres(process) ? /^Pss:\s+(\d+) kB/m : /^Rss:\s+(\d+) kB/m).exec(rollup)?.[1];
    return Number(kibibytes ?? 0) * 1024;
  });
}

export function difference(after: Cost, before: Cost): Cost {
  return { node: after.node - before.node, postgres: after.postgres - before.postgres };
}

function sum(root: number, quantity: (process: ProcessStat) => number): Cost {
  const cost = { node: 0, postgres: 0 };
  for (const process of processTree(root)) cost[isPostgres(process) ? 'postgres' : 'node'] += quantity(process);
  return cost;
}

function isPostgres({ name }: ProcessStat): boolean {
  return name.startsWith('postgres');
}

function processTree(root: number): readonly ProcessStat[] {
  const all = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => readStat(pid))
    .filter((stat) => stat !== undefined);
  const tree = all.filter(({ pid }) => pid === root);
  // Grows while it is walked: children are appended behind their parents.
  for (const { pid } of tree) tree.push(...all.filter(({ parent }) => parent === pid));
  return tree;
}

/** proc_pid_stat(5). The name, in parentheses, may contain anything; after it the fields are counted from the third. */
function readStat(pid: string): ProcessStat | undefined {
  const text = readProc(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const nameEnd = text.lastIndexOf(')');
  const fields = text.slice(nameEnd + 2).split(' ');
  const field = (number: number) => Number(fields[number - 3]);
  const [utime, stime, cutime, cstime] = [field(14), field(15), field(16), field(17)];
  return {
    pid: Number(pid),
    parent: field(4),
    name: text.slice(text.indexOf('(') + 1, nameEnd),
    cpuMs: (utime + stime + cutime + cstime) * TICK_MS,
  };
}

/** @returns `undefined` when the process has ended */
function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
