/**
 * Foreign keys of the tables that are loaded are taken off before and put back after: checked row by row they make a
 * load several times slower, checked at once when they are added they cost a join. A seed that breaks one still fails.
 */
import type { Sql } from '../pg/connect.js'

interface ForeignKey {
  table: string
  name: string
  definition: string
  comment: string | null
}

/** Drops the foreign keys that lead out of the given tables and returns the way to restore them. */
export async function detachForeignKeys(sql: Sql, tables: readonly number[]): Promise<() => Promise<void>> {
  const keys = await sql<ForeignKey[]>`
    select conrelid::regclass::text as table, quote_ident(conname) as name, pg_get_constraintdef(oid) as definition,
           quote_literal(obj_description(oid, 'pg_constraint')) as comment
    from pg_constraint
    where contype = 'f' and conparentid = 0 and conrelid in ${sql(tables)}
    order by oid`
  for (const key of keys) await sql.unsafe(`alter table ${key.table} drop constraint ${key.name}`)
  return async () => {
    for (const key of keys) {
      await sql.unsafe(`alter table ${key.table} add constraint ${key.name} ${key.definition}`)
      if (key.comment !== null) await sql.unsafe(`comment on constraint ${key.name} on ${key.table} is ${key.comment}`)
    }
  }
}
