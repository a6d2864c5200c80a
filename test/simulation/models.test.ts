/** The models of the simulation pass the contract suites that PostgreSQL passes, when nothing is wrong. */
import { describe } from 'node:test';
import { accessTokenContract } from '../contracts/access-tokens.ts';
import { changeLogContract } from '../contracts/change-log.ts';
import { clientContract } from '../contracts/clients.ts';
import { nodeRegistryContract } from '../contracts/nodes.ts';
import type { OpenStores } from '../contracts/stores.ts';
import { Network } from './network.ts';
import { Postgres } from './postgres-model.ts';
import { Process } from './process.ts';
import { Random } from './random.ts';
import { Scheduler } from './scheduler.ts';

function openModel() {
  const scheduler = new Scheduler(new Random(1));
  const postgres = new Postgres(scheduler, new Network(scheduler.random, 1), { pageMax: 10_000, serviceMeanMs: 1 });
  const ports = postgres.connect(new Process('node', 0, scheduler), () => undefined);
  /** The world turns while somebody waits for an answer. */
  let waiting = 0;
  let isTurning = false;
  async function turn(): Promise<void> {
    if (isTurning) return;
    isTurning = true;
    while (waiting > 0) await scheduler.run(scheduler.now + 1, () => waiting === 0);
    isTurning = false;
  }
  function turning<Port extends object>(port: Port): Port {
    const call =
      (method: (...given: unknown[]) => Promise<unknown>) =>
      (...given: unknown[]) => {
        waiting++;
        const answer = method(...given).finally(() => waiting--);
        void turn();
        return answer;
      };
    return Object.fromEntries(Object.entries(port).map(([name, method]) => [name, call(method)])) as Port;
  }
  const pass = (ms: number) => scheduler.run(scheduler.now + ms, () => false);
  return { postgres, ports, turning, pass };
}

const open: OpenStores = async () => {
  const { postgres, ports, turning } = openModel();
  return {
    directory: turning(ports.clients),
    administration: turning(ports.administration),
    tokens: turning(ports.tokens),
    revocations: turning(ports.revocations),
    log: turning(ports.log),
    changes: async () => [...postgres.stores.changes],
    audits: async () => [...postgres.stores.audits],
    close: async () => undefined,
  };
};

describe('the model of PostgreSQL', () => {
  accessTokenContract(open);
  changeLogContract(open);
  clientContract(open);
  nodeRegistryContract(async () => {
    const { ports, turning, pass } = openModel();
    return { nodes: turning(ports.nodes), pass, close: async () => undefined };
  });
});
