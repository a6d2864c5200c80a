/** The list of clients: filters, pages, and what is no filter: E05, E06. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient, issueToken, sendJson } from '../support/client.ts';
import { type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
before(async () => {
  server = await openServer();
  administrator = await issueToken(server.url, server.admin);
});
after(() => server.stop());

const get = (query: string) => sendJson('GET', `${server.url}/clients?${query}`, administrator);

async function listed(query: string): Promise<readonly string[]> {
  const answer = await get(query);
  assert.equal(answer.status, 200, answer.text);
  return answer.body.items.map((client: { client_id: string }) => client.client_id);
}

test('E05 a list is narrowed by a part of id or name, by a scope, by the state, and by all of them at once', async () => {
  await createClient(server, { client_id: 'e05-a', client_name: 'Invoices & more', scope: 'invoices:read invoices:write' });
  await createClient(server, { client_id: 'e05-b', client_name: 'Archive', scope: 'invoices:read', disabled: true });
  await createClient(server, { client_id: 'INVOICES.e05', scope: 'parcels' });
  for (const [query, expected] of [
    ['q=e05', ['INVOICES.e05', 'e05-a', 'e05-b']],
    ['q=invoices', ['INVOICES.e05', 'e05-a']],
    ['q=Invoices+%26', ['e05-a']],
    ['scope=invoices:read', ['e05-a', 'e05-b']],
    ['scope=invoices%3Awrite', ['e05-a']],
    ['scope=invoices', []],
    ['disabled=true', ['e05-b']],
    ['disabled=false&scope=invoices:read', ['e05-a']],
    ['q=arch&scope=invoices:read&disabled=true', ['e05-b']],
    ['q=arch&scope=invoices:read&disabled=false', []],
    ['q=%27%3B+drop+table+client%3B--', []],
  ] as const) {
    assert.deepEqual(await listed(query), expected, query);
  }
  assert.deepEqual((await get('q=nothing-has-this')).body, { items: [] });
});

test('E05 pages of a filtered list: each client that stays once, while others come, go, and change', async () => {
  const ids = Array.from({ length: 12 }, (_, index) => `e05-page-${String(index).padStart(2, '0')}`);
  for (const [index, client_id] of ids.entries()) await createClient(server, { client_id, scope: index % 2 ? 'odd' : 'even' });
  const change = (method: string, id: string, body?: object) => sendJson(method, `${server.url}/clients/${id}`, administrator, body);
  const seen: string[] = [];
  let cursor: string | undefined;
  let pages = 0;
  do {
    const page = await get(`q=PAGE&scope=even&limit=2${cursor ? `&cursor=${cursor}` : ''}`);
    seen.push(...page.body.items.map((client: { client_id: string }) => client.client_id));
    cursor = page.body.next_cursor;
    if (++pages === 1) {
      await change('DELETE', 'e05-page-02'); // the one that the cursor stands on
      await change('PATCH', 'e05-page-04', { scope: 'odd' });
      await change('PATCH', 'e05-page-05', { scope: 'even' });
      await createClient(server, { client_id: 'e05-page-01b', scope: 'even' });
      await createClient(server, { client_id: 'e05-page-07b', scope: 'even' });
    }
  } while (cursor);
  assert.deepEqual(
    seen,
    ['00', '02', '05', '06', '07b', '08', '10'].map((end) => `e05-page-${end}`),
  );
});

for (const query of [
  'Q=x',
  'filter=x',
  'client_id=admin',
  'q=a&q=a',
  'limit=1&limit=2',
  'disabled=true&disabled=false',
  'cursor=YWRtaW4&cursor=YWRtaW4',
  'q=',
  'q=%00',
  'q=a%0Ab',
  `q=${'x'.repeat(201)}`,
  'scope=',
  'scope=a+b',
  'scope=%22',
  'scope=%C3%BC',
  'disabled=',
  'disabled=1',
  'disabled=TRUE',
  '__proto__=x',
  '=x',
]) {
  test(`E06 GET /clients?${query.slice(0, 40)} is refused: what is no filter must not list everybody`, async () => {
    const answer = await get(query);
    assert.deepEqual([answer.status, answer.body.error, 'items' in answer.body], [400, 'invalid_request', false]);
  });
}
