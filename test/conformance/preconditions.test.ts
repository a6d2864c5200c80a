/** Entity tags of clients and what a request may demand of them, RFC 9110 §8.8.3 and §13: E01–E04. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Answer, createClient, issueToken, request } from '../support/client.ts';
import { type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
before(async () => {
  server = await openServer();
  administrator = await issueToken(server.url, server.admin);
});
after(() => server.stop());

function send(method: string, path: string, headers: Readonly<Record<string, string>> = {}, body?: object): Promise<Answer> {
  return request(server.url + path, {
    method,
    headers: { authorization: `Bearer ${administrator}`, ...(body && { 'content-type': 'application/json' }), ...headers },
    ...(body && { body: JSON.stringify(body) }),
  });
}
const tagOf = (answer: Answer) => answer.headers.get('etag') ?? 'none';
const currentTag = async (path: string) => tagOf(await send('GET', path));

test('E01 RFC 9110 §8.8.3: every answer with one client has a strong tag, which changes with each change and with nothing else', async () => {
  const created = await send('POST', '/clients', {}, { client_id: 'tagged', scope: 'a' });
  const path = '/clients/tagged';
  const seen = [tagOf(created)];
  assert.match(seen[0] ?? '', /^"[\x21\x23-\x7e]+"$/);
  assert.equal(await currentTag(path), seen[0]);
  await issueToken(server.url, { clientId: 'tagged', clientSecret: created.body.client_secret });
  assert.equal(await currentTag(path), seen[0], 'neither reading nor a token is a change');
  for (const [method, body] of [
    ['PATCH', { client_name: 'x' }],
    ['PATCH', {}],
    ['PUT', { scope: 'a' }],
  ] as const) {
    const answer = await send(method, path, {}, body);
    assert.equal(await currentTag(path), tagOf(answer), `${method} tells the tag that a reader gets`);
    seen.push(tagOf(answer));
  }
  const added = await send('POST', `${path}/secrets`, {}, {});
  seen.push(await currentTag(path));
  await send('DELETE', `${path}/secrets/${added.body.id}`);
  seen.push(await currentTag(path));
  assert.equal(new Set(seen).size, seen.length, seen.join(' '));
  const other = await createClient(server);
  const before = await currentTag(path);
  await send('DELETE', `/clients/${other.clientId}`);
  assert.equal(await currentTag(path), before, 'what happens to others is no change');
});

/** Of If-Match, by the tag that is current and one that was. */
const CONDITIONS: readonly [why: string, header: (current: string, stale: string) => string, status: 'done' | 400 | 412][] = [
  ['the current tag', (current) => current, 'done'],
  ['any', () => '*', 'done'],
  ['a list with it', (current, stale) => `"x,y", ${stale} ,, ${current}`, 'done'],
  ['a stale tag', (_, stale) => stale, 412],
  ['a list without it', (_, stale) => `${stale}, "other"`, 412],
  ['the current one as a weak tag', (current) => `W/${current}`, 412],
  ['a part of it', (current) => `"${current.slice(1, -1)}0"`, 412],
  ['an empty tag', () => '""', 412],
  ['no quotes', (current) => current.slice(1, -1), 400],
  ['an open quote', (current) => current.slice(0, -1), 400],
  ['a list without commas', (current, stale) => `${stale} ${current}`, 400],
  ['any and one', (current) => `*, ${current}`, 400],
  ['commas only', () => ',,', 400],
  ['a weak mark in small letters', (current) => `w/${current}`, 400],
];
for (const [why, header, expected] of CONDITIONS) {
  test(`E02 RFC 9110 §13.1.1: If-Match with ${why} is ${expected}`, async () => {
    const { clientId, document } = await createClient(server, { client_name: 'before' });
    const path = `/clients/${clientId}`;
    const stale = await currentTag(path);
    await send('PATCH', path, {}, { scope: 'a' });
    const spare = (await send('POST', `${path}/secrets`, {}, {})).body.id;
    const [first] = document.secrets as [{ id: string }];
    const attempts: readonly [method: string, path: string, body?: object][] = [
      ['PATCH', path, { client_name: 'after' }],
      ['PUT', path, { client_name: 'after' }],
      ['POST', `${path}/secrets`, { name: 'after' }],
      ['DELETE', `${path}/secrets/${spare}`],
      ['DELETE', `${path}/secrets/${first.id}?revoke_tokens=true`],
      ['DELETE', path],
    ];
    const written = () =>
      server.database.query('select (select last_seq from change_log), (select count(*) from audit), (select count(*) from client_secret)');
    for (const [method, target, body] of attempts) {
      const before = [await written(), await currentTag(path)];
      const answer = await send(method, target, { 'if-match': header(await currentTag(path), stale) }, body);
      if (expected === 'done') {
        assert.ok(answer.status < 300, `${method} ${target}: ${answer.text}`);
        continue;
      }
      assert.deepEqual([answer.status, answer.headers.get('content-type')], [expected, 'application/problem+json'], `${method} ${target}`);
      assert.equal(answer.body.error, expected === 412 ? 'precondition_failed' : 'invalid_request');
      assert.deepEqual([await written(), await currentTag(path)], before, 'a refusal writes nothing');
    }
  });
}

test('E03 RFC 9110 §13.1.1: twenty administrators with the same tag change one client at once: one wins, nineteen get 412', async () => {
  const { clientId } = await createClient(server);
  const path = `/clients/${clientId}`;
  const changes = async () => (await server.database.query<{ n: number }>('select last_seq as n from change_log'))[0]?.n ?? 0;
  for (const change of [
    (index: number, tag: string) => send('PATCH', path, { 'if-match': tag }, { claims: { [`c${index}`]: true } }),
    (index: number, tag: string) => send('POST', `${path}/secrets`, { 'if-match': tag }, { name: `s${index}` }),
  ]) {
    const [tag, before] = [await currentTag(path), Number(await changes())];
    // A busy machine may let some wait in vain: what was cancelled is asked again.
    const insist = async (index: number): Promise<Answer> => {
      const answer = await change(index, tag);
      return answer.status === 503 ? insist(index) : answer;
    };
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => insist(index)));
    const won = answers.filter(({ status }) => status < 300);
    assert.equal(won.length, 1, answers.map(({ status }) => status).join(' '));
    assert.equal(answers.filter(({ status }) => status === 412).length, 19);
    assert.equal(Number(await changes()), before + 1);
  }
  const { claims, secrets } = (await send('GET', path)).body;
  assert.deepEqual([Object.keys(claims).length, secrets.length], [1, 2]);
});

test('E04 RFC 9110 §13.1.2: If-None-Match: 304 without a body for who has it already, 412 for a change', async () => {
  const { clientId } = await createClient(server);
  const path = `/clients/${clientId}`;
  const tag = await currentTag(path);
  for (const header of [tag, `W/${tag}`, `"other", ${tag}`, '*']) {
    const answer = await send('GET', path, { 'if-none-match': header });
    assert.deepEqual([answer.status, answer.text, tagOf(answer)], [304, '', tag], header);
    assert.equal((await send('PATCH', path, { 'if-none-match': header }, { scope: 'b' })).status, 412, header);
  }
  assert.equal(await currentTag(path), tag, 'a refusal changes nothing');
  assert.equal((await send('GET', path, { 'if-none-match': '"other"' })).status, 200);
  assert.equal((await send('GET', path, { 'if-none-match': 'other' })).status, 400);
  assert.equal((await send('GET', path, { 'if-match': '"other"' })).status, 412);
  await send('PATCH', path, {}, { scope: 'b' });
  assert.equal((await send('GET', path, { 'if-none-match': tag })).status, 200);
});

test('E04 RFC 9110 §13.2.1: what would be refused anyway is refused as ever: 404, 403', async () => {
  assert.equal((await send('PATCH', '/clients/nobody', { 'if-match': '"0"' }, {})).status, 404);
  assert.equal((await send('GET', '/clients/nobody', { 'if-none-match': '*' })).status, 404);
  const limited = await issueToken(server.url, server.admin, { scope: 'auth:clients' });
  const answer = await send('DELETE', '/clients/admin', { 'if-match': '"0"', authorization: `Bearer ${limited}` });
  assert.deepEqual([answer.status, answer.body.error], [403, 'insufficient_scope']);
});
