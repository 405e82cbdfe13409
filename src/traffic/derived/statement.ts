/** One statement with parameters, each known by the row and the column that its value comes from. */
import { quoteName } from '../../sql/identifiers.js'
import type { TypeShape, Row, TableShape } from '../../values/types.js'
import type { BoundStatement } from '../operation.js'

/**
 * Rows that the values of one run come from, by name: `key` finds a row, `new` is written, `again` restores one, others are
 * written for `new` to refer to.
 */
export type Source = string
export type Drawn = Readonly<Partial<Record<Source, Row>>>

export class Statement {
  readonly #parameters: { source: Source; column: string }[] = []
  text = ''

  /**
   * The next `$n`. Never the same number twice: a parameter that is assigned to a varchar and compared with one would get
   * two types.
   */
  parameter(source: Source, column: string): string {
    this.#parameters.push({ source, column })
    return `$${this.#parameters.length}`
  }

  bind(drawn: Drawn): BoundStatement {
    return { text: this.text, params: this.#parameters.map(({ source, column }) => drawn[source]?.[column] ?? null) }
  }
}

/** Builds a statement whose parameters are numbered in the order in which `write` asks for them. */
export function statement(write: (parameter: Statement['parameter']) => string): Statement {
  const made = new Statement()
  made.text = write((source, column) => made.parameter(source, column))
  return made
}

/** Quoted where needed, separated by commas, each behind the alias if there is one. */
export const columnList = (columns: readonly string[], alias = ''): string =>
  columns.map((column) => `${alias}${quoteName(column)}`).join(', ')

export const allColumns = (table: TableShape): string[] => table.columns.map(({ name }) => name)

/** The server cannot read a record without being told which. */
export const castTo = (parameter: string, type: TypeShape): string =>
  type.kind === 'c' ? `${parameter}::${type.sql}` : parameter
