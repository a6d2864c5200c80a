import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { countExpiring } from '../../src/postgres/expiring-secrets.ts';
import { createClient, issueToken, sendJson } from '../support/client.ts';
import { scrape } from '../support/metrics.ts';
import { openServer, until } from '../support/server.ts';

const HOUR_MS = 3_600_000;

test('who is about to be locked out is counted: by the last secret, of clients that are in use; and a node shows it', async (t) => {
  const keys = { AUTH_ENCRYPTION_KEY: randomBytes(32).toString('base64') };
  const server = await openServer(keys);
  t.after(() => server.stop());
  const { query, db } = server.database;
  const administrator = await issueToken(server.url, server.admin);
  const client = async (...hours: readonly (number | null)[]) => {
    const { clientId } = await createClient(server);
    await query('delete from client_secret where client_id = $1', [clientId]);
    for (const hour of hours) {
      const ends = hour === null ? null : new Date(Date.now() + hour * HOUR_MS);
      await query("insert into client_secret (client_id, verifier, expires_at) values ($1, 'sha256:x', $2)", [clientId, ends]);
    }
    return clientId;
  };
  await client(null);
  await client(1, null);
  await client(1, 24 * 40);
  await client(-1);
  await client();
  const disabled = await client(1);
  await sendJson('PATCH', `${server.url}/clients/${disabled}`, administrator, { disabled: true });
  const deleted = await client(1);
  await sendJson('DELETE', `${server.url}/clients/${deleted}`, administrator);
  assert.deepEqual(await countExpiring(db), { '1d': 0, '7d': 0, '30d': 0 });
  await client(-1, 1);
  await client(2, 24 * 6);
  await client(24 * 29);
  assert.deepEqual(await countExpiring(db), { '1d': 1, '7d': 2, '30d': 3 });

  const other = await openServer({ ...keys, DATABASE_URL: server.database.url, AUTH_ADMIN_CLIENT_SECRET: server.admin.clientSecret });
  t.after(() => other.stop());
  await until(async () => (await scrape(other.url)).values.get('auth_client_secrets_expiring{within="7d"}') === 2, 10_000);
});
