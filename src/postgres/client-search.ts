/**
 * Which clients are on a page of a filtered list. The index knows who matches, but not in which order; and to walk through the list until the page is
 * full takes long if few match. So a short walk comes first, which is enough if many do. Else up to `few` are taken from the index and sorted; where there
 * are more, the list is walked. All of this is decided by counting, because the planner has no statistics of the index's expression and would guess.
 */
import type { ClientFilter } from '../core/ports.ts';

export interface Bounds {
  /** clients that are looked at before the index is asked */
  readonly near: number;
  readonly few: number;
}

const BOUNDS: Bounds = { near: 1_000, few: 5_000 };
const TEXT = 'client_text(client_id, registration)';
/** As the index has them, which no shorter text could be found by. */
const PART_MAX = 3;

/**
 * @param values `$1`: the id after which the page begins; `$2`: how many
 * @returns a query for ids, `$2` of which are the page once they are sorted, and all its values
 */
export function pageOfIds(
  { text, scope, disabled }: ClientFilter,
  [after, limit]: readonly [after: string, limit: number],
  { near, few }: Bounds = BOUNDS,
): { readonly text: string; readonly values: readonly unknown[] } {
  const values: unknown[] = [after, limit];
  const conditions = ['deleted_at is null', 'client_id > $1'];
  if (scope !== undefined) conditions.push(`scope @> array[$${values.push(scope)}]`);
  if (disabled !== undefined) conditions.push(`disabled = $${values.push(disabled)}`);
  const needle = text === undefined ? undefined : `lower($${values.push(text)})`;
  if (needle !== undefined) conditions.push(`position(${needle} in ${TEXT}) > 0`);
  const walk = (from: string, ...more: readonly string[]) =>
    `select client_id from ${from} where ${[...conditions, ...more].join(' and ')} order by client_id limit $2`;
  if (scope === undefined && needle === undefined) return { text: walk('client'), values };
  const parts = `text_parts(${TEXT}, '{1,2,3}') @> text_parts(${needle}, array[least(${PART_MAX}, length(${needle}))])`;
  const indexed = needle === undefined ? conditions : [...conditions, parts];
  return {
    text: `with near as materialized (
        ${walk(`(select * from client where deleted_at is null and client_id > $1 order by client_id limit ${near}) as next`)}),
      few as materialized (
        (select client_id from client where (select count(*) from near) < $2 and searchable and ${indexed.join(' and ')} limit ${few + 1})
        union all
        (select client_id from client where (select count(*) from near) < $2 and not searchable and ${conditions.join(' and ')} limit ${few + 1})
        limit ${few + 1})
      select client_id from near where (select count(*) from near) >= $2
      union all select client_id from few where (select count(*) from few) <= ${few}
      union all (${walk('client', `(select count(*) from few) > ${few}`)})`,
    values,
  };
}
