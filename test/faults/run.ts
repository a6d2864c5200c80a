/** One cluster under one load, and faults one after the other or at once; then every check on everything that was recorded. */
import assert from 'node:assert/strict';
import type { Cleanup } from '../support/faults.ts';
import { audit } from './audit.ts';
import { check, type Violation } from './checks.ts';
import { type Cluster, MAX_STALENESS_MS, MODES } from './cluster.ts';
import { SLOW_MACHINE, type Watching, watchMachine } from './machine.ts';
import type { Budget, Excused, FaultWindow, RecordedHistory } from './operations.ts';
import { type Random, seeded } from './random.ts';
import { errorsByFault, figures, lines } from './report.ts';
import { Workload, type WorkloadOptions } from './workload.ts';

/** Something that goes wrong, and what it may cost. */
export interface Fault {
  readonly what: string;
  readonly budget: Budget;
  /** Does the harm, waits as long as it is to last, and sees what has to be seen meanwhile. What is still broken is mended afterwards. */
  harm(): Promise<void>;
}

/** After the harm was mended everybody has to answer again (K6). */
export const RECOVERY_MS_MAX = 5_000;
/** Tokens from before the last audit that are asked for once more. */
const VETERANS = 150;
const AUDITED_MAX = 450;

const SEED = 20261125;

/** For a test: the load, the faults, and the judgement. */
export async function withstand(
  t: Cleanup,
  cluster: Cluster,
  modes: keyof typeof MODES,
  faults: (run: FaultRun) => Promise<void>,
): Promise<void> {
  await cluster.become(MODES[modes]);
  const run = new FaultRun(t, cluster, seeded(SEED));
  let problems: readonly string[] = [];
  try {
    await run.start();
    await faults(run);
    problems = await run.judge();
  } finally {
    await run.stop();
  }
  console.log(lines([modes, ...figures(run.history()), ...errorsByFault(run.history()), ...run.undecided]));
  assert.deepEqual(problems, []);
}

export class FaultRun {
  readonly cluster: Cluster;
  readonly workload: Workload;
  readonly random: Random;
  readonly windows: FaultWindow[] = [];
  /** keys in etcd that a fault has written */
  readonly forged = new Set<string>();
  /** what was wrong, other than with answers */
  readonly problems: string[] = [];
  /** the same, while the machine was late */
  readonly undecided: string[] = [];
  /** by fault: until all nodes answered again, milliseconds */
  readonly recoveries: { readonly what: string; readonly ms: number }[] = [];
  readonly #t: Cleanup;
  #audited = 0;
  #machine: Watching | undefined;

  constructor(t: Cleanup, cluster: Cluster, random: Random, options?: WorkloadOptions) {
    this.#t = t;
    this.cluster = cluster;
    this.random = random;
    this.workload = new Workload(cluster, random, options);
  }

  /** The load begins. */
  async start(): Promise<void> {
    this.#machine = watchMachine(this.cluster.postgres, this.windows);
    await this.workload.start();
  }

  /** Without a judgement. */
  async stop(): Promise<void> {
    await Promise.all([this.workload.stop(), this.#machine?.stop()]);
  }

  /** Faults at once; each is excused what any of them is. */
  async suffer(...faults: readonly Fault[]): Promise<void> {
    const what = faults.map((fault) => fault.what).join(' + ');
    const window: FaultWindow = {
      what,
      from: performance.now(),
      mended: Number.POSITIVE_INFINITY,
      to: Number.POSITIVE_INFINITY,
      budget: union(faults),
    };
    this.windows.push(window);
    try {
      const results = await Promise.allSettled(faults.map((fault) => fault.harm()));
      for (const result of results)
        if (result.status === 'rejected') this.#note(`${what}: ${(result.reason as Error).message}`, window.from);
    } finally {
      await this.cluster.heal();
    }
    const mendedAt = performance.now();
    await this.#recovered().catch((error: Error) => this.#note(`${what}: not back: ${error.message}`, mendedAt));
    this.recoveries.push({ what, ms: performance.now() - mendedAt });
    // Connections that died unnoticed are found one by one, each by a request.
    Object.assign(window, { mended: mendedAt, to: mendedAt + RECOVERY_MS_MAX });
  }

  /** Stops the load, asks for the truth, and judges. @returns what is wrong, in words */
  async judge(): Promise<string[]> {
    await this.workload.stop();
    const { tokens } = this.workload;
    const fresh = tokens.slice(this.#audited).slice(-AUDITED_MAX);
    const veterans = Array.from({ length: Math.min(VETERANS, this.#audited) }, () => tokens[this.random.below(this.#audited)]);
    this.#audited = tokens.length;
    const asked = [...new Set([...fresh, ...veterans.filter((token) => token !== undefined)])];
    this.problems.push(...(await audit(this.#t, this.cluster, this.workload, asked, this.forged)));
    await this.stop();
    return this.wrong();
  }

  /** What was recorded so far, without asking for more. */
  wrong(): string[] {
    return [...this.problems, ...check(this.history()).map(inWords)];
  }

  history(): RecordedHistory {
    return { maxStalenessMs: MAX_STALENESS_MS, operations: this.workload.operations, windows: this.windows };
  }

  /** What had to be seen in time, and was not. */
  #note(problem: string, since: number): void {
    const isLate = this.windows.some(({ what, mended }) => what === SLOW_MACHINE && mended >= since);
    (isLate ? this.undecided : this.problems).push(problem);
  }

  async #recovered(): Promise<void> {
    const { nodes } = this.cluster;
    await Promise.all(nodes.map((node) => node.program.ready(RECOVERY_MS_MAX)));
  }
}

function union(faults: readonly Fault[]): Budget {
  const of = (kind: keyof Budget) =>
    faults.reduce<Excused>((all, { budget }) => {
      const more = budget[kind];
      if (all === 'any' || more === 'any') return 'any';
      return [...(all === 'none' ? [] : all), ...(more === 'none' ? [] : more)];
    }, 'none');
  return { introspections: of('introspections'), changes: of('changes') };
}

function inWords({ rule, why, operation, against }: Violation): string {
  const { kind, node, consistency, client, token = '' } = operation;
  const earlier = against ? `; against ${against.kind} at node ${against.node}` : '';
  return `${rule} ${why}: ${kind} at node ${node} (${consistency}) of ${client} ${token} at ${Math.round(operation.at)}${earlier}`;
}
