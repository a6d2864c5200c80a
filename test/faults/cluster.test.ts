/**
 * Three nodes, PostgreSQL and one etcd behind proxies, under load, and everything that may go wrong, one after the other (docs/reliability.md).
 * `npm run faults` does the same at random, for as long as is wanted.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { NEEDS_ETCD } from '../support/etcd.ts';
import { sharedCleanup } from '../support/faults.ts';
import { type Cluster, MODES, startCluster } from './cluster.ts';
import { compactEtcd, fillEtcd, forgeInEtcd, freezeEtcd, killEtcd, loseEtcd, restoreEtcd, revokeLeases, wipeEtcd } from './etcd-faults.ts';
import { betweenNodeAndEtcd, betweenNodeAndPostgres, silenceInTransaction } from './network-faults.ts';
import { killNode, nothing, pauseNode, pauseStrictNode } from './node-faults.ts';
import { crashPostgres, freezeAll, freezePostgres, killPostgres, restartPostgres } from './postgres-faults.ts';
import { withstand } from './run.ts';

const t = sharedCleanup();
let cluster: Cluster;

describe('three nodes and one etcd', NEEDS_ETCD, () => {
  before(async () => {
    cluster = await startCluster(t, { modes: MODES.strict });
  });
  after(() => t.run());

  test('strict, all well: no answer is behind a revocation that was answered; one node paused: revocations wait for it no longer than it may answer', async () => {
    await withstand(t, cluster, 'strict', async (run) => {
      await run.suffer(nothing(4_000));
      await run.suffer(pauseStrictNode(run));
      const revocations = () => run.workload.operations.filter(({ kind, outcome }) => kind === 'revoke' && outcome === 'done').length;
      // A busy machine takes longer to have enough to be judged.
      for (let more = 0; more < 10 && revocations() <= 10; more++) await run.suffer(nothing(2_000));
      assert.ok(revocations() > 10, `${revocations()} revocations`);
    });
  });

  test('strict: nodes are killed, paused, cut off from PostgreSQL and from etcd', () =>
    withstand(t, cluster, 'strict', async (run) => {
      await run.suffer(killNode(run));
      await run.suffer(pauseNode(run, 1_500));
      await run.suffer(betweenNodeAndEtcd(run, 'answers are lost, half-open'));
      await run.suffer(betweenNodeAndPostgres(run, 'nothing passes until it does'));
      await run.suffer(silenceInTransaction(run));
    }));

  test('mixed modes: whatever happens to etcd costs no caller an error', () =>
    withstand(t, cluster, 'mixed', async (run) => {
      await run.suffer(killEtcd(run, 'all'));
      await run.suffer(freezeEtcd(run, 'all'));
      await run.suffer(wipeEtcd(run));
      await run.suffer(compactEtcd(run));
      await run.suffer(revokeLeases(run, t));
      await run.suffer(forgeInEtcd(run, t));
      await run.suffer(restoreEtcd(run));
      await run.suffer(loseEtcd(run));
      await run.suffer(fillEtcd(run, t));
    }));

  test('bounded: networks in all their ways, nodes, PostgreSQL, and everything at once', () =>
    withstand(t, cluster, 'bounded', async (run) => {
      for (const way of ['the connection is forgotten on the way', 'half of the packets are lost', 'reset'] as const) {
        await run.suffer(betweenNodeAndEtcd(run, way, 1_000));
      }
      await run.suffer(pauseNode(run));
      await run.suffer(killNode(run));
      for (const way of ['answers are lost, half-open', 'questions are late', 'everything is late', 'refused'] as const) {
        await run.suffer(betweenNodeAndPostgres(run, way));
      }
      await run.suffer(restartPostgres(run));
      await run.suffer(crashPostgres(run));
      await run.suffer(killPostgres(run));
      await run.suffer(freezePostgres(run));
      await run.suffer(freezeAll(run));
    }));
});
