/** kill -9 under load, of the server, of its PostgreSQL, of both: what was answered holds after the restart. TEST_KILLS asks for more of them. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ADMIN, launch, type Program, processesOf, scratch, signal } from '../support/faults.ts';
import { freePort, until } from '../support/server.ts';
import { History } from './history.ts';

const KILLS = Number(process.env.TEST_KILLS ?? 6);
const VICTIMS = ['server', 'database', 'server and database'] as const;

test(`kill -9, ${KILLS} times under load: every answered token, client, revocation and deletion is there after the restart`, async (t) => {
  const folder = await scratch(t);
  const cluster = `${folder}/data/postgres`;
  const postmasterFile = `${cluster}/postmaster.pid`;
  const history = new History();
  /** empty: there is none just now */
  const postmaster = () => (existsSync(postmasterFile) ? readFileSync(postmasterFile, 'utf8').split('\n')[0] : '');
  const start = async (): Promise<Program> => {
    const server = await launch(t, { folder, port, env: { AUTH_ADMIN_CLIENT_SECRET: ADMIN.clientSecret } });
    await server.ready();
    return server;
  };
  const port = await freePort();
  let server = await start();
  for (let kill = 0; kill < KILLS; kill++) {
    const victim = VICTIMS[kill % VICTIMS.length] ?? 'server';
    await t.test(`kill ${kill + 1}: ${victim}`, async () => {
      await history.load({ url: server.url, serverMayDie: victim !== 'database' }, async () => {
        const enough = history.promises + randomInt(40, 80);
        await until(() => history.promises > enough, 15_000);
        const databaseProcesses = processesOf(cluster);
        assert.ok(databaseProcesses.length > 0);
        const killed = postmaster();
        if (victim !== 'database') signal(server.child.pid ?? 0, 'SIGKILL');
        if (victim !== 'server') for (const pid of databaseProcesses) signal(pid, 'SIGKILL');
        if (victim !== 'database') {
          await server.exit;
          server = await start();
          assert.equal(server.output().includes('adopted the private PostgreSQL'), victim === 'server');
        }
        // Until its lease ends the server is ready and answers from memory, database or not: so it is the next database that is waited for.
        if (victim === 'database') await until(() => !['', killed].includes(postmaster()), 5_000);
        await server.ready(5_000);
        const { promises } = history;
        await until(() => history.promises > promises + 10, 10_000);
      });
      await history.verify(server.url);
    });
  }
  assert.deepEqual(await server.end('SIGTERM'), { code: 0, signal: null });
  assert.deepEqual(processesOf(folder), []);
});
