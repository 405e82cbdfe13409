/** Which combinations of existing rows a key has already: chance alone would often meet one of them. */
import type { Sql } from '../pg/connect.js'
import { quoteName } from '../sql/identifiers.js'
import { createPools } from './faker-pools.js'
import { arrayLiteral } from './literals.js'
import { planTable, type PlannedKey } from './plan.js'
import { tuple } from './references.js'
import type { ForeignKeyShape, Pools, Row, SchemaShape, TableShape } from './types.js'

/** Combinations of one key, and rows that nobody refers to, at most. */
const MOST_COMBINATIONS = 50_000
const MOST_UNREFERRED = 2_000

export interface TakenSources {
  sql: Sql
  shape: SchemaShape
  rows: Pools['rows']
  /** `oid/column` of what the session's role may read. */
  readable: ReadonlySet<string>
  /** A table for FROM, cut to some pages; null when it has none. */
  sampled: (table: TableShape) => string | null
}

type Taken = Required<Pick<Pools, 'taken' | 'unreferred'>>

export async function readTaken(sources: TakenSources): Promise<Taken> {
  const taken = new Map<string, ReadonlySet<string>>()
  const unreferred = new Map<string, readonly Row[]>()
  const words = createPools(0)
  for (const table of sources.shape.tables) {
    if (table.foreignKeys.length === 0 || (table.kind !== 'table' && table.kind !== 'partitioned')) continue
    const plan = planTable(table, words)
    for (const planned of plan.keys) {
      const found = await combinations(sources, table, planned)
      if (found) taken.set(`${table.name}/${planned.key.name}`, found)
    }
    for (const foreignKey of plan.onceOnly) {
      const found = await withoutReference(sources, table, foreignKey)
      if (found) unreferred.set(`${table.name}/${foreignKey.name}`, found)
    }
  }
  return { taken, unreferred }
}

const mayRead = ({ readable }: TakenSources, table: TableShape, columns: readonly string[]): boolean =>
  columns.every((name) => readable.has(`${table.oid}/${name}`))

/** Key values whose references are all to rows of the pools; null where the key is unique by other means. */
async function combinations(
  sources: TakenSources,
  table: TableShape,
  planned: PlannedKey,
): Promise<Set<string> | null> {
  const { key, columns, bearer } = planned
  if (bearer !== null || key.kind === 'exclude' || key.expressions.length > 0 || !mayRead(sources, table, columns))
    return null
  const conditions: string[] = []
  const parameters: string[] = []
  for (const name of columns) {
    const foreignKey = table.foreignKeys.find((one) => one.columns.includes(name))
    const target = foreignKey?.targetColumns[foreignKey.columns.indexOf(name)]
    if (!foreignKey || target === undefined) continue
    const values = (sources.rows.get(foreignKey.target) ?? []).flatMap((row) => row[target] ?? [])
    const type = table.columns.find((column) => column.name === name)?.type.sql ?? 'text'
    parameters.push(arrayLiteral([...new Set(values)]))
    conditions.push(`${quoteName(name)} = any ($${parameters.length}::text::${type}[])`)
  }
  if (conditions.length === 0) return null
  const list = columns.map((name, i) => `${quoteName(name)}::text as k${i}`).join(', ')
  const rows = await sources.sql.unsafe<Record<string, string | null>[]>(
    `select ${list} from ${table.sql} where ${conditions.join(' and ')} limit ${MOST_COMBINATIONS}`,
    parameters,
  )
  return new Set(rows.map((row) => tuple(columns.map((_, i) => row[`k${i}`]))))
}

async function withoutReference(
  sources: TakenSources,
  table: TableShape,
  foreignKey: ForeignKeyShape,
): Promise<Row[] | null> {
  const target = sources.shape.tables.find(({ name }) => name === foreignKey.target)
  if (!target || !mayRead(sources, target, foreignKey.targetColumns) || !mayRead(sources, table, foreignKey.columns))
    return null
  const from = sources.sampled(target)
  if (from === null) return []
  const { columns, targetColumns } = foreignKey
  const list = targetColumns.map((name, i) => `p.${quoteName(name)}::text as k${i}`).join(', ')
  const same = columns.map((name, i) => `c.${quoteName(name)} = p.${quoteName(targetColumns[i] ?? '')}`).join(' and ')
  const parent = from.replace(target.sql, `${target.sql} p`)
  const rows = await sources.sql.unsafe<Record<string, string | null>[]>(
    `select ${list} from ${parent} where not exists (select from ${table.sql} c where ${same}) limit ${MOST_UNREFERRED}`,
  )
  return rows.map((row) => Object.fromEntries(targetColumns.map((name, i) => [name, row[`k${i}`] ?? null])))
}
