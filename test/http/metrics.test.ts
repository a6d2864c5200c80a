/** GET /metrics: docs/metrics.md is what a server really answers; counts are right; nothing that a caller sends becomes a label. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm, request } from '../support/client.ts';
import { parseMetrics, scrape } from '../support/metrics.ts';
import { freePort, type InProcessServer, openServer, until } from '../support/server.ts';

let server: InProcessServer;
let other: InProcessServer;
before(async () => {
  // Nothing listens there: etcd's metrics are there all the same.
  const nowhere = await freePort();
  [server, other] = await Promise.all([openServer({ ETCD_ENDPOINTS: `127.0.0.1:${nowhere}` }), openServer()]);
});
after(() => Promise.all([server.stop(), other.stop()]));

const documented = new Map(
  readFileSync('docs/metrics.md', 'utf8')
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter((cells) => cells[1]?.startsWith('`auth_'))
    .map(([, name = '', type = '', labels = '']) => [
      name.replaceAll('`', ''),
      { type, labels: labels === '' ? [] : labels.replaceAll('`', '').split(', ').sort() },
    ]),
);

test('docs/metrics.md names every metric with its type and its labels, and no other', async () => {
  const { types, labels } = await scrape(server.url);
  const exposed = [...types].filter(([name]) => name.startsWith('auth_'));
  assert.deepEqual(exposed.map(([name]) => name).sort(), [...documented.keys()].sort());
  for (const [name, type] of exposed) assert.deepEqual({ type, labels: labels.get(name) }, documented.get(name), name);
  for (const name of ['process_cpu_seconds_total', 'nodejs_eventloop_lag_p99_seconds']) assert.ok(types.has(name), name);
});

test('the alerts of docs/operations.md are about metrics that there are', async () => {
  const { types } = await scrape(server.url);
  const text = readFileSync('docs/operations.md', 'utf8');
  const named = [...text.matchAll(/\b(?:auth|nodejs)_[a-z0-9_]+/g)].map(([name]) => name.replace(/_bucket$/, ''));
  assert.ok(named.length > 10);
  for (const name of named) assert.ok(types.has(name), name);
});

test('each metric has a help text, and counters end in _total, times in _seconds', async () => {
  const { text } = await request(`${server.url}/metrics`);
  const { types } = parseMetrics(text);
  for (const [name, type] of types) {
    assert.match(text, new RegExp(`^# HELP ${name} \\S`, 'm'));
    if (!name.startsWith('auth_')) continue;
    assert.equal(name.endsWith('_total'), type === 'counter', name);
    if (type === 'histogram') assert.match(name, /_seconds$/);
  }
});

test('without etcd its state is all that is said of it; two servers in one process count each for itself', async () => {
  const { types, values } = await scrape(other.url);
  assert.deepEqual(
    [...types.keys()].filter((name) => name.startsWith('auth_etcd')),
    ['auth_etcd_state'],
  );
  assert.equal(values.get('auth_etcd_state{state="none"}'), 1);
  const before = values.get('auth_http_requests_total{method="GET",route="/jwks",status="2xx"}');
  await request(`${server.url}/jwks`);
  assert.equal((await scrape(other.url)).values.get('auth_http_requests_total{method="GET",route="/jwks",status="2xx"}'), before);
});

test('requests are counted by route pattern, method and class; unknown paths and methods together', async () => {
  const series = (method: string, route: string, status: string) =>
    `auth_http_requests_total{method="${method}",route="${route}",status="${status}"}`;
  const client = await createClient(server);
  const earlier = (await scrape(server.url)).values;
  await issueToken(server.url, client);
  await postForm(`${server.url}/token`, {}, client);
  await request(`${server.url}/clients/${client.clientId}`);
  await request(`${server.url}/nothing/here`);
  await request(`${server.url}/token`);
  await request(`${server.url}/token`, { method: 'PROPFIND' });
  const { values } = await scrape(server.url);
  const grown = (name: string) => (values.get(name) ?? 0) - (earlier.get(name) ?? 0);
  assert.equal(grown(series('POST', '/token', '2xx')), 1);
  assert.equal(grown(series('POST', '/token', '4xx')), 1);
  assert.equal(grown(series('GET', '/clients/:client_id', '4xx')), 1);
  assert.equal(grown(series('other', 'other', '4xx')), 3);
  assert.equal(grown('auth_http_request_duration_seconds_count{method="POST",route="/token"}'), 2);
  assert.equal(grown('auth_http_request_duration_seconds_bucket{method="POST",route="/token",le="+Inf"}'), 2);
});

test('a token is looked up in PostgreSQL, then in memory; what is revoked is in the deny set', async () => {
  const client = await createClient(other);
  const token = await issueToken(other.url, client);
  const earlier = (await scrape(other.url)).values;
  for (let time = 0; time < 3; time++) await postForm(`${other.url}/introspect`, { token }, client);
  await postForm(`${other.url}/revoke`, { token }, client);
  await postForm(`${other.url}/introspect`, { token }, client);
  await postForm(`${other.url}/introspect`, { token: 'none' }, client, { prefer: 'consistency=strict' }); // looks at the change log
  const { values } = await scrape(other.url);
  const grown = (name: string) => (values.get(name) ?? 0) - (earlier.get(name) ?? 0);
  assert.equal(grown('auth_token_lookups_total{level="memory"}'), 5);
  assert.equal(grown('auth_denied_tokens'), 1);
  assert.equal(grown('auth_change_log_applied_position'), 1);
  assert.equal(grown('auth_change_waits_total{ended_by="acknowledgement"}'), 1);
  assert.equal(values.get('auth_fresh'), 1);
  assert.ok((values.get('auth_freshness_age_seconds') ?? 9) < 1);
  assert.equal(values.get('auth_freshness_age_limit_seconds'), 1);
});

test('nothing that a caller sends is a label: neither client ids nor tokens nor paths', async () => {
  const client = await createClient(server, { client_id: 'a-very-special-client' });
  const token = await issueToken(server.url, client);
  await postForm(`${server.url}/introspect`, { token }, client);
  await request(`${server.url}/a-very-special-path/clients`);
  await request(`${server.url}/clients/a-very-special-client`);
  const { text, headers } = await request(`${server.url}/metrics`);
  assert.doesNotMatch(text, /a-very-special/);
  assert.ok(!text.includes(client.clientId) && !text.includes(token.slice(0, 12)));
  assert.equal(headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
});

test('whatever is accepted, the format is the same; nothing but GET and HEAD', async () => {
  const accept = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5';
  for (let time = 0; time < 2; time++) {
    const { types } = parseMetrics((await request(`${server.url}/metrics`, { headers: { accept } })).text);
    assert.ok(types.has('auth_http_requests_total'));
  }
  assert.equal((await request(`${server.url}/metrics`, { method: 'HEAD' })).status, 200);
  assert.equal((await request(`${server.url}/metrics`, { method: 'POST' })).status, 405);
});

test('before PostgreSQL was reached: metrics are there, and say why all the rest is 503', { timeout: 30_000 }, async (t) => {
  const port = await freePort();
  const waiting = await openServer({ DATABASE_URL: `postgres://auth@127.0.0.1:${port}/auth`, AUTH_ISSUER: 'http://localhost:8080/auth' });
  t.after(() => waiting.stop());
  const root = new URL('/', waiting.url).href.replace(/\/$/, '');
  assert.equal((await postForm(`${waiting.url}/token`, { grant_type: 'client_credentials' }, waiting.admin)).status, 503);
  assert.equal((await request(`${root}/health/ready`)).status, 503);
  const { values, types } = await scrape(root);
  assert.equal(values.get('auth_unavailable_total{reason="not_started"}'), 1, 'health checks are not counted');
  assert.equal(values.get('auth_http_requests_total{method="GET",route="/health/ready",status="5xx"}'), 1);
  assert.ok(!types.has('auth_fresh'));
});

test('a row that was removed behind the back of the server is found by the audit: counted, logged without the token, and gone from memory', async () => {
  const client = await createClient(other);
  const token = await issueToken(other.url, client);
  const introspect = async () => (await postForm(`${other.url}/introspect`, { token }, client)).body.active;
  assert.equal(await introspect(), true);
  await other.database.query('delete from access_token where client_id = $1', [client.clientId]);
  assert.equal(await introspect(), true, 'memory has it');
  const mismatches = async () => (await scrape(other.url)).values.get('auth_audit_mismatches_total{found="missing"}') ?? 0;
  await until(async () => (await mismatches()) === 1, 20_000);
  assert.equal(await introspect(), false);
  assert.match(other.logged(), /memory does not agree with PostgreSQL/);
  assert.ok(!other.logged().includes(token));
  assert.ok(((await scrape(other.url)).values.get('auth_audit_comparisons_total') ?? 0) > 0);
});
