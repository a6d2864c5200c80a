/** The compose files: valid by the specification's own schema, and what docs/operations.md says of them. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseEnv } from 'node:util';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { loadConfig, VARIABLES } from '../../src/config.ts';
import { ENVIRONMENTS, readCompose, servicesOf } from './files.ts';

const isKnown = (name: string) => [name, name.replace(/_FILE$/, '')].some((known) => VARIABLES.has(known));
const SERVER = /^auth:/;
const DATABASE = /(postgres|etcd):/;

// compose-spec.json: github.com/compose-spec/compose-spec, schema/compose-spec.json at 170098ba, Apache-2.0. Its $schema is draft-07 under a
// name that ajv does not know; draft-07 is what ajv takes by itself.
const { $schema: _, ...schema } = JSON.parse(readFileSync('test/deployment/compose-spec.json', 'utf8'));
const validate = new Ajv({ strict: false, allErrors: true, logger: false }).compile(schema);

for (const [file, example] of ENVIRONMENTS) {
  const compose = readCompose(file);
  const services = Object.entries(compose.services);
  const servers = servicesOf(compose, SERVER);

  test(`${file} is valid by the schema of the compose specification`, () => {
    assert.ok(validate(compose), JSON.stringify(validate.errors, null, 2));
    assert.ok(validate(parse(readFileSync(file, 'utf8'), { merge: true })), 'before interpolation');
  });

  test(`${file}: every variable of a server exists, and its example and the file ask for the same`, () => {
    assert.ok(servers.length > 0);
    for (const [name, { environment = {} }] of servers) {
      for (const variable of Object.keys(environment)) assert.ok(isKnown(variable), `${name}: ${variable}`);
    }
    const used = new Set([...readFileSync(file, 'utf8').matchAll(/\$\{(\w+)/g)].map(([, variable]) => variable));
    const given = Object.keys(parseEnv(readFileSync(example, 'utf8')));
    assert.deepEqual(given.sort(), [...used].sort());
    for (const variable of given.filter((known) => /^(AUTH|ETCD|DATABASE)_/.test(known))) assert.ok(isKnown(variable), variable);
  });

  test(`${file}: the example holds no secret, and compose does not start without one`, () => {
    const text = readFileSync(file, 'utf8');
    for (const [variable, value] of Object.entries(parseEnv(readFileSync(example, 'utf8')))) {
      if (!/PASSWORD|KEY|SECRET/.test(variable)) continue;
      assert.equal(value, '', variable);
      assert.doesNotMatch(text, new RegExp(`\\$\\{${variable}(?!:\\?)`), `${variable} has a default`);
    }
    for (const [name, { environment = {} }] of services) {
      for (const [variable, value] of Object.entries(environment)) {
        if (/PASSWORD|KEY|SECRET/.test(variable))
          assert.match(String(value), /^(\$\{\w+:\?[^}]+\}|\/run\/secrets\/\w+)$/, `${name}: ${variable}`);
      }
    }
  });

  test(`${file}: the server accepts the environment it would get`, () => {
    for (const [name, { environment = {} }] of servers) {
      const values = { POSTGRES_PASSWORD: 'a', AUTH_ENCRYPTION_KEY: `${'A'.repeat(43)}=`, AUTH_ADMIN_CLIENT_SECRET: 'b'.repeat(64) };
      const secrets: Record<string, string> = {
        database_url: 'postgres://auth:a@postgres:5432/auth',
        encryption_key: values.AUTH_ENCRYPTION_KEY,
        admin_client_secret: values.AUTH_ADMIN_CLIENT_SECRET,
      };
      const all: Record<string, string> = { ...values, AUTH_ISSUER: 'https://auth.example.com' };
      const env: Record<string, string> = { AUTH_HOST: '0.0.0.0' };
      for (const [variable, value] of Object.entries(environment)) {
        // What is in the files is no certificate here; that each variable exists is tested above.
        if (/^ETCD_.*_FILE$/.test(variable)) continue;
        const secret = secrets[String(value).replace('/run/secrets/', '')];
        env[secret ? variable.replace(/_FILE$/, '') : variable] =
          secret ?? String(value).replace(/\$\{(\w+):\?[^}]*\}/g, (_, key) => all[key] ?? '');
      }
      const { config, warnings } = loadConfig(env, '/nonexistent');
      assert.deepEqual(warnings, [], name);
      assert.match(config.databaseUrl ?? '', /@postgres:5432\/auth$/, name);
      assert.equal(config.adminClientSecret, values.AUTH_ADMIN_CLIENT_SECRET, name);
    }
  });

  test(`${file}: images are pinned, what is mounted is declared, and what is built is there`, () => {
    for (const [name, service] of services) {
      assert.match(service.image, /^[\w./-]+:v?\d+\.\d+(\.\d+)?$/, name);
      for (const secret of service.secrets ?? []) assert.ok(compose.secrets?.[secret], `${name}: secret ${secret}`);
      for (const volume of service.volumes ?? [])
        assert.ok((volume.split(':')[0] as string) in (compose.volumes ?? {}), `${name}: volume ${volume}`);
      for (const network of service.networks ?? []) assert.ok(network in (compose.networks ?? {}), `${name}: network ${network}`);
      for (const { source } of service.configs ?? [])
        assert.ok(existsSync(join('deployment', compose.configs?.[source]?.file ?? 'none')), source);
      const paths = Object.values(service.environment ?? {}).concat(service.command ?? []);
      for (const [, secret = ''] of paths.join(' ').matchAll(/\/run\/secrets\/(\w+)/g)) {
        assert.ok(service.secrets?.includes(secret), `${name} reads ${secret} and does not mount it`);
      }
      if (service.build) assert.ok(existsSync(join('deployment', service.build.context, service.build.dockerfile)), name);
    }
    const mounted = new Set(services.flatMap(([, service]) => service.secrets ?? []));
    assert.deepEqual([...mounted].sort(), Object.keys(compose.secrets ?? {}).sort(), 'declared, and used by nobody');
  });

  test(`${file}: etcd is no older than the version floor, compacts, and has a quota`, () => {
    for (const [name, { image, command = [] }] of servicesOf(compose, /etcd:/)) {
      const [major = 0, minor = 0, patch = 0] = (image.split(':v')[1] ?? '').split('.').map(Number);
      assert.ok(major === 3 && (minor > 7 || patch >= ({ 5: 33, 6: 14, 7: 1 }[minor] ?? Number.POSITIVE_INFINITY)), `${name}: ${image}`);
      for (const flag of ['--auto-compaction-mode=periodic', '--auto-compaction-retention=5m'])
        assert.ok(command.includes(flag), `${name}: ${flag}`);
      assert.ok(
        command.some((flag) => /^--quota-backend-bytes=\d+$/.test(flag)),
        name,
      );
    }
  });

  test(`${file}: PostgreSQL 18 keeps its data where the volume is`, () => {
    // Since 18 the image's data folder is below /var/lib/postgresql/18; a volume on …/data would stay empty.
    for (const [, { volumes = [], tmpfs = [] }] of servicesOf(compose, /postgres:/)) {
      assert.deepEqual([...volumes.map((volume) => volume.split(':')[1]), ...tmpfs], ['/var/lib/postgresql']);
    }
  });

  test(`${file}: on other addresses than loopback only the load balancer is published`, () => {
    for (const [name, { image, ports = [] }] of services) {
      if (/^haproxy:/.test(image)) continue;
      for (const port of ports) assert.match(port, /^127\.0\.0\.1:/, name);
    }
  });
}

test('prod: three servers and three etcd members, with limits, restarts and secrets as files; no database is published', () => {
  const compose = readCompose('deployment/docker-compose.prod.yml');
  assert.equal(servicesOf(compose, SERVER).length, 3);
  assert.equal(servicesOf(compose, /etcd:/).length, 3);
  for (const [name, { restart, deploy }] of Object.entries(compose.services)) {
    assert.equal(restart, 'unless-stopped', name);
    assert.ok(deploy?.resources?.limits?.memory && deploy.resources.limits.cpus, name);
  }
  for (const [name, { ports = [], networks }] of servicesOf(compose, DATABASE)) assert.deepEqual([ports, networks], [[], ['back']], name);
  assert.equal(compose.networks?.back?.internal, true);
  for (const [name, { read_only, environment = {} }] of servicesOf(compose, SERVER)) {
    assert.equal(read_only, true, name);
    for (const variable of ['DATABASE_URL_FILE', 'AUTH_ENCRYPTION_KEY_FILE', 'AUTH_ADMIN_CLIENT_SECRET_FILE']) {
      assert.ok(variable in environment, `${name}: ${variable}`);
    }
  }
});

test('prod: secrets.sh makes every secret, and HAProxy knows every server', () => {
  const compose = readCompose('deployment/docker-compose.prod.yml');
  const script = readFileSync('deployment/secrets.sh', 'utf8');
  for (const { file } of Object.values(compose.secrets ?? {})) {
    const [stem = ''] = file.replace('./secrets/', '').split('.');
    assert.match(script, new RegExp(`(>|signed |-out )${stem}\\b`), file);
  }
  const listed = [...readFileSync('deployment/haproxy.cfg', 'utf8').matchAll(/^ +server (\S+) (\S+)$/gm)].map(([, name, address]) => [
    name,
    address,
  ]);
  assert.deepEqual(
    listed,
    servicesOf(compose, SERVER).map(([name]) => [name, `${name}:8080`]),
  );
});
