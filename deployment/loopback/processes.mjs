// Programs: where they are, started with a log of their own, stopped again.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, statSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createServer } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A program, or undefined. ETCD_BIN may be the program or its folder; etcdctl is looked for beside it. */
export function findProgram(name, given = process.env[`${name.toUpperCase()}_BIN`]) {
  const beside = given && existsSync(given) ? (statSync(given).isDirectory() ? given : dirname(given)) : undefined;
  const folders = given ? [beside] : [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin'];
  return folders
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

/** etcd's bugs that matter here are in docs/operations.md, with the versions that have them no more. */
export function etcdVersion(program) {
  const version = /etcd Version: (\d+)\.(\d+)\.(\d+)/.exec(spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout ?? '');
  const [major, minor, patch] = (version ?? []).slice(1).map(Number);
  const floor = { 5: 33, 6: 14 }[minor] ?? (minor > 6 ? 1 : Number.POSITIVE_INFINITY);
  return { text: version ? `${major}.${minor}.${patch}` : 'unknown', belowFloor: major === 3 && !(minor > 7 || patch >= floor) };
}

/** All at once, so that none is given twice. */
export async function freePorts(count) {
  const probes = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    probes.map(
      (probe) => new Promise((resolve, reject) => probe.once('error', reject).listen(0, '127.0.0.1', () => resolve(probe.address().port))),
    ),
  );
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))));
  return ports;
}

/** @returns a running program: `ended` is undefined while it runs, `stop()` sends a signal and waits */
export function start(name, file, args, { cwd, env, logFile, onEnd }) {
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(file, args, { cwd, env, stdio: ['ignore', log, log] });
  closeSync(log);
  const program = {
    name,
    pid: child.pid,
    ended: undefined,
    stopping: false,
    endOfLog: () => readFileSync(logFile, 'utf8').trim().split('\n').slice(-12).join('\n'),
  };
  const end = new Promise((resolve) => {
    const ends = (how) => {
      program.ended = how;
      resolve();
      if (!program.stopping) onEnd(program);
    };
    child.on('exit', (code, signal) => ends(signal ?? `status ${code}`));
    child.on('error', (error) => ends(error.message));
  });
  program.stop = async (signal = 'SIGTERM') => {
    program.stopping = true;
    if (program.ended !== undefined) return;
    child.kill(signal);
    if ((await Promise.race([end, sleep(15_000, 'late', { ref: false })])) === 'late') child.kill('SIGKILL');
    await end;
  };
  return program;
}

/** @returns {Promise<{ status: number, headers: object, body: string }>} */
export function request(url, { method = 'GET', headers = {}, body, tls = {} } = {}) {
  return new Promise((resolve, reject) => {
    const { request: open } = url.startsWith('https:') ? https : http;
    const sent = open(url, { method, headers, timeout: 5_000, agent: false, ...tls }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: text })).on('error', reject);
    });
    sent.on('timeout', () => sent.destroy(new Error(`${url} does not answer`))).on('error', reject);
    sent.end(body);
  });
}

/** Polls until all URLs answer 200. @throws Error names who does not, with the end of its log */
export async function untilReady(targets, timeoutMs) {
  const deadline = performance.now() + timeoutMs;
  for (const { program, url, tls } of targets) {
    let last = 'no answer';
    for (;;) {
      const answer = await request(url, { tls }).catch((error) => ({ status: 0, body: error.message }));
      if (answer.status === 200) break;
      last = `${answer.status} ${answer.body}`;
      if (program.ended !== undefined || performance.now() > deadline) {
        throw new Error(`${program.name} is not ready: ${program.ended ?? last}\n${program.endOfLog()}`);
      }
      await sleep(50);
    }
  }
}
