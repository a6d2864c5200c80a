/**
 * Which clients are on a page of a filtered list. Who holds a scope is read in the order of the list, from `client_scope`. For a text the index knows who
 * matches, but not in which order; and to walk through the list until the page is full takes long if few match. So a short walk comes first, which is
 * enough if many do. Else up to `few` are taken from the index and sorted; where there are more, the list is walked. All of this is decided by counting,
 * because the planner has no statistics of the index's expression and would guess.
 */
import type { Part } from '../core/delegation.ts';
import type { ClientFilter } from '../core/ports.ts';

export interface Bounds {
  /** clients that are looked at before the index is asked */
  readonly near: number;
  readonly few: number;
}

const BOUNDS: Bounds = { near: 1_000, few: 5_000 };
const TEXT = 'client_text(c.client_id, c.registration)';
/** As the index has them, which no shorter text could be found by. */
const PART_MAX = 3;

/**
 * @param values `$1`: the id after which the page begins; `$2`: how many
 * @returns a query for ids, `$2` of which are the page once they are sorted, and all its values
 */
export function pageOfIds(
  { text, scope, disabled, part }: ClientFilter,
  [after, limit]: readonly [after: string, limit: number],
  { near, few }: Bounds = BOUNDS,
): { readonly text: string; readonly values: readonly unknown[] } {
  const values: unknown[] = [after, limit];
  const scopeValue = scope === undefined ? undefined : `$${values.push(scope)}`;
  const needle = text === undefined ? undefined : `lower($${values.push(text)})`;
  const inPart = partConditions(part, values);
  const matches = [...inPart.creator, ...(needle === undefined ? [] : [`position(${needle} in ${TEXT}) > 0`])];
  const lists = scopeValue === undefined ? [clientList(disabled)] : (disabled === undefined ? [false, true] : [disabled]).map(heldList);
  const page = (list: List, from: string, conditions: readonly string[], count: number | string, columns = `${list.id} as client_id`) =>
    `(select ${columns} from ${from}
      where ${[...list.conditions(scopeValue), `${list.id} > $1`, ...inPart.prefix(list.id), ...conditions].join(' and ')} order by ${list.id} limit ${count})`;
  const walk = (...conditions: readonly string[]) =>
    lists
      .map((list) => page(list, matches.length > 0 ? list.withClient : list.from, [...matches, ...conditions], '$2'))
      .join(' union all ');
  if (needle === undefined) return { text: walk(), values };
  const heads =
    scopeValue === undefined
      ? `${page(clientList(disabled), 'client c', [], near, 'c.*')} as c`
      : // By their ids, one by one: a join of so many might read all clients.
        `(select c.* from client c where c.client_id = any(array(select client_id
          from (${lists.map((list) => page(list, list.from, [], near)).join(' union all ')}) as held order by client_id limit ${near}))) as c`;
  const matching = [
    'c.deleted_at is null',
    'c.client_id > $1',
    ...(scopeValue === undefined ? [] : [`c.scope @> array[${scopeValue}]`]),
    ...(disabled === undefined ? [] : [`c.disabled = ${disabled}`]),
    ...inPart.prefix('c.client_id'),
    ...matches,
  ];
  const inIndex = `text_parts(${TEXT}, '{1,2,3}') @> text_parts(${needle}, array[least(${PART_MAX}, length(${needle}))])`;
  return {
    text: `with near as materialized (
        select c.client_id from ${heads} where ${matches.join(' and ')} order by c.client_id limit $2),
      few as materialized (
        (select c.client_id from client c where (select count(*) from near) < $2 and c.searchable and ${[inIndex, ...matching].join(' and ')} limit ${few + 1})
        union all
        (select c.client_id from client c where (select count(*) from near) < $2 and not c.searchable and ${matching.join(' and ')} limit ${few + 1})
        limit ${few + 1})
      select client_id from near where (select count(*) from near) >= $2
      union all select client_id from few where (select count(*) from few) <= ${few}
      union all ${walk(`(select count(*) from few) > ${few}`)}`,
    values,
  };
}

/** Ids in their order, as an index has them. */
interface List {
  readonly id: string;
  readonly from: string;
  readonly withClient: string;
  readonly conditions: (scopeValue: string | undefined) => readonly string[];
}

function clientList(disabled: boolean | undefined): List {
  const conditions = ['c.deleted_at is null', ...(disabled === undefined ? [] : [`c.disabled = ${disabled}`])];
  return { id: 'c.client_id', from: 'client c', withClient: 'client c', conditions: () => conditions };
}

/** Each state of its own, so that no entry of the index is read in vain. */
function heldList(disabled: boolean): List {
  const conditions = (scopeValue = '') => [`h.scope = ${scopeValue}`, `h.disabled = ${disabled}`];
  return { id: 'h.client_id', from: 'client_scope h', withClient: 'client_scope h join client c using (client_id)', conditions };
}

/** What makes a client one of a part. Who made it is in its row only. */
export function partConditions(
  part: Part | undefined,
  values: unknown[],
): { readonly prefix: (id: string) => readonly string[]; readonly creator: readonly string[] } {
  const pattern = part?.prefix === undefined ? undefined : `$${values.push(`${part.prefix.replaceAll(/[\\%_]/g, '\\$&')}%`)}`;
  const creator = part?.createdBy === undefined ? [] : [`c.created_by = $${values.push(part.createdBy)}`];
  return { prefix: (id) => (pattern === undefined ? [] : [`${id} like ${pattern}`]), creator };
}
