/** Fills the tables of a seed by COPY, each row made from its own number. */
import type { Sql } from '../pg/connect.js'
import { Random } from '../traffic/random.js'
import { copyIn } from './copy.js'
import { UnencodableValue, encodeField } from './copy-text.js'
import type { ColumnKind } from './copy-text.js'
import type { Seed, SeedContext, TableSeed } from './define.js'
import { seedFailure } from './failure.js'
import { createPools } from './faker-pools.js'
import { detachForeignKeys } from './foreign-keys.js'
import { findTarget, quoteIdentifier } from './target.js'

export interface SeedProgress {
  table: string
  /** Rows sent so far, and how many there will be. */
  rows: number
  of: number
}

export interface RunSeedOptions {
  /** Rows of the largest table. */
  n: number
  /** Same number, same rows. */
  seedNumber: number
  /** Name of the seed for messages. */
  file?: string
  /** Called for every 128 KiB or so, and at the end of each table. */
  onProgress?: (progress: SeedProgress) => void
}

/** 2026-01-01T00:00:00Z. */
const EPOCH_MS = Date.UTC(2026, 0, 1)

/**
 * Fills the tables in the order given. `sql` is one session (`max: 1`) of the tables' owner or a superuser. Triggers
 * fire; foreign keys are checked once, at the end. Call `finishSeed` afterwards.
 *
 * Throws SEED_FAILED with the table and the SQLSTATE, or what is wrong with the seed; never a value of a row.
 */
export async function runSeed(sql: Sql, seed: Seed, options: RunSeedOptions): Promise<void> {
  const file = options.file ?? 'seed'
  const tables = Object.entries(seed.tables)
  const counts = new Map<string, number>()
  const context: SeedContext = {
    n: options.n,
    seedNumber: options.seedNumber,
    epochMs: EPOCH_MS,
    pools: createPools(options.seedNumber),
    rowsOf: (table) => {
      const count = counts.get(table)
      if (count === undefined) throw new Error(`rowsOf: the seed has no table ${table}`)
      return count
    },
  }

  /** Runs a step for a table and gives its failure a place. */
  const within = async <T>(table: string, step: () => Promise<T> | T): Promise<T> => {
    try {
      return await step()
    } catch (error) {
      throw seedFailure(error, { file, table })
    }
  }

  const targets = []
  for (const [table, spec] of tables) {
    const target = await within(table, () => {
      counts.set(table, rowCount(spec, options.n))
      return findTarget(sql, table, spec.columns)
    })
    targets.push({ table, spec, target })
  }
  const attachForeignKeys = await detachForeignKeys(
    sql,
    targets.map(({ target }) => target.oid),
  ).catch((error: unknown) => {
    throw seedFailure(error, { file })
  })

  for (const { table, spec, target } of targets) {
    const of = context.rowsOf(table)
    const columns = spec.columns.map(quoteIdentifier).join(', ')
    const progress = { rows: 0 }
    const lines = rowLines(table, spec, target.kinds, of, context, progress)
    const report = (): void => options.onProgress?.({ table, rows: progress.rows, of })
    await within(table, () => copyIn(sql, `copy ${target.sql} (${columns}) from stdin`, lines, report))
    report()
  }

  try {
    await attachForeignKeys()
  } catch (error) {
    throw seedFailure(error, { file })
  }
}

function rowCount(spec: TableSeed, n: number): number {
  const count = typeof spec.rows === 'function' ? spec.rows({ n }) : spec.rows
  if (!Number.isSafeInteger(count) || count < 0)
    throw new Error(`rows must be a whole number from 0 on, and is ${count}`)
  return count
}

/** Every row as one line of COPY text. */
function* rowLines(
  table: string,
  spec: TableSeed,
  kinds: readonly ColumnKind[],
  of: number,
  context: SeedContext,
  progress: { rows: number },
): Generator<string, void, undefined> {
  const { columns } = spec
  const stream = new Random(context.seedNumber).fork('seed').fork(table)
  for (let i = 1; i <= of; i++) {
    const row = spec.row(i, stream.fork(i), context)
    let line = ''
    for (const [c, column] of columns.entries()) {
      if (c > 0) line += '\t'
      line += field(row[column], kinds[c] ?? 'scalar', column, i)
    }
    progress.rows = i
    yield line + '\n'
  }
}

function field(value: Parameters<typeof encodeField>[0], kind: ColumnKind, column: string, i: number): string {
  try {
    return encodeField(value, kind)
  } catch (error) {
    if (!(error instanceof UnencodableValue)) throw error
    throw new Error(`column ${column} of row ${i}: ${error.message}`, { cause: error })
  }
}
