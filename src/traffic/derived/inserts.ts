/** New rows: an insert with all columns, as ORMs write it, and an upsert. */
import { quoteName } from '../../sql/identifiers.js'
import type { ColumnShape, KeyShape, Row, SchemaShape, TableShape } from '../../values/types.js'
import type { Random } from '../random.js'
import { columnOf, isFresh, isInKey, isServerMade, makesNew, plainColumns, updatableColumns } from './columns.js'
import { drawFamily, familyOf, membersOf } from './parents.js'
import type { Rows } from './rows.js'
import { allColumns, columnList, statement, type Source, type Statement } from './statement.js'
import type { Draft, Drafts } from './types.js'
import { changed } from './updates.js'

/** Columns that an upsert changes in a row that is there. */
const UPSERT_COLUMNS = 6
/** Of the upserts, those that meet a row. */
const MEETS = 0.5

/**
 * `insert into t (all columns) values (...)`: DEFAULT for what the server fills. `given` are columns of these that get a
 * value all the same.
 */
export function insertText(
  table: TableShape,
  source: Source,
  parameter: Statement['parameter'],
  given: ReadonlySet<string> = new Set(),
): string {
  const values = table.columns.map((column) =>
    isServerMade(column) && !given.has(column.name) ? 'default' : parameter(source, column.name),
  )
  const overriding = table.columns.some(({ name, identity }) => identity === 'always' && given.has(name))
  return `insert into ${table.sql} (${columnList(allColumns(table))})${overriding ? ' overriding system value' : ''} values (${values.join(', ')})`
}

/** ON CONFLICT cannot look at keys that are checked at the end of the transaction. */
export const hasDeferrableKey = (table: TableShape): boolean => table.keys.some(({ deferrable }) => deferrable)

export const returning = (table: TableShape): string =>
  table.may.select ? ` returning ${columnList(allColumns(table))}` : ''

/** `tables` are those that a row may be made in so that another can refer to it. */
export function insertDraft(table: TableShape, tables: readonly TableShape[], rows: Rows): Draft {
  // A row for the same pair of references is there already now and then, and applications expect that.
  const mayMeet = !hasDeferrableKey(table) && table.keys.some((key) => !isFresh(table, key))
  const conflict = mayMeet ? ' on conflict do nothing' : ''
  const family = mayMeet ? familyOf(table, tables) : null
  const members = family === null ? [] : membersOf(family).slice(0, -1)
  return {
    table,
    does: 'insert',
    name: 'insert',
    transaction: members.length > 0,
    statements: [
      ...members.map((member) => statement((p) => insertText(member.table, member.source, p, member.given))),
      statement((p) => `${insertText(table, 'new', p)}${conflict}${returning(table)}`),
    ],
    reads: table.may.select ? [{ table: table.name, columns: allColumns(table) }] : [],
    writes: [...members.map((member) => member.table), table].map((one) => ({
      table: one.name,
      columns: written(one),
    })),
    draw(random) {
      if (family !== null) return drawFamily(family, rows, random)
      return { new: mayMeet ? rows.newOrThere(table, random) : rows.maker.row(table, random) }
    },
  }
}

const written = (table: TableShape): string[] =>
  table.columns.filter((column) => !isServerMade(column)).map(({ name }) => name)

/** One for a table that has a key to infer, whatever else its keys are. */
export function upsertDraft(shape: SchemaShape, table: TableShape, rows: Rows): Drafts {
  const keys = table.keys.flatMap((key) => {
    const columns = plainColumns(key.columns)
    if (columns === null || key.kind === 'exclude' || key.deferrable) return []
    const given = columns.every((name) => {
      const column = columnOf(table, name)
      return column !== null && !isServerMade(column)
    })
    return given ? [{ key, columns }] : []
  })
  if (keys.length === 0) return { drafts: [], leftOut: [] }
  const stale = table.keys.filter((key) => !isFresh(table, key))
  const target =
    keys.find(({ key }) => stale.includes(key)) ?? keys.find(({ key }) => key.kind === 'primary') ?? keys[0]
  if (target === undefined) return { drafts: [], leftOut: [] }
  const name = `upsert by ${target.columns.join(' and ')}`
  const other = stale.find((key) => key !== target.key)
  if (other !== undefined)
    return { drafts: [], leftOut: [{ name, reason: `another key (${other.name}) would be violated now and then` }] }
  return { drafts: [upsert(shape, table, target.key, target.columns, name, rows)], leftOut: [] }
}

function upsert(
  shape: SchemaShape,
  table: TableShape,
  key: KeyShape,
  by: readonly string[],
  name: string,
  rows: Rows,
): Draft {
  const updatable = updatableColumns(shape, table).filter((column) => !by.includes(column.name))
  const sets = updatable.slice(0, UPSERT_COLUMNS)
  const set = (sets.length > 0 ? sets.map((column) => column.name) : by).map(
    (column) => `${quoteName(column)} = excluded.${quoteName(column)}`,
  )
  const target = `(${columnList(by)})${key.where === null ? '' : ` where ${key.where}`}`
  return {
    table,
    does: 'upsert',
    name,
    transaction: false,
    statements: [
      statement(
        (p) =>
          `${insertText(table, 'new', p)} on conflict ${target} do update set ${set.join(', ')}${returning(table)}`,
      ),
    ],
    reads: table.may.select ? [{ table: table.name, columns: allColumns(table) }] : [],
    writes: [{ table: table.name, columns: written(table) }],
    draw: (random) => ({
      new: random.next() < MEETS ? meeting(table, by, sets, rows, random) : rows.newOrThere(table, random),
    }),
  }
}

/**
 * A row that meets an existing one in its key and nowhere else: what belongs together in it stays so, other keys are new.
 */
function meeting(
  table: TableShape,
  by: readonly string[],
  sets: readonly ColumnShape[],
  rows: Rows,
  random: Random,
): Row {
  const met = rows.existing(table, by, random)
  if (by.some((name) => (met[name] ?? null) === null)) return rows.maker.row(table, random)
  const fresh = table.columns.filter(
    (column) =>
      !by.includes(column.name) &&
      !isServerMade(column) &&
      ((isInKey(table, column.name) && makesNew(table, column.name)) ||
        sets.includes(column) ||
        met[column.name] === undefined),
  )
  return changed(table, fresh, met, rows, random)
}
