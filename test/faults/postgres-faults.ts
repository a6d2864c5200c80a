/** Faults of PostgreSQL: everybody may be told 503, and nothing that was answered is lost. */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { MAX_STALENESS_MS } from './cluster.ts';
import { ANY_ERRORS } from './operations.ts';
import type { Fault, FaultRun } from './run.ts';

const fault = (what: string, harm: () => Promise<void>): Fault => ({ what, budget: ANY_ERRORS, harm });

export const restartPostgres = ({ cluster: { postgres }, random }: FaultRun): Fault =>
  fault('PostgreSQL is restarted', async () => {
    await postgres.stop();
    await pause(random.below(500));
    await postgres.start();
  });

export const crashPostgres = ({ cluster: { postgres }, random }: FaultRun): Fault =>
  fault('PostgreSQL crashes (-m immediate)', async () => {
    await postgres.crash();
    await pause(random.below(500));
    await postgres.start();
  });

export const killPostgres = ({ cluster: { postgres }, random }: FaultRun): Fault =>
  fault('PostgreSQL is killed (-9)', async () => {
    await postgres.kill();
    await pause(random.below(500));
    await postgres.start();
  });

/** From memory as long as that is fresh, then 503. */
export const freezePostgres = ({ cluster, workload }: FaultRun, ms = 2_000): Fault =>
  fault('PostgreSQL is frozen', async () => {
    const from = performance.now();
    await cluster.postgres.freeze();
    await pause(ms);
    const until = performance.now();
    const late = workload.operations.filter(
      ({ kind, at, end }) => kind === 'introspect' && at > from + MAX_STALENESS_MS * 1.01 + 100 && end < until,
    );
    assert.deepEqual(
      [...new Set(late.map(({ status }) => status))].filter((status) => status !== 503),
      [],
      'after the bound',
    );
    await cluster.postgres.thaw();
  });

/** etcd as well, so that nobody can prove anything to anybody. */
export const freezeAll = (run: FaultRun, ms = 2_000): Fault =>
  fault('PostgreSQL and etcd are frozen', async () => {
    await Promise.all(run.cluster.members.map((member) => member.freeze()));
    await freezePostgres(run, ms).harm();
  });

/** All that ends or changes something waits for this row. */
export const lockLog = ({ cluster }: FaultRun): Fault =>
  fault("the change log's counter is locked", async () => {
    const session = await cluster.postgres.session();
    await session.query('begin');
    await session.query('select from change_log for update');
    await pause(1_500);
    await session.query('rollback');
    await session.end();
  });
