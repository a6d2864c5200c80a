/** Three nodes and an etcd of three members: what happens to one of them, to the leader, or to all costs no caller an error. */
import { after, before, describe, test } from 'node:test';
import { NEEDS_ETCD } from '../support/etcd.ts';
import { sharedCleanup } from '../support/faults.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { freezeEtcd, killEtcd, restoreEtcd, wipeEtcd } from './etcd-faults.ts';
import { betweenNodeAndEtcd } from './network-faults.ts';
import { withstand } from './run.ts';

const t = sharedCleanup();
let cluster: Cluster;

describe('three nodes and three members of etcd', NEEDS_ETCD, () => {
  before(async () => {
    cluster = await startCluster(t, { members: 3 });
  });
  after(() => t.run());

  test('mixed modes: members are killed and frozen, a follower, the leader, all', () =>
    withstand(t, cluster, 'mixed', async (run) => {
      await run.suffer(killEtcd(run, 'follower'));
      await run.suffer(killEtcd(run, 'leader'));
      await run.suffer(killEtcd(run, 'all'));
      await run.suffer(freezeEtcd(run, 'leader'));
      await run.suffer(wipeEtcd(run), betweenNodeAndEtcd(run, 'half of the packets are lost'));
      await run.suffer(restoreEtcd(run));
    }));
});
