/**
 * A reader as pg_dump is one: one snapshot, ACCESS SHARE on all tables at once in the order of their names, then COPY of one
 * after the other, slowly enough to last. The rows go nowhere.
 */
import { sleep } from '../clock.js'
import type { Sql } from '../pg/connect.js'
import { hold, inSql } from './session.js'
import type { Disturbance, DisturbedTable } from './types.js'

/** The driver hands rows over in pieces of about this size. */
const PIECE_BYTES = 64 * 1024

async function copyOut(
  sql: Sql,
  tables: readonly DisturbedTable[],
  lastsMs: number,
  signal: AbortSignal,
): Promise<void> {
  const pieces = tables.reduce((sum, { bytes }) => sum + 1 + bytes / PIECE_BYTES, 0)
  const pauseMs = lastsMs / pieces
  for (const table of tables) {
    const rows = await sql.unsafe(`copy ${inSql(table)} to stdout`).readable()
    for await (const piece of rows as AsyncIterable<Uint8Array>)
      await sleep((pauseMs * piece.length) / PIECE_BYTES, signal)
    await sleep(pauseMs, signal)
  }
  // It lasts as long as the dump of a larger database would.
  while (!signal.aborted) await sleep(60_000, signal)
}

export const dump: Disturbance = {
  settings: {},
  start: (options) => {
    const tables = options.tables
      .filter((table) => table.writable)
      .sort((a, b) => (a.schema + '.' + a.bare < b.schema + '.' + b.bare ? -1 : 1))
    return hold({
      kind: 'dump',
      as: 'migrate',
      options,
      sends: true,
      async take(sql) {
        await sql.unsafe('begin isolation level repeatable read read only')
        if (tables.length > 0) await sql.unsafe(`lock table ${tables.map(inSql).join(', ')} in access share mode`)
        return `a dump that read all tables (${tables.length}) one after the other, as pg_dump does`
      },
      goOn: (sql, signal) => copyOut(sql, tables, options.lastsMs, signal),
    })
  },
}
