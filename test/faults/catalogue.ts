/** Every fault, by what it hits: two at once are of different kinds. */
import type { Cleanup } from '../support/faults.ts';
import {
  compactEtcd,
  fillEtcd,
  forgeInEtcd,
  freezeEtcd,
  killEtcd,
  loseEtcd,
  restoreEtcd,
  revokeLeases,
  type Victim,
  wipeEtcd,
} from './etcd-faults.ts';
import { betweenNodeAndEtcd, betweenNodeAndPostgres, silenceInTransaction } from './network-faults.ts';
import { killNode, pauseNode } from './node-faults.ts';
import { crashPostgres, freezePostgres, killPostgres, lockLog, restartPostgres } from './postgres-faults.ts';
import type { Fault, FaultRun } from './run.ts';

export type Family = 'node' | 'etcd' | 'to etcd' | 'to PostgreSQL' | 'PostgreSQL';
type Make = (run: FaultRun, t: Cleanup) => Fault;

const victim = ({ cluster, random }: FaultRun): Victim =>
  cluster.members.length === 1 ? 'all' : (random.pick(['leader', 'follower', 'all'] as const) ?? 'all');

const CATALOGUE: Readonly<Record<Family, readonly Make[]>> = {
  node: [killNode, (run) => pauseNode(run)],
  etcd: [
    (run) => killEtcd(run, victim(run)),
    (run) => freezeEtcd(run, victim(run)),
    (run) => wipeEtcd(run),
    (run) => compactEtcd(run),
    fillEtcd,
    // A member of three that lost its data is another member: etcd has to be told so by hand.
    (run) => (run.cluster.members.length === 1 ? loseEtcd(run) : killEtcd(run, 'all')),
    restoreEtcd,
    revokeLeases,
    forgeInEtcd,
  ],
  'to etcd': [(run) => betweenNodeAndEtcd(run)],
  'to PostgreSQL': [(run) => betweenNodeAndPostgres(run), (run) => betweenNodeAndPostgres(run), silenceInTransaction],
  PostgreSQL: [restartPostgres, crashPostgres, killPostgres, (run) => freezePostgres(run), lockLog],
};
/** Networks have many ways to fail. */
const FAMILIES: readonly Family[] = ['node', 'etcd', 'etcd', 'etcd', 'to etcd', 'to etcd', 'to PostgreSQL', 'to PostgreSQL', 'PostgreSQL'];

/** One fault, or in two of five cases two at once. */
export function draw(run: FaultRun, t: Cleanup): readonly Fault[] {
  const { random } = run;
  const first = random.pick(FAMILIES) ?? 'node';
  const second = random.below(5) < 2 ? random.pick(FAMILIES.filter((family) => family !== first)) : undefined;
  return [first, ...(second ? [second] : [])].flatMap((family) => random.pick(CATALOGUE[family])?.(run, t) ?? []);
}
