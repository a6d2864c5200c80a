/** What goes wrong in a run, and when. Each seed has some kinds of faults and not the others: with all of them at once hardly anything would work. */
import type { BusModel } from './bus-model.ts';
import type { CacheModel } from './cache-model.ts';
import type { Network } from './network.ts';
import type { Node } from './node.ts';
import type { Postgres } from './postgres-model.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface FaultyWorld {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly postgres: Postgres;
  readonly bus: BusModel | undefined;
  readonly cache: CacheModel | undefined;
  readonly nodes: () => readonly Node[];
  /** Ends a node, and starts it again later on. */
  restart(node: Node, how: 'killed' | 'leaves', afterMs: number): void;
  /** the largest of the nodes' */
  readonly maxStalenessMs: number;
  /** the nodes whose machines may be suspended; the clocks of the others may be set */
  canSuspend(node: Node): boolean;
}

type Fault = (world: FaultyWorld) => void;

const POSTGRES = 'postgres';
const BUS = 'bus';
/** A fail-over that loses commits takes longer than any node answers from what it knows (docs/reliability.md). */
const FAIL_OVER_FACTOR = 1.02;
/** What goes on when peace has come still has to be over within the time of K6. */
const HELD_MS_MAX = 2_500;

const FAULTS: Readonly<Record<string, Fault>> = {
  slowLink: (world) => disturbLink(world, POSTGRES, (from, to) => world.network.slow(from, to, world.scheduler.random.between(10, 400))),
  cutLink: (world) => disturbLink(world, POSTGRES, (from, to) => world.network.cut(from, to)),
  cutBus: (world) => disturbLink(world, BUS, (from, to) => world.network.cut(from, to)),
  freezePostgres: ({ scheduler: { random }, postgres }) => postgres.freeze(Math.min(HELD_MS_MAX, random.around(800))),
  crashPostgres: ({ scheduler: { random }, postgres }) =>
    postgres.crash(random.between(20, 1_500), random.chance(0.3) ? -random.between(0, 300_000) : 0),
  failOver(world) {
    const { scheduler, postgres, maxStalenessMs } = world;
    const { random } = scheduler;
    const failOver = postgres.lag();
    scheduler.after(Math.min(1_000, random.around(500)), () => {
      const downMs = maxStalenessMs * FAIL_OVER_FACTOR + random.between(0, 500);
      // One of them hears of it later than the others.
      if (random.chance(0.5) && world.nodes().length > 0) someNode(world).process.hold('paused', downMs + random.between(0, 1_000));
      failOver(downMs, { isSaid: random.chance(0.6), clockStep: random.chance(0.3) ? -random.between(0, 300_000) : 0 });
    });
  },
  /** A node that was away has hardly said that it is there again when PostgreSQL crashes. */
  lostRenewal(world) {
    const { scheduler, network, postgres } = world;
    const { machine } = someNode(world).process;
    network.cut(machine, POSTGRES);
    scheduler.note(`${machine} away`);
    scheduler.after(scheduler.random.between(4_200, 4_950), () => {
      network.mend(machine, POSTGRES);
      scheduler.after(100 + scheduler.random.around(60), () => postgres.crash(scheduler.random.between(10, 60)));
    });
  },
  /** A node that was held for longer than its row counts, and is slow to say that it is there again. */
  longAway(world) {
    const { scheduler, network } = world;
    const node = someNode(world);
    node.process.hold('paused', scheduler.random.between(5_000, 6_000));
    network.slow(node.process.machine, POSTGRES, scheduler.random.between(20, 300));
  },
  badBus({ scheduler: { random }, bus }) {
    if (bus) bus.faults = { lost: random.next() ** 2, twice: random.next(), late: random.next(), lateMs: random.around(1_500) };
  },
  stopBus({ scheduler, bus }) {
    if (!bus) return;
    if (scheduler.random.chance(0.3)) return bus.wipe();
    bus.isStopped = true;
    scheduler.after(scheduler.random.around(1_500), () => {
      bus.isStopped = false;
    });
  },
  badCache({ scheduler: { random }, cache }) {
    if (random.chance(0.3)) return cache?.wipe();
    if (cache) cache.faults = { lost: random.next(), answerMs: random.around(10), keptMs: random.around(1_000) };
  },
  pause: (world) => someNode(world).process.hold('paused', Math.min(HELD_MS_MAX, world.scheduler.random.around(700))),
  pauseBriefly: (world) => someNode(world).process.hold('paused', world.scheduler.random.around(40)),
  /** At the worst moment: what it learns when it goes on is old. */
  pauseAtLook(world) {
    const { postgres, scheduler } = world;
    const chosen = someNode(world).process;
    postgres.onLook = (process) => {
      if (process !== chosen) return;
      postgres.onLook = undefined;
      process.hold('paused', Math.min(HELD_MS_MAX, scheduler.random.around(600)));
    };
  },
  suspend(world) {
    const node = someNode(world);
    // Less than what the lease notices adds to the bound (docs/coherence.md).
    if (world.canSuspend(node)) node.process.hold('suspended', Math.min(HELD_MS_MAX, 300 + world.scheduler.random.around(1_500)));
  },
  setClock(world) {
    const node = someNode(world);
    const { random } = world.scheduler;
    if (!world.canSuspend(node)) node.process.stepWall((random.chance(0.5) ? 1 : -1) * random.pick([50, 300, 5_000, 7_200_000]));
  },
  kill: (world) => world.restart(someNode(world), 'killed', world.scheduler.random.around(600)),
  /** All of them, one after the other. */
  rollingRestart(world) {
    const { scheduler, nodes, restart } = world;
    for (const [index, node] of nodes().entries())
      scheduler.after(index * scheduler.random.between(50, 300), () =>
        restart(node, scheduler.random.chance(0.5) ? 'leaves' : 'killed', 20),
      );
  },
  leave: (world) => world.restart(someNode(world), 'leaves', world.scheduler.random.around(600)),
};

/** Those that take long, or after which not much is left to try. */
const ONCE: ReadonlySet<string> = new Set(['failOver']);
/** Those that need a lease of a node's row to end. */
const LONG: ReadonlySet<string> = new Set(['lostRenewal', 'longAway']);

function someNode({ scheduler, nodes }: FaultyWorld): Node {
  return scheduler.random.pick(nodes());
}

/** One direction, or both. */
function disturbLink(world: FaultyWorld, peer: string, disturb: (from: string, to: string) => void): void {
  const { scheduler, network } = world;
  const { machine } = someNode(world).process;
  const ways = scheduler.random.pick([[[machine, peer]], [[peer, machine]], [[machine, peer], [peer, machine]]] as const); // biome-ignore format: a list
  for (const [from, to] of ways) {
    disturb(from, to);
    scheduler.note(`link ${from} > ${to} disturbed`);
    scheduler.after(scheduler.random.around(900), () => {
      network.mend(from, to);
      scheduler.note(`link ${from} > ${to} mended`);
    });
  }
}

/** What a run is about: some mistakes show only where one kind of fault meets much of what it is bad for. */
export interface Focus {
  readonly faults: Readonly<Record<string, number>>;
  readonly isStrict?: boolean;
  readonly hasBus?: boolean;
  readonly hasCache?: boolean;
  /** as long as the lease of a node's row, and little is changed */
  readonly isLong?: boolean;
  /** changes come so many times slower */
  readonly pace?: number;
}

const ANYTHING: Focus = { faults: {} };
const FOCUSES: readonly Focus[] = [
  ANYTHING,
  ANYTHING,
  ANYTHING,
  ANYTHING,
  // Without a bus nobody hears of a change but by a look: what a look must not miss is tried there.
  { faults: { lostRenewal: 1 }, isLong: true, isStrict: true, hasBus: false, hasCache: true, pace: 6 },
  { faults: { longAway: 1, slowLink: 2 }, isLong: true, isStrict: true, hasBus: false, hasCache: true, pace: 1 },
  { faults: { rollingRestart: 5, kill: 5, slowLink: 3, pauseBriefly: 5 }, isStrict: true, hasBus: false, hasCache: true, pace: 0.4 },
  { faults: { pauseAtLook: 8, slowLink: 2 }, hasBus: false, pace: 0.5 },
  { faults: { failOver: 1, rollingRestart: 1, badBus: 1 }, hasBus: true, pace: 0.4 },
  { faults: { badBus: 3, cutLink: 5, slowLink: 5, pauseBriefly: 5 }, isStrict: true, hasBus: true, pace: 0.4 },
  { faults: { crashPostgres: 4, setClock: 3, suspend: 3 }, isLong: true, pace: 1 },
];

export function drawFocus(random: Random): Focus {
  return random.pick(FOCUSES);
}

export interface FaultTimes {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly focus: Focus;
}

/** @returns the kinds that this run has */
export function planFaults(world: FaultyWorld, { fromMs, untilMs, focus }: FaultTimes): readonly string[] {
  const { scheduler } = world;
  const { random } = scheduler;
  const isGeneral = focus === ANYTHING;
  const share = isGeneral ? random.pick([0, 0.15, 0.3, 0.6]) : 0.1;
  const kinds: string[] = [];
  for (const [name, fault] of Object.entries(FAULTS)) {
    const expected = focus.faults[name];
    const drawn = expected === undefined ? drawTimes(random, name, share) : expected < 1 ? Number(random.chance(expected)) : expected;
    if (drawn > 0) kinds.push(name);
    // What takes long is to be over when peace has come.
    const latest = LONG.has(name) ? 1_500 : ONCE.has(name) ? Math.max(fromMs, untilMs - 2_000) : untilMs;
    for (let time = 0; time < drawn; time++) {
      scheduler.after(random.between(fromMs, latest), () => {
        if (world.nodes().length > 0) fault(world);
      });
    }
  }
  return kinds;
}

function drawTimes(random: Random, name: string, share: number): number {
  if (LONG.has(name)) return 0;
  if (ONCE.has(name)) return Number(random.chance(share / 2));
  return random.chance(share) ? 1 + Math.floor(random.around(name === 'pauseBriefly' ? 10 : 2.5)) : 0;
}
