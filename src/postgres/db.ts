/** The pool, and the line between an outage and a bug: a lost, slow or refusing PostgreSQL is {@link Unavailable}. */
import pg from 'pg';
import { Unavailable } from '../core/ports.ts';

export interface Statement {
  readonly name?: string;
  readonly text: string;
  readonly values?: readonly unknown[];
}

export interface Queries {
  query<Row extends pg.QueryResultRow>(statement: Statement): Promise<Row[]>;
}

export interface Db extends Queries {
  /** One transaction on one connection. Rolled back if `work` throws; if the answer to the commit is lost, the outcome is unknown: {@link Unavailable}. */
  transaction<T>(work: (tx: Queries) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface Limits {
  readonly connections: number;
  readonly connectMs: number;
  readonly answerMs: number;
}

/** Waiting for a connection and for an answer together stay below the two seconds within which an outage is to be said. */
const REQUESTS: Limits = { connections: 10, connectMs: 700, answerMs: 1_000 };
/** A connection of its own for the change log: who follows it must not wait for requests, and two attempts have to fit into two seconds. */
export const FOLLOWER: Limits = { connections: 1, connectMs: 500, answerMs: 450 };
/** The server's own time-out is the shorter one, so that a slow statement is cancelled there and not only forgotten here. */
const CANCELLED_BEFORE_MS = 100;

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export function openDb(connection: pg.ClientConfig, onConnectionError: (error: Error) => void, limits = REQUESTS): Db {
  const pool = new pg.Pool({
    ...connection,
    max: limits.connections,
    connectionTimeoutMillis: limits.connectMs,
    query_timeout: limits.answerMs,
    statement_timeout: limits.answerMs - CANCELLED_BEFORE_MS,
    // A node that is cut off in the middle of a change would hold the change log's counter until TCP gives up, and nobody could revoke for hours.
    idle_in_transaction_session_timeout: limits.answerMs,
    keepAlive: true,
    application_name: 'auth',
  });
  // Without a listener, the end of an idle connection (a restart of PostgreSQL) would end this process.
  pool.on('error', onConnectionError);
  return {
    query: (statement) => outageAware(() => run(pool, statement)),
    transaction: (work) => outageAware(() => inTransaction(pool, work)),
    close: () => pool.end(),
  };
}

async function run<Row extends pg.QueryResultRow>(on: pg.Pool | pg.PoolClient, { name, text, values }: Statement): Promise<Row[]> {
  const result = await on.query<Row>({ ...(name && { name }), text, values: values as unknown[] });
  return result.rows;
}

async function inTransaction<T>(pool: pg.Pool, work: (tx: Queries) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  // While a client is checked out the pool does not listen: a connection that ends between two queries would end this process.
  const ignore = () => undefined;
  client.on('error', ignore);
  try {
    await client.query('begin');
    const result = await work({ query: (statement) => run(client, statement) });
    await client.query('commit');
    client.release();
    return result;
  } catch (error) {
    await rollBack(client, error);
    throw error;
  } finally {
    client.off('error', ignore);
  }
}

async function rollBack(client: pg.PoolClient, error: unknown): Promise<void> {
  // After a time-out or a lost connection the state is unknown: the connection is thrown away, and PostgreSQL rolls back.
  if (isOutage(error)) return client.release(true);
  try {
    await client.query('rollback');
    client.release();
  } catch {
    client.release(true);
  }
}

/** Runs `work`; what an outage throws becomes {@link Unavailable}. */
export async function outageAware<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isOutage(error) ? new Unavailable('PostgreSQL is unavailable', { cause: error }) : error;
  }
}

/**
 * SQLSTATE classes that say nothing about the request: connection (08), read-only after a fail-over (25006), a transaction that was left idle (25P03),
 * authorization and catalogue as changed under us (28, 3D), serialization (40), resources (53), locks and cancellation (55P03, 57), system errors (58, XX).
 */
const OUTAGE = /^(08|25006|25P03|28|3D|40|53|55P03|57|58|XX)/;

/** Errors of pg and of sockets that never reached PostgreSQL, or whose answer was lost, carry no SQLSTATE. */
function isOutage(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return OUTAGE.test(error.code ?? '');
  if (!(error instanceof Error)) return false;
  const isSystemError = 'code' in error && typeof error.code === 'string' && /^(E[A-Z]+|EAI_[A-Z]+)$/.test(error.code);
  return isSystemError || /timeout|terminated|not queryable|closed the connection|Cannot use a pool/i.test(error.message);
}

/** Whether a statement failed because the row is already there. */
export function isUniqueViolation(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '23505';
}

/** Whether a statement gave up because of `lock_timeout`. */
export function isLockTimeout(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '55P03';
}
