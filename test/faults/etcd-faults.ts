/** Faults of etcd, and what somebody else may do in it. None of them costs a caller more than time. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { couldBeAccessToken, hashToken } from '../../src/core/reference-token.ts';
import type { KeyValue } from '../../src/etcd/messages.ts';
import { client as etcdClient } from '../support/etcd.ts';
import type { Cleanup } from '../support/faults.ts';
import { until } from '../support/server.ts';
import { QUOTA_BYTES } from './cluster.ts';
import { NO_ERRORS } from './operations.ts';
import type { Fault, FaultRun } from './run.ts';
import type { Token } from './workload.ts';

const fault = (what: string, harm: () => Promise<void>): Fault => ({ what, budget: NO_ERRORS, harm });

export type Victim = 'leader' | 'follower' | 'all';

/** @returns positions of members */
async function victims({ cluster }: FaultRun, victim: Victim): Promise<readonly number[]> {
  const all = cluster.members.map((_, i) => i);
  if (victim === 'all' || all.length === 1) return all;
  const leaders = await Promise.all(
    cluster.members.map(async ({ endpoint }) => {
      const [{ Status }] = JSON.parse(await cluster.etcd.control('--endpoints', endpoint, 'endpoint', 'status', '-w', 'json'));
      return Status.leader === Status.header.member_id;
    }),
  );
  return all.filter((i) => leaders[i] === (victim === 'leader')).slice(0, 1);
}

export const killEtcd = (run: FaultRun, victim: Victim): Fault =>
  fault(`etcd is killed (${victim})`, async () => {
    const killed = await victims(run, victim);
    await Promise.all(killed.map((i) => run.cluster.members[i]?.kill()));
    await pause(500 + run.random.below(1_500));
    await Promise.all(killed.map((i) => run.cluster.members[i]?.start()));
    await pause(500);
  });

export const freezeEtcd = (run: FaultRun, victim: Victim, ms = 2_500): Fault =>
  fault(`etcd is frozen (${victim})`, async () => {
    for (const i of await victims(run, victim)) await run.cluster.members[i]?.freeze();
    await pause(ms);
  });

export const wipeEtcd = (run: FaultRun, times = 5): Fault =>
  fault('all of etcd is deleted, again and again', async () => {
    for (let time = 0; time < times; time++) {
      await run.cluster.etcd.control('del', '/auth/', '--prefix');
      await pause(run.random.below(500));
    }
  });

export const compactEtcd = (run: FaultRun, times = 3): Fault =>
  fault('etcd is compacted at its head, and defragmented', async () => {
    const { cluster } = run;
    for (let time = 0; time < times; time++) {
      // While a node cannot follow, so that it comes back to a past that is gone.
      const node = cluster.nodes[run.random.below(cluster.nodes.length)];
      for (const proxy of node?.etcd ?? []) {
        proxy.cut();
        proxy.refuse(true);
      }
      await pause(200);
      await compact(run);
      for (const proxy of node?.etcd ?? []) proxy.heal();
      await pause(300);
    }
    await cluster.etcd.control('defrag');
  });

async function compact({ cluster }: FaultRun): Promise<void> {
  const { header } = JSON.parse(await cluster.etcd.control('get', 'nothing', '-w', 'json'));
  // Without `--physical` it goes on in the background, and a defragmentation meanwhile frees nothing.
  await cluster.etcd.control('compact', '--physical', String(header.revision)).catch((error: Error) => {
    // Nothing was written since the last time.
    assert.match(error.message, /has been compacted/);
  });
}

/** Somebody else fills it. Afterwards it is written to again, without a restart of anything. */
export const fillEtcd = (run: FaultRun, t: Cleanup): Fault =>
  fault('etcd is full (NOSPACE)', async () => {
    const { cluster, workload } = run;
    const etcd = etcdClient(t, { endpoints: cluster.etcd.endpoints, deadlineMs: 5_000 });
    const value = Buffer.alloc(1_000_000, 'x');
    const puts = (QUOTA_BYTES / value.length) * 2;
    for (let i = 0; i < puts; i++) if (!(await etcd.put({ key: `other/${i}`, value }).then(isDone, isNot))) break;
    await until(async () => (await cluster.etcd.control('alarm', 'list')).includes('NOSPACE'), 5_000);
    await pause(1_000);
    await etcd.deleteRange({ prefix: 'other/' });
    await compact(run);
    await cluster.etcd.control('defrag');
    await cluster.etcd.control('alarm', 'disarm');
    const before = workload.tokens.length;
    const isThere = (key: string) => etcd.range({ key }).then(({ kvs }) => kvs.length > 0, isNot);
    const isWritten = async ({ value: token }: Token) => couldBeAccessToken(token) && isThere(`/auth/tokens/${hashToken(token)}`);
    const areWritten = async () => (await Promise.all(workload.tokens.slice(before).slice(-5).map(isWritten))).includes(true);
    await until(areWritten, 15_000).catch(async () =>
      assert.fail(`not written to again: ${await cluster.etcd.control('endpoint', 'status')}`),
    );
    etcd.close();
  });

const isDone = () => true;
const isNot = () => false;

/** One member: a new etcd that has nothing. */
export const loseEtcd = (run: FaultRun): Fault =>
  fault("etcd's data folder is lost", async () => {
    const { members } = run.cluster;
    await Promise.all(members.map((member) => member.kill()));
    await Promise.all(members.map((member) => member.wipe()));
    await Promise.all(members.map((member) => member.start()));
    await pause(1_000);
  });

/** What was there before comes back, with revisions that were given to other changes meanwhile. */
export const restoreEtcd = (run: FaultRun): Fault =>
  fault('an old snapshot of etcd is restored', async () => {
    const { members, folder, etcd } = run.cluster;
    const snapshot = join(folder, `snapshot-${performance.now()}`);
    await etcd.control('--endpoints', members[0]?.endpoint ?? '', 'snapshot', 'save', snapshot);
    await pause(1_000);
    await Promise.all(members.map((member) => member.kill()));
    await Promise.all(members.map((member) => member.restore(snapshot)));
    await Promise.all(members.map((member) => member.start()));
    await pause(1_000);
  });

export const revokeLeases = (run: FaultRun, t: Cleanup): Fault =>
  fault('all leases of etcd are revoked', async () => {
    const etcd = etcdClient(t, { endpoints: run.cluster.etcd.endpoints, deadlineMs: 5_000 });
    for (let time = 0; time < 3; time++) {
      const ids = (await run.cluster.etcd.control('lease', 'list')).split('\n').filter((line) => /^[0-9a-f]{16}$/.test(line));
      await Promise.all(ids.map((id) => etcd.leaseRevoke({ id: BigInt(`0x${id}`) }).catch(() => undefined)));
      await pause(300);
    }
    etcd.close();
  });

/** Whoever can write to etcd: real messages and tokens at other places, junk everywhere. */
export const forgeInEtcd = (run: FaultRun, t: Cleanup): Fault =>
  fault('somebody writes to etcd', async () => {
    const { cluster, workload, forged, random } = run;
    const etcd = etcdClient(t, { endpoints: cluster.etcd.endpoints, deadlineMs: 5_000 });
    const put = async (key: string, value: string | Buffer) => {
      forged.add(key);
      await etcd.put({ key, value }).catch(() => undefined);
    };
    const keyOf = (token: Token | undefined) =>
      `/auth/tokens/${token && couldBeAccessToken(token.value) ? hashToken(token.value) : 'none'}`;
    for (let round = 0; round < 8; round++) {
      const recent = workload.tokens.slice(-40);
      const [live, ended] = [random.pick(recent.filter(({ isEnded }) => !isEnded)), random.pick(recent.filter(({ isEnded }) => isEnded))];
      const of = async (key: string) => (await etcd.range({ key })).kvs[0]?.value ?? Buffer.from('junk');
      // An ended token's place gets a live one's record, the other way round, and something else.
      await put(keyOf(ended), await of(keyOf(live)));
      await put(keyOf(live), round % 2 === 0 ? await of(keyOf(ended)) : junkOf(round));
      const changes = (await etcd.range({ prefix: '/auth/changes/', limit: 500 })).kvs.filter(({ key }) => !forged.has(key.toString()));
      const change = random.pick(changes.filter(({ key }) => /changes\/\d+$/.test(key.toString())));
      const acknowledgement = random.pick(changes.filter(({ key }) => /changes\/\d+\/./.test(key.toString())));
      if (change) await forgeMessages(put, change, acknowledgement, keyOf(live).slice('/auth/tokens/'.length));
      const id = live?.client.id ?? 'c1';
      for (const folder of ['clients', 'scopes', 'claims', 'grants', 'settings']) await put(`/auth/${folder}/${id}`, junkOf(round));
      await put('/auth/changes/junk', junkOf(round));
      await put('/auth/epoch', junkOf(round));
      await pause(100);
    }
    etcd.close();
  });

/** A change that ends a token which is alive, real ones at other places, and what others have not acknowledged. */
async function forgeMessages(
  put: (key: string, value: string | Buffer) => Promise<void>,
  change: KeyValue,
  acknowledgement: KeyValue | undefined,
  alive: string,
): Promise<void> {
  const seq = Number(change.key.toString().split('/').at(-1));
  const by = acknowledgement?.key.toString().split('/').at(-1) ?? 'somebody';
  const message = JSON.parse(change.value.toString());
  await put(`/auth/changes/${seq + 100_000}`, change.value);
  await put(`/auth/changes/${seq + 100_001}`, JSON.stringify({ ...message, seq: seq + 100_001, kind: 'token', key: alive }));
  for (let next = 1; next < 30; next++) {
    await put(`/auth/changes/${seq + next}/${by}`, acknowledgement?.value ?? change.value);
    await put(`/auth/changes/${seq + next}/somebody`, JSON.stringify({ ...message, seq: seq + next }));
  }
}

const JUNK = ['', 'junk', '{}', '[]', 'null', '{"epoch":"x"}', 'auth:clients', '....', 'a.b.c.d.e'];
const junkOf = (round: number): string => JUNK[round % JUNK.length] ?? '';
