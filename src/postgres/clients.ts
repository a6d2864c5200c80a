/** Clients and their secrets. A management change, its change-log entry and its audit row are one transaction. */
import { clientChanges, clientDetail } from '../core/audit.ts';
import type { Client, ClientSecret, ClientSettings } from '../core/clients.ts';
import {
  type Administers,
  administratorStanding,
  isInPart,
  isWidened,
  partOf,
  requireChange,
  requireCreation,
  requireNoWider,
  type Standing,
} from '../core/delegation.ts';
import type {
  Actor,
  ClientAdministration,
  ClientDirectory,
  ClientFilter,
  EndedSecret,
  FurtherSecret,
  NewSecret,
  Once,
} from '../core/ports.ts';
import type { ScopePolicy } from '../core/scope-catalogue.ts';
import { writeAudit } from './audit.ts';
import { type Announce, appendChange, changing } from './changes.ts';
import { CLIENT_COLUMNS, type ClientRow, clientOf, findClient, insertClientRow, insertSecret, settingValues } from './client-rows.ts';
import { pageOfIds } from './client-search.ts';
import { type Db, isUniqueViolation, type Queries } from './db.ts';
import { once } from './idempotency.ts';
import { clientOfKept, keptClient, keptSecret, secretOfKept } from './kept-clients.ts';
import { keepAdministrator } from './last-administrator.ts';
import { limitsOf } from './limits.ts';
import { requireCatalogued } from './scopes.ts';

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

/**
 * @param announce of each change, once it is durable
 * @param policy what becomes of a scope that is not in the catalogue
 */
export function clientAdministration(db: Db, announce: Announce, policy: ScopePolicy = 'open'): ClientAdministration {
  const changes: Changes = (work) => changing(db, announce, work);
  return {
    list: (page, filter) => list(db, page, filter),
    insert: (id, settings, secret, actor, given) => insert(changes, policy, { id, settings, secret }, actor, given),
    update: (id, change, actor) => update(changes, policy, { id, change }, actor),
    delete: (id, check, actor) => remove(changes, id, check, actor),
    addSecret: (...change) => addSecret(changes, ...change),
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
  policy: ScopePolicy,
  { id, settings, secret }: { readonly id: string; readonly settings: ClientSettings; readonly secret: NewSecret | undefined },
  actor: Actor,
  given: Once | undefined,
): Promise<Client | undefined> {
  let made: Client | undefined;
  try {
    const kept = await changes((tx, append) =>
      once(tx, actor, given, async () => {
        requireCreation(await limitsOf(tx, actor), id, settings);
        await requireCatalogued(tx, policy, settings.scope, actor);
        await insertClientRow(tx, id, settings, actor.clientId);
        if (secret) await insertSecret(tx, id, secret);
        await writeAudit(tx, actor, 'client.create', id, clientDetail(settings));
        append(await appendChange(tx, 'client_record', id));
        made = await findClient(tx, id);
        return made && keptClient(made);
      }),
    );
    return made ?? (kept ? clientOfKept(kept) : undefined);
  } catch (error) {
    if (isUniqueViolation(error)) return undefined;
    throw error;
  }
}

async function update(
  changes: Changes,
  policy: ScopePolicy,
  { id, change }: { readonly id: string; readonly change: (current: Client) => ClientSettings },
  actor: Actor,
): Promise<Client | undefined> {
  return changes(async (tx, append) => {
    const held = await lock(tx, id, actor);
    if (!held) return undefined;
    const { current, limits, standing } = held;
    const settings = change(current);
    requireChange(limits, current, settings);
    await requireCatalogued(tx, policy, settings.scope, actor);
    await tx.query({
      name: 'update-client',
      text: `update client set auth_method = $2, grant_types = $3, scope = $4, audience = $5, resources = $6, claims = $7,
          access_token_format = $8, access_token_ttl = $9, introspection_max_age = $10, disabled = $11, registration = $12,
          access_token_limit = $13, administers = $14, updated_at = clock_timestamp()
        where client_id = $1`,
      values: [id, ...settingValues(settings)],
    });
    // What an administrator has taken away the client does not take back.
    if (actor.clientId !== id && settings.scope.join(' ') !== current.scope.join(' ')) await narrowRegistration(tx, id, settings.scope);
    await writeAudit(tx, actor, 'client.update', id, clientChanges(current, settings));
    await keepAdministrator(tx, standing);
    const endsTokens = (settings.disabled && !current.disabled) || isWidened(current.administers, settings.administers);
    append(await appendChange(tx, endsTokens ? 'client' : 'client_record', id));
    return findClient(tx, id);
  });
}

async function remove(changes: Changes, id: string, check: (current: Client) => void, actor: Actor): Promise<boolean> {
  return changes(async (tx, append) => {
    const held = await lock(tx, id, actor);
    if (!held) return false;
    const { current, limits, standing } = held;
    check(current);
    requireNoWider(limits, current);
    await tx.query({ name: 'delete-client-secrets', text: 'delete from client_secret where client_id = $1', values: [id] });
    await tx.query({ name: 'delete-registration-access', text: 'delete from registration_access where client_id = $1', values: [id] });
    await tx.query({
      name: 'delete-client',
      text: 'update client set deleted_at = clock_timestamp(), disabled = true where client_id = $1',
      values: [id],
    });
    await writeAudit(tx, actor, 'client.delete', id, clientDetail(current));
    await keepAdministrator(tx, standing);
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
  given?: Once,
): Promise<ClientSecret | undefined> {
  let made: ClientSecret | undefined;
  const kept = await changes(async (tx, append) => {
    const held = await lock(tx, id, actor);
    if (!held) return undefined;
    const { current, limits, standing } = held;
    return once(tx, actor, given, async () => {
      check(current);
      requireNoWider(limits, current);
      const { othersExpireAt } = secret;
      await deleteEndedSecrets(tx, id);
      if (othersExpireAt) await shortenSecrets(tx, id, othersExpireAt);
      const secretId = await insertSecret(tx, id, secret);
      const previous = othersExpireAt && { previous_expires_at: othersExpireAt };
      await writeAudit(tx, actor, 'client.secret.add', id, { secret_id: secretId, ...previous });
      await keepAdministrator(tx, standing);
      append(await appendChange(tx, 'client_record', id));
      made = (await findClient(tx, id))?.secrets.find((added) => added.id === secretId);
      return made && keptSecret(made);
    });
  });
  return made ?? (kept ? secretOfKept(kept) : undefined);
}

async function removeSecret(
  changes: Changes,
  id: string,
  { secretId, tokens }: EndedSecret,
  check: (current: Client) => void,
  actor: Actor,
): Promise<boolean> {
  return changes(async (tx, append) => {
    const held = await lock(tx, id, actor);
    if (!held?.current.secrets.some((secret) => secret.id === secretId)) return false;
    const { current, limits, standing } = held;
    check(current);
    requireNoWider(limits, current);
    await tx.query({ name: 'delete-secret', text: 'delete from client_secret where id = $1 and client_id = $2', values: [secretId, id] });
    await writeAudit(tx, actor, 'client.secret.remove', id, { secret_id: secretId, revoke_tokens: tokens === 'end' });
    await keepAdministrator(tx, standing);
    append(await appendChange(tx, tokens === 'end' ? 'client' : 'client_record', id));
    return true;
  });
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

async function narrowRegistration(tx: Queries, clientId: string, scope: readonly string[]): Promise<void> {
  await tx.query({
    name: 'narrow-registration',
    text: 'update registration_access set allowed_scope = $2 where client_id = $1',
    values: [clientId, scope],
  });
}

interface Held {
  readonly current: Client;
  /** of the actor, as they are now */
  readonly limits: Administers | undefined;
  /** of the client, before the change */
  readonly standing: Standing;
}

/**
 * The current record, held until the end of the transaction. The lock comes first, in a statement of its own: a snapshot is older than a lock it waits for.
 *
 * @returns `undefined` when it is not there, or not for this actor
 */
async function lock(tx: Queries, id: string, actor: Actor): Promise<Held | undefined> {
  await tx.query({ name: 'lock-client', text: 'select from client where client_id = $1 for update', values: [id] });
  const [row] = await tx.query<ClientRow & { readonly limits: Administers | null; readonly now: number }>({
    name: 'find-locked-client',
    text: `select ${CLIENT_COLUMNS}, (select administers from client where client_id = $2) as limits,
        extract(epoch from clock_timestamp())::float8 as now
      from client c where c.client_id = $1 and c.deleted_at is null`,
    values: [id, actor.clientId],
  });
  if (!row) return undefined;
  const current = clientOf(row);
  const limits = row.limits ?? undefined;
  // By its registration access token, which holds no scope, a client changes its own record and no other, whatever it administers.
  const isOwn = actor.clientId === id && actor.scope.length === 0;
  return isOwn || isInPart(current, partOf(limits, actor.clientId))
    ? { current, limits, standing: administratorStanding(current, row.now) }
    : undefined;
}
