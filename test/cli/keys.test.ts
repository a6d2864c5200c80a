import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type InProcessServer, openServer } from '../support/server.ts';
import { auth } from './run.ts';

let server: InProcessServer;
before(async () => {
  server = await openServer();
});
after(() => server.stop());

const keys = (...args: readonly string[]) =>
  auth(['keys', ...args], { env: { AUTH_ISSUER: server.url, AUTH_ADMIN_CLIENT_SECRET: server.admin.clientSecret } });

test('keys rotate announces a key and moves it, keys list shows the schedule', async () => {
  const announced = await keys('rotate', '--json');
  assert.deepEqual([announced.code, announced.stderr], [0, '']);
  const { kid } = JSON.parse(announced.stdout);
  const moment = new Date(Date.now() + 7_200_000).toISOString();
  const moved = await keys('rotate', '--activate-at', moment);
  assert.deepEqual([moved.code, moved.stderr], [0, '']);
  assert.match(moved.stdout, new RegExp(`^kid +${kid}\nalg +ES256\nstate +next\ncreated_at +\\S+\nactive_from +${moment}\n$`));
  const [header, active, next, ...more] = (await keys('list')).stdout.split('\n');
  assert.match(header ?? '', /^KID +ALG +STATE +ACTIVE FROM +RETIRING FROM +GONE AT$/);
  assert.match(active ?? '', new RegExp(`ES256 +active +\\S+ +${moment} +\\S+$`));
  assert.match(next ?? '', new RegExp(`^${kid} +ES256 +next +${moment} +- +-$`));
  assert.deepEqual(more, ['']);
});

test('keys rotate --compromised asks first, and says what was refused', async () => {
  const before = JSON.parse((await keys('list', '--json')).stdout).items;
  const unasked = await keys('rotate', '--compromised');
  assert.deepEqual([unasked.code, unasked.stderr], [2, 'error: without a terminal this needs --yes\n']);
  const refused = await keys('rotate', '--activate-at', 'tomorrow');
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    /^error: invalid_request: the rotation is not valid\n {2}\/activate_at must be a time, RFC 3339, or "now"\n$/,
  );
  assert.deepEqual(JSON.parse((await keys('list', '--json')).stdout).items, before);
  const done = await keys('rotate', '--compromised', '--yes');
  assert.match(done.stdout, /state +active/);
  assert.deepEqual(
    JSON.parse((await keys('list', '--json')).stdout).items.map(({ state }: { state: string }) => state),
    ['active', 'gone', 'gone'],
  );
});
