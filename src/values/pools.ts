/** Pools: some existing rows of every table, whole and as text, for keys, references and templates. */
import type { Sql } from '../pg/connect.js'
import { quoteName } from '../sql/identifiers.js'
import { Random } from './random.js'
import { readTaken } from './taken.js'
import type { Pools, Row, SchemaShape, TableShape } from './types.js'

export interface SamplePoolsOptions {
  /** Most rows of one table; 500 by default. */
  rowsPerTable?: number
  /** Same number and same data, same pools. */
  seedNumber: number
}

const ROWS_PER_TABLE = 500
/** Values whose stored size is above this are left out of their rows: no row is fetched from TOAST. */
const MOST_BYTES = 1000
const MOST_CHARACTERS = 1000
/** Pages that are read of one table, at most. */
const MOST_PAGES = 400
/** Characters that are kept of one table, at most. */
const MOST_CHARACTERS_PER_TABLE = 4_000_000
const PAGE_BYTES = 8192

interface Readable {
  relation: number
  name: string
}

/**
 * Samples every table that the session's role may read. Of a large table some hundred pages are looked at, chosen by
 * the seed number, and their rows thinned out: a few milliseconds whatever the size. A value of more than 1,000
 * characters is left out of its row. Partitions are reached through their root.
 */
export async function samplePools(sql: Sql, shape: SchemaShape, options: SamplePoolsOptions): Promise<Pools> {
  const most = options.rowsPerTable ?? ROWS_PER_TABLE
  const tables = shape.tables.filter((table) => table.kind === 'table' || table.kind === 'partitioned')
  const readable = await readableColumns(sql)
  const pages = await currentPages(sql)
  const rows = new Map<string, readonly Row[]>()
  for (const table of tables) {
    const columns = table.columns.map(({ name }) => name).filter((name) => readable.has(`${table.oid}/${name}`))
    const random = new Random(options.seedNumber).fork('pool').fork(table.name)
    rows.set(
      table.name,
      columns.length === 0 ? [] : await sample(sql, table, columns, pages.get(table.oid) ?? 0, most, random),
    )
  }
  const sampled = (target: TableShape): string | null => {
    const there = pages.get(target.oid) ?? 0
    return there === 0 ? null : sampledTable(target, there, new Random(options.seedNumber).fork(target.name))
  }
  return { rows, ...(await readTaken({ sql, shape, rows, readable, sampled })) }
}

async function readableColumns(sql: Sql): Promise<Set<string>> {
  const rows = await sql<Readable[]>`
    select a.attrelid::bigint::float8 as relation, a.attname::text as name
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
      and has_schema_privilege(c.relnamespace, 'usage') and has_column_privilege(a.attrelid, a.attnum, 'select')`
  return new Set(rows.map(({ relation, name }) => `${relation}/${name}`))
}

/** Pages as they are now: a table may have been filled since its shape was read. */
async function currentPages(sql: Sql): Promise<Map<number, number>> {
  const rows = await sql<{ oid: number; pages: number }[]>`
    select c.oid::bigint::float8 as oid,
           (case when c.relkind = 'r' then coalesce(pg_relation_size(c.oid), 0)
                 else (select coalesce(sum(pg_relation_size(l.relid)), 0)
                         from pg_partition_tree(c.oid) l where l.isleaf) end / ${PAGE_BYTES})::float8 as pages
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')`
  return new Map(rows.map(({ oid, pages }) => [oid, Math.ceil(pages)]))
}

async function sample(
  sql: Sql,
  table: TableShape,
  columns: readonly string[],
  pages: number,
  most: number,
  random: Random,
): Promise<Row[]> {
  if (pages === 0) return []
  const source = sampledTable(table, pages, random)
  const list = columns.map((name, index) => `${textOf(name)} as c${index}`).join(', ')
  // The first look tells how many rows these pages have, so that the second spreads over all of them.
  const [counted] = await sql.unsafe<{ n: number }[]>(`select count(*)::float8 as n from ${source}`)
  const there = counted?.n ?? 0
  if (there === 0) return []
  const step = Math.max(1, Math.floor(there / most))
  const found = await sql.unsafe<Record<string, string | null>[]>(
    `select ${list} from (select ${columns.map(quoteName).join(', ')}, row_number() over () as rehearse_number from ${source}) s
      where rehearse_number % ${step} = ${step > 1 ? random.int(0, step - 1) : 0} limit ${most}`,
  )
  return shuffle(bounded(found, columns), random)
}

/** The table for FROM; of a large one only some pages, chosen by the random numbers. */
function sampledTable(table: TableShape, pages: number, random: Random): string {
  const repeatable = random.int(0, 2 ** 31 - 1)
  if (pages <= MOST_PAGES) return table.sql
  return `${table.sql} tablesample system (${((100 * MOST_PAGES) / pages).toFixed(6)}) repeatable (${repeatable})`
}

/** A column as text; what is too wide becomes a mark that no value has. */
function textOf(name: string): string {
  const column = quoteName(name)
  return `case when ${column} is null then null when pg_column_size(${column}) > ${MOST_BYTES} then E'\\x01'
               when length(${column}::text) > ${MOST_CHARACTERS} then E'\\x01' else ${column}::text end`
}

const TOO_WIDE = '\x01'

function bounded(found: readonly Record<string, string | null>[], columns: readonly string[]): Row[] {
  const rows: Row[] = []
  let characters = 0
  for (const one of found) {
    const row: Record<string, string | null> = {}
    for (const [index, name] of columns.entries()) {
      const value = one[`c${index}`] ?? null
      if (value === TOO_WIDE) continue
      row[name] = value
      characters += value?.length ?? 0
    }
    if (characters > MOST_CHARACTERS_PER_TABLE) break
    rows.push(row)
  }
  return rows
}

function shuffle<T>(items: T[], random: Random): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.int(0, i)
    const [a, b] = [items[i], items[j]]
    items[i] = b as T
    items[j] = a as T
  }
  return items
}
