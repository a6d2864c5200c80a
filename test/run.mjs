// Runs the compiled tests: `node test/run.mjs [test files]`. Starts one private PostgreSQL with the product's own launcher, and a migrated
// template that each test clones; then once more, the files that speak SQL, against Debian's PostgreSQL 15 if that is installed.
// TEST_POSTGRES_BIN: the folder of another PostgreSQL's programs, to use that one instead.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../dist/src/postgres/embedded.js';
import { migrate } from '../dist/src/postgres/migrate.js';

const GIVEN_BIN_DIR = process.env.TEST_POSTGRES_BIN;
const DEBIAN_BIN_DIR = '/usr/lib/postgresql/15/bin';
const isTimed = (file) => /test\/(faults\/(outage|kill|cluster|quorum)|deployment\/loopback)/.test(file);
const isSimulation = (file) => /test\/simulation\/(simulation|mutants)/.test(file);
const isHeavy = (file) => !isTimed(file) && /test\/(faults|cli|docs|etcd|resource-server)\/|embedded/.test(file);
/**
 * Those that start and kill processes mostly wait for them. Those that hold the server to two seconds want the machine for themselves, and so does a
 * whole cluster, which would slow the others down. The simulation needs no machine but all of its processors.
 */
const GROUPS = [
  { concurrency: 4, has: (file) => !isTimed(file) && !isHeavy(file) && !isSimulation(file) },
  { concurrency: 2, has: isSimulation },
  { concurrency: 3, has: isHeavy },
  { concurrency: 1, has: isTimed },
];
/** A test that hangs is to be named, not to hold a CI run for ever. */
const FILE_MS_MAX = 300_000;
const compiled = (file) => file.replace(/^(dist\/)?/, 'dist/').replace(/\.ts$/, '.js');
const named = process.argv.slice(2).map(compiled);
const all = readdirSync('dist/test', { recursive: true })
  .filter((file) => file.endsWith('.test.js') && existsSync(join('test', file.replace(/\.js$/, '.ts'))))
  .map((file) => join('dist/test', file))
  .sort();

console.log(`Node ${process.version}`);
let failed = !(await run(named.length > 0 ? named : all, GIVEN_BIN_DIR));
if (named.length === 0 && GIVEN_BIN_DIR === undefined && existsSync(join(DEBIAN_BIN_DIR, 'initdb'))) {
  const speakSql = all.filter((file) => /dist\/test\/(postgres|conformance|http)\//.test(file) && !file.includes('embedded'));
  failed = !(await run(speakSql, DEBIAN_BIN_DIR)) || failed;
}
process.exitCode = failed ? 1 : 0;

/** @returns whether all passed */
async function run(files, binDir) {
  const dataDir = mkdtempSync(join(tmpdir(), 'auth-tests-'));
  // The tests of durability start servers of their own; here a lost disk cache loses nothing of value.
  const postgres = await startEmbeddedPostgres({ dataDir, ...(binDir && { binDir }), settings: { fsync: 'off', max_connections: '300' } });
  console.log(`PostgreSQL ${postgres.version}, ${files.length} files`);
  try {
    const admin = new pg.Client({ ...postgres.connection, database: 'postgres' });
    await admin.connect();
    await admin.query('create database auth_template');
    await admin.end();
    await migrate({ ...postgres.connection, database: 'auth_template' });
    const { host, port, user } = postgres.connection;
    const env = { ...process.env, TEST_POSTGRES: JSON.stringify({ host, port, user, template: 'auth_template' }), NODE_ENV: 'test' };
    let passed = true;
    for (const { concurrency, has } of GROUPS) passed = (await nodeTest(files.filter(has), concurrency, env)) && passed;
    return passed;
  } finally {
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** @returns whether all passed */
function nodeTest(files, concurrency, env) {
  if (files.length === 0) return true;
  return new Promise((resolve) => {
    const args = ['--enable-source-maps', '--test', `--test-concurrency=${concurrency}`, `--test-timeout=${FILE_MS_MAX}`, ...files];
    spawn(process.execPath, args, { env, stdio: 'inherit' }).on('exit', (code) => resolve(code === 0));
  });
}
