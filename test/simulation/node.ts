/** A server as src/server.ts wires it, on the models: the real memory, and a look at the change log every 100 ms. */

import type { Memory, MemoryOptions, openMemory } from '../../src/coherence/memory.ts';
import { Unavailable } from '../../src/core/ports.ts';
import { UNOBSERVED } from '../support/observers.ts';
import type { BusModel } from './bus-model.ts';
import type { CacheModel } from './cache-model.ts';
import type { Postgres } from './postgres-model.ts';
import { Process } from './process.ts';
import type { Scheduler } from './scheduler.ts';

const FOLLOW_MS = 100;
const RETRY_MS = 1_000;

export type OpenMemory = typeof openMemory;

/** What stays the same when its process is another one. */
export interface NodeSettings {
  readonly name: string;
  readonly consistency: MemoryOptions['consistency'];
  readonly maxStalenessMs: number;
  readonly rate: number;
  /** how wrong its clock is when it starts */
  readonly wallOffset: number;
  readonly cacheBytesMax: number;
}

export interface World {
  readonly scheduler: Scheduler;
  readonly postgres: Postgres;
  readonly bus: BusModel | undefined;
  readonly cache: CacheModel | undefined;
  readonly openMemory: OpenMemory;
}

export interface Node extends NodeSettings {
  readonly process: Process;
  readonly nodeId: string;
  readonly memory: Memory;
  /** of PostgreSQL, when it was started */
  readonly epochs: number;
  /** true time at which it has begun to leave */
  leftAt: number | undefined;
  /** it has looked at the change log: requests before that are answered with 503 */
  isReady: boolean;
}

/** @param onEnd the node has learned that its history is not the one that there is: it ends */
export function startNode(world: World, settings: NodeSettings, start: number, onEnd: (node: Node) => void): Node {
  const { scheduler, postgres, bus, cache } = world;
  const { name, rate, wallOffset } = settings;
  const process = new Process(name, start, scheduler, { rate, wallOffset });
  scheduler.note(`${process.name} starts`);
  const nodeId = process.name;
  const ports = postgres.connect(process, (entry) => memory.announced(entry));
  const memory: Memory = world.openMemory({
    ...ports,
    ...settings,
    bus: bus?.join(process, nodeId, {
      heard: (announcement) => memory.heard(announcement),
      acknowledged: (announcement, by) => memory.acknowledged(announcement, by),
    }),
    cache: cache?.connect(process),
    signingKeys: { list: async () => [], rotate: () => Promise.reject(new Unavailable('none')) },
    nodeId,
    observer: UNOBSERVED,
    sleep: process.sleep,
    monotonic: process.monotonic,
    wall: process.wall,
    onHistoryChanged() {
      scheduler.note(`${process.name} history changed`);
      process.kill();
      onEnd(node);
    },
  });
  const node: Node = {
    ...settings,
    process,
    nodeId,
    memory,
    epochs: postgres.truth.epochs,
    leftAt: undefined,
    isReady: false,
  };
  process.enter(() => void prepare(node));
  return node;
}

async function prepare(node: Node): Promise<void> {
  while (!node.isReady) {
    try {
      await node.memory.prove();
      node.isReady = true;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      await node.process.sleep(RETRY_MS);
    }
  }
  follow(node);
}

function follow(node: Node): void {
  const { process, memory } = node;
  let isAsking = false;
  const ask = async () => {
    if (isAsking || node.leftAt !== undefined) return;
    isAsking = true;
    await memory.follow().catch((error: unknown) => {
      if (!(error instanceof Unavailable)) throw error;
    });
    isAsking = false;
  };
  const tick = () =>
    process.enter(() => {
      void ask();
      process.timer(FOLLOW_MS, tick);
    });
  tick();
}
