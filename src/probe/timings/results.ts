/** What became of each operation, and how it is told. Pure. */
import type { PlanComparison, QueryTiming, Timing, TimingRatio } from '../../recording.js'
import type { Operation } from '../../traffic/operation.js'
import { changesOf, renamed, sameShape } from './changes.js'
import type { Names } from './names.js'
import type { RawPlan } from './plan.js'
import type { Measured } from './rounds.js'
import { ratioOf, timingOf } from './statistics.js'
import type { Execution, Work } from './work.js'

/** Plans of an operation's statements by position; null when they could not be had. */
export type Plans = readonly (RawPlan | null)[] | null

export interface Result {
  work: Work
  before: Timing | null
  after: Timing | null
  settled: Timing | null
  ratio: TimingRatio | null
  settledRatio: TimingRatio | null
  plans: { before: Plans; after: Plans; settled: Plans }
  /** The values of all its plans. In memory only. */
  sample: Execution | null
  reason: string | null
  /** It could have been measured, but was not: that is said in a warning. */
  leftOut: boolean
}

export const blank = (work: Work): Result => ({
  work,
  before: null,
  after: null,
  settled: null,
  ratio: null,
  settledRatio: null,
  plans: { before: null, after: null, settled: null },
  sample: null,
  reason: null,
  leftOut: false,
})

/** Enters a measurement of both sides, or the sentence in its place. */
export function note(result: Result, found: Measured | string): void {
  if (typeof found === 'string') {
    result.reason = found
    result.leftOut = true
    return
  }
  const [was = [], is = []] = found.rounds
  result.before = timingOf(was.flat())
  result.after = timingOf(is.flat())
  result.ratio = ratioOf(was, is)
  result.sample = found.sample
  const [failedBefore, failedAfter] = found.failures
  if (failedBefore != null) result.reason = `it does not work before the migration: ${failedBefore}`
  else if (failedAfter != null) result.reason = `it does not work after the migration: ${failedAfter}`
  else if (!result.before || !result.after) {
    result.reason = 'no values were found with which it works on both copies'
    result.leftOut = true
  }
}

/** Names right after the migration, and after VACUUM ANALYZE, when the statistics may be other ones. */
export interface NamesThen {
  after: Names
  settled: Names
}

/** Whether any plan has another shape than before; null without both. */
export function planChanged({ plans }: Result, names: Names, when: 'after' | 'settled' = 'after'): boolean | null {
  const { before, [when]: after } = plans
  if (!before || !after) return null
  return before.some((one, i) => {
    const other = after[i]
    return one && other ? !sameShape(one, other, names) : Boolean(one) !== Boolean(other)
  })
}

function comparisons({ plans }: Result, names: NamesThen): PlanComparison[] {
  return (plans.before ?? []).flatMap((before, statement): PlanComparison[] => {
    if (!before) return []
    const after = plans.after?.[statement] ?? null
    const settled = plans.settled?.[statement] ?? null
    return [
      {
        statement,
        before: before.plan,
        after: after && renamed(after, names.after),
        settled: settled && renamed(settled, names.settled),
        changes: after ? changesOf(before, after, names.after) : [],
        lasting: settled ? changesOf(before, settled, names.settled) : [],
      },
    ]
  })
}

/** One entry an operation, in the order of `operations`. */
export function toTimings(
  operations: readonly Operation[],
  results: readonly Result[],
  names: NamesThen,
  failed: readonly { operation: Operation; reason: string }[],
): QueryTiming[] {
  return operations.flatMap((operation): QueryTiming[] => {
    const common = { release: operation.release, operation: operation.name }
    const result = results.find(({ work }) => work.operations.includes(operation))
    if (result)
      return [
        {
          ...common,
          before: result.before,
          after: result.after,
          settled: result.settled,
          planChanged: planChanged(result, names.after),
          ratio: result.ratio,
          settledRatio: result.settledRatio,
          plans: comparisons(result, names),
          reason: result.reason,
        },
      ]
    const reason = failed.find((one) => one.operation === operation)?.reason
    if (reason === undefined) return []
    const nothing = { before: null, after: null, settled: null, planChanged: null, ratio: null, settledRatio: null }
    return [{ ...common, ...nothing, plans: [], reason }]
  })
}

const MOST_NAMES = 8

/** What was left out, one sentence for each reason. */
export function leftOut(results: readonly Result[]): string[] {
  const byReason = new Map<string, string[]>()
  for (const { leftOut, reason, work } of results)
    if (leftOut && reason !== null)
      byReason.set(reason, [...(byReason.get(reason) ?? []), ...work.operations.map((o) => `${o.name} (${o.release})`)])
  return [...byReason].map(([reason, names]) => {
    const more = names.length - MOST_NAMES
    return `Not timed before and after the migration: ${names.slice(0, MOST_NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}: ${reason}.`
  })
}
