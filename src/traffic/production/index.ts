/**
 * Production's statements as traffic. pg_stat_statements has their texts and how often each was called, but no values:
 * every parameter is traced to the column that it is compared with or assigned to, and drawn from the rows that are
 * there. What cannot be played is named with the reason.
 */
import type { Sql } from '../../pg/connect.js'
import type { Profile, StatementEntry } from '../../profile/index.js'
import type { Release, TrafficOrigin } from '../../recording.js'
import type { Pools, SchemaShape, ValueMaker } from '../../values/types.js'
import type { ScriptOperation } from '../operation.js'
import { makeOperation, type Workshop } from './make-operation.js'
import { PoolIndex } from './pool-index.js'
import { productionStatements, type ProductionStatement } from './statements.js'
import { coverageText } from './text.js'
import { readTables, readTypes } from './types-of.js'

export interface ProductionOptions {
  profile: Profile
  shape: SchemaShape
  pools: Pools
  maker: ValueMaker
  /** One session of the application's role on a copy of the database; every try is rolled back. */
  sql: Sql
  release: Release
  /** Of production's rates. */
  factor: number
  /** Whether an entry is the application's; those of known providers' roles never are. */
  isOurs?: (entry: StatementEntry) => boolean
  /** Most statements that are played, those that are called most first; 300 unless given. */
  most?: number
}

export interface ProductionTraffic {
  operations: ScriptOperation[]
  /** Production's calls a second of what is played, times the factor; null when the profile does not tell the time span. */
  ratePerSecond: number | null
  coverage: NonNullable<TrafficOrigin['coverage']>
  leftOut: TrafficOrigin['leftOut']
  /** `94 % of production's calls, 31 of 40 statements; 9 left out` */
  text: string
}

const MOST_STATEMENTS = 300
const MOST_CHARACTERS = 120

/**
 * Operations of one release. The statements are those of the old release; of the new one it is only known which of them
 * its schema accepts, so the others are left out there. Names are the same for both. Throws when the connection is lost.
 */
export async function productionOperations(options: ProductionOptions): Promise<ProductionTraffic> {
  const { profile, sql, shape, pools, release, factor, most = MOST_STATEMENTS } = options
  const tables = await readTables(sql, shape)
  const statements = productionStatements({
    profile,
    isTable: (schema, name) => tables.find(schema, name) !== null,
    isOurs: options.isOurs ?? (() => true),
  })
  const inProduction = new Map(profile.tables.map((table) => [table.name, table.rows]))
  const here = new Map(shape.tables.map((table) => [table.name, table.rows]))
  const workshop: Workshop = {
    sql,
    release,
    file: profile.shownName,
    tables,
    typeOf: await readTypes(sql),
    maker: options.maker,
    index: new PoolIndex(pools),
    rowsOf: (table) => inProduction.get(table) ?? here.get(table) ?? 0,
    hasRows: [...pools.rows.values()].some((rows) => rows.length > 0),
  }
  const operations: ScriptOperation[] = []
  const leftOut = new LeftOut()
  let tried = 0
  for (const statement of statements) {
    if (statement.refused !== null) leftOut.add(statement, statement.refused.reason)
    else if (tried++ >= most) leftOut.add(statement, `is not among the ${most} statements that are called most`)
    else {
      const { operation, reason } = await makeOperation(statement, workshop)
      if (operation === undefined) leftOut.add(statement, reason)
      else operations.push(operation)
    }
  }
  const callsPlayed = operations.reduce((sum, { weight }) => sum + weight, 0)
  const coverage = {
    calls: sumOfCalls(statements),
    callsPlayed,
    statements: statements.length,
    statementsPlayed: operations.length,
  }
  const sessionCalls = sumOfCalls(statements.filter(({ refused }) => refused?.session === true))
  const seconds = secondsOf(profile)
  return {
    operations,
    ratePerSecond: seconds === null ? null : (callsPlayed / seconds) * factor,
    coverage,
    leftOut: leftOut.list(),
    text: coverageText(coverage, { sessionCalls, deallocated: profile.statements?.deallocated ?? 0, release }),
  }
}

const sumOfCalls = (statements: readonly ProductionStatement[]): number =>
  statements.reduce((sum, { calls }) => sum + calls, 0)

/** How long the calls were counted. */
function secondsOf({ statements }: Profile): number | null {
  const { since, takenAt } = statements ?? { since: null, takenAt: null }
  if (since === null || takenAt === null) return null
  const seconds = (Date.parse(takenAt) - Date.parse(since)) / 1000
  return seconds > 0 ? seconds : null
}

/** Lines that read the same are one line. */
class LeftOut {
  readonly #lines = new Map<string, { what: string; calls: number; reason: string }>()

  add({ shown, calls }: ProductionStatement, reason: string): void {
    const characters = Array.from(shown)
    const cut = characters.length > MOST_CHARACTERS
    const what = cut ? `${characters.slice(0, MOST_CHARACTERS - 1).join('')}…` : shown
    const key = JSON.stringify([what, reason])
    const line = this.#lines.get(key)
    if (line) line.calls += calls
    else this.#lines.set(key, { what, calls, reason })
  }

  list(): { what: string; calls: number; reason: string }[] {
    return [...this.#lines.values()].sort((a, b) => b.calls - a.calls)
  }
}
