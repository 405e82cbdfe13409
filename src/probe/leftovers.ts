/** What a migration leaves behind that was not there before: INVALID indexes and NOT VALID constraints. */
import { qualified } from '../pg/catalog.js'
import type { Sql } from '../pg/connect.js'

export interface Unfinished {
  invalidIndexes: { index: string; table: string }[]
  notValidConstraints: { constraint: string; table: string }[]
}

/**
 * An index counts as INVALID when pg_index.indisvalid is false (an unfinished or failed CONCURRENTLY). The parent index
 * of a partitioned table that waits for its partitions' indexes is not one: it is invalid by design until all are attached.
 */
export async function readUnfinished(sql: Sql): Promise<Unfinished> {
  const indexes = await sql.unsafe<{ schema: string; index: string; table_schema: string; table: string }[]>(`
    select n.nspname as schema, c.relname as index, tn.nspname as table_schema, t.relname as table
      from pg_catalog.pg_index i
      join pg_catalog.pg_class c on c.oid = i.indexrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      join pg_catalog.pg_class t on t.oid = i.indrelid join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
     where not i.indisvalid and c.relkind = 'i' and n.nspname not in ('pg_catalog', 'pg_toast')
     order by 1, 2`)
  const constraints = await sql.unsafe<{ constraint: string; schema: string | null; table: string | null }[]>(`
    select k.conname as constraint, n.nspname as schema, t.relname as table
      from pg_catalog.pg_constraint k
      left join pg_catalog.pg_class t on t.oid = k.conrelid
      left join pg_catalog.pg_namespace n on n.oid = coalesce(t.relnamespace, k.connamespace)
     where not k.convalidated and n.nspname <> 'pg_catalog'
     order by 2, 3, 1`)
  return {
    invalidIndexes: indexes.map((row) => ({
      index: qualified(row.schema, row.index),
      table: qualified(row.table_schema, row.table),
    })),
    notValidConstraints: constraints.map((row) => ({
      constraint: row.constraint,
      table: row.table === null ? '(domain)' : qualified(row.schema ?? 'public', row.table),
    })),
  }
}

/** `after` without what `before` already had. */
export function newlyUnfinished(before: Unfinished, after: Unfinished): Unfinished {
  const had = new Set([
    ...before.invalidIndexes.map((row) => `i ${row.table} ${row.index}`),
    ...before.notValidConstraints.map((row) => `c ${row.table} ${row.constraint}`),
  ])
  return {
    invalidIndexes: after.invalidIndexes.filter((row) => !had.has(`i ${row.table} ${row.index}`)),
    notValidConstraints: after.notValidConstraints.filter((row) => !had.has(`c ${row.table} ${row.constraint}`)),
  }
}
