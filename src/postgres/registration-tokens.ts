/** Initial access tokens, RFC 7591 §1.2. What they register: registration.ts. */
import { requireUnlimited } from '../core/delegation.ts';
import type { Actor, InitialTokenStore } from '../core/ports.ts';
import type { InitialToken } from '../core/registration.ts';
import type { ScopePolicy } from '../core/scope-catalogue.ts';
import { writeAudit } from './audit.ts';
import type { Db, Queries } from './db.ts';
import { limitsOf } from './limits.ts';
import { requireCatalogued } from './scopes.ts';

interface InitialTokenRow {
  readonly id: string;
  readonly name: string | null;
  readonly scope: readonly string[] | null;
  readonly uses: number | null;
  readonly used: number;
  readonly created_at: Date;
  readonly expires_at: Date;
}

const COLUMNS = 'id, name, scope, uses, used, created_at, expires_at';
/** After its end: who looks why a registration was refused finds it. */
const KEPT = '7 days';

/** @param policy what becomes of a scope that is not in the catalogue */
export function initialTokenStore(db: Db, policy: ScopePolicy): InitialTokenStore {
  return {
    find: (verifier) => find(db, verifier),
    list: (page) => list(db, page),
    insert: (token, verifier, actor) => insert(db, policy, { ...token, verifier }, actor),
    delete: (id, actor) => remove(db, id, actor),
  };
}

async function find(db: Queries, verifier: string): Promise<InitialToken | undefined> {
  const [row] = await db.query<InitialTokenRow>({
    name: 'find-initial-token',
    text: `select ${COLUMNS} from registration_token
      where verifier = $1 and expires_at > clock_timestamp() and (uses is null or used < uses)`,
    values: [verifier],
  });
  return row && initialTokenOf(row);
}

async function list(
  db: Queries,
  { after, limit }: { readonly after: string | undefined; readonly limit: number },
): Promise<readonly InitialToken[]> {
  const rows = await db.query<InitialTokenRow>({
    name: 'list-initial-tokens',
    text: `select ${COLUMNS} from registration_token where $1::uuid is null or id > $1 order by id limit $2`,
    values: [after, limit],
  });
  return rows.map(initialTokenOf);
}

async function insert(
  db: Db,
  policy: ScopePolicy,
  { name, scope, uses, expiresAt, verifier }: Pick<InitialToken, 'name' | 'scope' | 'uses' | 'expiresAt'> & { readonly verifier: string },
  actor: Actor,
): Promise<InitialToken> {
  return db.transaction(async (tx) => {
    // What registers itself is of no part.
    requireUnlimited(await limitsOf(tx, actor));
    await requireCatalogued(tx, policy, scope ?? [], actor);
    const [row] = await tx.query<InitialTokenRow>({
      name: 'insert-initial-token',
      text: `insert into registration_token (verifier, name, scope, uses, expires_at) values ($1, $2, $3, $4, $5) returning ${COLUMNS}`,
      values: [verifier, name, scope, uses, expiresAt],
    });
    if (!row) throw new Error('an initial access token was not inserted');
    const detail = {
      ...(name !== undefined && { name }),
      ...(scope && { scope: scope.join(' ') }),
      uses: uses ?? null,
      expires_at: expiresAt,
    };
    await writeAudit(tx, actor, 'registration_token.create', row.id, detail);
    return initialTokenOf(row);
  });
}

async function remove(db: Db, id: string, actor: Actor): Promise<boolean> {
  return db.transaction(async (tx) => {
    requireUnlimited(await limitsOf(tx, actor));
    const [row] = await tx.query<{ used: number }>({
      name: 'delete-initial-token',
      text: 'delete from registration_token where id = $1 returning used',
      values: [id],
    });
    if (!row) return false;
    await writeAudit(tx, actor, 'registration_token.delete', id, { used: row.used });
    return true;
  });
}

/** A little at a time: it runs every few minutes. */
export async function forgetInitialTokens(db: Queries): Promise<void> {
  await db.query({
    text: `delete from registration_token where id in
      (select id from registration_token where expires_at < clock_timestamp() - interval '${KEPT}' order by expires_at limit 10000)`,
  });
}

function initialTokenOf(row: InitialTokenRow): InitialToken {
  return {
    id: row.id,
    name: row.name ?? undefined,
    scope: row.scope ?? undefined,
    uses: row.uses ?? undefined,
    used: row.used,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  };
}
