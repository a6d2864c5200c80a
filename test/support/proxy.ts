/**
 * A TCP port in front of another one that misbehaves on command, each direction by itself. What passes keeps its order, as TCP does; the end of a
 * connection is delayed, held or lost like everything else that is sent.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Cleanup } from './faults.ts';

/** What happens to what is sent in one direction. */
export type Rule =
  | { readonly kind: 'pass' }
  /** milliseconds more, and up to `jitterMs` on top */
  | { readonly kind: 'delay'; readonly ms: number; readonly jitterMs?: number }
  /** This share of the packets is lost and sent again, by TCP's timer: it doubles from 0.2 s. */
  | { readonly kind: 'lossy'; readonly share: number }
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number }
  /** A partition that ends: nothing arrives before, and then everything does, late. */
  | { readonly kind: 'hold' }
  /** The connection is forgotten on the way: nothing that is sent on it arrives any more, not afterwards either, and nobody is told. */
  | { readonly kind: 'drop' };

export const PASS: Rule = { kind: 'pass' };
export const HOLD: Rule = { kind: 'hold' };
export const DROP: Rule = { kind: 'drop' };

export interface Rules {
  /** from the client to the server */
  readonly up: Rule;
  readonly down: Rule;
}

export interface FaultyProxy {
  readonly port: number;
  /** For all connections, those that come, too: they are taken whatever the rules are. What is not given stays. */
  set(rules: Partial<Rules>): void;
  /** Whether new connections are reset at once. */
  refuse(isRefusing: boolean): void;
  /** Resets all connections. */
  cut(): void;
  /** Everything passes. Of a connection that has lost something the server learns the end, and the client does not. */
  heal(): void;
  /** Called with what clients send, after it was passed on or not. */
  onSent(listener: (chunk: Buffer) => void): void;
  /** how often somebody has connected */
  connections(): number;
}

export interface Target {
  readonly port?: number;
  /** a Unix socket instead */
  readonly path?: string;
}

const RETRANSMISSION_MS = 200;
const RETRANSMISSIONS_MAX = 4;

/** @param listenOn a port; 0: a free one */
export async function openProxy(t: Cleanup, target: Target, listenOn = 0): Promise<FaultyProxy> {
  let rules: Rules = { up: PASS, down: PASS };
  let isRefusing = false;
  let connections = 0;
  const listeners: ((chunk: Buffer) => void)[] = [];
  const pairs = new Set<Pair>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    connections++;
    near.on('error', () => undefined);
    if (isRefusing) return void near.resetAndDestroy();
    const far = connect({ ...(target.path ? { path: target.path } : { host: '127.0.0.1', port: target.port ?? 0 }), allowHalfOpen: true });
    far.on('error', () => undefined);
    const pair: Pair = { near, far, lanes: [new Lane(near, far, () => rules.up), new Lane(far, near, () => rules.down)] };
    near.on('data', (chunk: Buffer) => {
      for (const listener of listeners) listener(chunk);
    });
    pairs.add(pair);
    let open = 2;
    for (const socket of [near, far]) socket.on('close', () => --open === 0 && pairs.delete(pair));
  });
  const renew = (next: Partial<Rules>) => {
    rules = { ...rules, ...next };
    for (const { lanes } of pairs) for (const lane of lanes) lane.flush();
  };
  const cut = () => {
    for (const { near, far } of pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
  };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(listenOn, '127.0.0.1', () => resolve());
  });
  t.after(async () => {
    isRefusing = true;
    cut();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    set: renew,
    refuse(value) {
      isRefusing = value;
    },
    cut,
    heal() {
      isRefusing = false;
      for (const { far, lanes } of pairs) if (lanes.some((lane) => lane.isLost)) far.destroy();
      renew({ up: PASS, down: PASS });
    },
    onSent: (listener) => void listeners.push(listener),
    connections: () => connections,
  };
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  readonly lanes: readonly Lane[];
}

/** What is on its way in one direction. */
class Lane {
  readonly #to: Socket;
  readonly #rule: () => Rule;
  /** `undefined`: the end */
  readonly #underway: { readonly chunk: Buffer | undefined; readonly at: number }[] = [];
  /** until when a throttled line is occupied */
  #busyUntil = 0;
  #isLost = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, rule: () => Rule) {
    this.#to = to;
    this.#rule = rule;
    from.on('data', (chunk: Buffer) => this.#send(chunk));
    from.on('end', () => this.#send(undefined));
    from.on('close', () => this.#send(undefined));
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  /** What is due goes on, by the rule of now. */
  flush(): void {
    clearTimeout(this.#timer);
    const { kind } = this.#rule();
    // A host that went away does not say so, and who says nothing meanwhile has lost it all the same.
    if (kind === 'drop') this.#isLost = true;
    if (kind === 'hold') return;
    for (;;) {
      const next = this.#underway[0];
      if (!next) return;
      const leftMs = kind === 'pass' || this.#isLost ? 0 : next.at - performance.now();
      if (leftMs > 0) {
        this.#timer = setTimeout(() => this.flush(), leftMs).unref();
        return;
      }
      this.#underway.shift();
      if (this.#isLost || this.#to.destroyed) continue;
      if (next.chunk) this.#to.write(next.chunk);
      else this.#to.end();
    }
  }

  #send(chunk: Buffer | undefined): void {
    const rule = this.#rule();
    const now = performance.now();
    const at = rule.kind === 'throttle' ? Math.max(this.#busyUntil, now) + delayOf(rule, chunk?.length ?? 0) : now + delayOf(rule, 0);
    if (rule.kind === 'throttle') this.#busyUntil = at;
    this.#underway.push({ chunk, at });
    this.flush();
  }
}

function delayOf(rule: Rule, bytes: number): number {
  if (rule.kind === 'delay') return rule.ms + Math.random() * (rule.jitterMs ?? 0);
  if (rule.kind === 'throttle') return (bytes / rule.bytesPerSecond) * 1000;
  if (rule.kind !== 'lossy') return 0;
  let ms = 0;
  for (let attempt = 0; attempt < RETRANSMISSIONS_MAX && Math.random() < rule.share; attempt++) ms += RETRANSMISSION_MS * 2 ** attempt;
  return ms;
}
