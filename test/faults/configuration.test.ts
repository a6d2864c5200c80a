/** `auth serve` with a wrong environment: status 78 and all that is wrong, at once (docs/config.md). */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { postForm, request } from '../support/client.ts';
import { createDatabase } from '../support/database.ts';
import { ADMIN, type Cleanup, ENCRYPTION_KEY, type Launch, launch, processesOf, scratch, within } from '../support/faults.ts';
import { until } from '../support/server.ts';

const SECRET = 'a-value-that-nobody-may-see';

interface Refusal {
  readonly env: Launch['env'];
  readonly dotEnv?: string;
  readonly problems: readonly RegExp[];
}

const REFUSALS: Readonly<Record<string, Refusal>> = {
  'everything wrong at once': {
    env: {
      DATABASE_URL: `mysql://auth:${SECRET}@localhost/auth`,
      AUTH_PORT: '65536',
      AUTH_HOST: '0.0.0.0',
      AUTH_ISSUER: `http://auth.example.com/?${SECRET}`,
      AUTH_ACCESS_TOKEN_TTL: '1h',
      AUTH_SIGNING_ALG: 'HS256',
      AUTH_ENCRYPTION_KEY: SECRET,
      AUTH_ADMIN_CLIENT_ID: 'an id with spaces',
      AUTH_ADMIN_CLIENT_SECRET: SECRET,
      AUTH_TRUSTED_PROXIES: '10.0.0.0/33',
      AUTH_TLS_KEY: SECRET,
      AUTH_INSECURE_HTTP: 'yes',
      AUTH_ACESS_TOKEN_TTL: SECRET,
    },
    problems: [
      /DATABASE_URL must be/,
      /AUTH_PORT must be/,
      /AUTH_ISSUER must be/,
      /AUTH_ACCESS_TOKEN_TTL must be/,
      /AUTH_SIGNING_ALG must be/,
      /AUTH_ENCRYPTION_KEY must be/,
      /AUTH_ADMIN_CLIENT_ID must be/,
      /AUTH_ADMIN_CLIENT_SECRET must be/,
      /AUTH_TRUSTED_PROXIES must be/,
      /AUTH_TLS_CERT must be/,
      /AUTH_TLS_KEY must be/,
      /AUTH_INSECURE_HTTP must be/,
      /AUTH_ACESS_TOKEN_TTL is not a known variable; did you mean AUTH_ACCESS_TOKEN_TTL\?/,
    ],
  },
  'a listener that others reach, without TLS': {
    env: { AUTH_HOST: '0.0.0.0' },
    problems: [/AUTH_HOST .*AUTH_TLS_CERT_FILE.*AUTH_TRUSTED_PROXIES.*AUTH_INSECURE_HTTP=true/],
  },
  'files of secrets': {
    env: {
      DATABASE_URL: `postgres://auth:${SECRET}@localhost/auth`,
      AUTH_ADMIN_CLIENT_SECRET: SECRET,
      AUTH_ADMIN_CLIENT_SECRET_FILE: '/dev/null',
      AUTH_TLS_CERT_FILE: 'missing.crt',
      AUTH_ADMIN_SECRET_FILE: 'unknown',
    },
    problems: [
      /AUTH_ADMIN_CLIENT_SECRET and AUTH_ADMIN_CLIENT_SECRET_FILE are both set/,
      /AUTH_TLS_CERT_FILE names a file that cannot be read/,
      /AUTH_ADMIN_SECRET_FILE is not a known variable/,
      /AUTH_ENCRYPTION_KEY is required with DATABASE_URL/,
      /AUTH_ADMIN_CLIENT_SECRET must be/,
    ],
  },
  'a .env file': {
    env: {},
    dotEnv: `AUTH_SIGNING_ALG=none\nAUTH_PROT=${SECRET}\n`,
    problems: [/AUTH_SIGNING_ALG must be/, /AUTH_PROT is not a known variable; did you mean AUTH_PORT\?/],
  },
};

for (const [what, { env = {}, dotEnv, problems }] of Object.entries(REFUSALS)) {
  test(`${what}: status 78, every problem with its variable, no value`, async (t) => {
    const folder = await scratch(t);
    if (dotEnv !== undefined) await writeFile(join(folder, '.env'), dotEnv);
    const server = await launch(t, { folder, env });
    assert.deepEqual(await within(15_000, server.exit, server.output), { code: 78, signal: null });
    const lines = server
      .output()
      .split('\n')
      .filter((line) => line.startsWith('  - '));
    for (const problem of problems) assert.equal(lines.filter((line) => problem.test(line)).length, 1, `${problem} in ${server.output()}`);
    assert.equal(lines.length, problems.length, server.output());
    assert.doesNotMatch(server.output(), new RegExp(SECRET));
    assert.deepEqual(processesOf(folder), []);
  });
}

test('what Kubernetes injects for a Service called auth is ignored with a warning', async (t) => {
  const folder = await scratch(t);
  // The port that is left is the default one: another loopback address has it free.
  const host = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.1`;
  const injected = {
    AUTH_PORT: 'tcp://10.0.0.1:8080',
    AUTH_PORT_8080_TCP_ADDR: '10.0.0.1',
    AUTH_SERVICE_HOST: '10.0.0.1',
    AUTH_SERVICE_PORT_HTTP: '8080',
  };
  const server = await launch(t, { folder, env: { ...injected, ...(await database(t)), AUTH_HOST: host } });
  await until(async () => {
    assert.ok(server.isRunning(), server.output());
    return (await fetch(`http://${host}:8080/health/ready`).catch(() => undefined))?.status === 200;
  }, 15_000);
  for (const name of Object.keys(injected))
    assert.match(server.output(), new RegExp(`"level":"warn".*"msg":"${name} was set by Kubernetes`));
});

test('.env and files of secrets count, and the environment wins over .env', async (t) => {
  const folder = await scratch(t);
  await mkdir(join(folder, 'secrets'));
  await writeFile(join(folder, 'secrets', 'admin'), `${ADMIN.clientSecret}\n`);
  await writeFile(
    join(folder, '.env'),
    'AUTH_ADMIN_CLIENT_SECRET_FILE=secrets/admin\nAUTH_ISSUER=https://from-file.example.com\nAUTH_ACCESS_TOKEN_TTL=60\n',
  );
  const server = await launch(t, { folder, env: { ...(await database(t)), AUTH_ISSUER: 'https://auth.example.com' } });
  await server.ready();
  const { body } = await postForm(`${server.url}/token`, { grant_type: 'client_credentials' }, ADMIN);
  assert.equal(body.expires_in, 60);
  const metadata = await request(`${server.url}/.well-known/oauth-authorization-server`);
  assert.equal(metadata.body.issuer, 'https://auth.example.com');
  assert.doesNotMatch(server.output(), new RegExp(ADMIN.clientSecret));
});

async function database(t: Cleanup): Promise<Readonly<Record<string, string>>> {
  const { url, drop } = await createDatabase();
  t.after(drop);
  return { DATABASE_URL: url, AUTH_ENCRYPTION_KEY: ENCRYPTION_KEY };
}
