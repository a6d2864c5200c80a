import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import { ACCESS_TOKEN_TTL_MAX_SECONDS } from '../../src/core/clients.ts';
import { accessTokenStore } from '../../src/postgres/access-tokens.ts';
import { isLongLived, maintainPartitions, partitionsNeeded } from '../../src/postgres/partitions.ts';
import { tokenRecord } from '../contracts/stores.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;
const SHORT = { table: 'access_token_short', widthSeconds: 6 * HOUR, lifeMaxSeconds: DAY };
const LONG = { table: 'access_token_long', widthSeconds: 60 * DAY, lifeMaxSeconds: ACCESS_TOKEN_TTL_MAX_SECONDS };

async function database(t: TestContext): Promise<TestDatabase> {
  const created = await createDatabase();
  t.after(() => created.drop());
  return created;
}

async function partitionsOf({ query }: TestDatabase): Promise<readonly string[]> {
  const rows = await query<{ name: string }>(
    String.raw`select relname as name from pg_class where relname ~ '^access_token_(short|long)_(\d+|other)$' and relkind = 'r'`,
  );
  return rows.map(({ name }) => name).sort();
}

/** By the database's clock, as the maintenance. */
async function nowOf({ query }: TestDatabase): Promise<number> {
  return Number((await query<{ now: string }>('select extract(epoch from clock_timestamp())::bigint as now'))[0]?.now);
}

const needed = (now: number) =>
  [SHORT, LONG].flatMap((life) => [...partitionsNeeded(life, now).map((start) => `${life.table}_${start}`), `${life.table}_other`]).sort();

async function partitionOf({ query }: TestDatabase, { tokenHash }: AccessTokenRecord): Promise<string | undefined> {
  const rows = await query<{ name: string }>('select tableoid::regclass::text as name from access_token where token_hash = $1', [
    Buffer.from(tokenHash, 'base64url'),
  ]);
  assert.equal(rows.length, 1);
  return rows[0]?.name;
}

test('every token that is issued until the margin is over has a partition: one, and there are few', () => {
  const instant = fc.integer({ min: 1_700_000_000, max: 4_000_000_000 });
  for (const life of [SHORT, LONG]) {
    fc.assert(
      fc.property(instant, fc.integer({ min: 0, max: 6 * HOUR }), fc.integer({ min: 1, max: life.lifeMaxSeconds }), (now, later, lives) => {
        const starts = partitionsNeeded(life, now);
        const expiresAt = now + later + lives;
        assert.equal(starts.filter((start) => start <= expiresAt && expiresAt < start + life.widthSeconds).length, 1);
        assert.ok(starts.length <= 8, `${starts.length}`);
        for (const start of starts) assert.equal(start % life.widthSeconds, 0, 'the same for every node and every start');
      }),
    );
  }
});

test('a token that lives a day is short-lived, a second more is long-lived', () => {
  for (const [lives, isLong] of [
    [1, false],
    [DAY, false],
    [DAY + 1, true],
  ] as const) {
    // biome-ignore format: a table
    assert.equal(isLongLived({ issuedAt: 1_800_000_000, expiresAt: 1_800_000_000 + lives }), isLong);
  }
});

test('the first maintenance makes what is needed now, the next one nothing', async (t) => {
  const created = await database(t);
  assert.deepEqual(await partitionsOf(created), ['access_token_long_other', 'access_token_short_other']);
  const before = await nowOf(created);
  await maintainPartitions(created.db);
  const made = await partitionsOf(created);
  assert.ok(
    [before, await nowOf(created)].some((now) => JSON.stringify(made) === JSON.stringify(needed(now))),
    String(made),
  );
  await maintainPartitions(created.db);
  assert.deepEqual(await partitionsOf(created), made);
});

test('five maintainers at once, of two nodes: none fails, and the partitions are there once', async (t) => {
  const created = await database(t);
  await Promise.all(Array.from({ length: 5 }, () => maintainPartitions(created.db)));
  assert.deepEqual(await partitionsOf(created), needed(await nowOf(created)));
});

test('a maintainer that comes second leaves at once', async (t) => {
  const created = await database(t);
  const first = new pg.Client(created.connection);
  await first.connect();
  await first.query('begin; select pg_advisory_xact_lock(0x6175746802)'.replace('0x6175746802', String(0x61757468_02n)));
  await maintainPartitions(created.db);
  assert.equal((await partitionsOf(created)).length, 2);
  await first.end();
});

test('rows land in the partition of their end and their kind, and are found there', async (t) => {
  const created = await database(t);
  await maintainPartitions(created.db);
  const now = await nowOf(created);
  const tokens = accessTokenStore(created.db, () => undefined);
  for (const [lives, life] of [
    [1, SHORT],
    [HOUR, SHORT],
    [DAY, SHORT],
    [DAY + 1, LONG],
    [60 * DAY, LONG],
    [ACCESS_TOKEN_TTL_MAX_SECONDS, LONG],
  ] as const) {
    const record = tokenRecord({ issuedAt: now, expiresAt: now + lives });
    await tokens.insert(record);
    const start = Math.floor(record.expiresAt / life.widthSeconds) * life.widthSeconds;
    assert.equal(await partitionOf(created, record), `${life.table}_${start}`);
    assert.deepEqual((await tokens.find(record.tokenHash, now))?.record, record);
  }
});

test('a row at the border of two partitions is in the second one', async (t) => {
  const created = await database(t);
  await maintainPartitions(created.db);
  const border = partitionsNeeded(SHORT, await nowOf(created))[2] ?? 0;
  for (const [expiresAt, start] of [
    [border - 1, border - SHORT.widthSeconds],
    [border, border],
  ] as const) {
    // biome-ignore format: a table
    const record = tokenRecord({ issuedAt: border - HOUR, expiresAt });
    await accessTokenStore(created.db, () => undefined).insert(record);
    assert.equal(await partitionOf(created, record), `access_token_short_${start}`);
  }
});

test('what fits nowhere goes to the default partition, is found there, and the maintenance still works', async (t) => {
  const created = await database(t);
  const now = await nowOf(created);
  const tokens = accessTokenStore(created.db, () => undefined);
  const astray = [
    tokenRecord({ issuedAt: now, expiresAt: now + HOUR }),
    tokenRecord({ issuedAt: now, expiresAt: now + 90 * DAY }),
    tokenRecord({ issuedAt: now, expiresAt: now + 9000 * DAY }),
  ];
  for (const record of astray) await tokens.insert(record);
  for (let round = 0; round < 2; round++) await maintainPartitions(created.db);
  assert.deepEqual(await Promise.all(astray.map((record) => partitionOf(created, record))), [
    'access_token_short_other',
    'access_token_long_other',
    'access_token_long_other',
  ]);
  const taken = [
    `access_token_short_${Math.floor((now + HOUR) / SHORT.widthSeconds) * SHORT.widthSeconds}`,
    `access_token_long_${Math.floor((now + 90 * DAY) / LONG.widthSeconds) * LONG.widthSeconds}`,
  ];
  assert.deepEqual(
    await partitionsOf(created),
    needed(now).filter((name) => !taken.includes(name)),
    'all but the ranges that are taken',
  );
  for (const record of astray) assert.deepEqual((await tokens.find(record.tokenHash, now))?.record, record);
  await tokens.revoke(astray[0] ?? tokenRecord());
  assert.equal((await tokens.find(astray[0]?.tokenHash ?? tokenRecord().tokenHash, now))?.revoked, true);
});

test('a partition goes once all in it has expired and the margin is over, and not before', async (t) => {
  const created = await database(t);
  const now = await nowOf(created);
  const current = Math.floor(now / SHORT.widthSeconds) * SHORT.widthSeconds;
  const starts = [-400, -3, -1, 0].map((steps) => current + steps * SHORT.widthSeconds);
  for (const start of starts) {
    const [from, to] = [start, start + SHORT.widthSeconds].map((seconds) => new Date(seconds * 1000).toISOString());
    await created.query(
      `create table access_token_short_${start} partition of access_token_short for values from ('${from}') to ('${to}')`,
    );
  }
  const records = starts.map((start) => tokenRecord({ issuedAt: start - HOUR, expiresAt: start }));
  for (const record of records) await accessTokenStore(created.db, () => undefined).insert(record);
  await maintainPartitions(created.db);
  const partitions = await partitionsOf(created);
  // Three steps behind ended more than the margin of six hours ago, one step behind less.
  assert.deepEqual(
    starts.map((start) => partitions.includes(`access_token_short_${start}`)),
    [false, false, true, true],
  );
  assert.equal((await created.query('select from access_token')).length, 2);
});

// pg_dump takes access share on every table. A start must not wait for it to end.
test('a backup that is running is no outage for the maintenance', async (t) => {
  const created = await database(t);
  const dump = new pg.Client(created.connection);
  await dump.connect();
  await dump.query('begin; lock table access_token, access_token_short, access_token_short_other in access share mode');
  try {
    assert.equal(await maintainPartitions(created.db), false);
  } finally {
    await dump.end();
  }
});

test('a lock that is not free soon ends the maintenance whole, and the next one does it all', async (t) => {
  const created = await database(t);
  const holder = new pg.Client(created.connection);
  await holder.connect();
  await holder.query('begin; lock table access_token_long in access share mode');
  assert.equal(await maintainPartitions(created.db), false);
  await holder.end();
  assert.equal(await maintainPartitions(created.db), true);
  assert.deepEqual(await partitionsOf(created), needed(await nowOf(created)));
});
