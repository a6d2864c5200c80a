/**
 * A cluster to do harm to: three servers as processes, one PostgreSQL, etcd with one or three members, and a proxy of its own for each node and each
 * that it talks to. Everything that a fault has broken is mended by {@link Cluster.heal}.
 */
import { join } from 'node:path';
import { type Certificates, startEtcd, type TestEtcd } from '../support/etcd.ts';
import {
  ADMIN,
  type Cleanup,
  ENCRYPTION_KEY,
  type FaultyPostgres,
  faultyPostgres,
  launch,
  type Program,
  scratch,
} from '../support/faults.ts';
import { type FaultyProxy, openProxy } from '../support/proxy.ts';
import { freePort } from '../support/server.ts';
import type { Nodes } from './workload.ts';

export type Mode = 'bounded' | 'strict';
export const MODES = {
  bounded: ['bounded', 'bounded', 'bounded'],
  strict: ['strict', 'strict', 'strict'],
  mixed: ['bounded', 'strict', 'strict'],
} as const satisfies Record<string, readonly Mode[]>;

export const MAX_STALENESS_MS = 1_000;
export const QUOTA_BYTES = 16 * 1024 * 1024;
export const ISSUER = 'http://localhost:8080';

export interface ClusterNode {
  readonly index: number;
  readonly url: string;
  readonly mode: Mode;
  readonly program: Program;
  /** in front of PostgreSQL */
  readonly postgres: FaultyProxy;
  /** in front of each member of etcd */
  readonly etcd: readonly FaultyProxy[];
  /** kill -9 */
  kill(): Promise<void>;
  /** Starts it again, and waits until it is ready. */
  start(mode?: Mode): Promise<void>;
  pause(): void;
  resume(): void;
  /** what all processes that it had so far wrote */
  output(): string;
}

/** A part that may be down or frozen, and then is mended. */
export interface Part {
  kill(): Promise<void>;
  start(): Promise<void>;
  freeze(): void | Promise<void>;
  thaw(): void | Promise<void>;
}

export interface Cluster extends Nodes {
  readonly nodes: readonly ClusterNode[];
  readonly postgres: Part & Pick<FaultyPostgres, 'query' | 'session'> & { stop(): Promise<void>; crash(): Promise<void> };
  readonly etcd: Pick<TestEtcd, 'control' | 'endpoints'>;
  readonly members: readonly (Part & { wipe(): Promise<void>; restore(snapshot: string): Promise<void>; readonly endpoint: string })[];
  readonly folder: string;
  /** Restarts the nodes that are to have another mode. */
  become(modes: readonly Mode[]): Promise<void>;
  /** All that is broken works again; nodes that were killed are started. */
  heal(): Promise<void>;
}

export interface ClusterOptions {
  readonly members?: 1 | 3;
  readonly modes?: readonly Mode[];
  readonly tls?: Certificates;
}

export async function startCluster(t: Cleanup, { members: count = 1, modes = MODES.mixed }: ClusterOptions = {}): Promise<Cluster> {
  const folder = await scratch(t);
  const [postgres, etcd] = await Promise.all([
    // Nobody cuts the power here: what a killed process has written stays, and a slow disk would be a fault of its own.
    faultyPostgres(t, folder, { fsync: 'off' }),
    startEtcd(t, { members: count, flags: [`--quota-backend-bytes=${QUOTA_BYTES}`, '--unsafe-no-fsync'] }),
  ]);
  const database = { ...postgres, ...mended(postgres) };
  const members = etcd.members.map((member) => ({ ...member, ...mended(member) }));
  // The first one makes the schema: the others only find it there.
  const [first = 'bounded', ...others] = modes;
  const nodes = [await startNode(t, folder, 0, first, postgres, etcd)];
  nodes.push(...(await Promise.all(others.map((mode, i) => startNode(t, folder, i + 1, mode, postgres, etcd)))));
  return {
    folder,
    nodes,
    postgres: {
      ...database,
      stop: () => database.down(postgres.stop),
      crash: () => database.down(postgres.crash),
    },
    etcd,
    members,
    count: nodes.length,
    url: (node) => nodes[node]?.url ?? '',
    consistency: (node) => nodes[node]?.mode ?? 'bounded',
    async become(wanted) {
      await Promise.all(
        nodes.map(async (node, i) => {
          const mode = wanted[i] ?? 'bounded';
          if (mode === node.mode) return;
          await node.program.end('SIGTERM');
          await node.start(mode);
        }),
      );
    },
    async heal() {
      for (const node of nodes) {
        for (const proxy of [node.postgres, ...node.etcd]) proxy.heal();
        node.resume();
      }
      await Promise.all([database.mend(), ...members.map((member) => member.mend())]);
      await Promise.all(nodes.map(async (node) => node.program.isRunning() || (await node.start())));
    },
  };
}

async function startNode(t: Cleanup, folder: string, index: number, first: Mode, postgres: FaultyPostgres, etcd: TestEtcd) {
  const { host, port: socketPort } = postgres.connection;
  const toPostgres = await openProxy(t, { path: `${host}/.s.PGSQL.${socketPort}` });
  const toEtcd = await Promise.all(etcd.members.map(({ port }) => openProxy(t, { port })));
  const port = await freePort();
  let output = '';
  let mode = first;
  const start = async () => {
    const program = await launch(t, {
      folder,
      port,
      env: {
        DATABASE_URL: `postgres://auth@127.0.0.1:${toPostgres.port}/auth`,
        ETCD_ENDPOINTS: toEtcd.map((proxy) => `127.0.0.1:${proxy.port}`).join(','),
        AUTH_ENCRYPTION_KEY: ENCRYPTION_KEY,
        AUTH_ADMIN_CLIENT_SECRET: ADMIN.clientSecret,
        AUTH_ISSUER: ISSUER,
        AUTH_MAX_STALENESS_MS: String(MAX_STALENESS_MS),
        AUTH_CONSISTENCY: mode,
        AUTH_DATA_DIR: join(folder, `node-${index}`),
      },
    });
    try {
      await program.ready();
    } catch (error) {
      // Else it would hold the port, and answer for the next one in the mode that it was started in.
      await program.end('SIGKILL');
      throw error;
    }
    return program;
  };
  let program = await start();
  const node: ClusterNode = {
    index,
    url: program.url,
    get mode() {
      return mode;
    },
    get program() {
      return program;
    },
    postgres: toPostgres,
    etcd: toEtcd,
    async kill() {
      await program.end('SIGKILL');
    },
    async start(next = mode) {
      mode = next;
      output += program.output();
      program = await start();
    },
    pause: () => void program.child.kill('SIGSTOP'),
    resume: () => void program.child.kill('SIGCONT'),
    output: () => output + program.output(),
  };
  return node;
}

/** Keeps in mind what was done to a part. */
function mended<T extends Part>(part: T) {
  let isDown = false;
  let isFrozen = false;
  const down = async (work: () => Promise<void>) => {
    isDown = true;
    await work();
  };
  const start = async () => {
    await part.start();
    isDown = false;
  };
  const thaw = async () => {
    await part.thaw();
    isFrozen = false;
  };
  return {
    down,
    kill: () => down(() => part.kill()),
    start,
    async freeze() {
      isFrozen = true;
      await part.freeze();
    },
    thaw,
    async mend() {
      if (isFrozen) await thaw();
      if (isDown) await start();
    },
  };
}
