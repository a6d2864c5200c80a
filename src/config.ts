/** The environment becomes one frozen {@link Config}; every problem is reported at once (docs/config.md). */
import { readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { parseEnv } from 'node:util';
import { ACCESS_TOKEN_TTL_MAX_SECONDS, CLIENT_ID_PATTERN } from './core/clients.ts';
import { editDistance } from './core/edit-distance.ts';
import type { KeyPolicy } from './core/key-schedule.ts';
import { REGISTRATION_MODES, type RegistrationMode } from './core/registration.ts';
import { SCOPE_POLICIES, type ScopePolicy } from './core/scope-catalogue.ts';
import { SIGNING_ALGS } from './core/signing-key.ts';
import { readEndpoints } from './etcd/options.ts';
import type { EtcdConfig } from './etcd/shared.ts';

/** A secret that a person chose is refused below this length (docs/decisions/0005). */
export const CHOSEN_SECRET_CHARACTERS_MIN = 32;
const DAY_SECONDS = 86_400;

export interface Config {
  /** `undefined`: the server starts its own private PostgreSQL in {@link Config.dataDir} */
  readonly databaseUrl: string | undefined;
  /** `undefined`: nodes follow PostgreSQL alone */
  readonly etcd: EtcdConfig | undefined;
  /** absolute path */
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  /** no trailing slash */
  readonly issuer: string;
  readonly accessTokenTtlSeconds: number;
  /** infinite: nothing of the audit is ever dropped */
  readonly auditKeptSeconds: number;
  /** each row of the audit that this node writes goes to its log, too */
  readonly isAuditLogged: boolean;
  /** `strict`: every answer about a token is as of a moment after the question */
  readonly consistency: 'bounded' | 'strict';
  readonly maxStalenessMs: number;
  readonly registration: RegistrationMode;
  readonly cacheBytes: number;
  readonly keyPolicy: KeyPolicy;
  /** what becomes of a scope that is not in the catalogue */
  readonly scopePolicy: ScopePolicy;
  /** 32 bytes each: the first encrypts, all decrypt. Empty: generated into the data folder */
  readonly encryptionKeys: readonly Buffer[];
  readonly adminClientId: string;
  readonly adminClientSecret: string | undefined;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** whether a client's `jwks_uri` may lie on this machine or in its network */
  readonly jwksUriInternal: 'refuse' | 'allow';
  /** peers whose `X-Forwarded-For` is believed */
  readonly trustedProxies: BlockList | undefined;
}

/** Every variable that exists: what it is for, and an example that would be accepted. `.env.example` and docs/config.md have the same rows. */
export const VARIABLES: ReadonlyMap<string, string> = new Map([
  ['DATABASE_URL', 'postgres://auth:secret@localhost:5432/auth'],
  ['ETCD_ENDPOINTS', 'http://127.0.0.1:2379'],
  ['ETCD_USERNAME', 'auth'],
  ['ETCD_PASSWORD', 'ETCD_PASSWORD_FILE=/run/secrets/etcd'],
  ['ETCD_CA', 'ETCD_CA_FILE=/etc/auth/etcd-ca.crt'],
  ['ETCD_CERT', 'ETCD_CERT_FILE=/etc/auth/etcd.crt'],
  ['ETCD_KEY', 'ETCD_KEY_FILE=/etc/auth/etcd.key'],
  ['ETCD_PREFIX', '/auth/'],
  ['AUTH_DATA_DIR', './data'],
  ['AUTH_HOST', '127.0.0.1'],
  ['AUTH_PORT', '8080'],
  ['AUTH_ISSUER', 'https://auth.example.com'],
  ['AUTH_ACCESS_TOKEN_TTL', '3600'],
  ['AUTH_AUDIT_DAYS', '365'],
  ['AUTH_AUDIT_LOG', 'true'],
  ['AUTH_CONSISTENCY', 'bounded'],
  ['AUTH_MAX_STALENESS_MS', '1000'],
  ['AUTH_CACHE_MB', '64'],
  ['AUTH_REGISTRATION', 'token'],
  ['AUTH_SCOPES', 'catalogue'],
  ['AUTH_SIGNING_ALG', 'ES256'],
  ['AUTH_KEY_ROTATION_DAYS', '90'],
  ['AUTH_KEY_ANNOUNCE_SECONDS', '86400'],
  ['AUTH_ENCRYPTION_KEY', 'the output of: openssl rand -base64 32'],
  ['AUTH_ADMIN_CLIENT_ID', 'admin'],
  ['AUTH_ADMIN_CLIENT_SECRET', 'the output of: openssl rand -hex 32'],
  ['AUTH_TLS_CERT', 'AUTH_TLS_CERT_FILE=/etc/auth/tls.crt'],
  ['AUTH_TLS_KEY', 'AUTH_TLS_KEY_FILE=/etc/auth/tls.key'],
  ['AUTH_TRUSTED_PROXIES', '10.0.0.0/8,192.168.1.10'],
  ['AUTH_INSECURE_HTTP', 'true'],
  ['AUTH_JWKS_URI_INTERNAL', 'refuse'],
]);

/** What Kubernetes puts into every pod beside a Service called `auth`. */
const KUBERNETES_SERVICE = /^AUTH_(SERVICE_(HOST|PORT).*|PORT_\d+_.*)$/;

/** Everything that is wrong with the environment; never contains a value of a variable. */
export class ConfigError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`configuration: ${problems.join('; ')}`);
    this.problems = problems;
  }
}

/**
 * @param directory where a `.env` file may lie and what relative paths start from
 * @throws ConfigError with all problems
 */
export function loadConfig(
  environment: Readonly<Record<string, string | undefined>>,
  directory: string,
): { readonly config: Config; readonly warnings: readonly string[] } {
  const problems: string[] = [];
  const warnings: string[] = [];
  const values = readValues(withDotEnv(environment, directory, problems), directory, problems, warnings);
  const problem = (name: string, text: string): undefined => {
    problems.push(`${name} ${text}, for example: ${VARIABLES.get(name) ?? ''}`);
    return undefined;
  };
  /** One of the values that `parse` accepts, or the default; a problem otherwise. */
  function read<T>(name: string, fallback: T, expected: string, parse: (value: string) => T | undefined): T {
    const value = values.get(name);
    if (value === undefined) return fallback;
    return parse(value) ?? problem(name, `must be ${expected}`) ?? fallback;
  }

  const databaseUrl = read('DATABASE_URL', undefined, 'a postgres:// URL', parseDatabaseUrl);
  const port = read('AUTH_PORT', 8080, 'a port from 1 to 65535', (value) => parseInteger(value, 1, 65_535));
  const host = read('AUTH_HOST', '127.0.0.1', 'an address or a host name', (value) =>
    /^[A-Za-z0-9.:_-]+$/.test(value) ? value : undefined,
  );
  const tls = parsePair(values, 'AUTH_TLS_CERT', 'AUTH_TLS_KEY', problem);
  const trustedProxies = read('AUTH_TRUSTED_PROXIES', undefined, 'a comma-separated list of addresses and CIDR blocks', parseBlocks);
  const insecureHttp = read('AUTH_INSECURE_HTTP', false, 'true or false', parseBoolean);
  const wantsTls = values.has('AUTH_TLS_CERT') || values.has('AUTH_TLS_KEY');
  if (!isLoopback(host) && !wantsTls && !trustedProxies && !insecureHttp) {
    problems.push(
      'AUTH_HOST is not a loopback address and there is no TLS: set AUTH_TLS_CERT_FILE and AUTH_TLS_KEY_FILE, or AUTH_TRUSTED_PROXIES (the proxy that ends TLS), ' +
        'or AUTH_INSECURE_HTTP=true if the network is private',
    );
  }
  const encryptionKeys = read('AUTH_ENCRYPTION_KEY', [], '32 bytes in base64 (several: comma-separated)', parseKeys);
  if (values.has('DATABASE_URL') && !values.has('AUTH_ENCRYPTION_KEY')) problem('AUTH_ENCRYPTION_KEY', 'is required with DATABASE_URL');
  const maxStalenessMs = read('AUTH_MAX_STALENESS_MS', 1_000, 'milliseconds, from 300 to 60000', (value) =>
    parseInteger(value, 300, 60_000),
  );
  const announceSeconds = read('AUTH_KEY_ANNOUNCE_SECONDS', 86_400, 'seconds, up to 2592000', (value) => parseInteger(value, 0, 2_592_000));
  // Half of it is for nodes that have not heard of the key (src/core/key-schedule.ts), and for the second that is begun.
  if (announceSeconds < 2 * (maxStalenessMs / 1000 + 1)) {
    problem('AUTH_KEY_ANNOUNCE_SECONDS', 'must be two seconds more than twice AUTH_MAX_STALENESS_MS at least');
  }
  const rotationDays = read('AUTH_KEY_ROTATION_DAYS', 90, 'days, from 1 to 3650, or 0 for never', (value) => parseInteger(value, 0, 3_650));
  const config: Config = Object.freeze({
    databaseUrl,
    etcd: parseEtcd(values, problem),
    dataDir: resolve(directory, values.get('AUTH_DATA_DIR') ?? 'data'),
    host,
    port,
    issuer: read('AUTH_ISSUER', `${tls ? 'https' : 'http'}://localhost:${port}`, ISSUER_EXPECTED, parseIssuer),
    accessTokenTtlSeconds: read('AUTH_ACCESS_TOKEN_TTL', 3600, `seconds, from 1 to ${ACCESS_TOKEN_TTL_MAX_SECONDS}`, (value) =>
      parseInteger(value, 1, ACCESS_TOKEN_TTL_MAX_SECONDS),
    ),
    auditKeptSeconds: read('AUTH_AUDIT_DAYS', 365 * DAY_SECONDS, 'days, from 1 to 3650, or 0 for ever', parseKeptDays),
    isAuditLogged: read('AUTH_AUDIT_LOG', false, 'true or false', parseBoolean),
    consistency: read('AUTH_CONSISTENCY', 'bounded', 'bounded or strict', (value) =>
      value === 'bounded' || value === 'strict' ? value : undefined,
    ),
    maxStalenessMs,
    registration: read('AUTH_REGISTRATION', 'off', `one of ${REGISTRATION_MODES.join(', ')}`, (value) =>
      REGISTRATION_MODES.find((mode) => mode === value),
    ),
    cacheBytes: read('AUTH_CACHE_MB', 64, 'mebibytes, from 1 to 2048', (value) => parseInteger(value, 1, 2_048)) * 1024 * 1024,
    keyPolicy: {
      alg: read('AUTH_SIGNING_ALG', 'ES256', `one of ${SIGNING_ALGS.join(', ')}`, (value) => SIGNING_ALGS.find((alg) => alg === value)),
      rotationSeconds: rotationDays > 0 ? rotationDays * 86_400 : undefined,
      announceSeconds,
    },
    scopePolicy: read('AUTH_SCOPES', 'open', SCOPE_POLICIES.join(' or '), (value) => SCOPE_POLICIES.find((policy) => policy === value)),
    encryptionKeys,
    adminClientId: read('AUTH_ADMIN_CLIENT_ID', 'admin', '1 to 128 letters, digits, ".", "_", "~", "-"', (value) =>
      CLIENT_ID_PATTERN.test(value) ? value : undefined,
    ),
    adminClientSecret: read(
      'AUTH_ADMIN_CLIENT_SECRET',
      undefined,
      `at least ${CHOSEN_SECRET_CHARACTERS_MIN} printable ASCII characters without spaces`,
      (value) => (new RegExp(`^[\\x21-\\x7e]{${CHOSEN_SECRET_CHARACTERS_MIN},1024}$`).test(value) ? value : undefined),
    ),
    tls,
    trustedProxies,
    jwksUriInternal: read('AUTH_JWKS_URI_INTERNAL', 'refuse', 'refuse or allow', (value) =>
      value === 'refuse' || value === 'allow' ? value : undefined,
    ),
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return { config, warnings };
}

function withDotEnv(
  environment: Readonly<Record<string, string | undefined>>,
  directory: string,
  problems: string[],
): Readonly<Record<string, string | undefined>> {
  try {
    return { ...parseEnv(readFileSync(join(directory, '.env'), 'utf8')), ...environment };
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) problems.push('.env cannot be read');
    return environment;
  }
}

/** Known variables with their values; `NAME_FILE` read; empty counts as not set; unknown `AUTH_` names are problems. */
function readValues(
  environment: Readonly<Record<string, string | undefined>>,
  directory: string,
  problems: string[],
  warnings: string[],
): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [given, value] of Object.entries(environment)) {
    const isFile = given.endsWith('_FILE') && VARIABLES.has(given.slice(0, -'_FILE'.length));
    const name = isFile ? given.slice(0, -'_FILE'.length) : given;
    if (KUBERNETES_SERVICE.test(given) || (given === 'AUTH_PORT' && /^[a-z]+:\/\//.test(value ?? ''))) {
      warnings.push(`${given} was set by Kubernetes for a Service called "auth" and is ignored (enableServiceLinks: false avoids it)`);
    } else if (!VARIABLES.has(name)) {
      if (given.startsWith('AUTH_')) problems.push(`${given} is not a known variable${didYouMean(given)}`);
    } else if (value === undefined || value === '') {
    } else if (!isFile) {
      values.set(name, value);
    } else if (environment[name]) {
      problems.push(`${name} and ${given} are both set: keep one`);
    } else {
      try {
        values.set(name, readFileSync(resolve(directory, value), 'utf8').replace(/\r?\n$/, ''));
      } catch {
        problems.push(`${given} names a file that cannot be read`);
      }
    }
  }
  return values;
}

function didYouMean(name: string): string {
  const bare = name.replace(/_FILE$/, '');
  const nearest = [...VARIABLES.keys()]
    .map((known) => ({ known, distance: editDistance(bare, known) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return nearest && nearest.distance <= 4 ? `; did you mean ${nearest.known}?` : '; docs/config.md lists them all';
}

type Say = (name: string, text: string) => undefined;

function parseEtcd(values: ReadonlyMap<string, string>, problem: Say): EtcdConfig | undefined {
  const endpoints = values
    .get('ETCD_ENDPOINTS')
    ?.split(',')
    .map((endpoint) => endpoint.trim());
  const [username, password, ca] = [values.get('ETCD_USERNAME'), values.get('ETCD_PASSWORD'), values.get('ETCD_CA')];
  if (username === undefined && password !== undefined) problem('ETCD_USERNAME', 'is missing beside ETCD_PASSWORD');
  if (username !== undefined && password === undefined) problem('ETCD_PASSWORD', 'is missing beside ETCD_USERNAME');
  if (ca !== undefined && !ca.includes(CERTIFICATE)) problem('ETCD_CA', 'must be certificates in PEM');
  const pair = parsePair(values, 'ETCD_CERT', 'ETCD_KEY', problem);
  const prefix = values.get('ETCD_PREFIX') ?? '/auth/';
  if (!/^[\x21-\x7e]{0,200}\/$/.test(prefix)) problem('ETCD_PREFIX', 'must be printable ASCII without spaces that ends with a slash');
  if (!endpoints) return undefined;
  try {
    readEndpoints({ endpoints });
  } catch {
    problem('ETCD_ENDPOINTS', 'must be host:port, http://host:port or https://host:port, separated by commas');
  }
  return { endpoints, username, password, ca, cert: pair?.cert, key: pair?.key, prefix };
}

const ISSUER_EXPECTED = 'an https:// URL without query, fragment and trailing slash (http:// for a loopback host only)';

/** RFC 8414 §2: https, no query, no fragment. */
function parseIssuer(value: string): string | undefined {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (!url || /[?#]/.test(value) || url.username || url.password || value.endsWith('/')) return undefined;
  // What is compared byte for byte elsewhere must not be rewritten by anybody's URL parser.
  if (url.href !== value && url.href !== `${value}/`) return undefined;
  if (!/^[A-Za-z0-9._~/-]*$/.test(url.pathname)) return undefined;
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname)) ? value : undefined;
}

function isLoopback(host: string): boolean {
  return (
    host === 'localhost' ||
    host.endsWith('.localhost') ||
    host === '::1' ||
    host === '[::1]' ||
    (isIP(host) === 4 && host.startsWith('127.'))
  );
}

function parseDatabaseUrl(value: string): string | undefined {
  return /^postgres(ql)?:\/\//.test(value) && URL.canParse(value) ? value : undefined;
}

function parseInteger(value: string, min: number, max: number): number | undefined {
  const number = /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
  return number >= min && number <= max ? number : undefined;
}

/** @returns seconds */
function parseKeptDays(value: string): number | undefined {
  const days = parseInteger(value, 0, 3_650);
  return days === 0 ? Number.POSITIVE_INFINITY : days && days * DAY_SECONDS;
}

function parseBoolean(value: string): boolean | undefined {
  return value === 'true' ? true : value === 'false' ? false : undefined;
}

function parseKeys(value: string): readonly Buffer[] | undefined {
  const keys = value.split(',').map((part) => part.trim());
  // Buffer.from skips what is not base64, so a truncated key would pass without the pattern.
  return keys.every((key) => /^[A-Za-z0-9+/_-]{43}=?$/.test(key)) ? keys.map((key) => Buffer.from(key, 'base64')) : undefined;
}

function parseBlocks(value: string): BlockList | undefined {
  const blocks = new BlockList();
  for (const entry of value.split(',').map((part) => part.trim())) {
    const [address = '', prefix, ...rest] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    const bits = parseInteger(prefix ?? (family === 'ipv6' ? '128' : '32'), 0, family === 'ipv6' ? 128 : 32);
    if (isIP(address) === 0 || bits === undefined || rest.length > 0) return undefined;
    blocks.addSubnet(address, bits, family);
  }
  return blocks;
}

const CERTIFICATE = '-----BEGIN CERTIFICATE-----';

/** A certificate chain and its private key, PEM. */
function parsePair(values: ReadonlyMap<string, string>, certName: string, keyName: string, problem: Say): Config['tls'] {
  const cert = values.get(certName);
  const key = values.get(keyName);
  if (cert === undefined && key === undefined) return undefined;
  const isCert = cert?.includes(CERTIFICATE) || problem(certName, 'must be a certificate chain in PEM');
  const isKey = key?.includes('PRIVATE KEY-----') || problem(keyName, 'must be a private key in PEM');
  if (!isCert || !isKey) return undefined;
  const pair = { cert: cert ?? '', key: key ?? '' };
  try {
    createSecureContext(pair);
  } catch {
    problem(keyName, `must be readable without a passphrase and belong to the certificate in ${certName}`);
  }
  return pair;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
