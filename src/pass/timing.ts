/** The timings of the quiet pass: which copies are compared, and what is done to them so that they are equal. */
import { RehearsalError } from '../errors.js'
import { readRelations } from '../pg/catalog.js'
import { connect, disconnect, type Address, type Sql } from '../pg/connect.js'
import { toPgError } from '../pg/errors.js'
import { timeOnTwoCopies, type TimingOptions, type Timings } from '../probe/timings.js'
import { oneCopyProbe } from '../probe/timings/one-copy.js'
import type { MigrationRun, OperationLock } from '../recording.js'
import { strength } from '../sql/lock-modes.js'
import type { Operation } from '../traffic/operation.js'
import { variables, warmAndCheckpoint, type PassInput } from './context.js'

/** Another copy of the same database, on which the migration never runs. */
export interface UnmigratedCopy {
  app: Address
  admin: Address
  stop(): Promise<void>
}

export interface QuietInput extends PassInput {
  /**
   * Opens the copy that the queries are compared on; called once, after the migration, and stopped by the pass. null when
   * there can be none. Without it the same copy is timed before and after.
   */
  unmigrated?: () => Promise<UnmigratedCopy | null>
  /** For all timings together; 25 s unless given. */
  timingBudgetMs?: number
}

/** Below the limit that the judge warns at, so that what is near it is measured twice. */
const SUSPICIOUS_RATIO = 1.3

export interface QuietTimings {
  /** To be awaited while the migration has not begun. */
  before(): Promise<void>
  after(migration: MigrationRun, uses: readonly OperationLock[]): Promise<Timings>
}

export function quietTimings(input: QuietInput, admin: Sql): QuietTimings {
  const migrated = { app: input.app, admin }
  const vacuum = async (sql: Sql, analyze: boolean): Promise<void> => {
    await sql.unsafe(analyze ? 'vacuum (analyze)' : 'vacuum').simple()
    await sql.unsafe('checkpoint').simple()
  }
  const options = (touches: (operation: Operation) => boolean): TimingOptions => ({
    operations: input.operations,
    variables: variables(input),
    seed: input.seed,
    suspicious: SUSPICIOUS_RATIO,
    touches,
    signal: input.signal,
    ...(input.timingBudgetMs === undefined ? {} : { budgetMs: input.timingBudgetMs }),
  })
  const { unmigrated } = input
  if (!unmigrated) {
    const probe = oneCopyProbe(
      options(() => false),
      migrated,
    )
    return { before: () => probe.before(), after: () => probe.after(() => vacuum(admin, true)) }
  }
  return {
    before: () => Promise.resolve(),
    async after(migration, uses) {
      input.emit({ type: 'step', text: 'timing the operations with and without the migration' })
      const copy = await opened(unmigrated)
      if (typeof copy === 'string') return { timings: [], warnings: [copy] }
      const other = connect(copy.admin, { applicationName: 'rehearse observer' })
      try {
        for (const sql of [other, admin]) {
          await autovacuum(sql, false)
          await warmAndCheckpoint(sql, await readRelations(sql))
        }
        const touches = touching(migration, uses)
        return await timeOnTwoCopies(options(touches), { app: copy.app, admin: other }, migrated, async () => {
          // Dead rows of rolled-back runs weigh on the copy that is not cleaned of them.
          await vacuum(other, false)
          await vacuum(admin, true)
        })
      } finally {
        await autovacuum(admin, true)
        await disconnect(other)
        await copy.stop()
      }
    },
  }
}

/** The copy, or why there is none: the rest of the rehearsal is worth having without it. */
async function opened(open: () => Promise<UnmigratedCopy | null>): Promise<UnmigratedCopy | string> {
  const because = (reason: string): string => `The queries were not timed: ${reason}.`
  try {
    return (await open()) ?? because('there is no second copy to compare with')
  } catch (error) {
    if (error instanceof RehearsalError) return because(`the copy to compare with could not be had (${error.message})`)
    throw error
  }
}

/**
 * Off while queries are timed: what is true right after the migration shall stay so until it has been measured, and no
 * copy shall work for itself meanwhile. A server that does not permit it stays as it is.
 */
async function autovacuum(sql: Sql, on: boolean): Promise<void> {
  try {
    await sql.unsafe(on ? 'alter system reset autovacuum' : 'alter system set autovacuum = off').simple()
    await sql.unsafe('select pg_catalog.pg_reload_conf()').simple()
  } catch (error) {
    if (!/^(?:42501|0A000)$/.test(toPgError(error).sqlstate)) throw error
  }
}

/** Whether an operation uses a table on which the migration took more than a reader's lock. */
function touching(migration: MigrationRun, uses: readonly OperationLock[]): (operation: Operation) => boolean {
  const works = migration.statements.map((run) => run.work)
  if (works.includes(null)) return () => true
  const tables = new Set(
    works.flatMap((work) =>
      (work?.locks ?? []).flatMap((lock) => (strength(lock.mode) > strength('ROW SHARE') ? [lock.table] : [])),
    ),
  )
  const using = new Set(uses.flatMap((use) => (tables.has(use.table) ? [`${use.release} ${use.operation}`] : [])))
  return ({ release, name, table }) => using.has(`${release} ${name}`) || (table !== undefined && tables.has(table))
}
