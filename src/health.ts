/**
 * Whether a timed pass can be believed: the generator kept its schedule in the baseline, the baseline itself was sound,
 * the sampler looked often enough. Used by the conductor (one automatic retry) and by the judge (inconclusive). Pure.
 */
import type { Budgets, TimedPass } from './recording.js'
import { limits } from './judge/budgets.js'

/** Thresholds are our judgement; the research behind them measured where a generator on two cores saturates. */
export const MOST_LAG_P99_MS = 25
export const MOST_UTILISATION = 0.7
/** A gap this many times the period means that waits can have been missed. */
export const MOST_PERIODS = 25

export interface Unhealthy {
  cause: 'generator' | 'baseline' | 'sampler' | 'migration'
  sentence: string
}

export function unhealthy(pass: TimedPass, budgets: Budgets): Unhealthy[] {
  const found: Unhealthy[] = []
  const { generator, sampler } = pass
  const add = (cause: Unhealthy['cause'], sentence: string): void => void found.push({ cause, sentence })
  if (generator.lagP99Ms !== null && generator.lagP99Ms > MOST_LAG_P99_MS)
    add(
      'generator',
      `In the baseline the traffic generator started 1 % of operations more than ${Math.round(generator.lagP99Ms)} ms late (at most ${MOST_LAG_P99_MS} ms are sound).`,
    )
  if (generator.eventLoopUtilisation !== null && generator.eventLoopUtilisation > MOST_UTILISATION)
    add(
      'generator',
      `In the baseline the traffic generator was busy ${Math.round(generator.eventLoopUtilisation * 100)} % of the time (at most ${MOST_UTILISATION * 100} % are sound).`,
    )
  if (generator.baselineDropped > 0)
    add('generator', `In the baseline ${generator.baselineDropped} operations could not be started.`)
  const baseline = pass.traffic.filter((row) => row.phase === 'baseline')
  if (baseline.length > 0 && baseline.every((row) => row.completed === 0) && baseline.some((row) => row.scheduled > 0))
    add('baseline', 'In the baseline no operation of the old release completed.')
  const blocked = limits('operation.blocked', budgets).fail
  const slowest = Math.max(0, ...baseline.map((row) => row.latency?.maxMs ?? 0))
  if (blocked !== null && slowest > blocked)
    add(
      'baseline',
      `Without any migration an operation already took ${Math.round(slowest)} ms: the baseline crosses the budget by itself.`,
    )
  if (pass.migration.statements.length > 0 && sampler.polls === 0) add('sampler', 'The lock sampler never looked.')
  if (sampler.maxGapMs !== null && sampler.maxGapMs > sampler.periodMs * MOST_PERIODS)
    add(
      'sampler',
      `The lock sampler did not look for ${Math.round(sampler.maxGapMs)} ms while the migration ran (every ${sampler.periodMs} ms was asked for).`,
    )
  if (pass.migration.statements.length === 0 && pass.migration.outcome.ok)
    add('migration', 'The migration ran no statement.')
  return found
}

/** Arrival rate that would have worked, judged by how late or busy the generator was; at least 1 a second. */
export function sustainableRate(pass: TimedPass): number {
  const { generator } = pass
  const byLag = generator.lagP99Ms === null ? 1 : MOST_LAG_P99_MS / Math.max(MOST_LAG_P99_MS, generator.lagP99Ms)
  const byUse =
    generator.eventLoopUtilisation === null
      ? 1
      : MOST_UTILISATION / Math.max(MOST_UTILISATION, generator.eventLoopUtilisation)
  const row = pass.traffic.filter((r) => r.phase === 'baseline')
  const scheduled = row.reduce((sum, r) => sum + r.scheduled, 0)
  const done = row.reduce((sum, r) => sum + r.completed, 0)
  const byDone = scheduled === 0 ? 1 : done / scheduled
  return Math.max(1, Math.floor(generator.ratePerSecond * Math.min(byLag, byUse, Math.max(0.1, byDone)) * 0.7))
}
