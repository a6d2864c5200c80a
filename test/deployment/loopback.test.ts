/** The set-ups of the compose files, run for real on loopback: servers, etcd members with TLS, PostgreSQL, HAProxy where it is installed. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ended, until } from '../support/server.ts';

const SCRIPT = 'deployment/loopback.mjs';
const inPath = (program: string) => (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
const missing = [...(process.env.ETCD_BIN || inPath('etcd') ? [] : ['etcd (or ETCD_BIN)']), ...(inPath('openssl') ? [] : ['openssl'])];

/** @returns whether the test may go on */
function canRun(t: TestContext): boolean {
  if (missing.length === 0) return true;
  const text = `NOT RUN: ${missing.join(' and ')} not found. Debian: apt-get install etcd-server etcd-client openssl`;
  assert.ok(!process.env.CI, text);
  console.error(`${t.name}: ${text}`);
  t.skip(text);
  return false;
}

for (const topology of ['stage', 'prod']) {
  test(`${topology}: a token of one server is good on the others, and once revoked on none`, async (t) => {
    if (!canRun(t)) return;
    const { status, output } = await new Promise<{ status: number | null; output: string }>((resolve) => {
      const child = execFile(process.execPath, [SCRIPT, '--check', topology], { timeout: 60_000 }, (_, stdout, stderr) =>
        resolve({ status: child.exitCode, output: stdout + stderr }),
      );
    });
    assert.equal(status, 0, output);
    const steps = output.match(/^ {2}ok /gm)?.length ?? 0;
    assert.ok(steps >= (topology === 'stage' ? 5 : 9), output);
    const folder = / in (\S*auth-cluster-\S+)/.exec(output)?.[1];
    assert.ok(folder && !existsSync(folder), 'the folder was removed');
  });
}

test('SIGINT ends a start that is under way, and leaves nothing', async (t) => {
  if (!canRun(t)) return;
  const child = spawn(process.execPath, [SCRIPT, 'stage'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await until(() => / in \S*auth-cluster-/.test(output), 10_000);
  child.kill('SIGINT');
  assert.equal(await ended(child), 0);
  const folder = / in (\S*auth-cluster-\S+)/.exec(output)?.[1] ?? '';
  assert.ok(!readdirSync(tmpdir()).some((name) => folder.endsWith(name)));
});
