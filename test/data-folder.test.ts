/** Files beside the private PostgreSQL: what a kill at any moment, or a full disk, leaves of them. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DataFolderError, encryptionKey, pendingAdminSecret, settleAdminSecret } from '../src/data-folder.ts';
import { temporaryFolder } from './support/server.ts';

async function folder(t: TestContext): Promise<string> {
  const path = await temporaryFolder();
  t.after(() => rm(path, { recursive: true }));
  return path;
}

test('the encryption key is made once, 32 bytes, for its owner only', async (t) => {
  const dataDir = await folder(t);
  const key = await encryptionKey(dataDir);
  assert.equal(key.length, 32);
  assert.deepEqual(await encryptionKey(dataDir), key);
  assert.equal((await stat(join(dataDir, 'encryption.key'))).mode & 0o777, 0o600);
});

for (const content of ['', '\n', 'short', Buffer.alloc(33).toString('base64')]) {
  test(`an encryption key that is damaged (${JSON.stringify(content)}) is said to be, and stays as it is`, async (t) => {
    const dataDir = await folder(t);
    await writeFile(join(dataDir, 'encryption.key'), content);
    await assert.rejects(encryptionKey(dataDir), DataFolderError);
    assert.equal(await readFile(join(dataDir, 'encryption.key'), 'utf8'), content);
  });
}

test("an administrator's secret is written down before the database knows it, and is the same until it is settled", async (t) => {
  const dataDir = await folder(t);
  assert.equal(await pendingAdminSecret(dataDir, 'admin', 'first'), 'first');
  assert.equal(await pendingAdminSecret(dataDir, 'admin', 'second'), 'first', 'a start that was killed in between');
  assert.equal(existsSync(join(dataDir, 'admin.json')), false);
  await settleAdminSecret(dataDir, true);
  assert.deepEqual(JSON.parse(await readFile(join(dataDir, 'admin.json'), 'utf8')), { client_id: 'admin', client_secret: 'first' });
  assert.equal((await stat(join(dataDir, 'admin.json'))).mode & 0o777, 0o600);
});

test('a pending secret that was not taken leaves the one that is known', async (t) => {
  const dataDir = await folder(t);
  await pendingAdminSecret(dataDir, 'admin', 'first');
  await settleAdminSecret(dataDir, true);
  assert.equal(await pendingAdminSecret(dataDir, 'admin', 'second'), 'second');
  await settleAdminSecret(dataDir, false);
  assert.equal(JSON.parse(await readFile(join(dataDir, 'admin.json'), 'utf8')).client_secret, 'first');
  assert.equal(existsSync(join(dataDir, 'admin.json.pending')), false);
});

test('a pending secret of another administrator, or half a file, is not used', async (t) => {
  const dataDir = await folder(t);
  await pendingAdminSecret(dataDir, 'root', 'first');
  assert.equal(await pendingAdminSecret(dataDir, 'admin', 'second'), 'second');
  await writeFile(join(dataDir, 'admin.json.pending'), '{"client_id":"admin","client_se');
  assert.equal(await pendingAdminSecret(dataDir, 'admin', 'third'), 'third');
});
