/**
 * The same on one copy, where no second one can be had: everything before the migration, then everything after it. The
 * machine may have changed in between, so a constant query is timed beside, and there is no ratio with an interval.
 */
import { toPgError } from '../../pg/errors.js'
import type { Timing } from '../../recording.js'
import { Budget, inPortions, plansOf, type TimedCopy, type TimingOptions, type Timings } from '../timings.js'
import { compareNames, readCatalog, type Catalog } from './names.js'
import { blank, leftOut, note, planChanged, toTimings, type Result } from './results.js'
import type { Measured } from './rounds.js'
import { openTimingSession, type TimingSession } from './session.js'
import { median, timingOf } from './statistics.js'
import { workOf, type Execution } from './work.js'

export interface OneCopyProbe {
  before(): Promise<void>
  /** `settle` brings statistics and visibility up to date (VACUUM ANALYZE). */
  after(settle: () => Promise<void>): Promise<Timings>
}

const PACE_RUNS = 50
/** Before, after, and after VACUUM ANALYZE. */
const PART = 1 / 3

interface Pass {
  paceMs: number
  found: Map<Result, Measured | string>
}

export function oneCopyProbe(options: TimingOptions, copy: TimedCopy): OneCopyProbe {
  const { works, failed } = workOf(options.operations, options.variables, options.seed, options.touches)
  const results = works.map(blank)
  let first: { pass: Pass; catalog: Catalog } | null = null

  const measureAll = async (of: readonly Result[], plan: (result: Result) => 'before' | 'after'): Promise<Pass> => {
    const { deferred } = await readCatalog(copy.admin)
    const session = await openTimingSession(copy.app, deferred)
    const budget = new Budget(options, PART)
    try {
      const pass: Pass = { paceMs: await paceOf(session), found: new Map() }
      await inPortions(of, [session], budget, 1, async (result, found) => {
        pass.found.set(result, found)
        if (typeof found !== 'string') result.sample ??= found.sample
        if (!options.signal.aborted) result.plans[plan(result)] = (await plansOf(result, [session]))[0] ?? null
      })
      return pass
    } finally {
      await session.close()
    }
  }

  return {
    async before() {
      const catalog = await readCatalog(copy.admin)
      first = { pass: await measureAll(results, () => 'before'), catalog }
    },
    async after(settle) {
      if (!first) return { timings: [], warnings: [] }
      const { pass: before, catalog } = first
      const after = await measureAll(results, () => 'after')
      const names = compareNames(catalog, await readCatalog(copy.admin))
      for (const result of results) note(result, together(before, after, result))
      const slow = results.filter(
        (result) =>
          (result.before && result.after && result.after.medianMs > result.before.medianMs * options.suspicious) ||
          planChanged(result, names) === true,
      )
      if (slow.length > 0 && !options.signal.aborted) {
        await settle()
        const plans = new Map(slow.map((result) => [result, result.plans.after]))
        const again = await measureAll(slow, () => 'after')
        for (const result of slow) {
          result.plans.settled = result.plans.after
          result.plans.after = plans.get(result) ?? null
          const found = again.found.get(result)
          result.settled = typeof found === 'object' ? paced(found, before.paceMs / again.paceMs) : null
        }
      }
      const settled = compareNames(catalog, await readCatalog(copy.admin))
      return {
        timings: toTimings(
          options.operations,
          results,
          { after: names, settled },
          failed.map(({ operation, error }) => ({ operation, reason: toPgError(error).message })),
        ),
        warnings: leftOut(results),
      }
    },
  }
}

/** Both halves as one measurement of two sides, without rounds that belong together. */
function together(before: Pass, after: Pass, result: Result): Measured | string {
  const [was, is] = [before.found.get(result), after.found.get(result)]
  if (typeof was !== 'object') return was ?? 'interrupted'
  if (typeof is !== 'object') return is ?? 'interrupted'
  const factor = sane(before.paceMs / after.paceMs)
  return {
    rounds: [flat(was), flat(is).map((samples) => samples.map((ms) => ms * factor))],
    failures: [was.failures[0] ?? null, is.failures[0] ?? null],
    sample: was.sample ?? is.sample,
  }
}

/** One round of everything: too few for an interval. */
const flat = ({ rounds }: Measured): number[][] => {
  const samples = (rounds[0] ?? []).flat()
  return samples.length === 0 ? [] : [samples]
}

const paced = (found: Measured, factor: number): Timing | null =>
  timingOf(flat(found).flatMap((samples) => samples.map((ms) => ms * sane(factor))))

/** A pace that differs by more than this is no drift but a disturbance: times are left as they are. */
const sane = (factor: number): number => (factor > 0.5 && factor < 2 ? factor : 1)

async function paceOf(session: TimingSession): Promise<number> {
  const samples: number[] = []
  const execution: Execution = { kind: 'script', prepared: false, statements: [{ text: 'select 1', params: [] }] }
  for (let i = 0; i < PACE_RUNS; i++) samples.push(await session.run(execution))
  return Math.max(0.001, median(samples))
}
