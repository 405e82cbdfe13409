/**
 * Rows that can only be new together with what they refer to: a profile for a user who has none yet. Where every user has
 * one, an application makes both in one transaction.
 */
import type { ForeignKeyShape, KeyShape, Row, TableShape } from '../../values/types.js'
import type { Random } from '../random.js'
import { columnOf, isFresh, isServerMade, plainColumns } from './columns.js'
import { newNumber, numberRange } from './numbers.js'
import type { Rows } from './rows.js'
import type { Drawn } from './statement.js'

/** So many tables above one another are made together at most. */
const DEEPEST = 4

/** A table whose row is made anew, with those of its references that must be new too. */
export interface Family {
  table: TableShape
  /** Name of its row among those that are drawn. */
  source: string
  /** Columns that get a number although the server would fill them, because a row of the family refers to them. */
  given: ReadonlySet<string>
  parents: readonly { foreignKey: ForeignKeyShape; family: Family }[]
}

/** The family that makes all keys of the table new; null when there is none, or the table alone would do. */
export function familyOf(table: TableShape, tables: readonly TableShape[]): Family | null {
  const family = build(table, tables, [], new Set())
  return family !== null && family.parents.length > 0 ? family : null
}

function build(
  table: TableShape,
  tables: readonly TableShape[],
  above: readonly string[],
  given: ReadonlySet<string>,
): Family | null {
  const path = [...above, table.name]
  const parents: { foreignKey: ForeignKeyShape; family: Family }[] = []
  for (const key of table.keys) {
    if (isFresh(table, key) || parents.some(({ foreignKey }) => isWithin(key, foreignKey))) continue
    const foreignKey = table.foreignKeys.find((one) => isWithin(key, one) && !path.includes(one.target))
    // Pairs of references are seldom there already.
    if (foreignKey === undefined) {
      if (isPair(table, key)) continue
      return null
    }
    const parent = tables.find(({ name }) => name === foreignKey.target)
    if (parent === undefined || !parent.may.insert || path.length >= DEEPEST) return null
    const numbered = foreignKey.targetColumns.flatMap((name) => {
      const column = columnOf(parent, name)
      return column !== null && isServerMade(column) ? [column] : []
    })
    if (numbered.some((column) => numberRange(column) === null)) return null
    const family = build(parent, tables, path, new Set(numbered.map(({ name }) => name)))
    if (family === null) return null
    parents.push({ foreignKey, family })
  }
  return { table, source: path.length === 1 ? 'new' : path.join('/'), given, parents }
}

/** Whether a new row of the target makes the key new, and nothing else does. */
function isWithin(key: KeyShape, { columns }: ForeignKeyShape): boolean {
  const names = plainColumns(key.columns)
  return key.kind !== 'exclude' && names !== null && names.every((name) => columns.includes(name))
}

const isPair = (table: TableShape, { columns }: KeyShape): boolean =>
  table.foreignKeys.filter((one) => columns.some((name) => name !== null && one.columns.includes(name))).length > 1

/** All members, those that are referred to first. */
export function membersOf(family: Family): Family[] {
  return [...family.parents.flatMap((one) => membersOf(one.family)), family]
}

/** Draws a row for each member. Throws CannotMake. */
export function drawFamily(family: Family, rows: Rows, random: Random): Drawn {
  const drawn: Record<string, Row> = {}
  const draw = ({ table, source, given, parents }: Family, own: Random): Row => {
    const row: Record<string, string | null> = { ...rows.renewed(table, own) }
    for (const column of table.columns) if (given.has(column.name)) row[column.name] = newNumber(column, own)
    for (const { foreignKey, family: parent } of parents) {
      const above = draw(parent, random.fork(parent.source))
      // NULL refers to nothing, and a CHECK may want just that.
      if (foreignKey.columns.some((name) => row[name] === null)) continue
      for (const [i, name] of foreignKey.columns.entries()) row[name] = above[foreignKey.targetColumns[i] ?? ''] ?? null
    }
    drawn[source] = row
    return row
  }
  draw(family, random)
  return drawn
}
