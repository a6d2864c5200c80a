import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CommandError } from '../../src/cli/exit.ts';
import { parseServerUrl, resolveTarget, type TargetOptions } from '../../src/cli/target.ts';

type Texts = Readonly<Record<string, string>>;
type Options = Omit<TargetOptions, 'timeout'>;

const DATA = 'http://localhost:1001';
const OTHER = 'http://localhost:1002';
const ENV = 'http://localhost:1003';
const DOTENV = 'http://localhost:1004';
const OPTION = 'http://localhost:1005';

const FILES: Texts = {
  'data/server.json': `{"url":"${DATA}"}`,
  'data/admin.json': '{"client_id":"admin","client_secret":"of-data"}',
  'other/server.json': `{"url":"${OTHER}"}`,
  'other/admin.json': '{"client_id":"root","client_secret":"of-other"}',
  'no-admin/server.json': `{"url":"${OTHER}"}`,
  'my.secret': 'of-file\n',
};
const DOTENV_FILE = { '.env': `AUTH_ISSUER=${DOTENV}\nAUTH_ADMIN_CLIENT_SECRET="of-dotenv"\n` };
const ENVIRONMENT = { AUTH_ISSUER: ENV, AUTH_ADMIN_CLIENT_SECRET: 'of-env' };

/** A working directory with FILES and these, and the target that a command would find there. */
async function resolved(t: TestContext, options: Options, environment: Texts, files: Texts) {
  const directory = await mkdtemp(join(tmpdir(), 'auth-cli-'));
  t.after(() => rm(directory, { recursive: true }));
  for (const [name, content] of Object.entries({ ...FILES, ...files })) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), content);
  }
  const { clientSecretFile } = options;
  const absolute = clientSecretFile === undefined ? {} : { clientSecretFile: join(directory, clientSecretFile) };
  return resolveTarget({ timeout: 1, ...options, ...absolute }, { environment, directory });
}

const FOUND: readonly (readonly [name: string, options: Options, env: Texts, files: Texts, url: string, credentials: string])[] = [
  ['the data folder', {}, {}, {}, DATA, 'admin:of-data'],
  ['AUTH_DATA_DIR', {}, { AUTH_DATA_DIR: 'other' }, {}, OTHER, 'root:of-other'],
  ['AUTH_DATA_DIR of .env', {}, {}, { '.env': 'AUTH_DATA_DIR=./other' }, OTHER, 'root:of-other'],
  ['--data-dir before the environment', { dataDir: 'other' }, ENVIRONMENT, {}, OTHER, 'root:of-other'],
  ['--data-dir of a server whose administrator is configured', { dataDir: 'no-admin' }, ENVIRONMENT, {}, OTHER, 'admin:of-env'],
  ['the environment before the data folder', {}, ENVIRONMENT, {}, ENV, 'admin:of-env'],
  ['the URL of the environment, the administrator of the data folder', {}, { AUTH_ISSUER: ENV }, {}, ENV, 'admin:of-data'],
  ['the id of the environment', {}, { ...ENVIRONMENT, AUTH_ADMIN_CLIENT_ID: 'ops' }, {}, ENV, 'ops:of-env'],
  ['a secret file of the environment', {}, { AUTH_ADMIN_CLIENT_SECRET_FILE: 'my.secret' }, {}, DATA, 'admin:of-file'],
  ['.env', {}, {}, DOTENV_FILE, DOTENV, 'admin:of-dotenv'],
  ['the environment before .env', {}, { AUTH_ADMIN_CLIENT_SECRET: 'of-env' }, DOTENV_FILE, DOTENV, 'admin:of-env'],
  ['empty counts as not set', {}, { AUTH_ISSUER: '', AUTH_ADMIN_CLIENT_SECRET: '' }, DOTENV_FILE, DATA, 'admin:of-data'],
  ['options before everything', { url: OPTION, clientId: 'me', clientSecretFile: 'my.secret' }, ENVIRONMENT, {}, OPTION, 'me:of-file'],
  ['a secret without an id', { clientSecretFile: 'my.secret' }, {}, {}, DATA, 'admin:of-file'],
  ['--client-id finds its secret', { clientId: 'admin' }, { ...ENVIRONMENT, AUTH_ADMIN_CLIENT_ID: 'ops' }, {}, ENV, 'admin:of-data'],
];
for (const [name, options, environment, files, url, credentials] of FOUND) {
  test(`server and credentials come from: ${name}`, async (t) => {
    const target = await resolved(t, options, environment, files);
    assert.deepEqual([target.url, `${target.clientId}:${target.clientSecret}`], [url, credentials]);
  });
}

const BOTH = { AUTH_ADMIN_CLIENT_SECRET: 'of-env', AUTH_ADMIN_CLIENT_SECRET_FILE: 'my.secret' };
const NOT_FOUND: readonly (readonly [name: string, options: Options, env: Texts, files: Texts, says: RegExp])[] = [
  ['no server', {}, { AUTH_DATA_DIR: 'nowhere' }, {}, /^no server found: give --url, or set AUTH_ISSUER/],
  ['no server in the folder that was named', { dataDir: 'nowhere' }, ENVIRONMENT, {}, /nowhere\/server.json does not exist/],
  ['no credentials', { url: OPTION }, { AUTH_DATA_DIR: 'nowhere' }, {}, /^no credentials for \S+: give --client-id/],
  ['an id without its secret', { clientId: 'me' }, ENVIRONMENT, {}, /^no secret of client "me"/],
  ['an id of the environment, and the secret of another', {}, { AUTH_ADMIN_CLIENT_ID: 'ops' }, {}, /^no credentials/],
  ["the data folder's secret for a server elsewhere", { url: 'https://auth.example.com' }, {}, {}, /admin.json is for another server/],
  ['a file of another kind', {}, {}, { 'data/admin.json': '{"client_id":7}' }, /admin.json is not what a server writes/],
  ['a file that is cut off', {}, {}, { 'data/server.json': '{' }, /server.json cannot be read \(SyntaxError\)/],
  ['the secret twice', {}, BOTH, {}, /are both set: keep one/],
  ['a secret file that is not there', {}, { AUTH_ADMIN_CLIENT_SECRET_FILE: 'x' }, {}, /_FILE names a file that cannot be read \(ENOENT\)/],
  ['plain http to another machine', { url: 'http://auth.example.com' }, {}, {}, /travel in clear to auth.example.com/],
];
for (const [name, options, environment, files, says] of NOT_FOUND) {
  test(`is refused with exit code 78 and what to do: ${name}`, async (t) => {
    await assert.rejects(resolved(t, options, environment, files), (error) => {
      assert.ok(error instanceof CommandError);
      assert.match(error.message, says);
      assert.doesNotMatch(error.message, /of-(data|env|file)|\n/);
      return error.exitCode === 78;
    });
  });
}

test('the URL of a server', () => {
  const good: Texts = {
    'https://auth.example.com/': 'https://auth.example.com',
    'https://auth.example.com/a/b//': 'https://auth.example.com/a/b',
    'http://[::1]:8080': 'http://[::1]:8080',
    'http://127.1.2.3/x': 'http://127.1.2.3/x',
    'http://auth.localhost:1': 'http://auth.localhost:1',
  };
  for (const [text, parsed] of Object.entries(good)) assert.equal(parseServerUrl(text), parsed);
  const bad = ['localhost:80', 'ftp://localhost', 'https://u:p@x', 'https://x/?a', 'https://x/#a', 'x', '', 'http://127.0.0.1.example.com'];
  for (const text of bad) assert.throws(() => parseServerUrl(text), { exitCode: 78 }, text);
});
