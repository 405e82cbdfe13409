/** What follows every seed, whether it was SQL or TypeScript. */
import type { Sql } from '../pg/connect.js'

interface SequenceUse {
  sequence: string
  table: string
  column: string
  descending: boolean
}

/**
 * Moves every sequence that feeds a column (identity, serial, or a default that calls nextval) past the values in that
 * column, so that the application's first INSERT does not meet a loaded id. A sequence never moves back. Returns how
 * many were moved.
 */
export async function syncSequences(sql: Sql): Promise<number> {
  const uses = await sql<SequenceUse[]>`
    select distinct s.seqrelid::regclass::text as sequence, a.attrelid::regclass::text as table,
           quote_ident(a.attname) as column, s.seqincrement < 0 as descending
    from pg_sequence s
    join (
      select d.objid as seq, d.refobjid as relid, d.refobjsubid as attnum
      from pg_depend d
      where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
      union
      select d.refobjid, f.adrelid, f.adnum
      from pg_depend d join pg_attrdef f on f.oid = d.objid
      where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass
    ) u on u.seq = s.seqrelid
    join pg_attribute a on a.attrelid = u.relid and a.attnum = u.attnum and not a.attisdropped
    join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p')
    join pg_type t on t.oid = a.atttypid and t.typcategory = 'N'`
  let moved = 0
  for (const { sequence, table, column, descending } of uses) {
    const [extreme, beyond] = descending ? ['min', '<'] : ['max', '>']
    // The next value as the sequence stands: last_value itself while it was never drawn from.
    const rows = await sql.unsafe(`
      select setval('${sequence.replaceAll("'", "''")}', u.id) as value
      from (select ${extreme}(${column})::bigint as id from ${table}) u, ${sequence} s
      where u.id ${beyond}= s.last_value and (u.id ${beyond} s.last_value or not s.is_called)`)
    moved += rows.length
  }
  return moved
}

/**
 * Brings a filled database into the state of one that has been in use: sequences past the loaded ids, statistics for the
 * planner, visibility map and hint bits set, so that the first measured scan does not pay for the load. `sql` is the
 * owner of the tables or a superuser.
 */
export async function finishSeed(sql: Sql): Promise<void> {
  await syncSequences(sql)
  // FREEZE, or autovacuum would find this to be its first work in the middle of a measurement.
  await sql.unsafe('vacuum (freeze, analyze)')
}
