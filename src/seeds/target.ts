/** What must be known of a table before rows are sent to it. */
import type { Sql } from '../pg/connect.js'
import type { ColumnKind } from './copy-text.js'

export interface Target {
  oid: number
  /** Quoted name for SQL. */
  sql: string
  /** In the order of the seed's columns. */
  kinds: ColumnKind[]
}

export const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** `table` or `schema.table`, each part taken letter by letter. */
const quoteName = (name: string): string => {
  const dot = name.indexOf('.')
  return dot < 0
    ? quoteIdentifier(name)
    : `${quoteIdentifier(name.slice(0, dot))}.${quoteIdentifier(name.slice(dot + 1))}`
}

/** Looks a table and its columns up. Throws an Error that names what is missing. */
export async function findTarget(sql: Sql, table: string, columns: readonly string[]): Promise<Target> {
  const quoted = quoteName(table)
  const [found] = await sql<{ oid: string | null }[]>`select to_regclass(${quoted})::oid::int8::text as oid`
  if (found?.oid == null) throw new Error('no such table in the schema')
  const oid = Number(found.oid)
  const rows = await sql<{ name: string; kind: ColumnKind }[]>`
    select a.attname::text as name,
           case when b.typname in ('json', 'jsonb') then 'json' when b.typcategory = 'A' then 'array' else 'scalar' end as kind
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
    where a.attrelid = ${oid} and a.attnum > 0 and not a.attisdropped`
  const kinds = new Map(rows.map((row) => [row.name, row.kind]))
  return {
    oid,
    sql: quoted,
    kinds: columns.map((column) => {
      const kind = kinds.get(column)
      if (!kind) throw new Error(`no column ${column} in the schema`)
      return kind
    }),
  }
}
