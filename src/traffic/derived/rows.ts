/** How one row is found again, and rows to find. */
import { quoteName } from '../../sql/identifiers.js'
import { CannotMake, type ColumnShape, type Row, type TableShape, type ValueMaker } from '../../values/types.js'
import type { Random } from '../random.js'
import { columnOf, isComparable, isInKey, isServerMade, makesNew, plainColumns } from './columns.js'
import { castTo, type Statement } from './statement.js'

/**
 * Half of the arrivals are for rows that are wanted often (Zipf, the least that `Random.zipfian` can do), half for any: no
 * single one is wanted so often that everything waits for it.
 */
const SKEW = 1.001
const SKEWED = 0.5
/** How often another row is drawn when a key of the first one is NULL. */
const DRAWS = 5
/** Columns that find a row of a table without a key. */
const MOST_COLUMNS = 4

/** Columns that find one row, or nearly so. */
export interface Locator {
  columns: readonly string[]
  /** Predicate of a partial index, to be asked for too. */
  where: string | null
  unique: boolean
}

/** The primary key, else a unique one; else NOT NULL columns that tell rows apart best, or null. */
export function locator(table: TableShape): Locator | null {
  const keys = table.keys.flatMap((key) => {
    const columns = plainColumns(key.columns)
    return columns === null || key.kind === 'exclude' ? [] : [{ ...key, columns }]
  })
  const rank = (key: (typeof keys)[number]): number => {
    if (key.kind === 'primary') return 0
    return key.where === null && key.columns.every((name) => columnOf(table, name)?.notNull) ? 1 : 2
  }
  const [best] = keys.sort((a, b) => rank(a) - rank(b))
  if (best) return { columns: best.columns, where: best.where, unique: true }
  const telling = table.columns
    .filter(({ type, generated }) => isComparable(type) && generated !== 'virtual')
    .sort((a, b) => telltale(table, a) - telltale(table, b))
    // One column at least is left to be changed.
    .slice(0, Math.max(1, Math.min(MOST_COLUMNS, table.columns.length - 1)))
  return telling.length === 0 ? null : { columns: telling.map(({ name }) => name), where: null, unique: false }
}

/** Small for columns that an index begins with, that are never NULL and that have many values. */
function telltale(table: TableShape, { name, notNull, type }: ColumnShape): number {
  const indexed = table.indexes.some(({ columns, where }) => columns[0] === name && where === null)
  const few = type.labels !== null || type.category === 'B' || type.element !== null || type.category === 'U'
  return (indexed ? 0 : 4) + (notNull ? 0 : 2) + (few ? 1 : 0)
}

/** `a = $1 and b = $2`, with the predicate of a partial index, which the catalog has in parentheses where it needs them. */
export function condition(table: TableShape, by: Locator, parameter: Statement['parameter'], alias = ''): string {
  const terms = by.columns.map((name) => {
    const column = columnOf(table, name)
    const value = parameter('key', name)
    // NULL is found too where no key keeps it out.
    const equals = by.unique || column?.notNull ? '=' : 'is not distinct from'
    return `${alias}${quoteName(name)} ${equals} ${column ? castTo(value, column.type) : value}`
  })
  return [...terms, ...(by.where === null ? [] : [by.where])].join(' and ')
}

/** Values for parameters: of rows that are there, or made where there are none. */
export class Rows {
  readonly maker: ValueMaker

  constructor(maker: ValueMaker) {
    this.maker = maker
  }

  /** A row with none of the columns NULL, if a few draws find one. Columns that it does not have are made. */
  existing(table: TableShape, columns: readonly string[], random: Random): Row {
    let row: Row | null = null
    for (let draw = 0; draw < DRAWS; draw++) {
      const next = this.maker.existing(table, random, random.next() < SKEWED ? SKEW : 0)
      row ??= next
      if (next === null) break
      if (columns.every((column) => (next[column] ?? null) !== null)) {
        row = next
        break
      }
    }
    const made: Record<string, string | null> = { ...row }
    for (const name of columns) {
      const column = columnOf(table, name)
      if (column !== null && made[name] === undefined) made[name] = this.#any(table, column, random)
    }
    return made
  }

  /** The row with all of the columns: what the pools do not keep, such as long texts, is made anew. */
  whole(table: TableShape, columns: readonly string[], row: Row, random: Random): Row {
    const made: Record<string, string | null> = { ...row }
    for (const name of columns) {
      const column = columnOf(table, name)
      if (column !== null && made[name] === undefined)
        made[name] = this.maker.value(table, column, random, { row: made })
    }
    return made
  }

  /** A new row; where every one that there can be is there already, one of those. */
  newOrThere(table: TableShape, random: Random): Row {
    try {
      return this.maker.row(table, random)
    } catch (error) {
      const there = error instanceof CannotMake ? this.maker.existing(table, random) : null
      if (there === null) throw error
      const columns = table.columns.filter((column) => !isServerMade(column)).map(({ name }) => name)
      return this.whole(table, columns, there, random)
    }
  }

  /** A new row; where references are used up, one that is there with its other keys made new. */
  renewed(table: TableShape, random: Random): Row {
    try {
      return this.maker.row(table, random)
    } catch (error) {
      if (!(error instanceof CannotMake)) throw error
      const there = this.maker.existing(table, random)
      if (there === null) throw error
      const made: Record<string, string | null> = { ...there }
      for (const column of table.columns) {
        if (isServerMade(column)) continue
        if (made[column.name] !== undefined && !(isInKey(table, column.name) && makesNew(table, column.name))) continue
        made[column.name] = this.maker.value(table, column, random, { unique: isInKey(table, column.name), row: made })
      }
      return made
    }
  }

  #any(table: TableShape, column: ColumnShape, random: Random): string | null {
    try {
      return this.maker.value(table, column, random)
    } catch (error) {
      // It is only looked for, and nothing is what is found.
      if (error instanceof CannotMake) return null
      throw error
    }
  }
}
