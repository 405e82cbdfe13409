/** The questions that `readShape` asks the catalog (documentation, "System Catalogs"; PostgreSQL 16 to 18). */

/** Tables of users: no system schema, nothing temporary, nothing that an extension brought. */
const USER_TABLES = `
  select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't'
     and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
     and not exists (select from pg_depend d
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')`

/** Names of the columns whose numbers are in an array, in its order, as JSON. */
const names = (numbers: string, relation: string): string =>
  `(select coalesce(json_agg(a.attname order by part.place), '[]')::text
      from unnest(${numbers}) with ordinality part(attnum, place)
      left join pg_attribute a on a.attrelid = ${relation} and a.attnum = part.attnum and part.attnum <> 0)`

export interface TableRow {
  oid: number
  schema: string
  bare: string
  relkind: string
  is_partition: boolean
  root_oid: number | null
  partition_key: string | null
  row_security: boolean
  reltuples: number
  bytes: number
  may_select: boolean
  may_insert: boolean
  may_update: boolean
  may_delete: boolean
}

const may = (privilege: string): string =>
  `($1::text is null or (has_schema_privilege($1, c.relnamespace, 'usage')
     and has_table_privilege($1, c.oid, '${privilege}'))) as may_${privilege}`

/** $1 is the application's role, or NULL. */
export const TABLES = `
  select c.oid::bigint::float8 as oid, n.nspname::text as schema, c.relname::text as bare, c.relkind::text as relkind,
         c.relispartition as is_partition,
         case when c.relispartition then pg_partition_root(c.oid)::oid::bigint::float8 end as root_oid,
         case when c.relkind = 'p' and not c.relispartition then pg_get_partkeydef(c.oid) end as partition_key,
         c.relrowsecurity as row_security, c.reltuples::float8 as reltuples,
         case when c.relkind = 'r' then coalesce(pg_relation_size(c.oid), 0) else 0 end::float8 as bytes,
         ${['select', 'insert', 'update', 'delete'].map(may).join(', ')}
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.oid in (${USER_TABLES})
   order by n.nspname, c.relname`

export interface ColumnRow {
  relation: number
  name: string
  number: number
  type: number
  modifier: number
  sql: string
  not_null: boolean
  default_sql: string | null
  identity: string
  generated: string
  owns_sequence: boolean
  n_distinct: number | null
  null_frac: number | null
  avg_width: number | null
}

export const COLUMNS = `
  select a.attrelid::bigint::float8 as relation, a.attname::text as name, a.attnum as number,
         a.atttypid::bigint::float8 as type, a.atttypmod as modifier, format_type(a.atttypid, a.atttypmod) as sql,
         a.attnotnull as not_null, pg_get_expr(d.adbin, d.adrelid) as default_sql,
         a.attidentity::text as identity, a.attgenerated::text as generated,
         exists (select from pg_depend s join pg_class q on q.oid = s.refobjid and q.relkind = 'S'
                  where s.classid = 'pg_attrdef'::regclass and s.objid = d.oid
                    and s.refclassid = 'pg_class'::regclass) as owns_sequence,
         p.n_distinct::float8 as n_distinct, p.null_frac::float8 as null_frac, p.avg_width
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    join pg_namespace n on n.oid = c.relnamespace
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    left join pg_stats p on p.schemaname = n.nspname and p.tablename = c.relname and p.attname = a.attname
                        and p.inherited = (c.relkind = 'p')
   where a.attnum > 0 and not a.attisdropped and a.attrelid in (${USER_TABLES})
   order by a.attrelid, a.attnum`

export interface IndexRow {
  relation: number
  name: string
  method: string
  is_primary: boolean
  is_unique: boolean
  is_exclusion: boolean
  columns: string
  expressions: string
  where: string | null
  nulls_not_distinct: boolean
  deferrable: boolean
}

export const INDEXES = `
  select i.indrelid::bigint::float8 as relation, c.relname::text as name, m.amname::text as method,
         i.indisprimary as is_primary, i.indisunique as is_unique, i.indisexclusion as is_exclusion,
         ${names("(string_to_array(i.indkey::text, ' ')::int2[])[1:i.indnkeyatts]", 'i.indrelid')} as columns,
         case when i.indexprs is null then '[]' else (
           select json_agg(pg_get_indexdef(i.indexrelid, k.place::int, true) order by k.place)::text
             from unnest(string_to_array(i.indkey::text, ' ')::int2[]) with ordinality k(attnum, place)
            where k.attnum = 0 and k.place <= i.indnkeyatts) end as expressions,
         pg_get_expr(i.indpred, i.indrelid) as where, i.indnullsnotdistinct as nulls_not_distinct,
         not i.indimmediate as deferrable
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
   where i.indisvalid and i.indisready and i.indrelid in (${USER_TABLES})
   order by i.indrelid, not i.indisprimary, c.relname`

export interface ForeignKeyRow {
  relation: number
  name: string
  columns: string
  target: number
  target_columns: string
  deferrable: boolean
  match_full: boolean
}

/** A key that refers to a partitioned table has a copy for each partition; the copy of a referring partition is its own. */
export const FOREIGN_KEYS = `
  select k.conrelid::bigint::float8 as relation, k.conname::text as name, ${names('k.conkey', 'k.conrelid')} as columns,
         k.confrelid::bigint::float8 as target, ${names('k.confkey', 'k.confrelid')} as target_columns,
         k.condeferrable as deferrable, k.confmatchtype = 'f' as match_full
    from pg_constraint k left join pg_constraint parent on parent.oid = k.conparentid
   where k.contype = 'f' and parent.conrelid is distinct from k.conrelid and k.conrelid in (${USER_TABLES})
   order by k.conrelid, k.conname`

export interface CheckRow {
  relation: number
  name: string
  expression: string
  columns: string
}

/** conenforced came with PostgreSQL 18. */
export const CHECKS = `
  select k.conrelid::bigint::float8 as relation, k.conname::text as name,
         pg_get_expr(k.conbin, k.conrelid) as expression, ${names('k.conkey', 'k.conrelid')} as columns
    from pg_constraint k
   where k.contype = 'c' and k.conrelid in (${USER_TABLES})
     and coalesce(to_jsonb(k) ->> 'conenforced', 'true') = 'true'
   order by k.conrelid, k.conname`

export interface TriggerRow {
  relation: number
  name: string
}

export const TRIGGERS = `
  select t.tgrelid::bigint::float8 as relation, t.tgname::text as name from pg_trigger t
   where not t.tgisinternal and t.tgenabled <> 'D' and t.tgtype & 1 = 1 and t.tgrelid in (${USER_TABLES})
   order by t.tgrelid, t.tgname`

export interface BoundRow {
  root: number
  bound: string | null
  is_default: boolean
  bytes: number
  reltuples: number
}

/** Leaves of the partition trees. */
export const BOUNDS = `
  select r.oid::bigint::float8 as root, pg_get_partition_constraintdef(l.oid) as bound,
         pg_get_expr(l.relpartbound, l.oid) = 'DEFAULT' as is_default,
         case when l.relkind = 'r' then coalesce(pg_relation_size(l.oid), 0) else 0 end::float8 as bytes,
         l.reltuples::float8 as reltuples
    from pg_class r cross join lateral pg_partition_tree(r.oid) p join pg_class l on l.oid = p.relid
   where r.relkind = 'p' and not r.relispartition and p.isleaf and l.relkind <> 'p' and r.oid in (${USER_TABLES})
   order by r.oid, l.relname`

export interface TypeRow {
  oid: number
  name: string
  sql: string
  kind: string
  category: string
  element: number
  base: number
  modifier: number
  not_null: boolean
  subtype: number | null
  labels: string | null
  attributes: string | null
  checks: string | null
}

/** Every type that is no table's row type, and those that some column has. */
export const TYPES = `
  select t.oid::bigint::float8 as oid, t.typname::text as name, format_type(t.oid, null) as sql, t.typtype::text as kind,
         t.typcategory::text as category,
         case when t.typcategory = 'A' and t.typlen = -1 then t.typelem else 0 end::bigint::float8 as element,
         t.typbasetype::bigint::float8 as base, t.typtypmod as modifier, t.typnotnull as not_null,
         r.rngsubtype::bigint::float8 as subtype,
         case when t.typtype = 'e' then (
           select json_agg(e.enumlabel order by e.enumsortorder)::text from pg_enum e where e.enumtypid = t.oid)
         end as labels,
         case when t.typtype = 'c' then (
           select json_agg(json_build_array(a.attname, a.atttypid::bigint, a.atttypmod,
                                            format_type(a.atttypid, a.atttypmod)) order by a.attnum)::text
             from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped)
         end as attributes,
         case when t.typtype = 'd' then (
           select json_agg(pg_get_expr(k.conbin, 0) order by k.conname)::text from pg_constraint k
            where k.contypid = t.oid and k.contype = 'c')
         end as checks
    from pg_type t
    left join pg_range r on r.rngtypid = t.oid or r.rngmultitypid = t.oid
    left join pg_class c on c.oid = t.typrelid
   where t.typtype <> 'p' and (c.oid is null or c.relkind = 'c' or c.oid in (${USER_TABLES}))
     and (t.typcategory <> 'A' or t.typelem <> 0)`
