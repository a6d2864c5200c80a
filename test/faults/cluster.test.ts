/** Three nodes, PostgreSQL and one etcd, under load and faults: docs/reliability.md. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { NEEDS_ETCD } from '../support/etcd.ts';
import { sharedCleanup } from '../support/faults.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { silenceInTransaction } from './network-faults.ts';
import { killNode, pauseNode } from './node-faults.ts';
import { seeded } from './random.ts';
import { errorsByFault, figures } from './report.ts';
import { FaultRun } from './run.ts';

const t = sharedCleanup();
let cluster: Cluster;

describe('one etcd', NEEDS_ETCD, () => {
  before(async () => {
    cluster = await startCluster(t);
  });
  after(() => t.run());

  test('nodes', async () => {
    const run = new FaultRun(t, cluster, seeded(1));
    await run.workload.start();
    await run.suffer(silenceInTransaction(run));
    await run.suffer(killNode(run));
    await run.suffer(pauseNode(run));
    const problems = await run.judge();
    console.log(figures(run.history()).join('\n'), errorsByFault(run.history()), run.recoveries);
    assert.deepEqual(problems, []);
  });
});
