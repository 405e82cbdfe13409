/** node-pg-migrate's journal table: its pending rule and its order check. Version 9. Pure. */
import { quoteName } from '../../sql/identifiers.js'
import { journalRow, type JournalTable } from './ledger-row.js'
import { numericPrefix } from './node-pg-migrate-files.js'
import type { Ledger, MigrationSource } from './types.js'

/** What of the command line decides which migrations run. */
export interface Selection {
  checkOrder: boolean
  /** How many, or with `timestamp` up to which number; null for all. */
  count: number | null
  timestamp: boolean
  /** The one that was named, or null. */
  only: string | null
}

export function nodePgMigrateLedger(table: JournalTable, selection: Selection): Ledger {
  return {
    table: `${table.schema}.${table.name}`,
    tables: [table],
    query: `select name, run_on, id from ${quoteName(table.schema)}.${quoteName(table.name)} order by run_on, id`,
    written: 'after',
    pending(files, rows) {
      const run = rows.map((row) => row['name'] ?? '')
      const open = files.filter(({ name }) => !run.includes(name))
      return {
        pending: selected(open, selection).map(({ name }) => name),
        applied: files.filter(({ name }) => run.includes(name)).map(({ name }) => name),
        notes: [],
        refuses: selection.checkOrder ? wrongOrder(run, files) : null,
      }
    },
    recordedBy(sql, parameters, files) {
      const name = journalRow(sql, parameters, table)?.['name']
      return files.find((file) => file.name === name)?.name ?? null
    },
  }
}

function selected(open: readonly MigrationSource[], { count, timestamp, only }: Selection): readonly MigrationSource[] {
  if (only !== null) return open.filter(({ name }) => name === only)
  if (count === null) return open
  return timestamp ? open.filter(({ name }) => (numericPrefix(name) ?? 0) <= count) : open.slice(0, Math.abs(count))
}

/** The journal and the folder are compared place by place, as far as both go. */
function wrongOrder(run: readonly string[], files: readonly MigrationSource[]): string | null {
  for (const [i, name] of run.entries()) {
    const file = files[i]
    if (file !== undefined && file.name !== name)
      return `Not run migration ${file.name} is preceding already run migration ${name}`
  }
  return null
}
