import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { parseEnv } from 'node:util';
import fc from 'fast-check';
import { type Config, ConfigError, loadConfig, VARIABLES } from '../src/config.ts';

type Environment = Readonly<Record<string, string>>;

const NOWHERE = mkdtempSync(join(tmpdir(), 'auth-config-'));
const KEY = randomBytes(32);
/** Of `localhost`, self-signed, for tests only. */
const CERT = `-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUFAGPpzZzBUtb1QZ9bGXbvQd2RGEwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNTEyNDA1MFoYDzIxMjYxMTAx
MTI0MDUwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAT+c7BrMpF4dAnzYosEm50rtRxCWFQwx/Ow07Au7Bm1MGyw4IDQ61vk
x4Q8iEARcQS6omoxQXY6nTH4JA8V4QKno1MwUTAdBgNVHQ4EFgQURqyvIx8vn4+g
vebg6kX/fCMistwwHwYDVR0jBBgwFoAURqyvIx8vn4+gvebg6kX/fCMistwwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiA2CsmpGW8Dtjvw1fMfsuoY
DMeY/0se6OOtwQZTb7VmCAIgbC50qvccGnTMdKoqs3eCso551m1o8WcGvfKbhFMV
8WE=
-----END CERTIFICATE-----
`;
const PRIVATE_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQsmaBByvEI74Qlo0
hEqPD9yE7XW5MnA8XRz5Z9eGMSqhRANCAAT+c7BrMpF4dAnzYosEm50rtRxCWFQw
x/Ow07Au7Bm1MGyw4IDQ61vkx4Q8iEARcQS6omoxQXY6nTH4JA8V4QKn
-----END PRIVATE KEY-----
`;
const SECRET = 's'.repeat(32);

function load(environment: Environment, directory = NOWHERE): Config {
  return loadConfig(environment, directory).config;
}

function problemsOf(environment: Environment, directory = NOWHERE): readonly string[] {
  try {
    loadConfig(environment, directory);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
}

/** A folder with files, gone after the test. */
function folder(t: TestContext, files: Environment): string {
  const path = mkdtempSync(join(tmpdir(), 'auth-config-'));
  t.after(() => rmSync(path, { recursive: true }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content);
  return path;
}

test('nothing has to be set', () => {
  assert.deepEqual(load({}), {
    databaseUrl: undefined,
    etcd: undefined,
    dataDir: join(NOWHERE, 'data'),
    host: '127.0.0.1',
    port: 8080,
    issuer: 'http://localhost:8080',
    accessTokenTtlSeconds: 3600,
    keyPolicy: { alg: 'ES256', rotationSeconds: 90 * 86_400, announceSeconds: 86_400 },
    auditKeptSeconds: 365 * 86_400,
    isAuditLogged: false,
    scopePolicy: 'open',
    encryptionKeys: [],
    adminClientId: 'admin',
    adminClientSecret: undefined,
    cacheBytes: 64 * 1024 * 1024,
    consistency: 'bounded',
    maxStalenessMs: 1_000,
    registration: 'off',
    tls: undefined,
    trustedProxies: undefined,
    jwksUriInternal: 'refuse',
  });
  assert.deepEqual(loadConfig({}, NOWHERE).warnings, []);
  assert.ok(Object.isFrozen(load({})));
});

const BAD: readonly [name: string, ...values: readonly string[]][] = [
  ['DATABASE_URL', 'mysql://x', 'localhost:5432', 'postgres://u:p#w@h/auth', 'postgres:/h/auth', 'x'],
  ['AUTH_HOST', 'http://localhost', '0.0.0.0/0', 'a b', '[::1]'],
  ['AUTH_AUDIT_DAYS', '-1', '3651', '30d', '0.5', 'never'],
  ['AUTH_AUDIT_LOG', 'yes', '1', 'TRUE'],
  ['AUTH_CONSISTENCY', 'Strict', 'eventual', 'true'],
  ['AUTH_MAX_STALENESS_MS', '0', '299', '60001', '1s', '1e3', '-1000'],
  ['AUTH_KEY_ROTATION_DAYS', '-1', '3651', '0.5', 'never'],
  ['AUTH_KEY_ANNOUNCE_SECONDS', '0', '3', '2592001', '1d'],
  ['AUTH_REGISTRATION', 'true', 'Open', 'on'],
  ['AUTH_CACHE_MB', '0', '2049', '64MB', '0.5'],
  ['AUTH_PORT', '0', '65536', '-1', '80.5', '0x50', ' 80', '8080 ', 'http', '٨٠'],
  ['AUTH_ISSUER', 'auth.example.com', 'http://auth.example.com', 'https://a.example/', 'https://a.example?x', 'https://a.example/#x'],
  [
    'AUTH_ISSUER',
    'https://A.example',
    'https://a.example:443',
    'https://u:p@a.example',
    'https://a.example/a/../b',
    'https://a.example/%61',
  ],
  [
    'AUTH_ISSUER',
    'http://localhost.evil.example',
    'http://127.0.0.1.evil.example',
    'http://127.1',
    'ftp://localhost',
    'https://a.example\n',
  ],
  ['AUTH_ACCESS_TOKEN_TTL', '0', '1h', '-5', '31708801', '99999999999'],
  ['AUTH_SCOPES', 'closed', 'true', 'Open', 'toString'],
  ['AUTH_SIGNING_ALG', 'es256', 'HS256', 'none', 'toString'],
  ['AUTH_ENCRYPTION_KEY', 'x', KEY.toString('hex'), randomBytes(16).toString('base64'), randomBytes(48).toString('base64'), 'ä'.repeat(43)],
  ['AUTH_ENCRYPTION_KEY', `${KEY.toString('base64')},`, `${KEY.toString('base64')} ${KEY.toString('base64')}`],
  ['AUTH_ADMIN_CLIENT_ID', '-a', 'a b', 'x'.repeat(129), 'a/b'],
  ['AUTH_ADMIN_CLIENT_SECRET', 's'.repeat(31), `${SECRET} `, `${SECRET}é`, 's'.repeat(1025), `${SECRET}\n${SECRET}`],
  ['AUTH_TRUSTED_PROXIES', 'x', '10.0.0.0/33', '10.0.0.0/', '::1/129', '10.0.0.1,', 'localhost', '10.0.0.0/-1'],
  ['AUTH_INSECURE_HTTP', '1', 'yes', 'TRUE', ' true'],
  ['AUTH_JWKS_URI_INTERNAL', 'true', 'Allow', 'deny'],
  ['ETCD_ENDPOINTS', 'http://', 'a b', 'ftp://a:1', 'http://u:p@a:2379', 'http://a:2379/x', 'a:2379,', ','],
  ['ETCD_PREFIX', 'auth', '/auth', 'a b/', '/ä/'],
  ['ETCD_CA', 'x', PRIVATE_KEY],
];
for (const [name, ...values] of BAD) {
  for (const value of values) {
    test(`${name}=${JSON.stringify(value).slice(0, 40)} is a problem that shows an example and not the value`, () => {
      const problems = problemsOf({ AUTH_ENCRYPTION_KEY: KEY.toString('base64'), [name]: value });
      assert.equal(problems.length, 1);
      assert.ok(problems[0]?.startsWith(`${name} must be `), problems[0]);
      assert.ok(problems[0]?.endsWith(`, for example: ${VARIABLES.get(name)}`), problems[0]);
    });
  }
}

const SENTINEL = 'S3NT1NEL-value';
test('all problems are reported at once, by name, and no value of any variable is repeated', () => {
  const names = [...VARIABLES.keys()].filter(
    (name) => !['AUTH_DATA_DIR', 'AUTH_ADMIN_CLIENT_ID', 'ETCD_USERNAME', 'ETCD_PASSWORD'].includes(name),
  );
  const environment = Object.fromEntries(names.map((name) => [name, `${SENTINEL} ${name.length}`]));
  const problems = problemsOf({ ...environment, AUTH_NOPE: SENTINEL, AUTH_ADMIN_CLIENT_ID: `-${SENTINEL}` });
  for (const name of [...names, 'AUTH_NOPE', 'AUTH_ADMIN_CLIENT_ID']) {
    assert.equal(problems.filter((problem) => problem.startsWith(`${name} `)).length, 1, name);
  }
  assert.equal(problems.length, names.length + 2);
  assert.doesNotMatch(new ConfigError(problems).message, new RegExp(SENTINEL));
});

test('whatever is in the environment: a configuration or problems, never another error, never a secret repeated', () => {
  const names = [...VARIABLES.keys()];
  const environments = fc.dictionary(
    fc.constantFrom(...names, ...names.map((name) => `${name}_FILE`), 'AUTH_X'),
    fc.string({ unit: 'binary' }),
  );
  fc.assert(
    fc.property(environments, (environment) => {
      const problems = problemsOf(environment).join('\n');
      for (const value of Object.values(environment)) if (value.length > 12) assert.ok(!problems.includes(value));
    }),
    { numRuns: 500 },
  );
});

const ETCD = { username: undefined, password: undefined, ca: undefined, cert: undefined, key: undefined, prefix: '/auth/' };

const GOOD: readonly [environment: Environment, expected: Partial<Config>][] = [
  [{ AUTH_PORT: '65535' }, { port: 65535, issuer: 'http://localhost:65535' }],
  [{ AUTH_ISSUER: 'https://a.example/tenant/x' }, { issuer: 'https://a.example/tenant/x' }],
  [{ AUTH_ISSUER: 'http://127.8.9.1:1' }, { issuer: 'http://127.8.9.1:1' }],
  [{ AUTH_ISSUER: 'http://[::1]:8080' }, { issuer: 'http://[::1]:8080' }],
  [{ AUTH_ISSUER: 'http://auth.localhost' }, { issuer: 'http://auth.localhost' }],
  [{ AUTH_HOST: '::1' }, { host: '::1' }],
  [{ AUTH_HOST: '127.1.2.3' }, { host: '127.1.2.3' }],
  [{ AUTH_HOST: '0.0.0.0', AUTH_INSECURE_HTTP: 'true' }, { host: '0.0.0.0' }],
  [{ AUTH_JWKS_URI_INTERNAL: 'allow' }, { jwksUriInternal: 'allow' }],
  [{ AUTH_HOST: '0.0.0.0', AUTH_TLS_CERT: CERT, AUTH_TLS_KEY: PRIVATE_KEY }, { issuer: 'https://localhost:8080' }],
  [{ AUTH_SCOPES: 'catalogue' }, { scopePolicy: 'catalogue' }],
  [{ AUTH_SIGNING_ALG: 'EdDSA' }, { keyPolicy: { alg: 'EdDSA', rotationSeconds: 90 * 86_400, announceSeconds: 86_400 } }],
  [
    { AUTH_KEY_ROTATION_DAYS: '0', AUTH_KEY_ANNOUNCE_SECONDS: '4' },
    { keyPolicy: { alg: 'ES256', rotationSeconds: undefined, announceSeconds: 4 } },
  ],
  [
    { AUTH_AUDIT_DAYS: '90', AUTH_AUDIT_LOG: 'true' },
    { auditKeptSeconds: 90 * 86_400, isAuditLogged: true },
  ],
  [{ AUTH_AUDIT_DAYS: '0' }, { auditKeptSeconds: Number.POSITIVE_INFINITY }],
  [{ AUTH_REGISTRATION: 'open' }, { registration: 'open' }],
  [{ AUTH_DATA_DIR: '/var/lib/auth' }, { dataDir: '/var/lib/auth' }],
  [{ AUTH_DATA_DIR: '../x' }, { dataDir: join(NOWHERE, '../x') }],
  [{ ETCD_ENDPOINTS: 'a:1, https://b:2' }, { etcd: { ...ETCD, endpoints: ['a:1', 'https://b:2'] } }],
  [
    { ETCD_ENDPOINTS: 'a:1', ETCD_USERNAME: 'u', ETCD_PASSWORD: 'p w', ETCD_CERT: CERT, ETCD_KEY: PRIVATE_KEY, ETCD_PREFIX: '/x/' },
    { etcd: { endpoints: ['a:1'], username: 'u', password: 'p w', ca: undefined, cert: CERT, key: PRIVATE_KEY, prefix: '/x/' } },
  ],
  [{ AUTH_ENCRYPTION_KEY: KEY.toString('base64url') }, { encryptionKeys: [KEY] }],
  [{ AUTH_ENCRYPTION_KEY: `${KEY.toString('base64')}, ${KEY.toString('base64')}` }, { encryptionKeys: [KEY, KEY] }],
  [
    { AUTH_PORT: '', DATABASE_URL: '', AUTH_PORT_FILE: '' },
    { port: 8080, databaseUrl: undefined },
  ],
];
for (const [environment, expected] of GOOD) {
  test(`accepts ${Object.entries(environment).map((pair) => pair.join('=').slice(0, 40))}`, () => {
    assert.deepEqual({ ...load(environment), ...expected }, load(environment));
  });
}

test('what decides together: DATABASE_URL wants a key, an open listener TLS, a certificate its key', () => {
  assert.match(
    problemsOf({ DATABASE_URL: 'postgres://h/auth' }).join(),
    /^AUTH_ENCRYPTION_KEY is required with DATABASE_URL, for example: /,
  );
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'auth.example.com', '127.evil.example']) {
    assert.match(problemsOf({ AUTH_HOST: host }).join(), /^AUTH_HOST is not a loopback address/);
    for (const way of [{ AUTH_INSECURE_HTTP: 'true' }, { AUTH_TRUSTED_PROXIES: '10.0.0.1' }]) {
      assert.deepEqual(problemsOf({ AUTH_HOST: host, ...way } as Environment), []);
    }
    assert.equal(problemsOf({ AUTH_HOST: host, AUTH_INSECURE_HTTP: 'false' }).length, 1);
  }
  assert.match(problemsOf({ AUTH_TLS_CERT: CERT }).join(), /^AUTH_TLS_KEY must be a private key in PEM/);
  assert.match(problemsOf({ AUTH_TLS_KEY: PRIVATE_KEY }).join(), /^AUTH_TLS_CERT must be a certificate chain in PEM/);
  assert.equal(problemsOf({ AUTH_TLS_CERT: PRIVATE_KEY, AUTH_TLS_KEY: CERT }).length, 2, 'swapped');
  const anotherKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  for (const key of [anotherKey, PRIVATE_KEY.replace(/\n[^-]+\n/, '\nx\n')]) {
    assert.match(
      problemsOf({ AUTH_TLS_CERT: CERT, AUTH_TLS_KEY: key }).join(),
      /^AUTH_TLS_KEY must be readable .* belong to the certificate/,
    );
  }
});

test('trusted proxies are addresses and blocks of both families', () => {
  const { trustedProxies } = load({ AUTH_TRUSTED_PROXIES: '10.0.0.0/8, 192.0.2.1,2001:db8::/32' });
  const trusted = (address: string, family: 'ipv4' | 'ipv6') => trustedProxies?.check(address, family);
  assert.deepEqual(
    [trusted('10.255.0.1', 'ipv4'), trusted('192.0.2.1', 'ipv4'), trusted('192.0.2.2', 'ipv4'), trusted('2001:db8::9', 'ipv6')],
    [true, true, false, true],
  );
});

// Reported: what follows a second slash is dropped.
test('a block with two prefixes is a problem', () => {
  assert.equal(problemsOf({ AUTH_TRUSTED_PROXIES: '10.0.0.0/8/24' }).length, 1);
});

for (const [wrong, right] of [
  ['AUTH_ISSEUR', 'AUTH_ISSUER'],
  ['AUTH_TTL_ACCESS', undefined],
  ['AUTH_ACCESS_TOKEN_TTL_SECONDS', undefined],
  ['AUTH_SIGNING_ALGO', 'AUTH_SIGNING_ALG'],
  ['AUTH_ADMIN_SECRET', undefined],
  ['AUTH_POTR', 'AUTH_PORT'],
  ['AUTH_ENCRYPTON_KEY_FILE', 'AUTH_ENCRYPTION_KEY'],
  ['AUTH_COMPLETELY_DIFFERENT', undefined],
] as const) {
  test(`the unknown ${wrong} is a problem: ${right ? `did you mean ${right}?` : 'docs/config.md'}`, () => {
    const hint = right ? `; did you mean ${right}?` : '; docs/config.md lists them all';
    assert.deepEqual(problemsOf({ [wrong]: SENTINEL }), [`${wrong} is not a known variable${hint}`]);
  });
}

test('variables of others are none of its business', () => {
  assert.deepEqual(problemsOf({ PATH: '/bin', AUTHOR: 'x', auth_port: 'x', DATABASE_URL_OLD: 'x', HOST: 'x', PORT: '1' }), []);
});

for (const [why, content, problem] of [
  ['is read', SECRET, undefined],
  ['may end with a newline', `${SECRET}\n`, undefined],
  ['may end with a newline of Windows', `${SECRET}\r\n`, undefined],
  ['with two newlines has one too many', `${SECRET}\n\n`, /^AUTH_ADMIN_CLIENT_SECRET must be /],
  ['that is empty has no value', '', /^AUTH_ADMIN_CLIENT_SECRET must be /],
] as const) {
  test(`NAME_FILE: a file ${why}`, (t) => {
    const directory = folder(t, { secret: content });
    for (const path of ['secret', join(directory, 'secret')]) {
      const environment = { AUTH_ADMIN_CLIENT_SECRET_FILE: path };
      if (problem) assert.match(problemsOf(environment, directory).join(), problem);
      else assert.equal(load(environment, directory).adminClientSecret, SECRET);
    }
  });
}

test('NAME_FILE is there for every NAME, and both together are a problem', (t) => {
  const directory = folder(t, { value: 'x' });
  for (const name of VARIABLES.keys()) {
    assert.ok(
      problemsOf({ [name]: 'x', [`${name}_FILE`]: 'value' }, directory).includes(`${name} and ${name}_FILE are both set: keep one`),
    );
    assert.deepEqual(problemsOf({ [name]: '', [`${name}_FILE`]: '' }, directory), [], 'empty is not set');
  }
});

test('NAME_FILE: a file that is not there, or a folder, is a problem that names the variable only', (t) => {
  const directory = folder(t, {});
  for (const path of [`/nowhere/${SENTINEL}`, directory]) {
    assert.deepEqual(problemsOf({ AUTH_TLS_KEY_FILE: path }, directory), ['AUTH_TLS_KEY_FILE names a file that cannot be read']);
  }
});

test('.env is read, the real environment wins, also with an empty value', (t) => {
  const directory = folder(t, { '.env': `AUTH_PORT=9000\n# a comment\nAUTH_ADMIN_CLIENT_ID="root"\nAUTH_ISSUER='http://localhost:1'\n` });
  const { port, adminClientId, issuer } = load({ AUTH_PORT: '9001' }, directory);
  assert.deepEqual([port, adminClientId, issuer], [9001, 'root', 'http://localhost:1']);
  assert.equal(load({}, directory).port, 9000);
  assert.equal(load({ AUTH_PORT: '' }, directory).port, 8080);
});

test('.env may be wrong, too: its problems are reported with the others', (t) => {
  const directory = folder(t, { '.env': `AUTH_PROT=1\nAUTH_PORT=x\n` });
  assert.deepEqual(
    problemsOf({ AUTH_ISSUER: 'x' }, directory).map((problem) => problem.split(' ')[0]),
    ['AUTH_PROT', 'AUTH_PORT', 'AUTH_ISSUER'],
  );
  const unreadable = folder(t, {});
  mkdirSync(join(unreadable, '.env'));
  assert.deepEqual(problemsOf({}, unreadable), ['.env cannot be read']);
});

test('what Kubernetes injects for a Service called "auth" is ignored with a warning', () => {
  const injected = {
    AUTH_SERVICE_HOST: '10.0.0.1',
    AUTH_SERVICE_PORT: '8080',
    AUTH_SERVICE_PORT_HTTP: '8080',
    AUTH_PORT: 'tcp://10.0.0.1:8080',
    AUTH_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
    AUTH_PORT_8080_TCP_PROTO: 'tcp',
    AUTH_PORT_8080_TCP_PORT: '8080',
    AUTH_PORT_8080_TCP_ADDR: '10.0.0.1',
  };
  const { config, warnings } = loadConfig(injected, NOWHERE);
  assert.equal(config.port, 8080);
  assert.deepEqual(
    warnings.map((warning) => warning.split(' ')[0]),
    Object.keys(injected),
  );
  assert.doesNotMatch(warnings.join(), /10\.0\.0\.1/);
});

const ROOT = new URL('../../', import.meta.url);

test('.env.example has exactly the variables that exist, in their order, each with its default', (t) => {
  const text = readFileSync(new URL('.env.example', ROOT), 'utf8');
  const lines = text.split('\n').filter((line) => /^#? ?[A-Z_]+=/.test(line));
  assert.deepEqual(
    lines.map((line) => /[A-Z_]+/.exec(line)?.[0]),
    [...VARIABLES.keys()],
  );
  assert.deepEqual({ ...parseEnv(text) }, {}, 'all are commented out');
  const directory = folder(t, { '.env': lines.map((line) => line.replace(/^# /, '')).join('\n') });
  assert.deepEqual(load({}, directory), { ...load({}), dataDir: join(directory, 'data') }, 'uncommented, nothing changes');
});

test('docs/config.md names every variable', () => {
  const page = readFileSync(new URL('docs/config.md', ROOT), 'utf8');
  for (const name of VARIABLES.keys()) assert.match(page, new RegExp(`^\\|.*\`${name}\``, 'm'), name);
});

test('the example of every variable would be accepted', () => {
  for (const [name, example] of VARIABLES) {
    if (/^the output of|_FILE=/.test(example)) continue;
    // A user name goes with a password.
    const beside = name === 'ETCD_USERNAME' ? { ETCD_PASSWORD: 'x' } : {};
    assert.deepEqual(problemsOf({ AUTH_ENCRYPTION_KEY: KEY.toString('base64'), ...beside, [name]: example }), [], name);
  }
});
