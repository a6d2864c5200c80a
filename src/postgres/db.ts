/** The pool, and the line between an outage and a bug: a lost, slow or refusing PostgreSQL is {@link Unavailable}. */
import pg from 'pg';
import { type AuditEntry, Unavailable } from '../core/ports.ts';

export interface Statement {
  readonly name?: string;
  readonly text: string;
  readonly values?: readonly unknown[];
  /** in place of {@link Limits.answerMs}; within a transaction that has raised `statement_timeout` */
  readonly answerMs?: number;
}

export interface Queries {
  query<Row extends pg.QueryResultRow>(statement: Statement): Promise<Row[]>;
  /** Is told of each row of the audit; whoever listens hears of it once it is committed (src/postgres/audit.ts). */
  readonly audited?: (entry: AuditEntry) => void;
}

export interface Db extends Queries {
  /** One transaction on one connection. Rolled back if `work` throws; if the answer to the commit is lost, the outcome is unknown: {@link Unavailable}. */
  transaction<T>(work: (tx: Queries) => Promise<T>): Promise<T>;
  readonly connections: () => Connections;
  /** Whatever is connected by now may be connected to nobody: it is used no more. */
  distrust(): void;
  close(): Promise<void>;
}

export interface Connections {
  readonly open: number;
  /** of those, nobody uses */
  readonly idle: number;
  /** questions that wait for one */
  readonly waiting: number;
}

export interface Limits {
  readonly connections: number;
  /** questions that may wait for a connection. More would wait in vain, and their memory would grow with the load */
  readonly waitingMax: number;
  readonly connectMs: number;
  readonly answerMs: number;
}

/** Waiting for a connection and for an answer together stay below the two seconds within which an outage is to be said. */
const REQUESTS: Limits = { connections: 10, waitingMax: 1_000, connectMs: 700, answerMs: 1_000 };
/**
 * A connection of its own for the change log: who follows it must not wait for requests. Questions that wait for it have a limit of their own
 * (src/coherence/freshness.ts), so a PostgreSQL that is far away may take its time.
 */
export const FOLLOWER: Limits = { connections: 1, waitingMax: 100, connectMs: 2_000, answerMs: 1_000 };
/** SQLSTATE of a warning: of a commit, that somebody has ended its wait for the standby (`pg_cancel_backend`). The text depends on the language. */
const WARNING = '01000';
/** The server's own time-out is the shorter one, so that a slow statement is cancelled there and not only forgotten here. */
const CANCELLED_BEFORE_MS = 100;

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/** @param onSilence a question had no answer in time: other connections to the same server may be as dead */
export function openDb(
  connection: pg.ClientConfig,
  onConnectionError: (error: Error) => void,
  limits = REQUESTS,
  onSilence: () => void = () => undefined,
): Db {
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
  const unconfirmed: Unconfirmed = new WeakSet();
  let trusted = new WeakSet<pg.PoolClient>();
  const distrust = () => {
    trusted = new WeakSet();
  };
  const connections: Connecting = {
    async connect() {
      for (;;) {
        const client = await pool.connect();
        if (trusted.has(client)) return client;
        client.release(true);
      }
    },
    failed(error) {
      // After a network that went silent each connection that was open would cost somebody a time-out, long after the network is back.
      if (!isSilence(error)) return;
      distrust();
      onSilence();
    },
  };
  pool.on('connect', (client) => {
    trusted.add(client);
    // While a client is checked out the pool does not listen, and a connection may end before whoever asked for it has it: it would end this process.
    client.on('error', () => undefined);
    client.on('notice', ({ code }) => {
      if (code === WARNING) unconfirmed.add(client);
    });
  });
  const admitted = <T>(work: () => Promise<T>): Promise<T> => {
    if (pool.waitingCount < limits.waitingMax) return outageAware(work);
    return Promise.reject(new Unavailable('too many questions wait for PostgreSQL', { reason: 'queue_full' }));
  };
  return {
    query: (statement) => admitted(() => run(connections, unconfirmed, statement)),
    transaction: (work) => admitted(() => inTransaction(connections, unconfirmed, work)),
    distrust,
    connections: () => ({ open: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close: () => pool.end(),
  };
}

type Unconfirmed = WeakSet<pg.PoolClient>;

interface Connecting {
  connect(): Promise<pg.PoolClient>;
  failed(error: unknown): void;
}

async function run<Row extends pg.QueryResultRow>(from: Connecting, unconfirmed: Unconfirmed, statement: Statement): Promise<Row[]> {
  const work = async (client: pg.PoolClient) => {
    const rows = await ask<Row>(client, statement);
    assertConfirmed(client, unconfirmed);
    return rows;
  };
  return withClient(from, work, async (client, error) => client.release(isUnknown(error)));
}

async function inTransaction<T>(from: Connecting, unconfirmed: Unconfirmed, work: (tx: Queries) => Promise<T>): Promise<T> {
  const allOfIt = async (client: pg.PoolClient) => {
    await client.query('begin');
    const result = await work({ query: (statement) => ask(client, statement) });
    await client.query('commit');
    assertConfirmed(client, unconfirmed);
    return result;
  };
  return withClient(from, allOfIt, rollBack);
}

async function ask<Row extends pg.QueryResultRow>(client: pg.PoolClient, { name, text, values, answerMs }: Statement): Promise<Row[]> {
  // pg knows `query_timeout` for a single query as well, its types do not.
  const patience = answerMs === undefined ? {} : { query_timeout: answerMs };
  const result = await client.query<Row>({ ...(name && { name }), text, values: values as unknown[], ...patience });
  return result.rows;
}

/** Nothing that our statements do warns of itself. @throws Unavailable — it happened here, and may be lost with this machine: nobody may rely on it */
function assertConfirmed(client: pg.PoolClient, unconfirmed: Unconfirmed): void {
  if (unconfirmed.delete(client)) throw new Unavailable('PostgreSQL has committed without its standby');
}

/** @param giveBack the connection, after an error */
async function withClient<T>(
  from: Connecting,
  work: (client: pg.PoolClient) => Promise<T>,
  giveBack: (client: pg.PoolClient, error: unknown) => Promise<void>,
): Promise<T> {
  const client = await from.connect();
  try {
    const result = await work(client);
    client.release();
    return result;
  } catch (error) {
    from.failed(error);
    await giveBack(client, error);
    throw error;
  }
}

async function rollBack(client: pg.PoolClient, error: unknown): Promise<void> {
  if (isUnknown(error)) return client.release(true);
  try {
    await client.query('rollback');
    client.release();
  } catch {
    client.release(true);
  }
}

/** After a time-out or a lost connection the state is unknown: the connection is thrown away, and PostgreSQL rolls back. */
function isUnknown(error: unknown): boolean {
  return isOutage(error) || error instanceof Unavailable;
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

/** Not even PostgreSQL's own time-out, which is the shorter one, was heard of. */
function isSilence(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout';
}

/** Whether a statement failed because the row is already there. */
export function isUniqueViolation(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '23505';
}

/** Whether a statement gave up because of `lock_timeout`. */
export function isLockTimeout(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '55P03';
}

/** Whether a row is in the way of a constraint, or of a partition. */
export function isCheckViolation(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '23514';
}
