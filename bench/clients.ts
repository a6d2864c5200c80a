/** `npm run bench:clients`: a page of 100 among 100,000 clients, for every filter. Ends with status 1 if one takes longer than it may. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ClientFilter } from '../src/core/ports.ts';
import { clientAdministration } from '../src/postgres/clients.ts';
import { type Db, openDb } from '../src/postgres/db.ts';
import { startEmbeddedPostgres } from '../src/postgres/embedded.ts';
import { migrate } from '../src/postgres/migrate.ts';
import { facts, median, table } from './report.ts';
import { readSurroundings, type Surroundings, save, say, usualFile } from './saved.ts';

const CLIENTS = 100_000;
const PAGE = 100;
const TIMES = 21;
const MEDIAN_MS_MAX = 20;

/** Random ids, as most are; `late` is held by the last half of the list, `one` by the last client of all. */
const FILL = `insert into client
    (client_id, auth_method, grant_types, scope, audience, resources, claims, access_token_format, introspection_max_age, disabled, registration)
  select id, 'client_secret_basic', '{client_credentials}',
    array['read', 'tenant:' || n % 100] || case when id >= '8' then array['late'] else '{}' end || case when n = 1 then array['one'] else '{}' end,
    '{https://api.example.com}', '{}', jsonb_build_object('tenant', n % 100), 'reference', 0, n % 100 = 0,
    jsonb_build_object('client_name', 'Service ' || n || case when n % 1000 = 0 then ' Billing' else '' end, 'contacts', array['ops@example.com'])
  from (select n, case when n = 1 then 'z' else md5(n::text)::uuid::text end as id from generate_series(1, $1::int) as n) as made`;
const FILL_SECRETS = `insert into client_secret (client_id, verifier) select client_id, 'sha256:' || md5(client_id) || md5(client_id) from client`;

const CASES: readonly [what: string, filter: ClientFilter][] = [
  ['all', {}],
  ['`q` in every name', { text: 'service' }],
  ['`q` in one of 1,000', { text: 'billing' }],
  ['`q` in the last one', { text: 'z' }],
  ['`q` in none', { text: 'nobody has this' }],
  ['`scope` of all', { scope: 'read' }],
  ['`scope` of 1 %', { scope: 'tenant:7' }],
  ['`scope` of the last half', { scope: 'late' }],
  ['`scope` of the last one', { scope: 'one' }],
  ['`scope` of none', { scope: 'none' }],
  ['`disabled=true`, 1 %', { disabled: true }],
  ['`disabled=false`', { disabled: false }],
  ['`q` in none, `scope` of all', { text: 'nobody has this', scope: 'read' }],
  ['`q` in none, `scope` of the last half, `disabled=true`', { text: 'nobody has this', scope: 'late', disabled: true }],
  ['`scope` of 1 %, disabled: none of them', { scope: 'tenant:7', disabled: true }],
  ['`scope` of the last half, `disabled=true`, 1 %', { scope: 'late', disabled: true }],
  ['the part of a prefix, 0.4 %', { part: { prefix: 'fa', createdBy: undefined } }],
  ['the part of a prefix, `scope` of all', { scope: 'read', part: { prefix: 'fa', createdBy: undefined } }],
  ['the part of who made none', { part: { prefix: undefined, createdBy: 'nobody' } }],
];

interface CaseResult {
  readonly what: string;
  readonly clients: number;
  readonly medianMs: number;
  readonly maxMs: number;
}

interface Result extends Surroundings {
  readonly postgres: string;
  readonly results: readonly CaseResult[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { out: { type: 'string' } } });
  const surroundings = readSurroundings();
  const dataDir = mkdtempSync(join(tmpdir(), 'auth-bench-'));
  const postgres = await startEmbeddedPostgres({ dataDir });
  try {
    await migrate(postgres.connection);
    const limits = { connections: 1, waitingMax: 10, connectMs: 10_000, answerMs: 300_000 };
    const db = openDb(postgres.connection, () => undefined, limits);
    say(`${CLIENTS} clients`);
    const [index] = await db.query<{ text: string }>({ text: "select pg_get_indexdef('client_search'::regclass) as text" });
    await db.query({ text: 'drop index client_search' });
    await db.query({ text: FILL, values: [CLIENTS] });
    await db.query({ text: 'alter table client_secret disable trigger user' });
    await db.query({ text: FILL_SECRETS });
    await db.query({ text: 'alter table client_secret enable trigger user' });
    await db.query({ text: index?.text ?? '' });
    await db.query({ text: 'vacuum analyze client' });
    await db.query({ text: 'vacuum analyze client_scope' });
    await db.query({ text: 'vacuum analyze client_secret' });
    const [version] = await db.query<{ server_version: string }>({ text: 'show server_version' });
    const results: CaseResult[] = [];
    for (const [what, filter] of CASES) results.push(await measure(what, filter, db));
    await db.close();
    report({ ...surroundings, postgres: version?.server_version ?? '', results }, values.out ?? usualFile('clients'));
  } finally {
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function measure(what: string, filter: ClientFilter, db: Db): Promise<CaseResult> {
  const { list } = clientAdministration(db, () => undefined);
  const times: number[] = [];
  let clients = 0;
  for (let time = 0; time < TIMES; time++) {
    const since = performance.now();
    clients = (await list({ after: undefined, limit: PAGE + 1 }, filter)).length;
    times.push(performance.now() - since);
  }
  say(`${what}: ${median(times).toFixed(1)} ms`);
  return { what, clients: Math.min(clients, PAGE), medianMs: median(times), maxMs: Math.max(...times) };
}

function report(result: Result, file: string): void {
  const rows = result.results.map(({ what, clients, medianMs, maxMs }) => [what, `${clients}`, medianMs.toFixed(1), maxMs.toFixed(1)]);
  process.stdout.write(`\n${facts(result)}, PostgreSQL ${result.postgres}\n\n${table(['', 'on the page', 'ms, median', 'max'], rows)}\n`);
  save(file, result);
  for (const { what, medianMs } of result.results) {
    if (medianMs <= MEDIAN_MS_MAX) continue;
    say(`MISSED: ${what}`);
    process.exitCode = 1;
  }
}

await main();
