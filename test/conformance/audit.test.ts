/** The audit: who did what, what was refused, and no secret (docs/audit.md). */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm, request, sendJson } from '../support/client.ts';
import { type InProcessServer, openServer, until } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
before(async () => {
  server = await openServer();
  administrator = await issueToken(server.url, server.admin);
});
after(() => server.stop());

const send = (method: string, path: string, body?: unknown, token = administrator) => sendJson(method, server.url + path, token, body);

interface Item {
  readonly id: number;
  readonly at: string;
  readonly action: string;
  readonly actor: { readonly client_id?: string; readonly secret_id?: string; readonly address?: string };
  readonly target: string;
  // biome-ignore lint/suspicious/noExplicitAny: an assertion says more than a cast
  readonly detail: any;
  readonly request_id?: string;
}

async function audit(query = ''): Promise<readonly Item[]> {
  const answer = await send('GET', `/audit${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.body.items;
}

const countRows = async () => (await server.database.query<{ n: number }>('select count(*)::int as n from audit'))[0]?.n;

test('L01 the audit is for tokens with auth:audit, and is only read', async () => {
  const holder = await issueToken(server.url, await createClient(server, { scope: 'auth:audit' }));
  assert.equal((await send('GET', '/audit', undefined, holder)).status, 200);
  const other = await issueToken(server.url, server.admin, { scope: 'auth:clients auth:clients:read' });
  const refused = await send('GET', '/audit', undefined, other);
  assert.deepEqual(
    [refused.status, refused.headers.get('content-type'), refused.body.error],
    [403, 'application/problem+json', 'insufficient_scope'],
  );
  assert.match(refused.headers.get('www-authenticate') ?? '', /scope="auth:audit"/);
  assert.equal((await request(`${server.url}/audit`)).status, 401);
  assert.equal((await request(`${server.url}/audit?access_token=${holder}`)).status, 400);
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) assert.equal((await send(method, '/audit', {})).status, 405);
});

test('L02 newest first, in pages: each row that was there once, while others come', async () => {
  for (let n = 0; n < 7; n++) await createClient(server, { client_id: `paged-${n}` });
  const seen: Item[] = [];
  let cursor: string | undefined;
  for (let pages = 0; pages === 0 || cursor !== undefined; pages++) {
    const page = await send('GET', `/audit?limit=3${cursor === undefined ? '' : `&cursor=${cursor}`}`);
    seen.push(...page.body.items);
    cursor = page.body.next_cursor;
    await createClient(server, { client_id: `between-${pages}` });
  }
  const ids = seen.map(({ id }) => id);
  assert.deepEqual(
    ids,
    [...new Set(ids)].sort((a, b) => b - a),
  );
  assert.deepEqual(
    seen.map(({ target }) => target).filter((target) => target.startsWith('paged-')),
    [6, 5, 4, 3, 2, 1, 0].map((n) => `paged-${n}`),
  );
  assert.ok(!seen.some(({ target }) => target.startsWith('between-')));
  const first = seen.at(-1);
  assert.deepEqual([first?.actor, first?.action], [{}, 'keys.create'], 'the server itself');
  assert.ok(seen.every(({ at }) => new Date(at).toISOString() === at));
});

test('L03 `after` an id: what came since, oldest first', async () => {
  const [newest] = await audit('?limit=1');
  assert.deepEqual(await audit(`?after=${newest?.id}`), []);
  for (const n of [1, 2, 3]) await createClient(server, { client_id: `follow-${n}` });
  const come = await audit(`?after=${newest?.id}&limit=2`);
  assert.deepEqual(
    come.map(({ target }) => target),
    ['follow-1', 'follow-2'],
  );
  assert.deepEqual(
    (await audit(`?after=${come.at(-1)?.id}&limit=2`)).map(({ target }) => target),
    ['follow-3'],
  );
  assert.ok((await audit('?after=0&limit=1'))[0]?.id, 'from the beginning');
});

test('L04 filters; a parameter that is unknown, repeated or malformed is 400, never more than was asked for', async () => {
  const { clientId } = await createClient(server, { client_id: 'filtered' });
  const start = new Date().toISOString();
  await send('PATCH', `/clients/${clientId}`, { client_name: 'x' });
  const of = async (query: string) => (await audit(query)).map(({ action }) => action);
  assert.deepEqual(await of('?target=filtered'), ['client.update', 'client.create']);
  assert.deepEqual(await of('?target=filtered&action=client.create'), ['client.create']);
  assert.deepEqual(await of('?target=filtered&action=client.*&actor=admin'), ['client.update', 'client.create']);
  assert.deepEqual(await of('?target=filtered&actor=filtered'), []);
  assert.deepEqual(await of(`?target=filtered&since=${start}`), ['client.update']);
  assert.deepEqual(await of(`?target=filtered&until=${start}`), ['client.create']);
  const refused = [
    'targt=x',
    'target=x&target=y',
    'limit=3&limit=3',
    'target=',
    'target=%00',
    `target=${'x'.repeat(257)}`,
    'actor=',
    'actor=a%20b',
    'action=',
    'action=client.',
    'action=*',
    'action=client%25',
    'since=yesterday',
    'since=2027-02-30T00:00:00Z',
    'until=1800000000',
    'limit=0',
    'limit=501',
    'cursor=%27',
    'cursor=MTA=',
    `cursor=${Buffer.from('1; drop table audit').toString('base64url')}`,
    `cursor=${Buffer.from('9'.repeat(20)).toString('base64url')}`,
    'after=-1',
    'after=x',
    `after=${'9'.repeat(20)}`,
    `after=0&cursor=${Buffer.from('10').toString('base64url')}`,
  ];
  for (const query of refused) {
    const answer = await send('GET', `/audit?${query}`);
    assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_request'], query);
  }
});

test('L05 what a client was and what it became, without secrets and without the values of claims', async () => {
  const claims = { tenant: 'sensitive-tenant', plan: 'sensitive-plan' };
  const made = await createClient(server, { client_id: 'changed', scope: 'a b', claims });
  await send('PATCH', '/clients/changed', { scope: 'a', client_name: 'C', claims: { plan: null, tenant: 'sensitive-other' } });
  const secret = (await send('POST', '/clients/changed/secrets', {})).body;
  await send('DELETE', `/clients/changed/secrets/${secret.id}?revoke_tokens=true`);
  await send('DELETE', '/clients/changed');
  const items = await audit('?target=changed');
  assert.deepEqual(
    items.map(({ action }) => action),
    ['client.delete', 'client.secret.remove', 'client.secret.add', 'client.update', 'client.create'],
  );
  const [deleted, removed, added, updated, created] = items.map(({ detail }) => detail);
  assert.deepEqual(updated, {
    changes: { scope: { from: 'a b', to: 'a' }, client_name: { to: 'C' }, claims: { names: ['plan', 'tenant'] } },
  });
  assert.deepEqual([created.metadata.scope, created.metadata.claims], ['a b', { names: ['plan', 'tenant'] }]);
  assert.deepEqual([deleted.metadata.scope, deleted.metadata.claims], ['a', { names: ['tenant'] }]);
  assert.deepEqual([added, removed], [{ secret_id: secret.id }, { secret_id: secret.id, revoke_tokens: true }]);
  const [{ id: secretId }] = (await send('GET', '/clients/admin')).body.secrets;
  for (const { actor } of items) assert.deepEqual(actor, { client_id: 'admin', secret_id: secretId, address: '127.0.0.1' });
  const text = JSON.stringify(items);
  for (const hidden of [made.clientSecret, secret.client_secret, 'sha256:', 'sensitive']) assert.ok(!text.includes(hidden), hidden);
});

test('L06 every management answer names its request, by the given X-Request-Id if it is harmless; so does the audit', async () => {
  const create = (id: string, requestId?: string) =>
    request(`${server.url}/clients`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${administrator}`,
        'content-type': 'application/json',
        ...(requestId !== undefined && { 'x-request-id': requestId }),
      },
      body: JSON.stringify({ client_id: id }),
    });
  const given = 'Trace_0-9.z';
  assert.equal((await create('requested-1', given)).headers.get('x-request-id'), given);
  assert.equal((await audit('?target=requested-1'))[0]?.request_id, given);
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  for (const [n, bad] of [undefined, '', 'a b', 'a"b', "a';--", 'é', 'x'.repeat(129)].entries()) {
    const made = (await create(`requested-by-${n}`, bad)).headers.get('x-request-id') ?? '';
    assert.match(made, uuid, bad);
    assert.equal((await audit(`?target=requested-by-${n}`))[0]?.request_id, made);
  }
  assert.equal((await create('requested-1', given)).headers.get('x-request-id'), given, 'a conflict');
  assert.match((await request(`${server.url}/clients`)).headers.get('x-request-id') ?? '', uuid, 'no token');
  assert.match((await send('GET', '/audit')).headers.get('x-request-id') ?? '', uuid);
});

test('L07 a refused attempt: who, what, from where, and neither the token nor junk; no token at all is no attempt', async () => {
  const weak = await createClient(server, { client_id: 'weak', scope: 'auth:clients read' });
  const token = await issueToken(server.url, weak);
  const revoked = await issueToken(server.url, weak);
  await postForm(`${server.url}/revoke`, { token: revoked }, weak);
  const [newest] = await audit('?limit=1');
  const attempts: readonly [method: string, path: string, token: string, body?: unknown][] = [
    ['GET', '/audit', token],
    ['PATCH', '/clients/admin', token, { client_name: 'mine' }],
    ['POST', '/clients', token, { scope: 'auth:audit' }],
    ['DELETE', '/clients/weak', revoked],
    ['GET', `/clients/${'~junk'.repeat(40)}`, 'not-a-token'],
    ['PUT', `/clients/${weak.clientSecret}`, 'not-a-token'],
  ];
  for (const [method, path, presented, body] of attempts) {
    const { status } = await send(method, path, body, presented);
    assert.ok(status === 401 || status === 403, `${method} ${path}`);
  }
  await request(`${server.url}/clients`);
  const denied = () => audit(`?after=${newest?.id}&action=denied`);
  await until(async () => (await denied()).length === attempts.length, 10_000);
  const rows = new Map((await denied()).map((row) => [`${row.detail.method} ${row.detail.route}`, row]));
  const said = (key: string) => {
    const { target, actor, detail } = rows.get(key) ?? assert.fail(key);
    return [target, actor, detail.error, detail.scope];
  };
  const { id: secretId } = (weak.document.secrets as [{ readonly id: string }])[0];
  const [known, nobody] = [{ client_id: 'weak', secret_id: secretId, address: '127.0.0.1' }, { address: '127.0.0.1' }];
  assert.deepEqual(said('GET /audit'), ['/audit', known, 'insufficient_scope', 'auth:audit']);
  assert.deepEqual(said('PATCH /clients/:client_id'), ['admin', known, 'insufficient_scope', undefined]);
  assert.deepEqual(said('POST /clients'), ['/clients', known, 'insufficient_scope', undefined]);
  assert.deepEqual(said('DELETE /clients/:client_id'), ['weak', nobody, 'invalid_token', undefined]);
  assert.deepEqual(said('GET /clients/:client_id'), ['/clients/:client_id', nobody, 'invalid_token', undefined]);
  assert.deepEqual(said('PUT /clients/:client_id'), ['/clients/:client_id', nobody, 'invalid_token', undefined]);
  const text = JSON.stringify([...rows.values()]);
  for (const hidden of [weak.clientSecret, token, revoked, 'junk', 'not-a-token', 'mine']) assert.ok(!text.includes(hidden), hidden);
});

test('L08 a revocation: one row, however often it is said; none for what ends nothing', async () => {
  const client = await createClient(server, { client_id: 'revoker' });
  const { id: secretId } = (client.document.secrets as [{ readonly id: string }])[0];
  const other = await createClient(server, { client_id: 'other-revoker' });
  const token = await issueToken(server.url, client);
  const { jti } = (await postForm(`${server.url}/introspect`, { token }, client)).body;
  const before = await countRows();
  assert.equal((await postForm(`${server.url}/revoke`, { token }, other)).status, 400);
  assert.equal((await postForm(`${server.url}/revoke`, { token: `at_${'x'.repeat(49)}` }, client)).status, 200);
  assert.equal(await countRows(), before, 'nothing ended');
  for (const requestId of ['r-1', 'r-2', 'r-3']) {
    assert.equal((await postForm(`${server.url}/revoke`, { token }, client, { 'x-request-id': requestId })).status, 200);
  }
  const items = await audit('?action=token.revoke&target=revoker');
  assert.equal(items.length, 1);
  const { id, at, ...item } = items[0] ?? assert.fail();
  assert.deepEqual(item, {
    action: 'token.revoke',
    actor: { client_id: 'revoker', secret_id: secretId, address: '127.0.0.1' },
    target: 'revoker',
    detail: { jti },
    request_id: 'r-1',
  });
});

test('L09 which of several secrets somebody had got his token by; who introspects it is not told', async () => {
  const client = await createClient(server, { client_id: 'two-keys', scope: 'auth:clients' });
  const added = await send('POST', '/clients/two-keys/secrets', { name: 'second' });
  const [first] = client.document.secrets as [{ readonly id: string }];
  const token = await issueToken(server.url, client);
  const other = await issueToken(server.url, { ...client, clientSecret: added.body.client_secret });
  const [newest] = await audit('?limit=1');
  for (const [n, bearer] of [token, other].entries()) {
    assert.equal((await send('POST', '/clients', { client_id: `made-by-secret-${n}` }, bearer)).status, 201);
  }
  const actors = (await audit(`?after=${newest?.id}&action=client.create`)).map(({ actor }) => actor.secret_id);
  assert.deepEqual(actors, [first.id, added.body.id]);
  const answer = await postForm(`${server.url}/introspect`, { token: other }, client);
  assert.ok(answer.body.active && !answer.text.includes(added.body.id));
});
