/** A client's row, with its secrets: how it is read and written. */
import type { Client, ClientSettings } from '../core/clients.ts';
import type { Administers } from '../core/delegation.ts';
import type { NewSecret } from '../core/ports.ts';
import type { Queries } from './db.ts';

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
  readonly access_token_limit: number | null;
  readonly introspection_max_age: number;
  readonly disabled: boolean;
  readonly registration: Readonly<Record<string, unknown>>;
  readonly administers: Administers | null;
  readonly created_at: Date;
  readonly created_by: string | null;
  readonly updated_at: Date;
  readonly secrets: readonly SecretRow[];
  readonly registration_access: {
    readonly verifier: string;
    readonly registration_token_id: string | null;
    readonly allowed_scope: readonly string[] | null;
  } | null;
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
  c.access_token_ttl, c.access_token_limit, c.introspection_max_age, c.disabled, c.registration, c.administers, c.created_at,
  c.created_by, c.updated_at,
  (select coalesce(json_agg(json_build_object('id', s.id, 'name', s.name, 'verifier', s.verifier, 'created_at', s.created_at,
    'expires_at', s.expires_at, 'last_used_at', s.last_used_at) order by s.created_at, s.id), '[]')
   from client_secret s where s.client_id = c.client_id) as secrets,
  (select json_build_object('verifier', r.verifier, 'registration_token_id', r.registration_token_id, 'allowed_scope', r.allowed_scope)
   from registration_access r where r.client_id = c.client_id) as registration_access`;

export async function findClient(tx: Queries, id: string): Promise<Client | undefined> {
  const [row] = await tx.query<ClientRow>({
    name: 'find-client-in-transaction',
    text: `select ${CLIENT_COLUMNS} from client c where c.client_id = $1 and c.deleted_at is null`,
    values: [id],
  });
  return row && clientOf(row);
}

/** @param createdBy `undefined`: the server itself */
export async function insertClientRow(tx: Queries, id: string, settings: ClientSettings, createdBy?: string): Promise<void> {
  await tx.query({
    name: 'insert-client',
    text: `insert into client (client_id, auth_method, grant_types, scope, audience, resources, claims, access_token_format,
        access_token_ttl, introspection_max_age, disabled, registration, access_token_limit, administers, created_by)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    values: [id, ...settingValues(settings), createdBy],
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

export function settingValues(settings: ClientSettings): unknown[] {
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
    settings.accessTokenLimit,
    settings.administers,
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
    accessTokenLimit: row.access_token_limit ?? undefined,
    introspectionMaxAgeSeconds: row.introspection_max_age,
    disabled: row.disabled,
    ...(row.administers && { administers: row.administers }),
    registration: row.registration,
    createdAt: row.created_at,
    ...(row.created_by !== null && { createdBy: row.created_by }),
    updatedAt: row.updated_at,
    secrets: row.secrets.map((secret) => ({
      id: secret.id,
      name: secret.name ?? undefined,
      verifier: secret.verifier,
      createdAt: new Date(secret.created_at),
      expiresAt: secret.expires_at === null ? undefined : new Date(secret.expires_at),
      lastUsedAt: secret.last_used_at === null ? undefined : new Date(secret.last_used_at),
    })),
    ...(row.registration_access && {
      registrationAccess: {
        verifier: row.registration_access.verifier,
        initialTokenId: row.registration_access.registration_token_id ?? undefined,
        allowedScope: row.registration_access.allowed_scope ?? undefined,
      },
    }),
  };
}
