/** Fills the empty tables of a schema, referred ones first. */
import { RehearsalError } from '../../errors.js'
import type { Sql } from '../../pg/connect.js'
import { toPgError } from '../../pg/errors.js'
import { quoteName } from '../../sql/identifiers.js'
import { createPools } from '../../values/faker-pools.js'
import { planTable, type Plan } from '../../values/plan.js'
import type { ForeignKeyShape, SchemaShape, TableShape } from '../../values/types.js'
import type { SeedProgress } from '../run-seed.js'
import { LoadedKeys } from './loaded-keys.js'
import { loadTable, type Loaded } from './load.js'
import { fillOrder, rowCounts } from './order.js'
import { RowSource } from './rows.js'

export interface FillFromSchemaOptions {
  /** One session of the tables' owner; a table that this role may not write is filled by `admin`, a superuser. */
  owner: Sql
  admin: Sql
  shape: SchemaShape
  /** Rows of tables that nothing refers to. */
  rows: number
  /** Tables that get all of `rows`, although others refer to them. */
  large?: ReadonlySet<string>
  /** Same number and same schema, same rows. */
  seedNumber: number
  /** Tables that must stay as they are, a migration tool's journal for one. */
  exclude?: (table: TableShape) => boolean
  onProgress?: (progress: SeedProgress) => void
  signal?: AbortSignal
}

export interface GeneratedFill {
  /** What was filled, in that order, with the rows that it has now. */
  tables: { name: string; rows: number }[]
  /** What stayed empty, and why. */
  left: { table: string; reason: string }[]
  /** What the data took for granted, for the report. */
  assumptions: string[]
}

/**
 * Fills tables that are empty; one that has rows is left alone and referred to. Triggers fire, constraints hold. A table that cannot
 * be filled is in `left` and fails nothing else. Call `finishSeed` afterwards.
 *
 * Throws CONNECTION_LOST, DISK_FULL, and the signal's reason.
 */
export async function fillFromSchema(options: FillFromSchemaOptions): Promise<GeneratedFill> {
  try {
    return await fillTables(options)
  } catch (error) {
    if (options.signal) stopIf(options.signal)
    throw error
  }
}

async function fillTables(options: FillFromSchemaOptions): Promise<GeneratedFill> {
  const { admin, shape, seedNumber, exclude = () => false, signal = new AbortController().signal } = options
  const result: GeneratedFill = { tables: [], left: [], assumptions: [] }
  const all = shape.tables.filter(({ kind }) => kind === 'table' || kind === 'partitioned')
  const wanted: TableShape[] = []
  for (const table of all) if (!exclude(table) && (await isEmpty(admin, table))) wanted.push(table)
  const order = fillOrder(wanted)
  const counts = rowCounts(wanted, order, options.rows, options.large)
  const words = createPools(seedNumber)
  const keys = new LoadedKeys()
  const referring = (table: TableShape): ForeignKeyShape[] =>
    all.flatMap(({ foreignKeys }) => foreignKeys.filter(({ target }) => target === table.name))
  for (const table of all) if (!wanted.includes(table)) await keys.read(admin, table, referring(table), seedNumber)

  const load = async (table: TableShape, sql: Sql): Promise<Loaded> => {
    const plan = planTable(table, words)
    const rows = counts.get(table.name) ?? options.rows
    return loadTable({
      sql,
      table: table.sql,
      rows,
      source: () => {
        keys.begin(table)
        return new RowSource(plan, keys, seedNumber)
      },
      onProgress: (done) => options.onProgress?.({ table: table.name, rows: done, of: rows }),
      signal,
    })
  }

  for (const { tables } of order.steps) {
    stopIf(signal)
    // A trigger of a table before may have written into this one.
    const [only] = tables
    if (tables.length === 1 && only && !(await isEmpty(admin, only))) {
      result.assumptions.push(`${only.name} has the rows that triggers of other tables wrote into it`)
      await keys.read(admin, only, referring(only), seedNumber)
      continue
    }
    const sql = await sessionFor(tables, options)
    const loaded = await (tables.length > 1 ? together(tables, sql) : apart(tables, sql))
    for (const [table, { rows, reason }] of loaded) {
      if (rows === 0) result.left.push({ table: table.name, reason: reason ?? 'no row was taken' })
      else {
        result.tables.push({ name: table.name, rows })
        if (reason !== null) result.assumptions.push(`${table.name} has only ${rows} rows: ${reason}`)
        options.onProgress?.({ table: table.name, rows, of: rows })
      }
      await keys.read(admin, table, referring(table), seedNumber)
    }
  }
  for (const { table, foreignKey } of order.later) {
    stopIf(signal)
    if (!result.tables.some(({ name }) => name === table.name)) continue
    const target = all.find(({ name }) => name === foreignKey.target)
    if (target) await setLater(admin, table, foreignKey, target, planTable(table, words), result)
  }
  return result

  async function apart(tables: readonly TableShape[], sql: Sql): Promise<[TableShape, Loaded][]> {
    const loaded: [TableShape, Loaded][] = []
    for (const table of tables) loaded.push([table, await load(table, sql)])
    return loaded
  }

  /** Tables in a circle of references that are looked at only when the transaction ends. */
  async function together(tables: readonly TableShape[], sql: Sql): Promise<[TableShape, Loaded][]> {
    const inside = tables.flatMap((table) =>
      table.foreignKeys.filter(({ target }) => tables.some(({ name }) => name === target)),
    )
    const unknown = inside.find((key) => !key.deferrable || !counted(tables, key))
    const none = (reason: string): [TableShape, Loaded][] => tables.map((table) => [table, { rows: 0, reason }])
    if (unknown) return none(`it is in a circle of required references (${unknown.name})`)
    for (const { target, targetColumns } of inside) keys.predict(target, targetColumns, counts.get(target) ?? 0)
    await sql.unsafe('begin')
    try {
      await sql.unsafe('set constraints all deferred')
      const loaded = await apart(tables, sql)
      const short = loaded.find(([table, { rows }]) => rows < (counts.get(table.name) ?? 0))
      if (short) {
        await sql.unsafe('rollback')
        return none(short[1].reason ?? `it is in a circle with ${short[0].name}`)
      }
      await sql.unsafe('commit')
      return loaded
    } catch (error) {
      await sql.unsafe('rollback').catch(() => undefined)
      if (signal.aborted || !(error instanceof Error && 'severity' in error)) throw error
      return none(toPgError(error).message)
    }
  }
}

/** Whether the keys that are referred to will be 1, 2, 3 and so on. */
function counted(tables: readonly TableShape[], { target, targetColumns }: ForeignKeyShape): boolean {
  const table = tables.find(({ name }) => name === target)
  const column = table?.columns.find(({ name }) => name === targetColumns[0])
  return (
    targetColumns.length === 1 &&
    column !== undefined &&
    /^int[248]$/.test(column.type.base) &&
    column.type.domainChecks.length === 0 &&
    !table?.foreignKeys.some(({ columns }) => columns.includes(column.name)) &&
    !table?.checks.some(({ columns }) => columns.includes(column.name))
  )
}

async function isEmpty(sql: Sql, table: TableShape): Promise<boolean> {
  const [found] = await sql.unsafe<{ some: boolean }[]>(`select exists (select from ${table.sql}) as some`)
  return found?.some !== true
}

/** COPY cannot write where row security applies, and the owner of the schema may not own every table. */
async function sessionFor(tables: readonly TableShape[], { owner, admin }: FillFromSchemaOptions): Promise<Sql> {
  for (const { oid } of tables) {
    const [may] = await owner<{ ok: boolean }[]>`
      select has_schema_privilege(relnamespace, 'usage') and has_table_privilege(oid, 'insert')
             and not row_security_active(oid) as ok from pg_class where oid = ${oid}`
    if (may?.ok !== true) return admin
  }
  return owner
}

/** Gives nine of ten rows the reference that they could not have when they were made. */
async function setLater(
  sql: Sql,
  table: TableShape,
  foreignKey: ForeignKeyShape,
  target: TableShape,
  plan: Plan,
  result: GeneratedFill,
): Promise<void> {
  const pairs = foreignKey.columns.map((name, i) => ({
    column: quoteName(name),
    key: quoteName(foreignKey.targetColumns[i] ?? ''),
  }))
  const set = pairs.map(({ column }, i) => `${column} = parent.k${i}`).join(', ')
  const list = pairs.map(({ key }, i) => `${key} as k${i}`).join(', ')
  const place = plan.onceOnly.has(foreignKey) ? 'child.n' : '1 + (child.n * 7919) % parent.among'
  // Columns that have a value already, as a tenant's, decide which rows may be referred to.
  const fixed = table.columns
    .filter(({ name, notNull }) => notNull && foreignKey.columns.includes(name))
    .map(({ name }) => name)
  const same = pairs.flatMap(({ column, key }, i) =>
    fixed.includes(foreignKey.columns[i] ?? '') ? [{ column, key, i }] : [],
  )
  const partition = (names: string[]): string => (names.length > 0 ? `partition by ${names.join(', ')}` : '')
  try {
    await sql.unsafe(`
      with child as (select tableoid as part, ctid as place, row_number() over (${partition(same.map(({ column }) => column))} order by ctid) as n
                            ${same.map(({ column, i }) => `, ${column} as f${i}`).join('')} from ${table.sql}),
           parent as (select ${list}, row_number() over (${partition(same.map(({ key }) => key))}) as n,
                             count(*) over (${partition(same.map(({ key }) => key))}) as among from ${target.sql})
      update ${table.sql} t set ${set} from child, parent
       where t.tableoid = child.part and t.ctid = child.place and child.n % 10 <> 0 and parent.n = ${place}
             ${same.map(({ i }) => `and parent.k${i} = child.f${i}`).join(' ')}`)
  } catch (error) {
    if (!(error instanceof Error && 'severity' in error)) throw error
    result.assumptions.push(`${table.name}: references by ${foreignKey.name} stayed NULL: ${toPgError(error).message}`)
  }
}

const stopIf = (signal: AbortSignal): void => {
  if (!signal.aborted) return
  throw signal.reason instanceof RehearsalError ? signal.reason : new RehearsalError('INTERRUPTED')
}
