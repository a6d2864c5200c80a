/** `npm run bench:mass-revocation`: ends a client, and a subject, that has a million live tokens. Ends with status 1 if a target is missed. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { createClient, issueToken, sendJson } from '../test/support/client.ts';
import { temporaryFolder } from '../test/support/server.ts';
import { Closers } from './cluster.ts';
import { facts, quantile, table, whole } from './report.ts';
import { readSurroundings, type Surroundings, save, say, usualFile } from './saved.ts';
import { durablePostgres, launchAuth, type PostgresFacts, stopAuth } from './servers.ts';

const USAGE = `npm run bench:mass-revocation -- [--quick] [--out bench/results/<date>-<commit>-mass-revocation.json]

  --quick    a hundredth of the tokens; saved only with --out
`;

const TOKENS = 1_000_000;
const CALLS = 60;
const ADMIN = { clientId: 'admin', clientSecret: 'a-secret-of-the-administrator-for-this-bench' } as const;

interface Figure {
  readonly what: string;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** of the p99 */
  readonly targetMs: number | undefined;
}

interface Result extends Surroundings {
  readonly postgres: PostgresFacts;
  readonly tokens: number;
  readonly figures: readonly Figure[];
}

const closers = new Closers();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, out: { type: 'string' }, help: { type: 'boolean', default: false } },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const surroundings = readSurroundings();
  const share = values.quick ? 100 : 1;
  const tokens = TOKENS / share;
  const folder = await temporaryFolder();
  closers.add(() => rm(folder, { recursive: true, force: true }));
  const { child, port } = await launchAuth(folder, { AUTH_ADMIN_CLIENT_SECRET: ADMIN.clientSecret });
  closers.add(() => stopAuth(child));
  const url = `http://127.0.0.1:${port}`;
  const host = join(folder, 'postgres');
  const postgres = await durablePostgres(host);
  await createClient({ url, admin: ADMIN }, { client_id: 'million', scope: 'read' });
  say(`filling: ${whole(tokens)} tokens`);
  await fill(host, tokens);
  const bearer = await issueToken(url, ADMIN);
  const end = (body: object) => sendJson('POST', `${url}/revocations`, bearer, body);
  const figures = [
    await measure(`a dry run for a subject with ${whole(tokens)} live tokens`, undefined, () => end({ sub: 'million', dry_run: true }), 5),
    await measure(`revocation of a client with ${whole(tokens)} live tokens`, 50, () => end({ client_id: 'million' })),
    await measure('revocation of a subject with as many', 50, () => end({ sub: 'million' })),
  ];
  const result: Result = { ...surroundings, postgres, tokens, figures };
  const rows = figures.map(({ what, medianMs, p99Ms, maxMs, targetMs }) => [
    what,
    medianMs.toFixed(1),
    p99Ms.toFixed(1),
    maxMs.toFixed(1),
    targetMs === undefined ? '' : `≤ ${targetMs}`,
  ]);
  process.stdout.write(`\n${facts(result)}\n\n${table(['', 'median, ms', 'p99', 'max', 'target of the p99'], rows)}\n`);
  const out = values.out ?? (values.quick ? undefined : usualFile('mass-revocation'));
  if (out !== undefined) save(out, result);
  const missed = figures.filter(({ p99Ms, targetMs = Number.POSITIVE_INFINITY }) => p99Ms > targetMs);
  for (const { what, p99Ms, targetMs } of missed) say(`MISSED: ${what}: ${p99Ms.toFixed(1)} ms, target ≤ ${targetMs}`);
  process.exitCode = missed.length > 0 ? 1 : 0;
}

async function measure(
  what: string,
  targetMs: number | undefined,
  call: () => Promise<{ readonly status: number }>,
  calls = CALLS,
): Promise<Figure> {
  const times: number[] = [];
  // The first ones warm up connections and plans.
  for (let n = -Math.ceil(calls / 12); n < calls; n++) {
    const since = performance.now();
    const { status } = await call();
    if (status >= 300) throw new Error(`${what}: ${status}`);
    if (n >= 0) times.push(performance.now() - since);
  }
  const sorted = Float64Array.from(times).sort();
  say(`${what}: ${quantile(sorted, 0.5).toFixed(1)} ms`);
  return { what, medianMs: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99), maxMs: sorted.at(-1) ?? 0, targetMs };
}

/** Rows as the server would have written them, but for their hashes: nobody has these tokens. */
async function fill(host: string, tokens: number): Promise<void> {
  const client = new pg.Client({ host, user: 'auth', database: 'auth' });
  await client.connect();
  try {
    await client.query(
      `insert into access_token (token_hash, jti, client_id, subject, scope, audience, claims, issued_at, expires_at, issued_seq, long_lived)
        select sha256(n::text::bytea), gen_random_uuid(), 'million', 'million', '{read}', '{http://localhost:8080}', null,
          date_trunc('second', clock_timestamp()), date_trunc('second', clock_timestamp()) + interval '1 hour', 1, false
        from generate_series(1, $1::int) n`,
      [tokens],
    );
    await client.query('analyze');
  } finally {
    await client.end();
  }
}

await main().finally(() => closers.run());
