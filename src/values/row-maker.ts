/** Makes whole rows: references first, then columns as the checks want them, then everything is looked at once more. */
import { Demands, demand } from './demands.js'
import { evaluate } from './evaluate.js'
import { isNumber } from './make-number.js'
import { makeValue } from './make-type.js'
import { boundBy } from './orders.js'
import type { Plan, PlannedColumn } from './plan.js'
import type { Random } from './random.js'
import { tuple, type References } from './references.js'
import { UNKNOWN } from './scalars.js'
import { CannotMake, type ForeignKeyShape, type Row } from './types.js'
import { ANYTHING, both } from './want.js'

export interface RowOptions {
  random: Random
  /** Also values for columns that a sequence fills. */
  sequences: boolean
  /** Counts the rows of one filling; null where rows are unique by chance. */
  ordinal: number | null
  /** Whether the key has these values already. */
  taken: (key: string, values: string) => boolean
  /** An existing row, which fulfils what is not understood; null without any. */
  template: () => Row | null
}

type Draft = Record<string, string | null>

const MOST_ATTEMPTS = 40
/** Of 100 rows that could avoid a partial key so many do. */
const AVOIDING = 0.9

/** One row. Throws CannotMake. */
export function makeRow(plan: Plan, references: References, options: RowOptions): Row {
  let reason = 'no row is known that the table would take'
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const wanted = demandsOf(plan, options.random)
    if (wanted.contradiction) continue
    try {
      const row = draft(plan, references, options, wanted)
      const wrong = faultOf(plan, row, options)
      if (wrong === null) return row
      reason = wrong
    } catch (error) {
      if (!(error instanceof CannotMake)) throw error
      reason = error.reason
      if (error instanceof Hopeless) break
    }
  }
  const varied = variation(plan, options)
  if (varied) return varied
  throw new CannotMake(reason)
}

/** Another attempt would not do better. */
class Hopeless extends CannotMake {}

function demandsOf(plan: Plan, random: Random): Demands {
  const demands = new Demands()
  for (const { expression } of plan.checks) demand(expression, true, demands, random)
  for (const { where, avoidable } of plan.keys)
    if (where && avoidable && random.next() < AVOIDING) demand(where, false, demands, random)
  return demands
}

function draft(plan: Plan, references: References, options: RowOptions, demands: Demands): Draft {
  const row: Draft = {}
  const toItself: ForeignKeyShape[] = []
  for (const foreignKey of plan.foreignKeys) refer(plan, foreignKey, references, options, demands, row, toItself)
  for (const [name, planned] of plan.columns) {
    if (name in row || !isGiven(planned, options.sequences)) continue
    if (toItself.some((foreignKey) => foreignKey.columns.includes(name))) continue
    const value = columnValue(planned, row, options, demands)
    if (value !== undefined) row[name] = value
  }
  for (const { columns, targetColumns } of toItself)
    for (const [i, name] of columns.entries()) row[name] = row[targetColumns[i] ?? ''] ?? null
  return row
}

/** A sequence may feed a text as well (`'INV-' || nextval(...)`): that one is left to its default. */
function isGiven({ column }: PlannedColumn, sequences: boolean): boolean {
  return column.generated === null && (!column.sequence || (sequences && isNumber(column.type.base)))
}

function refer(
  plan: Plan,
  foreignKey: ForeignKeyShape,
  references: References,
  options: RowOptions,
  demands: Demands,
  row: Draft,
  toItself: ForeignKeyShape[],
): void {
  const { columns } = foreignKey
  const planned = columns.flatMap((name) => plan.columns.get(name) ?? [])
  if (planned.some(({ column }) => column.generated !== null)) return
  const free = planned.filter(({ column }) => !(column.name in row))
  if (free.length === 0) return
  const wish = (name: string): 'null' | 'not null' | null => demands.wants.get(name)?.nullness ?? null
  const nullable = free.filter((one) => one.nullShare > 0 && wish(one.column.name) !== 'not null')
  const setNull = (some: readonly PlannedColumn[]): void => {
    for (const { column } of foreignKey.matchFull ? free : some) row[column.name] = null
  }
  const asked = free.filter(({ column }) => wish(column.name) === 'null')
  if (asked.length > 0) {
    setNull(asked)
    return
  }
  const [first] = nullable
  if (first && wish(first.column.name) === null && options.random.next() < first.nullShare) {
    setNull(nullable)
    return
  }

  const fixed = columns.map((name) => row[name])
  const once = plan.onceOnly.has(foreignKey) ? { ordinal: options.ordinal } : null
  const found = references.pick(plan.table, foreignKey, options.random, fixed, once)
  if (found) for (const [i, name] of columns.entries()) row[name] = found[i] ?? null
  else if (nullable.length > 0) setNull(nullable)
  else if (foreignKey.target === plan.table.name && !references.any(foreignKey)) toItself.push(foreignKey)
  else if (!references.any(foreignKey)) throw new Hopeless(`no row of ${foreignKey.target} to refer to`)
  else throw new CannotMake(`no row of ${foreignKey.target} is left to refer to`)
}

/** A value for one column; undefined where only its default is known. */
export function columnValue(
  planned: PlannedColumn,
  row: Row,
  options: RowOptions,
  demands: Demands,
  unique = planned.unique,
): string | null | undefined {
  const { column, nullShare } = planned
  const { random } = options
  const own = demands.wants.get(column.name) ?? ANYTHING
  const want = demands.orders.length === 0 ? own : both(own, boundBy(demands.orders, column, row))
  if (!want) throw new CannotMake('no value is in the bounds')
  if (want.nullness === 'null') {
    if (column.notNull) throw new CannotMake('a value would have to be NULL')
    return null
  }
  if (nullShare > 0 && want.nullness === null && random.next() < nullShare) return null
  const { words, usual, apartMs } = planned
  try {
    return makeValue(column.type, { random, want, unique, ordinal: options.ordinal, apartMs, words, usual })
  } catch (error) {
    if (!(error instanceof CannotMake)) throw error
    if (nullShare > 0 && want.nullness === null) return null
    if (column.defaultSql !== null) return undefined
    const there = options.template()?.[column.name]
    if (there !== undefined && there !== null && !unique) return there
    throw error
  }
}

/** What is wrong with a row, null when nothing is known to be. Columns of a check that is not understood are borrowed. */
function faultOf(plan: Plan, row: Draft, options: RowOptions): string | null {
  let template: Row | null | undefined
  for (const { name, expression, columns } of plan.checks) {
    if (evaluate(expression, row) !== UNKNOWN) continue
    template ??= options.template()
    if (template === null) continue
    for (const column of columns) {
      const value = template[column]
      if (value !== undefined && isBorrowable(plan, column, options)) row[column] = value
    }
    if (evaluate(expression, row) === false) return `no value is known that CHECK ${name} accepts`
  }
  for (const { name, expression } of plan.checks)
    if (evaluate(expression, row) === false) return `no value is known that CHECK ${name} accepts`
  for (const { key, columns, where } of plan.keys) {
    if (where && evaluate(where, row) === false) continue
    const values = columns.map((name) => row[name])
    // Nobody looks at what only the server knows, nor at NULLs, which are all different.
    if (values.some((value) => value === undefined || (value === null && !key.nullsNotDistinct))) continue
    if (options.taken(key.name, keyTuple(values, key.expressions.length > 0)))
      return `every value of the key ${key.name} is taken`
  }
  return null
}

/** An expression in a key is most often lower(): capitals make no difference then. */
export const keyTuple = (values: readonly (string | null | undefined)[], expression: boolean): string =>
  expression ? tuple(values).toLowerCase() : tuple(values)

function isBorrowable(plan: Plan, name: string, { sequences }: RowOptions): boolean {
  const planned = plan.columns.get(name)
  return planned !== undefined && isGiven(planned, sequences) && !planned.unique
}

/** An existing row with new keys: what holds for it holds for its likeness. */
function variation(plan: Plan, options: RowOptions): Row | null {
  const template = options.template()
  if (!template) return null
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const row: Draft = {}
    try {
      for (const [name, planned] of plan.columns) {
        if (!isGiven(planned, options.sequences)) continue
        const there = template[name]
        const value =
          planned.unique || there === undefined ? columnValue(planned, template, options, new Demands()) : there
        if (value !== undefined) row[name] = value
      }
    } catch (error) {
      if (error instanceof CannotMake) return null
      throw error
    }
    const complete = plan.checks.every(({ expression }) => evaluate(expression, row) !== false)
    if (complete && faultOf(plan, row, options) === null) return row
  }
  return null
}
