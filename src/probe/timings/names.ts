/** What the nodes of plans are about, and what of it is the same thing on both copies whatever it is called. */
import { qualified, readRelations } from '../../pg/catalog.js'
import type { Sql } from '../../pg/connect.js'

export interface IndexEntry {
  oid: number
  name: string
  table: number
  /** How it is made, without any name of its own: method, columns by number, operator classes, predicate. */
  definition: string
}

export interface Catalog {
  /** Names by OID. */
  relations: ReadonlyMap<number, string>
  indexes: readonly IndexEntry[]
  /** Columns by `oid.number`, and those of them that have statistics. */
  columns: ReadonlyMap<string, { table: number; name: string; analysed: boolean }>
  /** Whether something is checked at COMMIT. */
  deferred: boolean
}

/** `sql` is a superuser's: statistics of tables that it may not read would seem to be missing. */
export async function readCatalog(sql: Sql): Promise<Catalog> {
  const relations = await readRelations(sql)
  const indexes = await sql.unsafe<
    { oid: number; schema: string; name: string; table_oid: number; definition: string }[]
  >(`
    select i.indexrelid::bigint::float8 as oid, n.nspname as schema, c.relname as name,
           i.indrelid::bigint::float8 as table_oid,
           concat_ws(' | ', a.amname, i.indkey, i.indclass, i.indcollation, i.indoption, i.indisunique,
                     pg_catalog.pg_get_expr(i.indexprs, i.indrelid), pg_catalog.pg_get_expr(i.indpred, i.indrelid))
             as definition
      from pg_catalog.pg_index i
      join pg_catalog.pg_class c on c.oid = i.indexrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      join pg_catalog.pg_am a on a.oid = c.relam
     where i.indisvalid and c.oid >= 16384`)
  const columns = await sql.unsafe<{ table_oid: number; number: number; name: string; analysed: boolean }[]>(`
    select a.attrelid::bigint::float8 as table_oid, a.attnum as number, a.attname as name,
           exists (select from pg_catalog.pg_stats s
                    where s.schemaname = n.nspname and s.tablename = c.relname and s.attname = a.attname) as analysed
      from pg_catalog.pg_attribute a
      join pg_catalog.pg_class c on c.oid = a.attrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'm', 'p') and c.oid >= 16384 and a.attnum > 0 and not a.attisdropped`)
  const [first] = await sql.unsafe<{ deferred: boolean }[]>(
    'select exists (select from pg_catalog.pg_trigger where tginitdeferred and tgrelid >= 16384) as deferred',
  )
  return {
    relations: new Map([...relations.values()].map((relation) => [relation.oid, relation.name])),
    indexes: indexes.map((row) => ({
      oid: row.oid,
      name: qualified(row.schema, row.name),
      table: row.table_oid,
      definition: row.definition,
    })),
    columns: new Map(
      columns.map((row) => [
        `${row.table_oid}.${row.number}`,
        { table: row.table_oid, name: row.name, analysed: row.analysed },
      ]),
    ),
    deferred: first?.deferred === true,
  }
}

export interface Names {
  /** The name before the migration of what is called so afterwards; the name itself for what is new. */
  relation: (after: string) => string
  /** The same of an index: one of the same definition is the same index. Null for one that is new. */
  index: (after: string) => string | null
  /** An index by its name before: whether it is there afterwards, under whatever name. */
  isThere: (index: string) => boolean
  /** The table of an index by its name on that side, as it was called before. */
  tableOf: (index: string) => string | null
  /** Columns that had statistics before and have none now, by their table's name before. */
  withoutStatistics: (relation: string) => string[]
}

/** Pure. */
export function compareNames(before: Catalog, after: Catalog): Names {
  const oidAfter = new Map([...after.relations].map(([oid, name]) => [name, oid]))
  const relation = (name: string): string => {
    const oid = oidAfter.get(name)
    const was = oid === undefined ? undefined : before.relations.get(oid)
    // A table that took the place of another has its name now: the other goes by its new one.
    if (was === undefined || (was !== name && oidAfter.has(was))) return name
    return was
  }
  const tableBefore = (oid: number): string => before.relations.get(oid) ?? ''
  const tableAfter = (oid: number): string => relation(after.relations.get(oid) ?? '')
  const same = new Map<string, string>()
  for (const index of after.indexes) {
    const candidates = before.indexes.filter((one) => tableBefore(one.table) === tableAfter(index.table))
    const twin =
      before.indexes.find((one) => one.oid === index.oid) ??
      candidates.find((one) => one.name === index.name) ??
      candidates.find((one) => one.definition === index.definition && !after.indexes.some((o) => o.oid === one.oid))
    if (twin) same.set(index.name, twin.name)
  }
  const there = new Set(same.values())
  const tables = new Map([
    ...after.indexes.map((one) => [one.name, tableAfter(one.table)] as const),
    ...before.indexes.map((one) => [one.name, tableBefore(one.table)] as const),
  ])
  return {
    relation,
    index: (name) => same.get(name) ?? null,
    isThere: (index) => there.has(index),
    tableOf: (index) => tables.get(index) ?? null,
    withoutStatistics: (name) =>
      [...before.columns].flatMap(([key, column]) =>
        column.analysed && tableBefore(column.table) === name && after.columns.get(key)?.analysed === false
          ? [column.name]
          : [],
      ),
  }
}
