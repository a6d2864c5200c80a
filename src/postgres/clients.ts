/** Clients and their secrets. A management change, its change-log entry and its audit row are one transaction. */
import { clientChanges, clientDetail } from '../core/audit.ts';
import type { Client, ClientSecret, ClientSettings } from '../core/clients.ts';
import type { Actor, ClientAdministration, ClientDirectory, ClientFilter, EndedSecret, FurtherSecret, NewSecret } from '../core/ports.ts';
import { writeAudit } from './audit.ts';
import { type Announce, appendChange, changing } from './changes.ts';
import { pageOfIds } from './client-search.ts';
import { type Db, isUniqueViolation, type Queries } from './db.ts';

export interface ClientRow {
  readonly client_id: string;
  readonly version: number;
  readonly auth_method: Client['authMethod'];
  readonly grant_types: readonly string[];
  readonly scope: readonly string[];
  readonly audience: readonly string[];
  readonly resources: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
  readonly access_token_format: Client['accessTokenFormat'];
  readonly access_token_ttl: number | null;
  readonly introspection_max_age: number;
  readonly disabled: boolean;
  readonly registration: Readonly<Record<string, unknown>>;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly secrets: readonly SecretRow[];
  readonly last_seq: number;
}

/** As `json_agg` writes it: times are text. */
interface SecretRow {
  readonly id: string;
  readonly name: string | null;
  readonly verifier: string;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly last_used_at: string | null;
}

export const CLIENT_COLUMNS = `c.client_id, c.version, c.auth_method, c.grant_types, c.scope, c.audience, c.resources, c.claims, c.access_token_format,
  c.access_token_ttl, c.introspection_max_age, c.disabled, c.registration, c.created_at, c.updated_at,
  (select coalesce(json_agg(json_build_object('id', s.id, 'name', s.name, 'verifier', s.verifier, 'created_at', s.created_at,
    'expires_at', s.expires_at, 'last_used_at', s.last_used_at) order by s.created_at, s.id), '[]')
   from client_secret s where s.client_id = c.client_id) as secrets`;

/** Record, secrets and position in the change log from one statement, so from one snapshot. */
export function clientDirectory(db: Db): ClientDirectory {
  return {
    async find(clientId) {
      const [row] = await db.query<ClientRow>({
        name: 'find-client',
        text: `select ${CLIENT_COLUMNS}, (select last_seq from change_log) as last_seq
          from client c where c.client_id = $1 and c.deleted_at is null`,
        values: [clientId],
      });
      return row && { client: clientOf(row), asOfSeq: row.last_seq };
    },
  };
}

/** @param announce of each change, once it is durable */
export function clientAdministration(db: Db, announce: Announce): ClientAdministration {
  const changes: Changes = (work) => changing(db, announce, work);
  return {
    list: (page, filter) => list(db, page, filter),
    insert: (id, settings, secret, actor) => insert(changes, id, settings, secret, actor),
    update: (id, change, actor) => update(changes, id, change, actor),
    delete: (id, check, actor) => remove(changes, id, check, actor),
    addSecret: (id, secret, check, actor) => addSecret(changes, id, secret, check, actor),
    removeSecret: (id, secret, check, actor) => removeSecret(changes, id, secret, check, actor),
  };
}

type Changes = <T>(work: (tx: Queries, append: Announce) => Promise<T>) => Promise<T>;

async function list(
  db: Db,
  { after, limit }: { readonly after: string | undefined; readonly limit: number },
  filter: ClientFilter = {},
): Promise<readonly Client[]> {
  const { text, values } = pageOfIds(filter, [after ?? '', limit]);
  const rows = await db.query<ClientRow>({
    text: `select ${CLIENT_COLUMNS} from client c where c.client_id in (${text}) order by c.client_id limit $2`,
    values,
  });
  return rows.map(clientOf);
}

async function insert(
  changes: Changes,
  id: string,
  settings: ClientSettings,
  secret: NewSecret | undefined,
  actor: Actor,
): Promise<Client | undefined> {
  try {
    return await changes(async (tx, append) => {
      await insertClientRow(tx, id, settings);
      if (secret) await insertSecret(tx, id, secret);
      await writeAudit(tx, actor, 'client.create', id, clientDetail(settings));
      append(await appendChange(tx, 'client_record', id));
      return find(tx, id);
    });
  } catch (error) {
    if (isUniqueViolation(error)) return undefined;
    throw error;
  }
}

async function update(
  changes: Changes,
  id: string,
  change: (current: Client) => ClientSettings,
  actor: Actor,
): Promise<Client | undefined> {
  return changes(async (tx, append) => {
    const current = await lock(tx, id);
    if (!current) return undefined;
    const settings = change(current);
    await tx.query({
      name: 'update-client',
      text: `update client set auth_method = $2, grant_types = $3, scope = $4, audience = $5, resources = $6, claims = $7,
          access_token_format = $8, access_token_ttl = $9, introspection_max_age = $10, disabled = $11, registration = $12,
          updated_at = clock_timestamp()
        where client_id = $1`,
      values: [id, ...settingValues(settings)],
    });
    await writeAudit(tx, actor, 'client.update', id, clientChanges(current, settings));
    append(await appendChange(tx, settings.disabled && !current.disabled ? 'client' : 'client_record', id));
    return find(tx, id);
  });
}

async function remove(changes: Changes, id: string, check: (current: Client) => void, actor: Actor): Promise<boolean> {
  return changes(async (tx, append) => {
    const current = await lock(tx, id);
    if (!current) return false;
    check(current);
    await tx.query({ name: 'delete-client-secrets', text: 'delete from client_secret where client_id = $1', values: [id] });
    await tx.query({
      name: 'delete-client',
      text: 'update client set deleted_at = clock_timestamp(), disabled = true where client_id = $1',
      values: [id],
    });
    await writeAudit(tx, actor, 'client.delete', id, clientDetail(current));
    append(await appendChange(tx, 'client', id));
    return true;
  });
}

async function addSecret(
  changes: Changes,
  id: string,
  secret: FurtherSecret,
  check: (current: Client) => void,
  actor: Actor,
): Promise<ClientSecret | undefined> {
  return changes(async (tx, append) => {
    const current = await lock(tx, id);
    if (!current) return undefined;
    check(current);
    const { othersExpireAt } = secret;
    await deleteEndedSecrets(tx, id);
    if (othersExpireAt) await shortenSecrets(tx, id, othersExpireAt);
    const secretId = await insertSecret(tx, id, secret);
    const previous = othersExpireAt && { previous_expires_at: othersExpireAt };
    await writeAudit(tx, actor, 'client.secret.add', id, { secret_id: secretId, ...previous });
    append(await appendChange(tx, 'client_record', id));
    return (await find(tx, id))?.secrets.find((added) => added.id === secretId);
  });
}

async function removeSecret(
  changes: Changes,
  id: string,
  { secretId, tokens }: EndedSecret,
  check: (current: Client) => void,
  actor: Actor,
): Promise<boolean> {
  return changes(async (tx, append) => {
    const current = await lock(tx, id);
    if (!current?.secrets.some((secret) => secret.id === secretId)) return false;
    check(current);
    await tx.query({ name: 'delete-secret', text: 'delete from client_secret where id = $1 and client_id = $2', values: [secretId, id] });
    await writeAudit(tx, actor, 'client.secret.remove', id, { secret_id: secretId, revoke_tokens: tokens === 'end' });
    append(await appendChange(tx, tokens === 'end' ? 'client' : 'client_record', id));
    return true;
  });
}

export async function insertClientRow(tx: Queries, id: string, settings: ClientSettings): Promise<void> {
  await tx.query({
    name: 'insert-client',
    text: `insert into client (client_id, auth_method, grant_types, scope, audience, resources, claims, access_token_format,
        access_token_ttl, introspection_max_age, disabled, registration)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    values: [id, ...settingValues(settings)],
  });
}

export async function insertSecret(tx: Queries, clientId: string, { name, verifier, expiresAt }: NewSecret): Promise<string> {
  const [row] = await tx.query<{ id: string }>({
    name: 'insert-secret',
    text: 'insert into client_secret (client_id, name, verifier, expires_at) values ($1, $2, $3, $4) returning id',
    values: [clientId, name, verifier, expiresAt],
  });
  return row?.id ?? '';
}

/** So that nobody has to tidy up before a secret can be changed for the eleventh time. */
async function deleteEndedSecrets(tx: Queries, clientId: string): Promise<void> {
  await tx.query({
    name: 'delete-ended-secrets',
    text: 'delete from client_secret where client_id = $1 and expires_at <= clock_timestamp()',
    values: [clientId],
  });
}

async function shortenSecrets(tx: Queries, clientId: string, expiresAt: Date): Promise<void> {
  await tx.query({
    name: 'shorten-secrets',
    text: 'update client_secret set expires_at = $2 where client_id = $1 and (expires_at is null or expires_at > $2)',
    values: [clientId, expiresAt],
  });
}

/** The current record, held until the end of the transaction. The lock comes first, in a statement of its own: a snapshot is older than a lock it waits for. */
async function lock(tx: Queries, id: string): Promise<Client | undefined> {
  await tx.query({ name: 'lock-client', text: 'select from client where client_id = $1 for update', values: [id] });
  return find(tx, id);
}

async function find(tx: Queries, id: string): Promise<Client | undefined> {
  const [row] = await tx.query<ClientRow>({
    name: 'find-client-in-transaction',
    text: `select ${CLIENT_COLUMNS} from client c where c.client_id = $1 and c.deleted_at is null`,
    values: [id],
  });
  return row && clientOf(row);
}

function settingValues(settings: ClientSettings): unknown[] {
  return [
    settings.authMethod,
    settings.grantTypes,
    settings.scope,
    settings.audience,
    settings.resources,
    settings.claims,
    settings.accessTokenFormat,
    settings.accessTokenTtlSeconds,
    settings.introspectionMaxAgeSeconds,
    settings.disabled,
    settings.registration,
  ];
}

export function clientOf(row: ClientRow): Client {
  return {
    id: row.client_id,
    version: row.version,
    authMethod: row.auth_method,
    grantTypes: row.grant_types,
    scope: row.scope,
    audience: row.audience,
    resources: row.resources,
    claims: row.claims,
    accessTokenFormat: row.access_token_format,
    accessTokenTtlSeconds: row.access_token_ttl ?? undefined,
    introspectionMaxAgeSeconds: row.introspection_max_age,
    disabled: row.disabled,
    registration: row.registration,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    secrets: row.secrets.map((secret) => ({
      id: secret.id,
      name: secret.name ?? undefined,
      verifier: secret.verifier,
      createdAt: new Date(secret.created_at),
      expiresAt: secret.expires_at === null ? undefined : new Date(secret.expires_at),
      lastUsedAt: secret.last_used_at === null ? undefined : new Date(secret.last_used_at),
    })),
  };
}
