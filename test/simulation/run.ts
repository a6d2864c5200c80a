/** One run: a world made from a seed, load and faults on it, then peace, and a last look at everything. */
import { parseClientMetadata } from '../../src/core/client-metadata.ts';
import type { ClientSettings } from '../../src/core/clients.ts';
import { BusModel } from './bus-model.ts';
import { CacheModel } from './cache-model.ts';
import { Checkers } from './checkers.ts';
import { drawFocus, type Focus, planFaults } from './faults.ts';
import { Network } from './network.ts';
import { type Node, type NodeSettings, type OpenMemory, startNode } from './node.ts';
import { Postgres, type PostgresOptions } from './postgres-model.ts';
import { Random } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { startTraffic } from './traffic.ts';
import { type KnownSecrets, Workload } from './workload.ts';

export interface RunOptions {
  readonly openMemory: OpenMemory;
  readonly postgres?: Pick<PostgresOptions, 'plainSequence' | 'prolongedAbove'>;
  /** is told every line of the trace */
  readonly trace?: (line: string) => void;
}

export interface RunResult {
  readonly seed: number;
  /** of the trace */
  readonly hash: string;
  readonly violations: readonly string[];
  readonly events: number;
  readonly judged: number;
  readonly virtualMs: number;
  readonly faults: readonly string[];
}

/** After peace has come all nodes answer again within this (K6). */
const HEALED_AFTER_MS = 4_000;
/** A node that ended is started again within this. */
const DOWN_MS_MAX = 1_000;
const CLIENTS = ['a', 'b', 'c'];

export async function simulate(seed: number, { openMemory, postgres: model = {}, trace }: RunOptions): Promise<RunResult> {
  const random = new Random(seed);
  const scheduler = new Scheduler(random, trace);
  const network = new Network(random, random.pick([0.2, 1, 5]));
  const postgres = new Postgres(scheduler, network, {
    pageMax: random.pick([2, 5, 10_000]),
    serviceMeanMs: random.pick([0.2, 1, 10]),
    ...model,
  });
  const focus = drawFocus(random);
  const bus = (focus.hasBus ?? random.chance(0.8)) ? new BusModel(scheduler, network) : undefined;
  const cache = (focus.hasCache ?? random.chance(0.7)) ? new CacheModel(scheduler, () => postgres.histories) : undefined;
  const checkers = new Checkers(scheduler, postgres);
  const world = { scheduler, postgres, bus, cache, openMemory };
  const clients = await createClients(postgres);
  const settings = drawNodes(random, focus);
  const faultsUntil = focus.isLong ? 8_000 : random.between(2_000, 5_000);
  const end = faultsUntil + HEALED_AFTER_MS;

  const running = new Map<string, Node>();
  const starts = new Map<string, number>();
  function start(own: NodeSettings): void {
    const count = starts.get(own.name) ?? 0;
    starts.set(own.name, count + 1);
    running.set(
      own.name,
      startNode(world, own, count, (node) => startLater(node, 50)),
    );
  }
  function startLater({ name }: Node, ms: number): void {
    running.delete(name);
    const own = settings.find((node) => node.name === name);
    scheduler.after(Math.min(ms, DOWN_MS_MAX), () => own && start(own));
  }
  function restart(node: Node, how: 'killed' | 'leaves', afterMs: number): void {
    if (running.get(node.name) !== node || node.leftAt !== undefined) return;
    const end = () => {
      if (running.get(node.name) !== node) return;
      node.process.kill();
      startLater(node, afterMs);
    };
    if (how === 'killed') {
      end();
      return;
    }
    // It is asked until its end, though it would not be by src/server.ts.
    node.leftAt = scheduler.now;
    scheduler.note(`${node.process.name} leaves`);
    node.process.enter(() => void node.memory.leave().catch(() => undefined));
    scheduler.after(Math.min(random.around(100), DOWN_MS_MAX), end);
  }

  for (const own of settings) start(own);
  const nodes = () => [...running.values()];
  const maxStalenessMs = Math.max(...settings.map((node) => node.maxStalenessMs));
  const suspended = new Set(settings.filter(() => random.chance(0.5)).map(({ name }) => name));
  const faults = planFaults(
    { scheduler, network, postgres, bus, cache, nodes, restart, maxStalenessMs, canSuspend: ({ name }) => suspended.has(name) },
    { fromMs: 300, untilMs: faultsUntil, focus },
  );
  const workload = new Workload({ scheduler, checkers, nodes, maxStalenessMs });
  startTraffic({ pace: focus.pace ?? random.pick([0.5, 1, 2]), scheduler, workload, nodes, clients, untilMs: faultsUntil + 2_000 });
  postgres.onWentBack = () => checkers.wentBack();

  const isOver = () => checkers.violations.length > 0;
  await scheduler.run(faultsUntil, isOver);
  scheduler.note('peace');
  network.heal();
  postgres.onLook = undefined;
  if (bus) bus.faults = { lost: 0, twice: 0, late: 0, lateMs: 0 };
  await scheduler.run(end, isOver);
  if (!isOver()) await lastLook(scheduler, checkers, nodes(), settings.length);
  const { violations, judged } = checkers;
  return { seed, hash: scheduler.hash, violations, events: scheduler.events, judged, virtualMs: scheduler.now, faults };
}

async function createClients({ stores, truth }: Postgres): Promise<KnownSecrets[]> {
  const settings: ClientSettings = parseClientMetadata({ scope: 'read' });
  const actor = { clientId: 'admin', scope: [], address: undefined };
  for (const id of [...CLIENTS, 'spare'])
    await stores.administration.insert(id, settings, { name: undefined, verifier: 'secret', expiresAt: undefined }, actor);
  truth.learn();
  return CLIENTS.map((id) => ({ id, verifiers: ['secret'] }));
}

function drawNodes(random: Random, { isStrict }: Focus): readonly NodeSettings[] {
  const count = random.pick([2, 3, 3, 4]);
  const modes = isStrict ? 'strict' : random.pick(['strict', 'bounded', 'mixed'] as const);
  const bounds = random.chance(0.6) ? [random.pick([300, 500, 1_000, 2_000])] : [300, 500, 1_000, 2_500];
  return Array.from({ length: count }, (_, index) => ({
    name: `n${index + 1}`,
    consistency: modes === 'mixed' ? random.pick(['strict', 'bounded'] as const) : modes,
    maxStalenessMs: random.pick(bounds),
    // Two of them differ by one in a hundred at most: what the bound has room for.
    rate: random.chance(0.5) ? 1 : random.pick([0.9951, 1.0049]),
    wallOffset: random.chance(0.2) ? random.pick([-1, 1]) * random.around(3_600_000) : random.between(-20, 20),
    // For a few tokens and no client, for some and one client, for all.
    cacheBytesMax: random.pick([4_000, 80_000, 1_000_000]),
  }));
}

/** K5 and K6: every node is there, answers, and says what is true. */
async function lastLook(scheduler: Scheduler, checkers: Checkers, nodes: readonly Node[], count: number): Promise<void> {
  if (nodes.length < count) checkers.violation('K6', 'a node has not come back');
  const end = scheduler.now + 2_000;
  for (const node of nodes) {
    const unanswered = new Set(checkers.tokens);
    node.process.enter(() => {
      for (const token of unanswered) {
        const asked = node.memory.tokens.find(token.record.tokenHash, node.memory.now());
        const answered = (found: Awaited<typeof asked>) => {
          unanswered.delete(token);
          checkers.audited(token, node, found);
        };
        asked.then(answered, (error: unknown) => scheduler.note(`last look: ${String(error)}`));
      }
    });
    scheduler.after(1_900, () => {
      for (const { name } of unanswered) checkers.violation('K6', `${node.process.name} does not answer about ${name}`);
    });
  }
  await scheduler.run(end, () => checkers.violations.length > 0);
}
