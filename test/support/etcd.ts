/** Real etcds to do harm to: as processes of their own, on free ports of the loopback, in a folder that goes with the test. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { rm } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type EtcdOptions, openEtcd } from '../../src/etcd/client.ts';
import { type Cleanup, scratch } from './faults.ts';
import { HOLD, openProxy } from './proxy.ts';
import { ended, freePort, until } from './server.ts';

const run = promisify(execFile);
const FOLDERS = (process.env.PATH ?? '').split(delimiter);
const PROGRAM = process.env.ETCD_BIN ?? find('etcd', FOLDERS);
const CONTROL = find('etcdctl', PROGRAM === undefined ? FOLDERS : [dirname(PROGRAM), ...FOLDERS]);
const LACK = 'NO ETCD: neither `etcd` and `etcdctl` on the PATH nor ETCD_BIN, the path of etcd with etcdctl beside it';
const IS_THERE = PROGRAM !== undefined && CONTROL !== undefined;
if (!IS_THERE) console.error(`The tests of etcd cannot run. ${LACK}`);

/** In CI the tests run and fail instead. */
export const NEEDS_ETCD = { skip: IS_THERE || process.env.CI ? false : LACK };

function find(name: string, folders: readonly string[]): string | undefined {
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

export interface Certificates {
  /** PEM files */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface EtcdFlags {
  readonly members?: 1 | 3;
  readonly flags?: readonly string[];
  /** etcd's own, and that clients have to show one by the same authority */
  readonly tls?: Certificates;
}

export interface Member {
  /** `http://127.0.0.1:port`, or `https:` */
  readonly endpoint: string;
  readonly port: number;
  /** Starts it, on the data that it had, and waits until it serves. */
  start(): Promise<void>;
  /** kill -9, and waits for the end */
  kill(): Promise<void>;
  /** SIGTERM, and waits for the end */
  stop(): Promise<void>;
  /** SIGSTOP: connections are taken by the kernel, and nothing is ever said on them. */
  freeze(): void;
  thaw(): void;
  /** Removes the data; it must not be running. */
  wipe(): Promise<void>;
  /** Replaces the data by that of `etcdctl snapshot save`; it must not be running. */
  restore(snapshot: string): Promise<void>;
}

export interface TestEtcd {
  /** the first one */
  readonly member: Member;
  readonly members: readonly Member[];
  readonly endpoints: readonly string[];
  /** etcdctl, with all members unless `--endpoints` is given. @returns what it writes */
  control(...args: readonly string[]): Promise<string>;
}

const PORT_IS_TAKEN = /address already in use/;

export async function startEtcd(t: Cleanup, flags: EtcdFlags = {}): Promise<TestEtcd> {
  assert.ok(IS_THERE, LACK);
  for (let attempt = 1; ; attempt++) {
    try {
      return await startAt(await scratch(t), flags);
    } catch (error) {
      // A port that was free a moment ago is another test's by now.
      if (attempt === 5 || !PORT_IS_TAKEN.test(String(error))) throw error;
    }
  }
}

async function startAt(folder: string, { members: count = 1, flags = [], tls }: EtcdFlags): Promise<TestEtcd> {
  const scheme = tls ? 'https' : 'http';
  const places = await Promise.all(
    Array.from({ length: count }, async (_, i) => ({
      name: `m${i}`,
      client: await freePort(),
      peer: await freePort(),
      health: await freePort(),
    })),
  );
  const cluster = places.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(',');
  const certificates = tls ? ['--cert-file', tls.cert, '--key-file', tls.key, '--trusted-ca-file', tls.ca, '--client-cert-auth'] : [];
  const members = places.map(({ name, client, peer, health }): Member => {
    const dataDir = join(folder, name);
    const options = {
      name,
      'data-dir': dataDir,
      'listen-client-urls': `${scheme}://127.0.0.1:${client}`,
      'advertise-client-urls': `${scheme}://127.0.0.1:${client}`,
      'listen-peer-urls': `http://127.0.0.1:${peer}`,
      'initial-advertise-peer-urls': `http://127.0.0.1:${peer}`,
      'listen-metrics-urls': `http://127.0.0.1:${health}`,
      'initial-cluster': cluster,
      'heartbeat-interval': '100',
      'election-timeout': '600',
    };
    const flagsOf = (names: readonly (keyof typeof options)[]) => names.map((key) => `--${key}=${options[key]}`);
    const args = [...flagsOf(Object.keys(options) as (keyof typeof options)[]), ...certificates, ...flags];
    const restored = flagsOf(['name', 'data-dir', 'initial-cluster', 'initial-advertise-peer-urls']);
    return member(args, restored, { endpoint: `${scheme}://127.0.0.1:${client}`, port: client, health, dataDir });
  });
  await Promise.all(members.map((each) => each.start()));
  const endpoints = members.map(({ endpoint }) => endpoint);
  const access = tls ? ['--cacert', tls.ca, '--cert', tls.cert, '--key', tls.key] : [];
  return {
    member: members[0] as Member,
    members,
    endpoints,
    async control(...control) {
      const where = control.includes('--endpoints') ? [] : ['--endpoints', endpoints.join(',')];
      const { stdout } = await run(CONTROL ?? '', [...where, ...access, ...control], { env: { ...process.env, ETCDCTL_API: '3' } });
      return stdout;
    },
  };
}

function member(
  args: readonly string[],
  restored: readonly string[],
  place: { endpoint: string; port: number; health: number; dataDir: string },
): Member {
  let child: ChildProcess;
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    await ended(child);
  };
  return {
    endpoint: place.endpoint,
    port: place.port,
    start: async () => {
      child = await launch(args, place.health);
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    wipe: () => rm(place.dataDir, { recursive: true }),
    async restore(snapshot) {
      await rm(place.dataDir, { recursive: true, force: true });
      await run(CONTROL ?? '', ['snapshot', 'restore', snapshot, ...restored], { env: { ...process.env, ETCDCTL_API: '3' } });
    },
  };
}

/** @returns once it serves */
async function launch(args: readonly string[], health: number): Promise<ChildProcess> {
  let output = '';
  const child = spawn(PROGRAM ?? '', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.on('data', (chunk: Buffer) => {
    output = (output + chunk).slice(-4_000);
  });
  await until(async () => {
    assert.ok(child.exitCode === null && child.signalCode === null, `etcd ended: ${output}`);
    const response = await fetch(`http://127.0.0.1:${health}/health`).catch(() => undefined);
    return (await response?.text().catch(() => ''))?.includes('true') === true;
  }, 20_000);
  return child;
}

/** A client that is closed with the test; its bugs fail the test. */
export function client(t: Cleanup, options: EtcdOptions) {
  const states: string[] = [];
  const etcd = openEtcd({
    ...options,
    onState: (state) => {
      states.push(state.status);
      options.onState?.(state);
    },
  });
  t.after(async () => etcd.close());
  return {
    ...etcd,
    /** every status that was told */
    states,
    isConnected: (timeoutMs = 5_000) =>
      until(() => etcd.state().status === 'connected', timeoutMs).catch(() => assert.fail(`not connected: ${describe(etcd.state())}`)),
  };
}

const describe = (state: object) => JSON.stringify(state, (_, value) => (typeof value === 'bigint' ? String(value) : value));

/** An authority, and what it signed for 127.0.0.1. */
export async function makeCertificates(folder: string, name: string): Promise<Certificates> {
  const path = (file: string) => join(folder, `${name}-${file}.pem`);
  const make = (file: string, ...args: readonly string[]) =>
    run('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...['-keyout', path(`${file}-key`), '-out', path(file), '-subj', `/CN=${name}-${file}`, ...args],
    ]);
  await make('ca');
  const signedByCa = ['-CA', path('ca'), '-CAkey', path('ca-key')];
  await make('cert', ...signedByCa, '-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'extendedKeyUsage=serverAuth,clientAuth');
  return { ca: path('ca'), cert: path('cert'), key: path('cert-key') };
}

export interface Wire {
  readonly endpoint: string;
  /** `silent`: nothing passes any more, in neither direction, and nobody is told; new connections as well. `reset`: RST to all who are connected. */
  set(state: 'passing' | 'silent' | 'reset'): void;
  /** how often somebody has connected */
  connections(): number;
  /** bytes that clients have sent so far */
  sent(): number;
  /** Something was sent into the silence. */
  isHolding(): boolean;
}

/** A TCP port in front of etcd's. */
export async function wireTo(t: Cleanup, port: number): Promise<Wire> {
  const proxy = await openProxy(t, { port });
  let isSilent = false;
  let isHolding = false;
  let sent = 0;
  proxy.onSent((chunk) => {
    sent += chunk.length;
    if (isSilent) isHolding = true;
  });
  return {
    endpoint: `127.0.0.1:${proxy.port}`,
    connections: proxy.connections,
    sent: () => sent,
    isHolding: () => isHolding,
    set(state) {
      isSilent = state === 'silent';
      isHolding = false;
      if (state === 'reset') proxy.cut();
      if (isSilent) proxy.set({ up: HOLD, down: HOLD });
      else proxy.heal();
    },
  };
}
