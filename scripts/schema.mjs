// Writes schema.sql, the sum of the migrations: `npm run schema` after `npm run build`. A review then sees the effect of a migration as a diff.
// Read from pg_catalog and not by pg_dump, which may be missing or of another version; the text is the same on PostgreSQL 14 to 18.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import pg from 'pg';

const HEADER = `-- The sum of migrations/, for reading: made by scripts/schema.mjs, compared by test/postgres/migrate.test.ts. Not to be run or edited.
-- Partitions that the server makes as time goes by (access_token_short_1800000000) are left out.
`;

/** What the server makes and drops by itself: named by the second that it starts at. */
const DATED = String.raw`_\d+$`;

const RELATIONS = `
  select c.oid, c.relname as name, c.relkind as kind, c.relpersistence as persistence, c.relrowsecurity as row_security,
    p.inhparent::regclass::text as parent, pg_get_expr(c.relpartbound, c.oid) as bound, pg_get_partkeydef(c.oid) as partition_key,
    c.reloptions as options, case when c.relkind = 'v' then pg_get_viewdef(c.oid, true) end as view
  from pg_class c left join pg_inherits p on p.inhrelid = c.oid
  where c.relnamespace = current_schema()::regnamespace and c.relkind not in ('i', 'I', 't') and c.relname !~ '${DATED}'
    and not (c.relkind = 'S' and exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i')))
  order by c.relname collate "C"`;

const COLUMNS = `
  select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as not_null, a.attidentity as identity,
    a.attgenerated as generated, pg_get_expr(d.adbin, d.adrelid) as default,
    case when a.attcollation <> t.typcollation then a.attcollation::regcollation::text end as collation
  from pg_attribute a join pg_type t on t.oid = a.atttypid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
  order by a.attnum`;

// 'n': PostgreSQL 18 keeps "not null" here as well. Inherited ones belong to the parent.
const CONSTRAINTS = `
  select conname as name, pg_get_constraintdef(oid, true) as definition from pg_constraint
  where conrelid = $1 and contype <> 'n' and coninhcount = 0
  order by position(contype::text in 'pucxf'), conname collate "C"`;

const INDEXES = `
  select pg_get_indexdef(i.indexrelid) as definition from pg_index i join pg_class c on c.oid = i.indexrelid
  where i.indrelid = $1 and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
    and not exists (select from pg_inherits p where p.inhrelid = i.indexrelid)
  order by c.relname collate "C"`;

const TRIGGERS = `
  select pg_get_triggerdef(oid, true) as definition from pg_trigger where tgrelid = $1 and not tgisinternal order by tgname collate "C"`;

const FUNCTIONS = `
  select pg_get_functiondef(p.oid) as definition from pg_proc p
  where p.pronamespace = current_schema()::regnamespace and p.prokind in ('f', 'p')
    and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
  order by p.proname collate "C", pg_get_function_identity_arguments(p.oid) collate "C"`;

const TYPES = `
  select t.typname as name, t.typtype as kind, array(select quote_literal(enumlabel) from pg_enum where enumtypid = t.oid order by enumsortorder) as labels
  from pg_type t where t.typnamespace = current_schema()::regnamespace and t.typrelid = 0 and t.typelem = 0 and t.typtype <> 'm'
  order by t.typname collate "C"`;

/**
 * @param {pg.Client} client on a migrated database
 * @returns {Promise<string>} the content of schema.sql
 */
export async function describeSchema(client) {
  // Names of the schema that is looked at are written without it, those of others with it.
  const rows = async (text, ...values) => (await client.query(text, values)).rows;
  const parts = [HEADER];
  for (const type of await rows(TYPES)) {
    if (type.kind !== 'e') throw new Error(`scripts/schema.mjs does not know how to write the type ${type.name}`);
    parts.push(`create type ${type.name} as enum (${type.labels.join(', ')});\n`);
  }
  for (const { definition } of await rows(FUNCTIONS)) parts.push(`${definition.trim()};\n`);
  for (const relation of await rows(RELATIONS)) parts.push(await describeRelation(relation, rows));
  const [{ name }] = await rows('select current_schema() as name');
  return parts.join('\n').replaceAll(`${name}.`, '');
}

async function describeRelation(relation, rows) {
  const { oid, name, kind, persistence, parent, bound, partition_key, options, view } = relation;
  if (kind === 'v') return `create view ${name} as\n${view}\n`;
  if (!['r', 'p'].includes(kind) || relation.row_security)
    throw new Error(`scripts/schema.mjs does not know how to write ${name} (${kind})`);
  const constraints = (await rows(CONSTRAINTS, oid)).map((constraint) => `constraint ${constraint.name} ${constraint.definition}`);
  const body = parent ? constraints : [...(await rows(COLUMNS, oid)).map(describeColumn), ...constraints];
  const members = body.length > 0 ? ` (\n  ${body.join(',\n  ')}\n)` : '';
  const create = [
    `create ${persistence === 'u' ? 'unlogged ' : ''}table ${name}`,
    parent ? ` partition of ${parent}` : '',
    members,
    bound ? ` ${bound}` : '',
    partition_key ? ` partition by ${partition_key}` : '',
    options ? ` with (${options.join(', ')})` : '',
  ];
  const rest = [...(await rows(INDEXES, oid)), ...(await rows(TRIGGERS, oid))].map(({ definition }) => `${definition};\n`);
  return `${create.join('')};\n${rest.join('')}`;
}

function describeColumn({ name, type, collation, not_null, identity, generated, default: value }) {
  return [
    `${name} ${type}`,
    collation ? ` collate ${collation}` : '',
    not_null ? ' not null' : '',
    identity ? ` generated ${identity === 'a' ? 'always' : 'by default'} as identity` : '',
    generated ? ` generated always as (${value}) stored` : value === null ? '' : ` default ${value}`,
  ].join('');
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { startEmbeddedPostgres } = await import('../dist/src/postgres/embedded.js');
  const { migrate } = await import('../dist/src/postgres/migrate.js');
  const dataDir = mkdtempSync(join(tmpdir(), 'auth-schema-'));
  const postgres = await startEmbeddedPostgres({ dataDir });
  try {
    await migrate(postgres.connection);
    const client = new pg.Client(postgres.connection);
    await client.connect();
    writeFileSync(fileURLToPath(new URL('../schema.sql', import.meta.url)), await describeSchema(client));
    await client.end();
  } finally {
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}
