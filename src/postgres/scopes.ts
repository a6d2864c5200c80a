/** The catalogue of scopes. Who holds which is in `client_scope`, which triggers keep (migrations/000012_scopes.sql). */
import { type Part, requireUnlimited } from '../core/delegation.ts';
import type { FieldProblem } from '../core/errors.ts';
import type { Actor, ScopeCatalogue } from '../core/ports.ts';
import { type CataloguedScope, type ScopePolicy, unknownScopeFields, unknownScopes } from '../core/scope-catalogue.ts';
import { writeAudit } from './audit.ts';
import { partConditions } from './client-search.ts';
import { type Db, isUniqueViolation, type Queries } from './db.ts';
import { limitsOf } from './limits.ts';

/** So many are compared with one that is unknown. */
const COMPARED_MAX = 2_000;

interface ScopeRow {
  readonly name: string;
  readonly description: string | null;
  readonly created_at: Date;
  readonly clients: number;
}

export function scopeCatalogue(db: Db): ScopeCatalogue {
  return {
    list: (page, part) => list(db, page, part),
    holders: (name, page, part) => holders(db, name, page, part),
    find: (name, part) => find(db, name, part),
    add: (scope, actor) => add(db, scope, actor),
    describe: (name, description, actor) => describe(db, name, description, actor),
    remove: (name, actor) => remove(db, name, actor),
  };
}

async function list(
  db: Queries,
  { after, limit }: { readonly after: string | undefined; readonly limit: number },
  part: Part | undefined,
): Promise<readonly CataloguedScope[]> {
  const values: unknown[] = [after ?? '', limit];
  const rows = await db.query<ScopeRow>({
    text: `with page as (select name, description, created_at from scope where name > $1 order by name limit $2),
        held as (select h.scope as name, count(*) as clients from ${held(part, values)} and h.scope in (select name from page) group by h.scope)
      select p.*, coalesce(h.clients, 0) as clients from page p left join held h using (name) order by name`,
    values,
  });
  return rows.map(scopeOf);
}

async function find(db: Queries, name: string, part: Part | undefined): Promise<CataloguedScope | undefined> {
  const values: unknown[] = [name];
  const [row] = await db.query<ScopeRow>({
    text: `select name, description, created_at, (select count(*) from ${held(part, values)} and h.scope = $1) as clients from scope where name = $1`,
    values,
  });
  return row && scopeOf(row);
}

async function holders(
  db: Queries,
  name: string,
  { after, limit }: { readonly after: string | undefined; readonly limit: number },
  part: Part | undefined,
): Promise<readonly string[]> {
  const values: unknown[] = [name, after ?? '', limit];
  const source = held(part, values);
  // Each state in the order of the index, so that a page costs what is on it.
  const those = (state: boolean) =>
    `(select h.client_id from ${source} and h.scope = $1 and h.disabled = ${state} and h.client_id > $2 order by h.client_id limit $3)`;
  const rows = await db.query<{ client_id: string }>({
    text: `select client_id from (${those(false)} union all ${those(true)}) as holders order by client_id limit $3`,
    values,
  });
  return rows.map(({ client_id }) => client_id);
}

/** Those of a part, to be followed by further conditions. Only who made a client has to be looked up in its row. */
function held(part: Part | undefined, values: unknown[]): string {
  const { prefix, creator } = partConditions(part, values);
  const from = creator.length === 0 ? 'client_scope h' : 'client_scope h join client c using (client_id)';
  return `${from} where ${['true', ...prefix('h.client_id'), ...creator].join(' and ')}`;
}

async function add(
  db: Db,
  { name, description }: Pick<CataloguedScope, 'name' | 'description'>,
  actor: Actor,
): Promise<CataloguedScope | undefined> {
  try {
    return await db.transaction(async (tx) => {
      requireUnlimited(await limitsOf(tx, actor));
      await tx.query({ name: 'add-scope', text: 'insert into scope (name, description) values ($1, $2)', values: [name, description] });
      await writeAudit(tx, actor, 'scope.create', name, description === undefined ? {} : { description });
      return find(tx, name, undefined);
    });
  } catch (error) {
    if (isUniqueViolation(error)) return undefined;
    throw error;
  }
}

async function describe(db: Db, name: string, description: string | undefined, actor: Actor): Promise<CataloguedScope | undefined> {
  return db.transaction(async (tx) => {
    requireUnlimited(await limitsOf(tx, actor));
    const [before] = await tx.query<Pick<ScopeRow, 'description'>>({
      name: 'lock-scope',
      text: 'select description from scope where name = $1 for update',
      values: [name],
    });
    if (!before) return undefined;
    await tx.query({ name: 'describe-scope', text: 'update scope set description = $2 where name = $1', values: [name, description] });
    const change = {
      ...(before.description !== null && { from: before.description }),
      ...(description !== undefined && { to: description }),
    };
    await writeAudit(tx, actor, 'scope.update', name, { changes: { description: change } });
    return find(tx, name, undefined);
  });
}

/** Whoever gives the scope to a client meanwhile waits, or is waited for. */
async function remove(db: Db, name: string, actor: Actor): Promise<'removed' | 'held' | 'absent'> {
  return db.transaction(async (tx) => {
    requireUnlimited(await limitsOf(tx, actor));
    await tx.query({ name: 'shut-scopes', text: 'lock table scope in share row exclusive mode' });
    const [found] = await tx.query<{ is_held: boolean }>({
      name: 'is-scope-held',
      text: 'select exists (select from client_scope where scope = $1) as is_held from scope where name = $1',
      values: [name],
    });
    if (!found) return 'absent';
    if (found.is_held) return 'held';
    await tx.query({ name: 'remove-scope', text: 'delete from scope where name = $1', values: [name] });
    await writeAudit(tx, actor, 'scope.delete', name);
    return 'removed';
  });
}

/**
 * Nothing is removed from the catalogue from here to the commit.
 *
 * @param asker who registers or changes itself holds no scope: what is in the catalogue is not for it, nor the work of a comparison
 * @throws Problem `invalid_client_metadata` — a scope is unknown, and the catalogue is not open
 */
export async function requireCatalogued(
  tx: Queries,
  policy: ScopePolicy,
  scope: readonly string[],
  asker: Pick<Actor, 'scope'>,
): Promise<void> {
  if (policy === 'open' || scope.length === 0) return;
  await tx.query({ name: 'hold-scopes', text: 'lock table scope in row exclusive mode' });
  const unknown = await uncatalogued(tx, policy, scope, asker.scope.length > 0 ? COMPARED_MAX : 0);
  if (unknown.size > 0) throw unknownScopes(unknown);
}

/** What to say of those that are not in the catalogue, if it is not open. */
export async function uncatalogued(
  db: Queries,
  policy: ScopePolicy,
  scope: readonly string[],
  comparedMax = COMPARED_MAX,
): Promise<ReadonlyMap<string, FieldProblem>> {
  if (policy === 'open' || scope.length === 0) return new Map();
  const unknown = await db.query<{ name: string }>({
    name: 'find-unknown-scopes',
    text: 'select name from unnest($1::text[]) as name where name not in (select name from scope where name = any($1))',
    values: [scope],
  });
  if (unknown.length === 0) return new Map();
  const known = await db.query<{ name: string }>({
    name: 'compare-scopes',
    text: 'select name from scope order by name limit $1',
    values: [comparedMax],
  });
  const names = (rows: readonly { readonly name: string }[]) => rows.map(({ name }) => name);
  return unknownScopeFields(names(unknown), names(known));
}

/** As the triggers do, but all at once and in order: transactions of several statements would wait for each other. */
export async function catalogue(tx: Queries, scope: readonly string[]): Promise<void> {
  await tx.query({
    name: 'catalogue-scopes',
    text: 'insert into scope (name) select name from unnest($1::text[]) as name order by name on conflict do nothing',
    values: [scope],
  });
}

function scopeOf({ name, description, created_at, clients }: ScopeRow): CataloguedScope {
  return { name, description: description ?? undefined, createdAt: created_at, clients };
}
