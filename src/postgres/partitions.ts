/**
 * Partitions of `access_token` and `audit`, made ahead and dropped behind: rows go with their partition, so there is no DELETE and no janitor.
 *
 * A look-up by hash probes every live partition, so there are few: tokens that live a day at most lie in partitions of six hours,
 * longer ones (up to a year) in partitions of sixty days. What has no partition goes to the default one and is found there as well. The audit lies in
 * weeks, of which one more than was asked for is kept.
 */
import type { AccessTokenRecord } from '../core/access-token.ts';
import { ACCESS_TOKEN_TTL_MAX_SECONDS } from '../core/clients.ts';
import { Unavailable } from '../core/ports.ts';
import { type Db, isCheckViolation, isLockTimeout, type Queries } from './db.ts';

const HOUR = 3_600;
const DAY = 24 * HOUR;
const SHORT_LIFE_MAX_SECONDS = DAY;

interface Ranges {
  readonly table: string;
  /** what the ranges are of */
  readonly column: 'expires_at' | 'at';
  readonly widthSeconds: number;
  /** how far ahead of now what is written now may lie */
  readonly lifeMaxSeconds: number;
}

const LIFE_CLASSES: readonly Ranges[] = [
  { table: 'access_token_short', column: 'expires_at', widthSeconds: 6 * HOUR, lifeMaxSeconds: SHORT_LIFE_MAX_SECONDS },
  { table: 'access_token_long', column: 'expires_at', widthSeconds: 60 * DAY, lifeMaxSeconds: ACCESS_TOKEN_TTL_MAX_SECONDS },
];
/** The next week is always there. */
const AUDIT: Ranges = { table: 'audit', column: 'at', widthSeconds: 7 * DAY, lifeMaxSeconds: 7 * DAY };

/** Made ahead, and kept behind: so long may every node be away, or clocks differ. */
const MARGIN_SECONDS = 6 * HOUR;
/** Of the audit, what has no partition goes so many rows at a time. */
const ASTRAY_ROWS_MAX = 10_000;
const MAINTENANCE_LOCK = 0x61757468_02n;

export function isLongLived({ issuedAt, expiresAt }: Pick<AccessTokenRecord, 'issuedAt' | 'expiresAt'>): boolean {
  return expiresAt - issuedAt > SHORT_LIFE_MAX_SECONDS;
}

/** Start of each partition that a token issued from `now` until a margin later may need, epoch seconds. */
export function partitionsNeeded(
  { widthSeconds, lifeMaxSeconds }: Pick<Ranges, 'widthSeconds' | 'lifeMaxSeconds'>,
  now: number,
): readonly number[] {
  const first = Math.floor(now / widthSeconds) * widthSeconds;
  const last = now + lifeMaxSeconds + MARGIN_SECONDS;
  return Array.from({ length: Math.floor((last - first) / widthSeconds) + 1 }, (_, index) => first + index * widthSeconds);
}

/**
 * Makes what is missing and drops what has ended; by one node at a time, judged by the database's clock. Never waits for a lock.
 *
 * @param auditKeptSeconds how old a row of the audit has to be to be dropped
 * @returns `false` when a table was in somebody's use, a backup's for example: nothing was done there, and it is to be tried again later
 */
export async function maintainPartitions(db: Db, auditKeptSeconds = Number.POSITIVE_INFINITY): Promise<boolean> {
  const tokens = await maintain(db, async (tx, now) => {
    for (const lifeClass of LIFE_CLASSES) await maintainTable(tx, lifeClass, now, now - MARGIN_SECONDS);
  });
  // A transaction of its own: who reads the audit for long must not keep tokens from their partitions.
  const audit = await maintain(db, (tx, now) => maintainTable(tx, AUDIT, now, now - auditKeptSeconds));
  if (!Number.isFinite(auditKeptSeconds)) return tokens && audit;
  // It reads through what has no index on the time: if that takes too long, the rest is done all the same.
  const rest = await maintain(db, (tx, now) => dropAstray(tx, AUDIT, now - auditKeptSeconds)).catch((error: unknown) => {
    if (error instanceof Unavailable) return false;
    throw error;
  });
  return tokens && audit && rest;
}

async function maintain(db: Db, work: (tx: Queries, now: number) => Promise<void>): Promise<boolean> {
  try {
    await db.transaction((tx) => inTurn(tx, work));
    return true;
  } catch (error) {
    if (error instanceof Unavailable && isLockTimeout(error.cause)) return false;
    throw error;
  }
}

async function inTurn(tx: Queries, work: (tx: Queries, now: number) => Promise<void>): Promise<void> {
  const [state] = await tx.query<{ locked: boolean; now: number }>({
    text: 'select pg_try_advisory_xact_lock($1) as locked, extract(epoch from clock_timestamp())::bigint as now',
    values: [MAINTENANCE_LOCK],
  });
  if (!state?.locked) return;
  await tx.query({ text: "set local lock_timeout = '100ms'" });
  await work(tx, state.now);
}

/** @param endedAt what ended before is dropped */
async function maintainTable(tx: Queries, ranges: Ranges, now: number, endedAt: number): Promise<void> {
  const { table, column, widthSeconds } = ranges;
  const rows = await tx.query<{ name: string }>({
    text: 'select inhrelid::regclass::text as name from pg_inherits where inhparent = $1::regclass',
    values: [table],
  });
  const existing = new Set(rows.map((row) => row.name));
  /** what was there before there were partitions, in one of its own */
  const coveredUntil = Math.max(0, ...rows.map(({ name }) => Number(/_until_(\d+)$/.exec(name)?.[1] ?? 0)));
  // What went to the default partition while there was none stays there, and its range with it: PostgreSQL refuses to split it off.
  const astray = await tx.query<{ start: number }>({
    text: `select distinct (floor(extract(epoch from ${column}) / $1::bigint) * $1::bigint)::bigint as start from ${table}_other`,
    values: [widthSeconds],
  });
  const taken = new Set(astray.map((row) => row.start));
  for (const start of partitionsNeeded(ranges, now)) {
    const name = `${table}_${start}`;
    if (start < coveredUntil || existing.has(name) || taken.has(start)) continue;
    const [from, to] = [timestamp(start), timestamp(start + widthSeconds)];
    await tx.query({ text: 'savepoint before_partition' });
    try {
      await tx.query({ text: `create table ${name} partition of ${table} for values from (${from}) to (${to})` });
    } catch (error) {
      // Another server, on a new database as a rule, has just written to the default partition what belongs here: it stays there, as above.
      if (!isCheckViolation(error)) throw error;
      await tx.query({ text: 'rollback to savepoint before_partition' });
    }
  }
  for (const name of existing) {
    // Of one that goes until a time this is its end.
    const start = Number(/_(\d+)$/.exec(name)?.[1] ?? Number.NaN);
    if (start + widthSeconds < endedAt) await tx.query({ text: `drop table ${name}` });
  }
}

/** What was there before there were partitions, or came while there was none, has to go as well. */
async function dropAstray(tx: Queries, { table, column }: Ranges, endedAt: number): Promise<void> {
  const wide = await tx.query<{ name: string }>({
    text: "select c.oid::regclass::text as name from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = $1::regclass and c.relname ~ '_(other|until_[0-9]+)$'",
    values: [table],
  });
  for (const { name } of wide) {
    await tx.query({
      text: `delete from ${name} where ctid = any(array(select ctid from ${name} where ${column} < to_timestamp($1) limit ${ASTRAY_ROWS_MAX}))`,
      values: [endedAt],
    });
  }
}

/** A literal: partition bounds take no parameters. */
function timestamp(epochSeconds: number): string {
  return `'${new Date(epochSeconds * 1000).toISOString()}'`;
}
