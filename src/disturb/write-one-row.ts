/** Writes as the application does, one row of each table, in a transaction that is open already. */
import type { Sql } from '../pg/connect.js'
import { inSql, namesOf } from './session.js'
import type { DisturbedTable } from './types.js'

/** The column that an update hurts least: of no key and of no index where there is one. */
const COLUMN = `
  select a.attname as name
    from pg_catalog.pg_attribute a
   where a.attrelid = pg_catalog.to_regclass($1) and a.attnum > 0 and not a.attisdropped
     and a.attgenerated = '' and a.attidentity <> 'a'
     and pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'UPDATE')
   order by exists (select from pg_catalog.pg_index i where i.indrelid = a.attrelid and a.attnum = any (i.indkey)), a.attnum desc
   limit 1`

/**
 * Sets one row's column to what it is already; rows that others are writing are passed over. Where that is refused, the
 * lock is taken without a write. Says what it did, as `updated one row of orders`. Throws when it may not even lock.
 */
export async function writeOneRow(sql: Sql, tables: readonly DisturbedTable[]): Promise<string> {
  const written: DisturbedTable[] = []
  const locked: DisturbedTable[] = []
  for (const table of tables) {
    const name = inSql(table)
    await sql.unsafe('savepoint one_row')
    try {
      const [column] = await sql.unsafe<{ name: string }[]>(COLUMN, [name])
      const quoted = `"${column?.name.replaceAll('"', '""') ?? ''}"`
      const { count } = await sql.unsafe(`
        with one as (select tableoid, ctid from ${name} limit 1 for no key update skip locked)
        update ${name} as t set ${quoted} = t.${quoted} from one where t.ctid = one.ctid and t.tableoid = one.tableoid`)
      ;(count > 0 ? written : locked).push(table)
    } catch {
      await sql.unsafe('rollback to savepoint one_row')
      await sql.unsafe(`lock table ${name} in row exclusive mode`)
      locked.push(table)
    }
  }
  return [
    ...(written.length > 0 ? [`updated one row of ${namesOf(written)}`] : []),
    ...(locked.length > 0 ? [`locked ${namesOf(locked)} as a write does (no row could be updated)`] : []),
  ].join(' and ')
}
