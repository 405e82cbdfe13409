/**
 * How long the operations take with and without the migration, and by which plans: on two equal copies, of which one was
 * migrated, in alternating rounds (see timings/rounds.ts). Every run is a transaction that is rolled back, so operations
 * that write are timed like those that read, without their COMMIT. Right after the migration first, then after VACUUM
 * ANALYZE of the migrated copy: what is gone then would have lasted until autovacuum.
 */
import { isConnectionFailure, toPgError } from '../pg/errors.js'
import type { Address, Sql } from '../pg/connect.js'
import type { QueryTiming } from '../recording.js'
import type { Operation, Variables } from '../traffic/operation.js'
import { compareNames, readCatalog, type Catalog } from './timings/names.js'
import { explain } from './timings/plan.js'
import { blank, leftOut, note, planChanged, toTimings, type Plans, type Result } from './timings/results.js'
import { measure, TOGETHER, type Allowance, type Measured } from './timings/rounds.js'
import { openTimingSession, type TimingSession } from './timings/session.js'
import { ratioOf, timingOf } from './timings/statistics.js'
import { workOf } from './timings/work.js'

/** All operations together, VACUUM ANALYZE not counted. */
export const BUDGET_MS = 25_000
/** Of it, what may be used until VACUUM ANALYZE. */
const FIRST_SHARE = 0.65
/** For one operation, each time; more tells nothing new about a fast one. */
const MOST_EACH_MS = 600
/** Plans are looked at although the time is over, so far beyond it. */
const PLANS_UNTIL = 1.2

/** A copy that stands still but for us. `admin` is a superuser's connection. */
export interface TimedCopy {
  app: Address
  admin: Sql
}

export interface TimingOptions {
  operations: readonly Operation[]
  variables: Variables
  seed: number
  /** Ratio from which an operation is timed again after `settle`, before the others. */
  suspicious: number
  /** Whether an operation uses a table that the migration touched: those come first. */
  touches: (operation: Operation) => boolean
  signal: AbortSignal
  budgetMs?: number
  mostEachMs?: number
}

export interface Timings {
  timings: QueryTiming[]
  /** What was not timed, and why. */
  warnings: string[]
}

/** The time that there is, and how it is dealt out. */
export class Budget {
  readonly totalMs: number
  readonly #mostEachMs: number
  readonly #signal: AbortSignal
  #startMs = performance.now()

  constructor({ budgetMs = BUDGET_MS, mostEachMs = MOST_EACH_MS, signal }: TimingOptions, part = 1) {
    this.totalMs = budgetMs * part
    this.#mostEachMs = mostEachMs
    this.#signal = signal
  }

  /** The time that this takes is not counted. */
  async outside(work: () => Promise<void>): Promise<void> {
    const fromMs = performance.now()
    await work()
    this.#startMs += performance.now() - fromMs
  }

  leftMs(share = 1): number {
    return this.#startMs + this.totalMs * share - performance.now()
  }

  /** For the next of so many operations, or why there is no time for it. `reservedMs` is promised to others. */
  next(remaining: number, reservedMs: number, share = 1): Allowance | string {
    if (this.#signal.aborted) return 'interrupted'
    const leftMs = this.leftMs(share) - reservedMs
    if (leftMs <= 0) return `the ${Math.round(this.totalMs / 1000)} s for all timings together were over`
    const shareMs = Math.min(this.#mostEachMs, leftMs / Math.max(1, remaining))
    return { shareMs, mostMs: Math.max(shareMs, leftMs / 3), stopped: () => this.#signal.aborted }
  }
}

/**
 * Times all operations on both copies. Rejects when a connection is lost; whatever else goes wrong with an operation is
 * its `reason`.
 *
 * @param settle brings statistics and visibility of the migrated copy up to date (VACUUM ANALYZE), and clears the other
 * one of what the runs left in its tables (VACUUM alone: it keeps the statistics that it has)
 */
export async function timeOnTwoCopies(
  options: TimingOptions,
  unmigrated: TimedCopy,
  migrated: TimedCopy,
  settle: () => Promise<void>,
): Promise<Timings> {
  const before = await readCatalog(unmigrated.admin)
  const after = await readCatalog(migrated.admin)
  const names = compareNames(before, after)
  const { works, failed } = workOf(options.operations, options.variables, options.seed, options.touches)
  const results = works.map(blank)
  const budget = new Budget(options)
  const deferred = before.deferred || after.deferred
  const copies = [unmigrated, migrated]

  await withSessions(copies, deferred, async (sessions) => {
    await inPortions(results, sessions, budget, FIRST_SHARE, async (result, found) => {
      note(result, found)
      if (budget.leftMs(PLANS_UNTIL * FIRST_SHARE) <= 0 || options.signal.aborted) return
      const [was, is] = await plansOf(result, sessions)
      result.plans.before = was ?? null
      result.plans.after = is ?? null
    })
  })
  const comparable = results.filter((result) => result.before && result.after)
  let settled: Catalog = after
  const warnings: string[] = []
  if (comparable.length > 0 && !options.signal.aborted) {
    await budget.outside(settle)
    settled = await readCatalog(migrated.admin)
    const namesNow = compareNames(before, settled)
    await withSessions(copies, deferred, async (sessions) => {
      const [, second] = sessions
      for (const result of comparable)
        if (second && budget.leftMs() > 0 && !options.signal.aborted)
          result.plans.settled = (await plansOf(result, [second]))[0] ?? null
      const suspect = (result: Result): boolean =>
        (result.ratio?.value ?? 1) > options.suspicious ||
        planChanged(result, names) === true ||
        planChanged(result, namesNow, 'settled') === true
      const again = [...comparable].sort((a, b) => Number(suspect(b)) - Number(suspect(a)))
      const unsettled: string[] = []
      await inPortions(again, sessions, budget, 1, (result, found) => {
        if (typeof found === 'string') {
          if (suspect(result)) unsettled.push(...result.work.operations.map((one) => one.name))
          return
        }
        result.settled = timingOf((found.rounds[1] ?? []).flat())
        result.settledRatio = ratioOf(found.rounds[0] ?? [], found.rounds[1] ?? [])
      })
      if (unsettled.length > 0)
        warnings.push(`Not timed again after VACUUM ANALYZE: ${[...new Set(unsettled)].join(', ')}.`)
    })
  }
  return {
    timings: toTimings(
      options.operations,
      results,
      { after: names, settled: compareNames(before, settled) },
      failed.map(({ operation, error }) => ({ operation, reason: toPgError(error).message })),
    ),
    warnings: [...leftOut(results), ...warnings],
  }
}

/** Fresh sessions: a statement prepared earlier would keep what it has learnt about its plans. */
async function withSessions(
  copies: readonly TimedCopy[],
  deferred: boolean,
  use: (sessions: readonly TimingSession[]) => Promise<void>,
): Promise<void> {
  const sessions: TimingSession[] = []
  try {
    for (const { app } of copies) sessions.push(await openTimingSession(app, deferred))
    await use(sessions)
  } finally {
    await Promise.all(sessions.map((session) => session.close()))
  }
}

/** Measures in portions, whose rounds are mixed; `then` gets every portion as soon as it is measured. */
export async function inPortions(
  results: readonly Result[],
  sessions: readonly TimingSession[],
  budget: Budget,
  share: number,
  then: (result: Result, found: Measured | string) => Promise<void> | void,
): Promise<void> {
  for (let from = 0; from < results.length; from += TOGETHER) {
    const portion = results.slice(from, from + TOGETHER)
    const found = await measure(
      portion.map((result) => result.work),
      sessions,
      (index, reservedMs) => budget.next(results.length - from - index, reservedMs, share),
    )
    for (const [i, result] of portion.entries()) await then(result, found[i] ?? 'interrupted')
  }
}

/** Of each session, with the values that are known to work; null where it cannot be explained. */
export async function plansOf(result: Result, sessions: readonly TimingSession[]): Promise<Plans[]> {
  const plans: Plans[] = []
  for (const session of sessions)
    try {
      result.sample ??= result.work.execution(0)
      plans.push(await explain(session, result.sample))
    } catch (error) {
      if (isConnectionFailure(error)) throw error
      plans.push(null)
    }
  return plans
}
