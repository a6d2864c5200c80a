/** After a busy run neither what the server and PostgreSQL wrote to their logs nor PostgreSQL's files hold a token, a secret or a private key. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import pg from 'pg';
import { issueToken, postForm, request, sendJson } from '../support/client.ts';
import { announcedAdmin, announcedSecrets, launch, processesOf, scratch, signal } from '../support/faults.ts';

/** What may not be found anywhere, each with what it is. */
type Secrets = Map<string, string>;

test('no token, no client secret, no private key in logs or in the data files', async (t) => {
  const folder = await scratch(t);
  const chosen = 'a-secret-that-an-operator-chose-0123456789';
  const first = await launch(t, { folder });
  await first.ready();
  const admin = await announcedAdmin(first);
  const secrets: Secrets = new Map([
    [admin.clientSecret, "the administrator's secret"],
    [chosen, "the administrator's chosen secret"],
    [(await readFile(join(folder, 'data', 'encryption.key'), 'utf8')).trim(), 'the encryption key'],
  ]);
  await beBusy(first.url, admin, secrets);
  assert.deepEqual(await first.end('SIGTERM'), { code: 0, signal: null });

  const second = await launch(t, { folder, env: { AUTH_ADMIN_CLIENT_SECRET: chosen } });
  await second.ready();
  await beBusy(second.url, { clientId: 'admin', clientSecret: chosen }, secrets);
  // Errors are where secrets get into logs: an outage, with every kind of request under way.
  for (const pid of processesOf(`${folder}/data/postgres`)) signal(pid, 'SIGKILL');
  await failEverywhere(second.url, chosen, secrets);
  await second.ready();
  const connection = { host: join(folder, 'data', 'postgres'), user: 'auth', database: 'auth' };
  const client = new pg.Client(connection);
  await client.connect();
  await client.query('checkpoint');
  await client.end();

  assert.deepEqual(announcedSecrets(first), [admin.clientSecret]);
  const announcement = first
    .output()
    .split('\n')
    .filter((line) => line.includes(admin.clientSecret));
  assert.equal(announcement.length, 1, 'one line shows the generated secret');
  await writeFile(join(folder, 'first.log'), first.output().replace(announcement[0] ?? '', ''));
  await writeFile(join(folder, 'second.log'), second.output());
  assert.ok(secrets.size > 40);
  assert.deepEqual(
    search(folder, 'F', [...secrets.keys()])
      .map(([file, secret]) => `${secrets.get(secret)} in ${file}`)
      .sort(),
    ["the administrator's secret in data/admin.json", 'the encryption key in data/encryption.key'],
  );
  const shapes = ['PRIVATE KEY-----', '"d":"[A-Za-z0-9_-]{40}', '\\bat_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}', '\\beyJ[A-Za-z0-9_-]+\\.eyJ'];
  assert.deepEqual(search(folder, 'E', shapes), [], 'what looks like a private key or a token');
  const places = search(folder, 'F', ['created-for-the-search']).map(([file]) => file.replace(/\/[^/]*$/, ''));
  assert.ok(places.includes('data/postgres/pg_wal'), 'the search finds what is there, in the WAL too');
  assert.deepEqual(await second.end('SIGTERM'), { code: 0, signal: null });
});

/** Everything that makes, shows or takes a secret, with success and without. */
async function beBusy(url: string, admin: { readonly clientId: string; readonly clientSecret: string }, secrets: Secrets): Promise<void> {
  const bearer = await issueToken(url, admin);
  secrets.set(bearer, 'a bearer token');
  for (let round = 0; round < 4; round++) {
    const format = round % 2 === 0 ? 'reference' : 'jwt';
    const metadata = { client_name: 'created-for-the-search', scope: 'read', access_token_format: format };
    const { body } = await sendJson('POST', `${url}/clients`, bearer, metadata);
    const client = { clientId: body.client_id, clientSecret: body.client_secret };
    secrets.set(client.clientSecret, 'a client secret');
    const added = await sendJson('POST', `${url}/clients/${client.clientId}/secrets`, bearer, { name: 'second' });
    assert.equal(added.status, 201);
    secrets.set(added.body.client_secret, 'an added client secret');
    for (let issued = 0; issued < 3; issued++) {
      const token = await issueToken(url, client);
      secrets.set(token, `a token (${format})`);
      const active = await postForm(`${url}/introspect`, { token }, client);
      assert.equal(active.body.active, true);
      const phantom = await postForm(`${url}/introspect`, { token }, client, { accept: 'application/jwt' });
      secrets.set(phantom.text, 'a phantom token');
      const signed = await postForm(`${url}/introspect`, { token }, client, { accept: 'application/token-introspection+jwt' });
      secrets.set(signed.text, 'a signed introspection');
      if (issued > 0) assert.equal((await postForm(`${url}/revoke`, { token }, client)).status, 200);
      await failEverywhere(url, client.clientSecret, secrets, token);
    }
  }
}

/** Secrets where they do not belong, and what is malformed around them; every answer is a refusal or an outage. */
async function failEverywhere(url: string, secret: string, secrets: Secrets, token = `${secret}-as-a-token`): Promise<void> {
  const wrong = `wrong-${secret.slice(0, 20)}`;
  secrets.set(wrong, 'a wrong secret');
  const form = { grant_type: 'client_credentials' };
  const answers = await Promise.all([
    postForm(`${url}/token`, form, { clientId: 'admin', clientSecret: wrong }),
    postForm(`${url}/token`, form, { clientId: secret, clientSecret: secret }),
    postForm(`${url}/token?client_secret=${encodeURIComponent(secret)}`, { ...form, client_id: 'admin', client_secret: secret }),
    postForm(`${url}/introspect`, { token }, undefined, { authorization: `Bearer ${token}x` }),
    postForm(`${url}/revoke`, `token=${token}&token=${token}`, { clientId: 'admin', clientSecret: wrong }),
    sendJson('POST', `${url}/clients`, `${token}y`, { client_secret: secret }),
    sendJson('DELETE', `${url}/clients/${encodeURIComponent(secret)}`, token),
    sendJson('POST', `${url}/clients`, token, `{"client_secret":"${secret}`),
    request(`${url}/clients?access_token=${encodeURIComponent(token)}`, { headers: { authorization: `Bearer ${token}` } }),
    request(`${url}/${encodeURIComponent(token)}`),
  ]);
  for (const { status } of answers) assert.ok(status >= 400 && status !== 500, String(status));
}

/** @param syntax of the patterns: F for text as it is, E for expressions @returns file and match */
function search(folder: string, syntax: 'E' | 'F', patterns: readonly string[]): [file: string, match: string][] {
  const { stdout, status, stderr } = spawnSync('grep', [`-${syntax}raoHZ`, '-f', '-', '.'], {
    cwd: folder,
    input: patterns.join('\n'),
    encoding: 'latin1',
    maxBuffer: 2 ** 28,
    env: { ...process.env, LC_ALL: 'C' },
  });
  // PostgreSQL is at work: a file may go while it is looked at, which is status 2.
  assert.ok(status === 0 || status === 1 || /No such file/.test(stderr), stderr);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return [...new Set(lines)].map((line) => line.replace(/^\.\//, '').split('\0') as [string, string]);
}
