/**
 * Who asks what, and when. Much of it is asked where it hurts: right after an answer, on all nodes; at the very end of a bound; the same change again
 * at another node while the first one waits.
 */
import type { Token } from './checkers.ts';
import type { Node } from './node.ts';
import type { Scheduler } from './scheduler.ts';
import type { KnownSecrets, Workload } from './workload.ts';

const RATE = 1.01;
const HOT = 6;

export interface TrafficOptions {
  readonly scheduler: Scheduler;
  readonly workload: Workload;
  readonly nodes: () => readonly Node[];
  readonly clients: KnownSecrets[];
  /** of changes: some operate slowly, so that much else happens between two of them; others quickly */
  readonly pace: number;
  /** true time */
  readonly untilMs: number;
}

/** What is asked how often: means, milliseconds. */
const PACE = { introspect: 25, issue: 110, revoke: 160, administer: 420, authenticate: 60 };

export function startTraffic({ pace, scheduler, workload, nodes, clients, untilMs }: TrafficOptions): void {
  const { random } = scheduler;
  const hot: Token[] = [];
  const some = (): Node | undefined => (nodes().length > 0 ? random.pick(nodes()) : undefined);

  function again(meanMs: number, run: (node: Node) => void): void {
    const next = () =>
      scheduler.after(random.around(meanMs), () => {
        if (scheduler.now > untilMs) return;
        const node = some();
        if (node) run(node);
        next();
      });
    next();
  }

  function introspect(node: Node, token: Token, isProven = random.chance(0.25)): void {
    void workload.introspect(node, token, isProven);
  }

  /** All nodes, at once and a little later; and those that may be behind, when they may no more. */
  function askAll(tokens: readonly Token[]): void {
    for (const token of tokens.slice(-2)) {
      for (const node of nodes()) {
        introspect(node, token);
        scheduler.after(random.around(30), () => introspect(node, token));
        scheduler.after(node.maxStalenessMs * RATE + 3, () => introspect(node, token, false));
      }
    }
  }

  /** Somebody is impatient. */
  function twice(run: (node: Node) => Promise<readonly Token[] | undefined>, first: Node): void {
    const once = (node: Node) => void run(node).then((ended) => ended && askAll(ended));
    once(first);
    if (!random.chance(0.4)) return;
    scheduler.after(random.around(25), () => {
      const node = some();
      if (node) once(node);
    });
  }

  again(PACE.introspect, (node) => {
    if (hot.length > 0) introspect(node, random.pick(hot));
  });
  again(PACE.issue * pace, (node) => {
    void workload.issue(node, random.pick(clients).id, random.chance(0.2) ? 2 + Math.floor(random.around(4)) : 3_600).then((token) => {
      if (!token) return;
      hot.push(token);
      if (hot.length > HOT) hot.splice(Math.floor(random.next() * hot.length), 1);
      for (const other of nodes()) introspect(other, token);
    });
  });
  again(PACE.revoke * pace, (node) => {
    const token = hot.length > 0 ? random.pick(hot) : undefined;
    if (!token) return;
    if (random.chance(0.5)) for (const other of nodes()) introspect(other, token, false); // who knows it can be wrong about it
    twice((at) => workload.revoke(at, token).then((isDone) => (isDone ? [token] : undefined)), node);
  });
  again(PACE.administer * pace, (node) => administer(node, random.pick(clients)));
  again(PACE.authenticate, (node) => {
    const { id, verifiers } = random.pick(clients);
    if (verifiers.length > 0) void workload.authenticate(node, id, random.pick(verifiers.slice(-3)));
  });

  function administer(node: Node, client: KnownSecrets): void {
    const { id, verifiers } = client;
    const chosen = random.next();
    if (random.chance(0.5)) authenticateAll(client); // under way while it changes
    if (chosen < 0.4) {
      twice((at) => workload.disable(at, id, true), node);
      // Enabled soon, disabled again: cut-offs follow each other closely.
      scheduler.after(random.around(200), () => void workload.disable(some() ?? node, id, false));
    } else if (chosen < 0.65) {
      void workload.addSecret(node, client).then(() => authenticateAll(client));
    } else if (chosen < 0.97) {
      const verifier = random.pick(verifiers);
      // One is left, else nobody could tell what it is to be accepted.
      if (verifiers.length < 2) return;
      const how = random.chance(0.5) ? 'end' : 'keep';
      void workload.removeSecret(node, id, verifier, how).then((ended) => {
        authenticateAll(client);
        if (ended) askAll(ended);
      });
    } else {
      twice((at) => workload.remove(at, id), node);
      clients.splice(clients.indexOf(client), 1);
      if (clients.length === 0) clients.push({ id: 'spare', verifiers: ['secret'] });
    }
  }

  function authenticateAll({ id, verifiers }: KnownSecrets): void {
    for (const node of nodes()) for (const verifier of verifiers.slice(-3)) void workload.authenticate(node, id, verifier);
  }
}
