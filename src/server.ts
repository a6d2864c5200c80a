/** The composition root: configuration → adapters → core → listener. Start, drain, stop. */
import type { Logger } from 'pino';
import { fetchKeySet } from './client-keys/fetch-key-set.ts';
import { openKeySets } from './client-keys/key-sets.ts';
import type { Config } from './config.ts';
import { mintClientSecret } from './core/client-auth.ts';
import { Unavailable } from './core/ports.ts';
import { SlowSecrets } from './core/slow-secrets.ts';
import { writeServerFile } from './data-folder.ts';
import { maintain, NOT_MAINTAINED, openDatabase, prepareDatabase } from './database.ts';
import { SlowHashes } from './hashing/slow-hashes.ts';
import { buildApp, type HttpDeps } from './http/app.ts';
import { auditItem } from './http/audit.ts';
import { Denials } from './http/denials.ts';
import { openMetrics } from './http/metrics.ts';
import { listen } from './http/node-listener.ts';
import { RegistrationLimit } from './http/registration-limit.ts';
import { FailureThrottle } from './http/throttle.ts';
import { defineDenials, defineNode, definePools, observer } from './metrics.ts';
import { type Node, openNode } from './node.ts';
import type { Administrator } from './postgres/administrator.ts';
import { spendAssertion } from './postgres/assertions.ts';
import { auditLog, tellAudit, writeAudit } from './postgres/audit.ts';
import { clientImporter } from './postgres/client-import.ts';
import { type Db, FOLLOWER, openDb } from './postgres/db.ts';
import { initialTokenStore } from './postgres/registration-tokens.ts';
import { scopeCatalogue } from './postgres/scopes.ts';
import { searchIndexing } from './postgres/search-indexing.ts';
import { rehashSecret } from './postgres/secret-rehash.ts';

const DRAIN_MS = 10_000;
/** After this the listener opens without a database: live, not ready. */
const PREPARE_PATIENCE_MS = 3_000;
const RETRY_MS = 1_000;
const MAINTENANCE_MS = 300_000;

export interface Server {
  /** where this machine reaches it, with the issuer's path */
  readonly url: string;
  /** for the operator: `PostgreSQL 18.4, private, in ./data`, or the host of `DATABASE_URL` */
  readonly database: string;
  /** Resolves once PostgreSQL has been reached and prepared; rejects, for good, with what {@link startServer} throws */
  readonly prepared: Promise<void>;
  /** Answers what is running (10 s at most), then closes everything. Idempotent. */
  stop(): Promise<void>;
}

export interface ServerEvents {
  /** Once: the database is ready. @param url where this machine will reach the server */
  onAdministrator(administrator: Administrator, url: string): void;
  /** Another server has taken the data folder while PostgreSQL was down: this one has to end, without touching PostgreSQL. */
  onDisplaced(): void;
  /** The database's change log is not the one that this process has followed: it has to end, and begin anew. */
  onHistoryChanged(error: Error): void;
}

/**
 * Resolves when the listener is open, which waits a while for the database and then goes on without: live, not ready.
 *
 * @throws EmbeddedPostgresError, DataFolderInUse, MigrationError, DecryptionError — with a message for the operator
 */
export async function startServer(config: Config, log: Logger, events: ServerEvents): Promise<Server> {
  const database = await openDatabase(config, log, events.onDisplaced);
  const pool = openDb(database.connection, ({ message }) => log.warn({ reason: message }, 'lost a connection to PostgreSQL'));
  const db = config.isAuditLogged ? tellAudit(pool, (entry) => log.info({ audit: auditItem(entry) }, 'audit')) : pool;
  const followerDb = openDb(
    database.connection,
    ({ message }) => log.warn({ reason: message }, 'lost the connection that follows'),
    FOLLOWER,
    () => db.distrust(),
  );
  const metrics = openMetrics();
  definePools(metrics, { requests: db, follower: followerDb });
  const observes = observer(metrics);
  const hashes = new SlowHashes();
  const slowSecrets = new SlowSecrets({
    matches: hashes.matches,
    // Whoever comes next finds the slow hash again, and computes it again.
    rehash: (...secret) =>
      void rehashSecret(db, ...secret).catch((error: unknown) =>
        log.warn({ err: error }, 'an imported secret keeps its slow hash for now'),
      ),
  });
  const indexing = searchIndexing(db, (error) =>
    log.debug({ err: error }, 'imported clients were not put into the index of the search this time'),
  );
  let node: Node | undefined;
  let deps: HttpDeps | undefined;
  let stopping: Promise<void> | undefined;
  let maintenance: NodeJS.Timeout | undefined;

  async function prepare(): Promise<void> {
    const newSecret = mintClientSecret();
    while (stopping === undefined) {
      try {
        const administrator = await prepareDatabase(config, database, db, log, newSecret);
        if (!node) {
          // At once: a generated secret is known to nobody else, and the listener may still fail.
          events.onAdministrator(administrator, localUrl(config));
          const { onHistoryChanged } = events;
          node = openNode(config, database.encryptionKeys, { db, followerDb, log, observer: observes, onHistoryChanged });
          defineNode(metrics, node, config.maxStalenessMs);
        }
        // Before the first look only this machine's clock could say what has expired.
        await node.memory.prove();
        deps = httpDeps(config, node, db, log, { slowSecrets, onImported: indexing.wake });
        defineDenials(metrics, deps.denials);
        const tryToMaintain = () => {
          indexing.wake();
          return maintain(db, config, log).catch((error: unknown) => log.warn({ err: error }, NOT_MAINTAINED));
        };
        indexing.wake();
        maintenance = setInterval(tryToMaintain, MAINTENANCE_MS).unref();
        return;
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        log.warn({ err: error }, 'PostgreSQL cannot be reached: trying again');
        await delay(RETRY_MS);
      }
    }
  }

  try {
    const prepared = prepare();
    prepared.catch(() => undefined); // who awaits it hears of it
    await orAfter(PREPARE_PATIENCE_MS, prepared);
    // Whoever sees the server ready finds its files, too.
    let isPublished = config.databaseUrl !== undefined;
    const app = buildApp(config.issuer, log, metrics, () => (isPublished ? deps : undefined));
    const listener = await listen(app, config, (error) => log.warn({ err: error }, 'an answer could not be sent'));
    const url = localUrl(config);
    if (config.databaseUrl === undefined) await writeServerFile(config.dataDir, url);
    isPublished = true;
    const close = async () => {
      clearInterval(maintenance);
      // Streams go on for ever: their readers come back to another node.
      node?.feed.close();
      await listener.drain(DRAIN_MS);
      await Promise.all([hashes.close(), indexing.close()]);
      await node?.close();
      await Promise.all([db.close(), followerDb.close()]);
      await database.close();
    };
    return {
      url,
      database: database.description,
      prepared,
      stop: () => (stopping ??= close()),
    };
  } catch (error) {
    stopping = Promise.resolve();
    await Promise.all([db.close(), followerDb.close()]);
    await database.close();
    throw error;
  }
}

interface Imports {
  readonly slowSecrets: SlowSecrets;
  readonly onImported: () => void;
}

function httpDeps(
  config: Config,
  { memory, feed, state, secretUsed, registrations }: Node,
  db: Db,
  log: Logger,
  { slowSecrets, onImported }: Imports,
): HttpDeps {
  const audit = auditLog(db);
  return {
    clients: memory.clients,
    clientRecords: memory.clientRecords,
    tokens: memory.tokens,
    administration: memory.administration,
    registration: {
      mode: config.registration,
      clients: registrations,
      initialTokens: initialTokenStore(db, config.scopePolicy),
      limit: new RegistrationLimit(),
    },
    importer: clientImporter(db, config.scopePolicy, onImported),
    exported: (actor, detail) => writeAudit(db, actor, 'client.export', '*', detail),
    slowSecrets,
    revocations: memory.revocations,
    scopes: scopeCatalogue(db),
    feed,
    audit,
    denials: new Denials({ audit, tokens: memory.tokens, log }),
    signingKeys: memory.signingKeys,
    issuer: config.issuer,
    accessTokenTtlSeconds: config.accessTokenTtlSeconds,
    keyAdministration: memory.keyAdministration,
    keyAnnounceSeconds: config.keyPolicy.announceSeconds,
    clientKeysAt: openKeySets({
      fetch: (uri) => fetchKeySet(uri, config.jwksUriInternal),
      monotonic: () => performance.now(),
      onFailure: (uri, error) => log.warn({ host: new URL(uri).host, err: error }, 'the keys of a client cannot be fetched'),
    }),
    spendAssertion: spendAssertion(db),
    throttle: new FailureThrottle(),
    secretUsed,
    trustedProxies: config.trustedProxies,
    clock: memory.now,
    prove: memory.prove,
    ready: memory.ready,
    state,
    log,
  };
}

function localUrl({ host, port, tls, issuer }: Config): string {
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `${tls ? 'https' : 'http'}://${name}:${port}${new URL(issuer).pathname.replace(/\/$/, '')}`;
}

/** Waits for `work`, but no longer. */
async function orAfter(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, patience]).finally(() => clearTimeout(timer));
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
