/** Values for one schema, made of its shape and of what is in it. */
import { Demands, demand } from './demands.js'
import { evaluate } from './evaluate.js'
import { createPools } from './faker-pools.js'
import { makeValue } from './make-type.js'
import { planTable, type Plan, type PlannedColumn } from './plan.js'
import { poolReferences } from './references.js'
import { columnValue, keyTuple, makeRow, type RowOptions } from './row-maker.js'
import { UNKNOWN } from './scalars.js'
import {
  CannotMake,
  type ColumnShape,
  type ForeignKeyShape,
  type Pools,
  type Row,
  type SchemaShape,
  type TableShape,
  type ValueMaker,
} from './types.js'
import type { Random } from './random.js'
import { ANYTHING } from './want.js'

export interface ValueMakerOptions {
  /** Same number, same pools of words. */
  seedNumber: number
}

const MOST_ATTEMPTS = 40

/** Plans of tables are made when they are first needed; afterwards a row costs some microseconds a column. */
export function valueMaker(_shape: SchemaShape, pools: Pools, { seedNumber }: ValueMakerOptions): ValueMaker {
  const words = createPools(seedNumber)
  const references = poolReferences(pools)
  const plans = new Map<string, Plan>()
  const takenBy = new Map<string, Set<string>>()

  const planOf = (table: TableShape): Plan => {
    let plan = plans.get(table.name)
    if (!plan) plans.set(table.name, (plan = planTable(table, words)))
    return plan
  }
  /** Values of a key in the pool. */
  const takenIn = (table: TableShape, name: string): Set<string> => {
    const id = `${table.name} ${name}`
    let taken = takenBy.get(id)
    if (!taken) {
      const planned = planOf(table).keys.find(({ key }) => key.name === name)
      taken = new Set(
        (pools.rows.get(table.name) ?? []).map((row) =>
          keyTuple(
            (planned?.columns ?? []).map((column) => row[column]),
            (planned?.key.expressions.length ?? 0) > 0,
          ),
        ),
      )
      for (const values of pools.taken?.get(`${table.name}/${name}`) ?? []) taken.add(values)
      takenBy.set(id, taken)
    }
    return taken
  }
  const existing: ValueMaker['existing'] = (table, random, skew = 0) => {
    const rows = pools.rows.get(table.partitionOf ?? table.name) ?? []
    if (rows.length === 0) return null
    const index = skew > 0 ? random.zipfian(0, rows.length - 1, Math.max(skew, 1.001)) : random.int(0, rows.length - 1)
    return rows[index] ?? null
  }
  const optionsFor = (table: TableShape, random: Random, sequences: boolean): RowOptions => ({
    random,
    sequences,
    ordinal: null,
    taken: (key, values) => takenIn(table, key).has(values),
    template: () => existing(table, random),
  })

  return {
    existing,
    row: (table, random, options = {}) =>
      makeRow(planOf(table), references, optionsFor(table, random, options.sequences ?? false)),
    ofType: (type, random) =>
      makeValue(type, {
        random,
        want: ANYTHING,
        unique: false,
        ordinal: null,
        apartMs: 1000,
        words: null,
        usual: null,
      }),
    value(table, column, random, { unique = false, row } = {}) {
      const plan = planOf(table)
      const planned = plan.columns.get(column.name)
      if (!planned || column.generated !== null || column.identity === 'always')
        throw new CannotMake(`no value can be given to ${column.name}`)
      const context = row ?? existing(table, random) ?? {}
      const options = optionsFor(table, random, true)
      const foreignKey = plan.foreignKeys.find((one) => isReference(one, column, row))
      const keys = plan.keys.filter(({ columns }) => columns.includes(column.name))
      for (let attempt = 1; ; attempt++) {
        const value = foreignKey
          ? reference(plan, foreignKey, column, random, unique, row)
          : oneValue(plan, planned, random, unique, context, options)
        const clash = keys.find(({ key, columns, where }) => {
          const whole: Row = { ...row, [column.name]: value }
          const values = columns.map((name) => whole[name])
          if (values.includes(undefined) || (values.includes(null) && !key.nullsNotDistinct)) return false
          if (value === row?.[column.name] || (where && evaluate(where, whole) === false)) return false
          return options.taken(key.name, keyTuple(values, key.expressions.length > 0))
        })
        if (!clash) return value
        if (attempt >= MOST_ATTEMPTS) throw new CannotMake(`every value of the key ${clash.key.name} is taken`)
      }
    },
  }

  function reference(
    plan: Plan,
    foreignKey: ForeignKeyShape,
    column: ColumnShape,
    random: Random,
    unique: boolean,
    row?: Row,
  ): string | null {
    const fixed = foreignKey.columns.map((name) => (name === column.name ? undefined : row?.[name]))
    const onceOnly = plan.onceOnly.has(foreignKey)
    let found = references.pick(plan.table, foreignKey, random, fixed, onceOnly || unique ? { ordinal: null } : null)
    if (unique && !onceOnly) found ??= references.pick(plan.table, foreignKey, random, fixed, null)
    if (found) return found[foreignKey.columns.indexOf(column.name)] ?? null
    if (!column.notNull) return null
    throw new CannotMake(`no row of ${foreignKey.target} to refer to`)
  }
}

/** Whether a value of the column must be there in the target: not where another of the key's columns is NULL. */
function isReference({ columns }: ForeignKeyShape, column: ColumnShape, row: Row | undefined): boolean {
  return columns.includes(column.name) && columns.every((name) => name === column.name || row?.[name] !== null)
}

/** A value that the checks accept beside what the row has; the row's own where they are not understood. */
function oneValue(
  plan: Plan,
  planned: PlannedColumn,
  random: Random,
  unique: boolean,
  context: Row,
  options: RowOptions,
): string | null {
  const { name } = planned.column
  const checks = plan.checks.filter(({ columns, expression }) => columns.includes(name) || mentions(expression, name))
  let reason = 'no value is known that the column would take'
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const demands = new Demands()
    for (const { expression } of checks) demand(expression, true, demands, random)
    if (demands.contradiction) continue
    try {
      const { [name]: own, ...others } = context
      const value = columnValue(planned, others, options, demands, unique || planned.unique) ?? null
      const results = checks.map((check) => ({
        check,
        result: evaluate(check.expression, { ...others, [name]: value }),
      }))
      const wrong = results.find(({ result }) => result === false)
      if (wrong) reason = `no value is known that CHECK ${wrong.check.name} accepts`
      else if (own !== undefined && results.some(({ result }) => result === UNKNOWN)) return own
      else return value
    } catch (error) {
      if (!(error instanceof CannotMake)) throw error
      reason = error.reason
    }
  }
  const there = context[name]
  if (there !== undefined && !unique) return there
  throw new CannotMake(reason)
}

const mentions = (expression: object, name: string): boolean =>
  JSON.stringify(expression).includes(`"name":${JSON.stringify(name)}`)
