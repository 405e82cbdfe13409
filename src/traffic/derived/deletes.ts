/** Deletes that leave the data as it was: what goes comes back, or was only just made, in one transaction. */
import type { SchemaShape, TableShape } from '../../values/types.js'
import { columnOf, isFresh, isServerMade, referrers } from './columns.js'
import { hasDeferrableKey, insertText } from './inserts.js'
import { newNumber, numberRange } from './numbers.js'
import { condition, locator, type Locator, type Rows } from './rows.js'
import { allColumns, statement } from './statement.js'
import type { Draft, Drafts } from './types.js'

/**
 * A row that nothing can refer to is deleted and inserted again. Otherwise children would refuse that, or be lost by ON
 * DELETE CASCADE: there a new row is inserted and deleted.
 */
export function deleteDraft(shape: SchemaShape, table: TableShape, rows: Rows): Drafts {
  const by = locator(table)
  const name = 'delete and insert again'
  if (by === null || !by.unique) return { drafts: [], leftOut: [{ name, reason: 'no key finds one row' }] }
  const referring = referrers(shape, table)
  if (referring.length === 0) return { drafts: [again(table, by, rows)], leftOut: [] }
  const reason = `${referring[0]?.name ?? ''} refers to it`
  const numbers = by.columns.flatMap((column) => columnOf(table, column) ?? [])
  const known = numbers.every((column) => !isServerMade(column) || numberRange(column) !== null)
  // A row that is not inserted, because one like it is there, must not be deleted either.
  if (by.where !== null || !known || !table.keys.every((key) => isFresh(table, key)))
    return { drafts: [], leftOut: [{ name, reason }] }
  return { drafts: [passing(table, by, rows)], leftOut: [] }
}

/** Columns that must be given for the same row to come back. */
const restored = (table: TableShape): Set<string> =>
  new Set(table.columns.filter(({ generated }) => generated === null).map(({ name }) => name))

function again(table: TableShape, by: Locator, rows: Rows): Draft {
  const given = restored(table)
  // Somebody else's delete of the same row may have been waited for: then it is there again already.
  const meets = hasDeferrableKey(table) ? '' : ' on conflict do nothing'
  return {
    table,
    does: 'delete',
    name: 'delete and insert again',
    transaction: true,
    statements: [
      statement((p) => `delete from ${table.sql} where ${condition(table, by, p)}`),
      statement((p) => `${insertText(table, 'again', p, given)}${meets}`),
    ],
    reads: [],
    writes: [],
    draw(random) {
      const columns = allColumns(table).filter((name) => given.has(name))
      const found: Record<string, string | null> = { ...rows.existing(table, by.columns, random) }
      // Nobody but the server makes these: without a row that could be deleted, the number is one of its own.
      for (const column of table.columns)
        if (isServerMade(column) && numberRange(column) !== null) found[column.name] ??= newNumber(column, random)
      return { key: found, again: rows.whole(table, columns, found, random) }
    },
  }
}

function passing(table: TableShape, by: Locator, rows: Rows): Draft {
  const numbered = table.columns.filter((column) => by.columns.includes(column.name) && isServerMade(column))
  const given = new Set(numbered.map(({ name }) => name))
  return {
    table,
    does: 'delete',
    name: 'insert and delete',
    transaction: true,
    statements: [
      statement((p) => insertText(table, 'new', p, given)),
      statement((p) => `delete from ${table.sql} where ${condition(table, by, p)}`),
    ],
    reads: [],
    writes: [],
    draw(random) {
      const row: Record<string, string | null> = { ...rows.maker.row(table, random) }
      for (const column of numbered) row[column.name] = newNumber(column, random)
      return { new: row, key: row }
    },
  }
}
