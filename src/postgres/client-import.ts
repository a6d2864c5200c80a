/** Many clients in one transaction, by a few statements whatever their number. */
import { clientDetail } from '../core/audit.ts';
import type { ClientImporter, ImportedClient } from '../core/client-import.ts';
import { ACCESS_TOKEN_TTL_MAX_SECONDS, type Client } from '../core/clients.ts';
import { requireCreation } from '../core/delegation.ts';
import type { Actor } from '../core/ports.ts';
import type { ScopePolicy } from '../core/scope-catalogue.ts';
import { auditEntry } from './audit.ts';
import { CLIENT_COLUMNS, type ClientRow, clientOf } from './client-rows.ts';
import type { Db, Queries } from './db.ts';
import { limitsOf } from './limits.ts';
import { catalogue, requireCatalogued, uncatalogued } from './scopes.ts';

/** A statement has 0.9 s, and they may be large. */
const CLIENTS_OF_STATEMENT = 250;

/**
 * @param policy what becomes of a scope that is not in the catalogue
 * @param onInserted there are clients now that are not in the index of the search (src/postgres/search-indexing.ts)
 */
export function clientImporter(db: Db, policy: ScopePolicy, onInserted: () => void): ClientImporter {
  return {
    existing: (ids) => existing(db, ids),
    unknownScopes: (scope) => uncatalogued(db, policy, scope),
    async insert(clients, actor) {
      const outcome = await insert(db, policy, clients, actor);
      if (outcome === 'done') onInserted();
      return outcome;
    },
  };
}

async function existing(db: Db, ids: readonly string[]): Promise<ReadonlyMap<string, Client | 'deleted'>> {
  const rows = await db.query<ClientRow & { readonly is_deleted: boolean }>({
    name: 'find-clients-of-import',
    text: `select ${CLIENT_COLUMNS}, c.deleted_at is not null as is_deleted from client c where c.client_id = any($1)`,
    values: [ids],
  });
  return new Map(rows.map((row) => [row.client_id, row.is_deleted ? 'deleted' : clientOf(row)]));
}

/** As the audit tells it. */
interface Creation {
  readonly target: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** So that all is rolled back. */
class Raced extends Error {}

async function insert(db: Db, policy: ScopePolicy, clients: readonly ImportedClient[], actor: Actor): Promise<'done' | 'raced'> {
  // Two that give the same ids at the same time wait for each other in the same order, so never both.
  const sorted = [...clients].sort((a, b) => (a.id < b.id ? -1 : 1));
  // Here, because within the transaction others might wait for it.
  const creations = sorted.map(({ id, settings }) => ({ target: id, detail: { ...clientDetail(settings), imported: true } }));
  try {
    await db.transaction(async (tx) => {
      const limits = await limitsOf(tx, actor);
      for (const { id, settings } of clients) requireCreation(limits, id, settings);
      const scopes = [...new Set(clients.flatMap(({ settings }) => settings.scope))];
      await requireCatalogued(tx, policy, scopes, actor);
      await catalogue(tx, scopes);
      for (let start = 0; start < sorted.length; start += CLIENTS_OF_STATEMENT)
        await insertClients(tx, sorted.slice(start, start + CLIENTS_OF_STATEMENT), actor);
      await writeCreations(tx, creations, actor);
    });
    return 'done';
  } catch (error) {
    if (error instanceof Raced) return 'raced';
    throw error;
  }
}

/** @throws Raced — one of the ids is there */
async function insertClients(tx: Queries, clients: readonly ImportedClient[], actor: Actor): Promise<void> {
  const [made] = await tx.query<{ count: number }>({
    name: 'import-clients',
    text: `with made as (
        insert into client (client_id, auth_method, grant_types, scope, audience, resources, claims, access_token_format, access_token_ttl,
          introspection_max_age, disabled, registration, access_token_limit, administers, created_by, searchable)
        select client_id, auth_method, grant_types, scope, audience, resources, claims, access_token_format, access_token_ttl,
          introspection_max_age, disabled, registration, access_token_limit, administers, $3, false
        from jsonb_to_recordset($1) as c (client_id text, auth_method text, grant_types text[], scope text[], audience text[], resources text[],
          claims jsonb, access_token_format text, access_token_ttl integer, introspection_max_age integer, disabled boolean, registration jsonb,
          access_token_limit integer, administers jsonb)
        on conflict do nothing returning client_id),
      secrets as (
        insert into client_secret (client_id, name, verifier, expires_at)
        select s.client_id, s.name, s.verifier, s.expires_at
        from jsonb_to_recordset($2) as s (client_id text, name text, verifier text, expires_at timestamptz) join made using (client_id))
      select count(*) as count from made`,
    values: [JSON.stringify(clients.map(clientRow)), JSON.stringify(clients.flatMap(secretRows)), actor.clientId],
  });
  if (made?.count !== clients.length) throw new Raced();
}

function clientRow({ id, settings }: ImportedClient): object {
  return {
    client_id: id,
    auth_method: settings.authMethod,
    grant_types: settings.grantTypes,
    scope: settings.scope,
    audience: settings.audience,
    resources: settings.resources,
    claims: settings.claims,
    access_token_format: settings.accessTokenFormat,
    access_token_ttl: settings.accessTokenTtlSeconds,
    introspection_max_age: settings.introspectionMaxAgeSeconds,
    disabled: settings.disabled,
    registration: settings.registration,
    access_token_limit: settings.accessTokenLimit,
    administers: settings.administers,
  };
}

function secretRows({ id, secrets }: ImportedClient): object[] {
  return secrets.map(({ name, verifier, expiresAt }) => ({ client_id: id, name, verifier, expires_at: expiresAt }));
}

/** The last statement, as it takes the change log's counter until the commit: all rows of the change log, and those of the audit, under the same lock. */
async function writeCreations(tx: Queries, made: readonly Creation[], actor: Actor): Promise<void> {
  const rows = await tx.query<{ id: number; at: Date; target: string }>({
    name: 'write-imports',
    text: `with made as materialized (
        select target, detail, position from rows from (jsonb_to_recordset($1) as (target text, detail jsonb)) with ordinality as m (target, detail, position)),
      next as (update change_log set last_seq = last_seq + $2::int returning last_seq),
      entry as (
        insert into change (seq, kind, key, expires_at)
        select last_seq - $2::int + position, 'client_record', target, date_trunc('second', clock_timestamp()) + $3 * interval '1 s' from next, made),
      noted as (
        insert into audit (actor_client_id, actor_address, action, target, detail, request_id, actor_secret_id)
        select $4, $5, 'client.create', target, detail, $6, $8 from next, made order by position
        returning id, at, target)
      select id, at, target from noted where $7 order by id`,
    values: [
      JSON.stringify(made),
      made.length,
      ACCESS_TOKEN_TTL_MAX_SECONDS + 1,
      actor.clientId,
      actor.address,
      actor.requestId,
      tx.audited !== undefined,
      actor.secretId,
    ],
  });
  if (!tx.audited) return;
  const details = new Map(made.map(({ target, detail }) => [target, detail]));
  for (const row of rows) tx.audited(auditEntry(actor, { ...row, action: 'client.create', detail: details.get(row.target) ?? {} }));
}
