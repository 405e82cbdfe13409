/** In which order tables are filled so that what they refer to is there, and how many rows each gets. */
import type { ForeignKeyShape, TableShape } from '../../values/types.js'

/** Tables that are filled in one transaction; more than one only where they refer to each other in a circle. */
export interface Step {
  tables: readonly TableShape[]
}

export interface FillOrder {
  steps: readonly Step[]
  /** References that are left NULL at first and set when everything is there. */
  later: readonly { table: TableShape; foreignKey: ForeignKeyShape }[]
}

/** Rows of a table that others refer to are a tenth of theirs, but as many as this. */
const LEAST_ROWS = 100
const SHARE_PER_LEVEL = 10

const canBeNull = (table: TableShape, foreignKey: ForeignKeyShape): boolean => {
  const columns = table.columns.filter(({ name }) => foreignKey.columns.includes(name))
  const nullable = columns.filter(({ notNull, type }) => !notNull && !type.domainNotNull)
  return foreignKey.matchFull ? nullable.length === columns.length : nullable.length > 0
}

/** Referred tables first. A circle is opened at a reference that may be NULL; what then remains is one step. */
export function fillOrder(tables: readonly TableShape[]): FillOrder {
  const waiting = new Map(tables.map((table) => [table.name, table]))
  const steps: Step[] = []
  const opened = new Set<ForeignKeyShape>()
  const later: { table: TableShape; foreignKey: ForeignKeyShape }[] = []
  const needs = (table: TableShape): ForeignKeyShape[] =>
    table.foreignKeys.filter((key) => key.target !== table.name && waiting.has(key.target) && !opened.has(key))

  while (waiting.size > 0) {
    const ready = [...waiting.values()].find((table) => needs(table).length === 0)
    if (ready) {
      steps.push({ tables: [ready] })
      waiting.delete(ready.name)
      continue
    }
    const circle = smallestCircle([...waiting.values()], needs)
    const opening = circle
      .flatMap((table) => needs(table).map((foreignKey) => ({ table, foreignKey })))
      .find(
        ({ table, foreignKey }) =>
          circle.some(({ name }) => name === foreignKey.target) && canBeNull(table, foreignKey),
      )
    if (opening) {
      opened.add(opening.foreignKey)
      later.push(opening)
    } else {
      steps.push({ tables: circle })
      for (const { name } of circle) waiting.delete(name)
    }
  }
  return { steps, later }
}

/** Tables that all reach each other and nothing outside that is still waiting. */
function smallestCircle(tables: readonly TableShape[], needs: (table: TableShape) => ForeignKeyShape[]): TableShape[] {
  const byName = new Map(tables.map((table) => [table.name, table]))
  const reach = new Map(
    tables.map((table) => {
      const seen = new Set<string>()
      const open = [table]
      for (let one = open.pop(); one; one = open.pop())
        for (const { target } of needs(one)) {
          const next = byName.get(target)
          if (next && !seen.has(target)) {
            seen.add(target)
            open.push(next)
          }
        }
      return [table.name, seen] as const
    }),
  )
  const [first] = [...tables].sort((a, b) => (reach.get(a.name)?.size ?? 0) - (reach.get(b.name)?.size ?? 0))
  return tables.filter(({ name }) => first && (reach.get(first.name)?.has(name) ?? false))
}

/**
 * Rows by how many tables deep others build on the table: all for the outermost and for `large` ones, a tenth less for each
 * level below.
 */
export function rowCounts(
  tables: readonly TableShape[],
  order: FillOrder,
  rows: number,
  large: ReadonlySet<string> = new Set(),
): Map<string, number> {
  const level = new Map(tables.map(({ name }) => [name, 0]))
  const opened = new Set(order.later.map(({ foreignKey }) => foreignKey))
  for (const { tables: together } of [...order.steps].reverse())
    for (const table of together)
      for (const foreignKey of table.foreignKeys) {
        if (together.some(({ name }) => name === foreignKey.target) || opened.has(foreignKey)) continue
        const below = (level.get(table.name) ?? 0) + 1
        if (below > (level.get(foreignKey.target) ?? below)) level.set(foreignKey.target, below)
      }
  return new Map(
    tables.map(({ name }) => {
      const share = large.has(name) ? rows : Math.round(rows / SHARE_PER_LEVEL ** (level.get(name) ?? 0))
      return [name, Math.max(share, Math.min(LEAST_ROWS, rows))]
    }),
  )
}
