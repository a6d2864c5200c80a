#!/usr/bin/env node
// Runs what a compose file describes on loopback, without containers: the servers with their environment, the etcd members with their flags,
// the load balancer with its configuration, and a PostgreSQL in a folder for temporary files. Ctrl-C ends all and removes the folder.
//
//   npm run cluster -- [--check] [stage | test | prod | path of a compose file]      default: prod
//
// --check issues, introspects and revokes a token across the servers, and exits: 0 if all was as it should be.
// Needs etcd (PATH, or ETCD_BIN) and openssl; HAProxy if it is installed.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startEmbeddedPostgres } from '../dist/src/postgres/embedded.js';
import { check } from './loopback/check.mjs';
import { etcdVersion, findProgram, freePorts, start, untilReady } from './loopback/processes.mjs';
import { exampleValues, haproxyOnLoopback, readTopology, requiredNames, toLoopback } from './loopback/topology.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const PROGRAM = join(HERE, '../dist/src/main.js');
const READY_MS_MAX = 30_000;
const folder = mkdtempSync(join(tmpdir(), 'auth-cluster-'));
// Started by root, PostgreSQL runs as another account, which has to get through.
chmodSync(folder, 0o711);
const secretsFolder = join(folder, 'secrets');
const programs = [];
let postgres;
let postgresStart;
let stopping;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void stop().then(() => process.exit()));
try {
  const { values, positionals } = parseArgs({ options: { check: { type: 'boolean', default: false } }, allowPositionals: true });
  const cluster = await run(composeFile(positionals[0] ?? 'prod'));
  if (values.check) {
    process.exitCode = (await check(cluster)) ? 0 : 1;
    await stop();
  } else {
    console.log('\nCtrl-C ends all of it. Kill one to see what happens.');
  }
} catch (error) {
  // A start that was interrupted fails everywhere, and that is no news.
  if (stopping === undefined) {
    console.error(error.message);
    process.exitCode = 1;
  }
  await stop();
}

function composeFile(name) {
  const short = { stage: 'docker-compose.yml', test: 'docker-compose.test.yml', prod: 'docker-compose.prod.yml' }[name];
  return short === undefined ? name : join(HERE, short);
}

function exampleOf(file) {
  const name = { 'docker-compose.yml': 'stage', 'docker-compose.test.yml': 'test', 'docker-compose.prod.yml': 'prod' }[basename(file)];
  return name === undefined ? {} : exampleValues(join(dirname(file), `${name}.env.example`));
}

/** What the compose file asks for: the example's values, secrets made now, and over both whatever the environment says. */
function valuesOf(file, issuer) {
  const required = requiredNames(file);
  const made = {
    AUTH_ISSUER: issuer,
    POSTGRES_PASSWORD: randomBytes(32).toString('hex'),
    AUTH_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
    AUTH_ADMIN_CLIENT_SECRET: randomBytes(32).toString('hex'),
  };
  const unknown = [...required].filter((name) => made[name] === undefined && process.env[name] === undefined);
  if (unknown.length > 0) throw new Error(`${file} asks for ${unknown.join(', ')}: set it in the environment`);
  return { ...exampleOf(file), ...made, ...process.env };
}

async function run(file) {
  const etcd = findProgram('etcd');
  if (etcd === undefined)
    throw new Error('etcd was not found: install it (Debian: apt-get install etcd-server etcd-client), or set ETCD_BIN');
  const version = etcdVersion(etcd);
  if (version.belowFloor)
    console.log(`etcd ${version.text} is below the version floor of docs/operations.md: good enough to try, not for production`);
  console.log(`${file} in ${folder}`);

  const ports = await portsOf(file);
  const portOf = (service, port) => ports.get(`${service}:${port}`);
  const names = [...ports.keys()].map((key) => key.split(':')[0]);
  const haproxy = names.includes('loadbalancer') ? findProgram('haproxy') : undefined;
  const issuer = haproxy
    ? `https://localhost:${portOf('loadbalancer', 8443)}`
    : `http://localhost:${ports.get(names.map((name) => `${name}:8080`).find((key) => ports.has(key)))}`;
  const { services, secrets } = readTopology(file, valuesOf(file, issuer));
  const place = (self) => ({ self, portOf, secretsFolder, secrets });
  if (Object.keys(secrets).length > 0) makeSecrets();

  const of = (role) => services.filter((service) => service.role === role);
  const databaseUrl = await startPostgres(of('postgres')[0]);
  const members = of('etcd').map((service) => startEtcd(etcd, service, place(service.name)));
  const nodes = of('server').map((service) => startServer(service, place(service.name), databaseUrl));
  const [lb] = of('loadbalancer');
  const balancer = lb && haproxy ? startBalancer(haproxy, lb, place(lb.name)) : undefined;
  await untilReady(
    [...members, ...nodes].map(({ program, url, tls, ready }) => ({ program, url: `${url}${ready}`, tls })),
    READY_MS_MAX,
  );
  if (balancer) await untilReady([{ program: balancer.program, url: `${balancer.url}/jwks`, tls: balancer.tls }], READY_MS_MAX);

  const admin = nodes[0].admin;
  console.log(`\n  Issuer      ${issuer}`);
  if (balancer) console.log(`  ${balancer.name}  ${balancer.url}  (curl --cacert ${join(secretsFolder, 'tls.pem')})`);
  else if (lb) console.log(`  ${lb.name}  not started: HAProxy is not installed (Debian: apt-get install haproxy)`);
  for (const { name, url, program } of [...nodes, ...members]) console.log(`  ${name.padEnd(10)}  ${url}  (process ${program.pid})`);
  console.log(`  PostgreSQL  ${postgres.version}: psql -h ${postgres.connection.host} -U auth auth`);
  console.log(`  Admin       ${admin.id}:${admin.secret}\n`);
  console.log(`  ${etcdctlLine(members)}\n`);
  return { servers: nodes, balancer, admin, maxStalenessMs: nodes[0].maxStalenessMs };
}

/** Each service's ports, by `service:port of the container`. They are needed before the file can be read with its issuer. */
async function portsOf(file) {
  const { services } = readTopology(file, valuesOf(file, 'http://localhost'));
  const keys = services.flatMap(({ name, ports }) => ports.map((port) => `${name}:${port}`));
  const free = await freePorts(keys.length);
  return new Map(keys.map((key, index) => [key, free[index]]));
}

function makeSecrets() {
  const { status, stderr, error } = spawnSync('sh', [join(HERE, 'secrets.sh'), secretsFolder, 'localhost'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`deployment/secrets.sh failed: ${error?.message ?? stderr}`);
}

/** With the settings of the compose file, through its Unix socket. */
async function startPostgres({ command }) {
  const settings = Object.fromEntries(command.flatMap((word, index) => (command[index - 1] === '-c' ? [word.split('=')] : [])));
  postgresStart = startEmbeddedPostgres({ dataDir: join(folder, 'data'), settings });
  postgres = await postgresStart;
  const { host, port, user, database } = postgres.connection;
  const url = `postgres://${user}@${encodeURIComponent(host)}:${port}/${database}`;
  if (existsSync(join(secretsFolder, 'database_url'))) {
    rmSync(join(secretsFolder, 'database_url'));
    writeFileSync(join(secretsFolder, 'database_url'), url, { mode: 0o600 });
  }
  return url;
}

function startEtcd(program, { name, command }, place) {
  const args = command.slice(1).map((arg) => (arg.startsWith('--data-dir=') ? `--data-dir=${join(folder, name)}` : toLoopback(arg, place)));
  const flag = (prefix) => args.find((arg) => arg.startsWith(`${prefix}=`))?.slice(prefix.length + 1);
  const files = { ca: flag('--trusted-ca-file'), cert: flag('--cert-file'), key: flag('--key-file') };
  return {
    name,
    program: launch(name, program, args, {}),
    url: flag('--advertise-client-urls'),
    ready: '/health',
    tls: files.ca ? { ca: readFileSync(files.ca), cert: readFileSync(files.cert), key: readFileSync(files.key) } : {},
    files,
  };
}

function startServer({ name, environment }, place, databaseUrl) {
  const env = Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, toLoopback(value, place)]));
  const port = place.portOf(name, 8080);
  Object.assign(env, { AUTH_HOST: '127.0.0.1', AUTH_PORT: String(port) });
  if (env.DATABASE_URL) env.DATABASE_URL = databaseUrl;
  // The load balancer of the compose file is in a network of its own, here it is on loopback.
  if (env.AUTH_TRUSTED_PROXIES) env.AUTH_TRUSTED_PROXIES = '127.0.0.1';
  const secret = env.AUTH_ADMIN_CLIENT_SECRET ?? readFileSync(env.AUTH_ADMIN_CLIENT_SECRET_FILE, 'utf8').trim();
  return {
    name,
    program: launch(name, process.execPath, [PROGRAM, 'serve'], env),
    url: `http://127.0.0.1:${port}`,
    ready: '/health/ready',
    admin: { id: env.AUTH_ADMIN_CLIENT_ID ?? 'admin', secret },
    maxStalenessMs: Number(env.AUTH_MAX_STALENESS_MS ?? 1_000),
  };
}

function startBalancer(program, { name }, place) {
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(file, haproxyOnLoopback(readFileSync(join(HERE, 'haproxy.cfg'), 'utf8'), place));
  const tls = { ca: readFileSync(join(secretsFolder, 'tls.pem')) };
  return { name, program: launch(name, program, ['-db', '-f', file], {}), url: `https://localhost:${place.portOf(name, 8443)}`, tls };
}

function launch(name, file, args, env) {
  if (stopping !== undefined) throw new Error('interrupted');
  const program = start(name, file, args, {
    // No .env is in there, and nothing of this shell's AUTH_ and ETCD_ variables gets through.
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    logFile: join(folder, `${name}.log`),
    onEnd: ({ ended, endOfLog }) => stopping ?? console.error(`${name} has ended (${ended}):\n${endOfLog()}`),
  });
  programs.push(program);
  return program;
}

function etcdctlLine(members) {
  const { ca, cert, key } = members[0].files;
  const tls = ca ? ` --cacert=${ca} --cert=${cert} --key=${key}` : '';
  return `ETCDCTL_API=3 ${findProgram('etcdctl', process.env.ETCD_BIN) ?? 'etcdctl'} --endpoints=${members.map(({ url }) => url).join(',')}${tls} get /auth/ --prefix`;
}

/** Servers before what they use. */
function stop() {
  stopping ??= (async () => {
    const isEtcd = ({ name }) => name.startsWith('etcd');
    await Promise.all(programs.filter((program) => !isEtcd(program)).map((program) => program.stop()));
    // Their data goes with the folder, and three members that hand their leadership over take five seconds.
    await Promise.all(programs.filter(isEtcd).map((program) => program.stop('SIGKILL')));
    await (await postgresStart?.catch(() => undefined))?.stop();
    rmSync(folder, { recursive: true, force: true });
  })();
  return stopping;
}
