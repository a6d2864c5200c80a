/**
 * PostgreSQL with a synchronous standby (DR6): nothing is proven, and no revocation answered, that the standby has not confirmed; so neither by an old
 * primary whose standby was promoted.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFile, cp, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import pg from 'pg';
import { Unavailable } from '../../src/core/ports.ts';
import { appendRevocation, changeLog } from '../../src/postgres/changes.ts';
import { openDb } from '../../src/postgres/db.ts';
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts';
import { migrate } from '../../src/postgres/migrate.ts';
import { tokenRecord } from '../contracts/stores.ts';
import { createClient, issueToken, postForm } from '../support/client.ts';
import { ADMIN, type Cleanup, ENCRYPTION_KEY, type FaultyPostgres, faultyPostgres, IS_ROOT, launch, scratch } from '../support/faults.ts';
import { until } from '../support/server.ts';

const REPLICATED = { wal_level: 'replica', max_wal_senders: '4', hot_standby: 'on', fsync: 'off' };

async function setStandbys(postgres: FaultyPostgres, names: string): Promise<void> {
  // The statement itself commits nothing that would wait.
  await postgres.query(`alter system set synchronous_standby_names = '${names}'`);
  await postgres.query('select pg_reload_conf()');
  await until(async () => {
    const [row] = await postgres.query<{ names: string }>("select current_setting('synchronous_standby_names') as names");
    return row?.names === names;
  }, 5_000);
}

function serving(t: Cleanup, folder: string, postgres: FaultyPostgres) {
  return launch(t, {
    folder,
    env: { DATABASE_URL: postgres.url, AUTH_ENCRYPTION_KEY: ENCRYPTION_KEY, AUTH_ADMIN_CLIENT_SECRET: ADMIN.clientSecret },
  });
}

test('a standby that is not there: no reading of the change log succeeds; a plain role may write what proves it', async (t) => {
  const folder = await scratch(t);
  const postgres = await faultyPostgres(t, folder, REPLICATED);
  await migrate(postgres.connection);
  await postgres.query('create role plain login');
  await postgres.query('grant select on all tables in schema public to plain');
  const limits = { connections: 4, waitingMax: 10, connectMs: 1_000, answerMs: 1_000 };
  const db = openDb({ ...postgres.connection, user: 'plain' }, () => undefined, limits);
  t.after(() => db.close());
  const log = changeLog(db);
  assert.equal((await log.read(0, 10)).lastSeq, 0);
  await setStandbys(postgres, 'nobody');
  await assert.rejects(log.read(0, 10), Unavailable, 'although this log was never read as a confirmed one before');
  await assert.rejects(log.read(0, 10), Unavailable);
  await setStandbys(postgres, '');
  assert.equal((await log.read(0, 10)).lastSeq, 0);
  assert.equal((await log.read(0, 10)).lastSeq, 0);
});

test('a commit whose wait for the standby is cancelled is an outage: it is here and may be nowhere else', async (t) => {
  const folder = await scratch(t);
  const postgres = await faultyPostgres(t, folder, REPLICATED);
  await migrate(postgres.connection);
  const db = openDb(postgres.connection, () => undefined, { connections: 2, waitingMax: 10, connectMs: 1_000, answerMs: 30_000 });
  t.after(() => db.close());
  await setStandbys(postgres, 'nobody');
  const record = tokenRecord();
  const cancel = async (work: Promise<unknown>) => {
    const outcome = assert.rejects(work, Unavailable);
    await until(async () => {
      const rows = await postgres.query("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'");
      return rows.length > 0;
    }, 10_000);
    await outcome;
  };
  await cancel(appendRevocation(db, record));
  await cancel(db.transaction((tx) => tx.query({ text: 'update change_log set last_seq = last_seq + 1' })));
  await cancel(changeLog(db).read(0, 10));
  await setStandbys(postgres, '');
  assert.deepEqual(await postgres.query('select last_seq::int from change_log'), [{ last_seq: 2 }]);
  assert.deepEqual(await db.query({ text: 'select 1 as one' }), [{ one: 1 }], 'the next one on this connection is none');
});

interface Standby {
  readonly connection: pg.ClientConfig;
  query(text: string): Promise<unknown[]>;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** A streaming copy of a PostgreSQL, which is stopped meanwhile. */
async function standbyOf(t: Cleanup, folder: string, postgres: FaultyPostgres): Promise<Standby> {
  await postgres.stop();
  const [from, dataDir] = [join(folder, 'postgresql'), join(folder, 'standby')];
  await appendFile(join(from, 'postgres', 'pg_hba.conf'), 'local replication all trust\n');
  await mkdir(dataDir, { mode: 0o711 });
  await cp(from, dataDir, { recursive: true, preserveTimestamps: true });
  const { uid, gid } = await stat(join(from, 'postgres'));
  if (IS_ROOT) execFileSync('chown', ['-R', `${uid}:${gid}`, join(dataDir, 'postgres')]);
  await postgres.start();
  await writeFile(join(dataDir, 'postgres', 'standby.signal'), '');
  const { host, port, user } = postgres.connection;
  await appendFile(
    join(dataDir, 'postgres', 'postgresql.auto.conf'),
    `primary_conninfo = 'host=${host} port=${port} user=${user} application_name=standby1'\n`,
  );
  let running = await startEmbeddedPostgres({ dataDir, settings: REPLICATED });
  const { connection } = running;
  t.after(() => running.stop().catch(() => undefined));
  return {
    connection,
    async query(text) {
      const client = new pg.Client(connection);
      await client.connect();
      try {
        return (await client.query(text)).rows;
      } finally {
        await client.end();
      }
    },
    stop: () => running.stop(),
    async start() {
      running = await startEmbeddedPostgres({ dataDir, settings: REPLICATED });
    },
  };
}

test('a real standby: gone, nothing is proven or revoked; back, all goes on; promoted, the old primary proves nothing', async (t) => {
  const folder = await scratch(t);
  const postgres = await faultyPostgres(t, folder, REPLICATED);
  await migrate(postgres.connection);
  const standby = await standbyOf(t, folder, postgres);
  const isStreaming = async () => (await postgres.query("select from pg_stat_replication where sync_state = 'sync'")).length === 1;
  await setStandbys(postgres, 'standby1');
  await until(isStreaming, 10_000);
  const replica = openDb(standby.connection, () => undefined);
  t.after(() => replica.close());
  await assert.rejects(changeLog(replica).read(0, 10), Unavailable, 'a standby is no source of proofs');

  const server = await serving(t, folder, postgres);
  await server.ready();
  const client = await createClient({ url: server.url, admin: ADMIN });
  const [one, two] = [await issueToken(server.url, client), await issueToken(server.url, client)];
  const introspect = async (token: string) => {
    const { status, body } = await postForm(`${server.url}/introspect`, { token }, client);
    return status === 200 ? body.active : status;
  };
  const revoke = async (token: string) => (await postForm(`${server.url}/revoke`, { token }, client)).status;
  assert.equal(await introspect(one), true);

  await standby.stop();
  await until(async () => (await introspect(one)) === 503, 3_000);
  assert.equal(await server.status('/health/ready'), 503);
  assert.equal(await revoke(one), 503);
  await standby.start();
  await server.ready();
  assert.equal(await introspect(two), true);
  assert.equal(await revoke(two), 200);
  assert.equal(await introspect(two), false);

  await standby.query('select pg_promote()');
  await until(async () => (await introspect(one)) === 503, 3_000);
  assert.equal(await revoke(one), 503, 'the old primary lives, and is believed no more');
  assert.equal(await server.status('/health/live'), 200);
});
