/**
 * A report of the application: REPEATABLE READ, so that it has one snapshot from its beginning to its end, and ACCESS SHARE
 * on every table that it has read. It holds both for as long as it lasts, while a statement of it runs.
 */
import { hold, inSql, namesOf, target } from './session.js'
import type { Disturbance, DisturbedTable } from './types.js'

/** Rows that it reads of each table: the lock does not depend on it. */
const ROWS = 10_000

const read = (table: DisturbedTable): string =>
  `select count(*) from (select from ${inSql(table)} limit ${ROWS}) as part`

export const longRead: Disturbance = {
  settings: {},
  start: (options) =>
    hold({
      kind: 'long-read',
      as: 'app',
      options,
      async take(sql) {
        const tables = target(options.tables)
        await sql.unsafe('begin isolation level repeatable read read only')
        for (const table of tables) await sql.unsafe(read(table))
        return `a transaction that read ${namesOf(tables)} and stayed open`
      },
      // Longer than it is needed: it is ended at its time.
      goOn: (sql) => sql.unsafe(`select pg_catalog.pg_sleep(${options.lastsMs / 1000 + 3_600})`),
    }),
}
