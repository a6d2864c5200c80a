/** Many clients at a time, and the hashes of other servers: P01 to P10. */
import assert from 'node:assert/strict';
import { createHash, pbkdf2Sync, randomBytes, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { hashSync } from 'bcryptjs';
import pg from 'pg';
import { createClient, issueToken, postForm, sendJson } from '../support/client.ts';
import { type Credentials, type InProcessServer, openServer, until } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
before(async () => {
  server = await openServer();
  administrator = await issueToken(server.url, server.admin);
});
after(() => server.stop());

type Line = Readonly<Record<string, unknown>> | string;
const NDJSON = 'application/x-ndjson';
const linesOf = (lines: readonly Line[]) => lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('');
const load = (lines: readonly Line[], query = '', token: string | undefined = administrator, type = NDJSON) =>
  sendJson('POST', `${server.url}/clients/import${query}`, token, linesOf(lines), type);
const get = async (id: string) => (await sendJson('GET', `${server.url}/clients/${id}`, administrator)).body;
const statusOf = async (who: Credentials) => (await postForm(`${server.url}/token`, 'grant_type=client_credentials', who)).status;
/** All that an import could write. */
const written = () =>
  server.database.query(`select (select count(*) from client) as clients, (select count(*) from client_secret) as secrets,
    (select last_seq from change_log) as seq, (select count(*) from change) as changes, (select count(*) from audit where action like 'client.%') as audits`);
const verifierOf = async (id: string) =>
  (await server.database.query<{ verifier: string }>('select verifier from client_secret where client_id = $1', [id]))[0]?.verifier;
const raw64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '');
const OWN = `sha256:${createHash('sha256').update(randomBytes(32)).digest('base64url')}`;
const named = (name: string) => `${name}-${randomUUID().slice(0, 8)}`;

test('P01 lines become clients in one transaction, as POST /clients makes them, each with its rows in the change log and the audit', async () => {
  const [first, second, open] = [named('first'), named('second'), named('open')];
  const secret = randomBytes(32).toString('base64url');
  const before = (
    await server.database.query<{ seq: number; id: number }>('select last_seq as seq, (select max(id) from audit) as id from change_log')
  )[0];
  const answer = await load([
    { client_id: first, client_name: 'First', scope: 'a b', claims: { tenant: 1 }, client_secret: secret },
    { client_id: second, access_token_ttl: 60, secrets: [{ name: 'old', expires_at: '2999-01-01T00:00:00Z', hash: OWN }] },
    { client_id: open, token_endpoint_auth_method: 'none', grant_types: [] },
  ]);
  assert.deepEqual([answer.status, answer.body], [200, { created: 3, unchanged: 0, failed: 0 }]);
  const { client_name, scope, claims, secrets } = await get(first);
  assert.deepEqual([client_name, scope, claims, secrets.length], ['First', 'a b', { tenant: 1 }, 1]);
  assert.equal(await statusOf({ clientId: first, clientSecret: secret }), 200);
  const [kept] = (await get(second)).secrets;
  assert.deepEqual([kept.name, kept.expires_at, kept.hash], ['old', '2999-01-01T00:00:00.000Z', undefined]);
  const ids = [first, second, open].sort();
  const changes = await server.database.query('select kind, key from change where seq > $1 order by seq', [before?.seq]);
  assert.deepEqual(
    changes,
    ids.map((key) => ({ kind: 'client_record', key })),
  );
  const audits = await server.database.query(
    'select action, target, actor_client_id as actor, detail from audit where id > $1 order by id',
    [before?.id],
  );
  assert.deepEqual(
    audits.map(({ action, target, actor }: Record<string, unknown>) => [action, target, actor]),
    ids.map((id) => ['client.create', id, 'admin']),
  );
  assert.ok(!JSON.stringify(audits).includes(secret) && !JSON.stringify(audits).includes(OWN) && !server.logged().includes(secret));
  const again = await createClient(server);
  assert.ok(await issueToken(server.url, again), 'the numbers of the change log go on');
});

const REFUSALS: readonly [why: string, lines: readonly Line[], status: number, error: string, pointers: readonly string[]][] = [
  ['an unknown member', [{ client_id: 'p-x', foo: 1 }], 400, 'invalid_client_metadata', ['/0/foo']],
  [
    'two fields of one line',
    [{ client_id: 'p-x', scope: ' ', access_token_ttl: 0 }],
    400,
    'invalid_client_metadata',
    ['/0/scope', '/0/access_token_ttl'],
  ],
  ['no id, so it could not be repeated', [{ scope: 'a' }], 400, 'invalid_client_metadata', ['/0/client_id']],
  ['no JSON', [{ client_id: 'p-x' }, '{'], 400, 'invalid_request', ['/1']],
  ['a line that is too long', [`{"x":"${'x'.repeat(65_536)}"}`], 400, 'invalid_request', ['/0']],
  ['no object', ['[]'], 400, 'invalid_request', ['/0']],
  ['a blank line between others', ['', { client_id: 'p-x' }], 400, 'invalid_request', ['/0']],
  ['an id twice', [{ client_id: 'p-x' }, { client_id: 'p-x' }], 400, 'invalid_client_metadata', ['/1/client_id']],
  ['an id of another client', [{ client_id: 'admin' }], 409, 'conflict', ['/0/client_id']],
  [
    'errors of several kinds',
    [{ client_id: 'admin' }, { client_id: 'p-x', scope: 1 }],
    400,
    'invalid_client_metadata',
    ['/0/client_id', '/1/scope'],
  ],
  ['a short secret', [{ client_id: 'p-x', client_secret: 'hunter2' }], 400, 'invalid_client_metadata', ['/0/client_secret']],
  [
    'a secret of a public client',
    [{ client_id: 'p-x', token_endpoint_auth_method: 'none', client_secret: OWN }],
    400,
    'invalid_client_metadata',
    ['/0/token_endpoint_auth_method'],
  ],
  ['secrets that are no list', [{ client_id: 'p-x', secrets: {} }], 400, 'invalid_client_metadata', ['/0/secrets']],
  [
    'a hash of another form',
    [{ client_id: 'p-x', secrets: [{ hash: '$1$abc$def' }] }],
    400,
    'invalid_client_metadata',
    ['/0/secrets/0/hash'],
  ],
  [
    'a SHA-256 in another spelling',
    [{ client_id: 'p-x', secrets: [{ hash: `${OWN}=` }] }],
    400,
    'invalid_client_metadata',
    ['/0/secrets/0/hash'],
  ],
  [
    'bcrypt that would take a minute',
    [{ client_id: 'p-x', secrets: [{ hash: `$2b$19$${'a'.repeat(53)}` }] }],
    400,
    'invalid_client_metadata',
    ['/0/secrets/0/hash'],
  ],
  [
    'PBKDF2 that would take a minute',
    [{ client_id: 'p-x', secrets: [{ hash: `$pbkdf2-sha256$i=9999999,l=32$c2FsdA$${raw64(Buffer.alloc(32))}` }] }],
    400,
    'invalid_client_metadata',
    ['/0/secrets/0/hash'],
  ],
  [
    'PBKDF2 of another length than it says',
    [{ client_id: 'p-x', secrets: [{ hash: `$pbkdf2-sha256$i=1,l=31$c2FsdA$${raw64(Buffer.alloc(32))}` }] }],
    400,
    'invalid_client_metadata',
    ['/0/secrets/0/hash'],
  ],
  [
    'scrypt that would take a gigabyte',
    [{ client_id: 'p-x', secrets: [{ hash: `$scrypt$ln=17,r=64,p=1$c2FsdA$${raw64(Buffer.alloc(32))}` }] }],
    400,
    'invalid_client_metadata',
    ['/0/secrets/0/hash'],
  ],
  [
    'three slow hashes',
    [{ client_id: 'p-x', secrets: Array.from({ length: 3 }, () => ({ hash: `$2b$10$${'a'.repeat(53)}` })) }],
    400,
    'invalid_client_metadata',
    ['/0/secrets'],
  ],
  [
    'eleven secrets',
    [{ client_id: 'p-x', secrets: Array.from({ length: 11 }, () => ({ hash: OWN })) }],
    400,
    'invalid_client_metadata',
    ['/0/secrets'],
  ],
  [
    'a member that a secret has not',
    [{ client_id: 'p-x', secrets: [{ hash: OWN, expires: 1 }] }],
    400,
    'invalid_client_metadata',
    ['/0/secrets/0/expires'],
  ],
  [
    'an end that is no time',
    [{ client_id: 'p-x', secrets: [{ hash: OWN, expires_at: 'never' }] }],
    400,
    'invalid_client_metadata',
    ['/0/secrets/0/expires_at'],
  ],
];

for (const [why, lines, status, error, pointers] of REFUSALS) {
  test(`P02 a line that is wrong keeps all from being created: ${why}`, async () => {
    const before = await written();
    const answer = await load([...lines, { client_id: named('good') }]);
    assert.deepEqual(
      [answer.status, answer.body.error, answer.body.errors?.map(({ pointer }: { pointer: string }) => pointer)],
      [status, error, pointers],
      answer.text,
    );
    assert.deepEqual(await written(), before);
  });
}

test('P02 what is refused before the lines are looked at: authority, media type, size, query', async () => {
  const before = await written();
  const line = { client_id: named('none') };
  const reader = await issueToken(server.url, server.admin, { scope: 'auth:clients:read' });
  assert.equal((await load([line], '', 'at_none')).status, 401);
  assert.equal((await load([line], '', reader)).status, 403);
  assert.equal((await load([line], '', administrator, 'application/json')).status, 415);
  assert.equal((await load(Array.from({ length: 1_001 }, () => line))).status, 413);
  assert.equal((await load([JSON.stringify({ ...line, client_name: 'x'.repeat(4 * 1024 * 1024) })])).status, 413);
  for (const query of ['?dry_run=yes', '?dry_run=true&dry_run=true', '?dryrun=true'])
    assert.equal((await load([line], query)).status, 400, query);
  assert.equal(
    (await sendJson('POST', `${server.url}/clients`, administrator, { client_name: 'x'.repeat(65_536) })).status,
    413,
    'elsewhere the limit is as it was',
  );
  assert.deepEqual(await written(), before);
});

test('P03 a dry run counts and writes nothing; partial creates what is right and says what is not', async () => {
  const [good, other] = [named('good'), named('other')];
  const lines = [{ client_id: good }, { client_id: 'admin' }, { client_id: other, scope: ' ' }];
  const before = await written();
  const dry = await load(lines, '?dry_run=true');
  assert.deepEqual([dry.status, dry.body.dry_run, dry.body.created, dry.body.unchanged, dry.body.failed], [200, true, 1, 0, 2]);
  assert.deepEqual(await written(), before);
  const partial = await load(lines, '?partial=true');
  assert.deepEqual([partial.status, partial.body.created, partial.body.failed], [200, 1, 2]);
  assert.deepEqual(partial.body.errors, dry.body.errors);
  assert.deepEqual(
    partial.body.errors.map(({ pointer }: { pointer: string }) => pointer),
    ['/1/client_id', '/2/scope'],
  );
  assert.equal((await get(good)).client_id, good);
});

test('P04 the same lines once more change nothing; another client of that id, or a deleted one, is an error', async () => {
  const id = named('again');
  const line = { client_id: id, client_name: 'Again', scope: 'a', claims: { b: 1, a: [2] }, secrets: [{ name: 'x', hash: OWN }] };
  assert.equal((await load([line])).body.created, 1);
  const before = await written();
  assert.deepEqual((await load([line])).body, { created: 0, unchanged: 1, failed: 0 });
  const { version: _, ...shown } = await get(id);
  assert.deepEqual((await load([shown])).body, { created: 0, unchanged: 1, failed: 0 }, 'as it is read');
  for (const other of [
    { ...line, scope: 'a b' },
    { ...line, secrets: [{ name: 'y', hash: OWN }] },
    { ...line, disabled: true },
  ])
    assert.equal((await load([other])).status, 409);
  assert.deepEqual(await written(), before);
  assert.equal((await sendJson('DELETE', `${server.url}/clients/${id}`, administrator)).status, 204);
  assert.equal((await load([line])).status, 409, 'an id is given once');
});

test('P05 ten imports of the same clients at the same time: each client is created once, and nobody is told otherwise', async () => {
  const lines = Array.from({ length: 50 }, (_, index) => ({ client_id: `${named('race')}-${index}` }));
  const answers = await Promise.all(Array.from({ length: 10 }, (_, turn) => load(turn % 2 === 0 ? lines : [...lines].reverse())));
  const done = answers.filter(({ status }) => status === 200);
  assert.ok(
    done.length > 0 && answers.every(({ status }) => status === 200 || status === 503),
    JSON.stringify(answers.map(({ text }) => text)),
  );
  assert.equal(
    done.reduce((sum, { body }) => sum + body.created, 0),
    50,
  );
  assert.ok(done.every(({ body }) => body.created + body.unchanged === 50));
  const [row] = await server.database.query('select count(*)::int as audits from audit where target = any($1)', [
    lines.map((line) => line.client_id),
  ]);
  assert.deepEqual(row, { audits: 50 });
});

test('P06 nobody gives what he has not: auth: scopes need a token that holds them', async () => {
  const operator = await issueToken(server.url, await createClient(server, { scope: 'auth:clients read' }));
  const lines = [{ client_id: named('plain') }, { client_id: named('keys'), scope: 'auth:keys' }];
  const before = await written();
  const answer = await load(lines, '', operator);
  assert.deepEqual([answer.status, answer.body.error, answer.body.errors[0].pointer], [403, 'insufficient_scope', '/1/scope']);
  assert.deepEqual(await written(), before);
  assert.deepEqual([(await load(lines, '?partial=true', operator)).body.created, (await load(lines)).body.created], [1, 1]);
});

const LONG = 'a-secret-that-a-machine-made-0123456789';
const hydra = (secret: string) =>
  `$pbkdf2-sha256$i=25000,l=32$${raw64(Buffer.from('0123456789abcdef'))}$${raw64(pbkdf2Sync(secret, '0123456789abcdef', 25_000, 32, 'sha256'))}`;
/** Short ones are vectors of others: OpenBSD's bcrypt, RFC 7914 §12. */
const HASHES: readonly [what: string, secret: string, hash: string, isReplaced: boolean][] = [
  ['Hydra, PBKDF2', LONG, hydra(LONG), true],
  ['Hydra, PBKDF2, a short secret', 'hunter2', hydra('hunter2'), false],
  ['bcrypt of a long secret', LONG, hashSync(LONG, 5), true],
  ['bcrypt, a vector', 'abc', '$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i', false],
  [
    'scrypt, a vector',
    'pleaseletmein',
    `$scrypt$ln=14,r=8,p=1$${raw64(Buffer.from('SodiumChloride'))}$${raw64(Buffer.from('7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887', 'hex'))}`,
    false,
  ],
];
for (const [what, clientSecret, hash, isReplaced] of HASHES) {
  test(`P07 a secret stays valid with the hash of another server: ${what}`, async () => {
    const clientId = named('hash');
    const line = { client_id: clientId, secrets: [{ hash }] };
    assert.equal((await load([line])).body.created, 1);
    assert.equal(await statusOf({ clientId, clientSecret: `${clientSecret}x` }), 401);
    assert.equal(await verifierOf(clientId), hash);
    assert.equal(await statusOf({ clientId, clientSecret }), 200);
    if (isReplaced) {
      const expected = `sha256:${createHash('sha256').update(clientSecret).digest('base64url')}`;
      await until(async () => (await verifierOf(clientId)) === expected, 5_000);
    }
    assert.equal(await statusOf({ clientId, clientSecret }), 200);
    assert.equal(await statusOf({ clientId, clientSecret: `${clientSecret}x` }), 401);
    if (!isReplaced) assert.equal(await verifierOf(clientId), hash, 'a weak secret keeps the hash that is hard to try out');
    assert.equal((await load([line])).body.unchanged, 1, 'the import can still be repeated');
    assert.ok(!server.logged().includes(clientSecret) || clientSecret === 'abc');
  });
}

test('P07 what bcrypt would not look at must not be there; a disabled client and an ended secret stay out', async () => {
  const [long, disabled, ended] = [named('long'), named('disabled'), named('ended')];
  const secret = 'x'.repeat(72);
  const hash = hashSync(secret, 4);
  await load([
    { client_id: long, secrets: [{ hash }] },
    { client_id: disabled, disabled: true, secrets: [{ hash }] },
    { client_id: ended, secrets: [{ hash, expires_at: '2020-01-01T00:00:00Z' }] },
  ]);
  assert.equal(await statusOf({ clientId: long, clientSecret: `${secret}y` }), 401);
  assert.equal(await statusOf({ clientId: long, clientSecret: secret }), 200);
  assert.equal(await statusOf({ clientId: disabled, clientSecret: secret }), 401);
  assert.equal(await statusOf({ clientId: ended, clientSecret: secret }), 401);
  assert.deepEqual((await get(ended)).secrets, []);
});

test('P07 a secret that was removed is wrong, however well it is remembered', async () => {
  const clientId = named('removed');
  await load([{ client_id: clientId, secrets: [{ hash: hydra('hunter2') }] }]);
  assert.equal(await statusOf({ clientId, clientSecret: 'hunter2' }), 200);
  const [{ id }] = (await get(clientId)).secrets;
  assert.equal((await sendJson('DELETE', `${server.url}/clients/${clientId}/secrets/${id}`, administrator)).status, 204);
  assert.equal(await statusOf({ clientId, clientSecret: 'hunter2' }), 401);
});

test('P08 guesses at a slow hash are bounded: 503 beyond, and who has a secret of ours notices nothing', async () => {
  const [clientId, ours] = [named('slow'), await createClient(server)];
  await load([{ client_id: clientId, secrets: [{ hash: hashSync('right', 11) }] }]);
  const guesses = Promise.all(
    Array.from({ length: 16 }, (_, turn) =>
      postForm(`${server.url}/token`, 'grant_type=client_credentials', { clientId, clientSecret: `wrong${turn}` }),
    ),
  );
  assert.equal(await statusOf(ours), 200);
  const answers = await guesses;
  const refused = answers.filter(({ status }) => status === 503);
  assert.ok(refused.length > 0 && refused.every(({ headers }) => headers.get('retry-after') !== null));
  assert.ok(answers.every(({ status }) => status === 503 || status === 401));
  assert.equal(await statusOf({ clientId, clientSecret: 'right' }), 200);
});

test('P09 an outage in the middle of an import leaves nothing of it', async () => {
  const lines = Array.from({ length: 500 }, (_, index) => ({ client_id: `${named('lost')}-${index}`, secrets: [{ hash: OWN }] }));
  const before = await written();
  const blocker = new pg.Client({ connectionString: server.database.url });
  await blocker.connect();
  await blocker.query('begin');
  await blocker.query('select from change_log for update');
  const answer = await load(lines);
  await blocker.query('rollback');
  await blocker.end();
  assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '1']);
  assert.deepEqual(await written(), before);
  assert.equal((await load(lines)).body.created, 500);
});

test('P10 an export has the hashes, only for who may give what the client has, is in the audit, and can be imported', async () => {
  const clientId = named('export');
  await load([{ client_id: clientId, client_name: 'Exported', scope: 'a', secrets: [{ name: 'k', hash: hydra(LONG) }] }]);
  const operator = await issueToken(server.url, await createClient(server, { scope: 'auth:clients auth:clients:read' }));
  const all = async (token: string) => {
    const items: { readonly client_id: string; readonly secrets: readonly { readonly hash?: string }[] }[] = [];
    for (let cursor: string | undefined, page = 0; page === 0 || cursor !== undefined; page++) {
      const answer = await sendJson('POST', `${server.url}/clients/export`, token, { limit: 500, ...(cursor && { cursor }) });
      assert.equal(answer.status, 200, answer.text);
      items.push(...answer.body.items);
      cursor = answer.body.next_cursor;
    }
    return new Map(items.map((item) => [item.client_id, item]));
  };
  const [mine, theirs] = [await all(administrator), await all(operator)];
  assert.equal(mine.get(clientId)?.secrets[0]?.hash, hydra(LONG));
  assert.equal(theirs.get(clientId)?.secrets[0]?.hash, hydra(LONG));
  assert.match(mine.get('admin')?.secrets[0]?.hash ?? '', /^sha256:/);
  assert.equal(theirs.get('admin')?.secrets[0]?.hash, undefined);
  const reader = await issueToken(server.url, server.admin, { scope: 'auth:clients:read' });
  assert.equal((await sendJson('POST', `${server.url}/clients/export`, reader, {})).status, 403);
  for (const body of [{ limit: 0 }, { cursor: 5 }, { cursor: '%' }, { all: true }])
    assert.equal((await sendJson('POST', `${server.url}/clients/export`, administrator, body)).status, 400, JSON.stringify(body));
  const rows = await server.database.query<{ actor_client_id: string }>("select * from audit where action = 'client.export'");
  assert.ok(rows.length >= 2 && !JSON.stringify(rows).includes('pbkdf2'));
  const other = await openServer();
  try {
    const token = await issueToken(other.url, other.admin);
    const loaded = await sendJson('POST', `${other.url}/clients/import`, token, linesOf([JSON.stringify(mine.get(clientId))]), NDJSON);
    assert.deepEqual(loaded.body, { created: 1, unchanged: 0, failed: 0 });
    assert.equal((await postForm(`${other.url}/token`, 'grant_type=client_credentials', { clientId, clientSecret: LONG })).status, 200);
  } finally {
    await other.stop();
  }
});
