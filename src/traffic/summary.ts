/** From raw samples to what the recording says about traffic. Pure: the same samples always give the same summary. */
import type { GeneratorHealth, Phase, TrafficError, TrafficRow } from '../recording.js'
import { POOL_TIMEOUT } from '../pg/errors.js'
import { nearestRank, percentilesOf, rounded } from './percentiles.js'
import { DROPPED, FIRST_ERROR, OK, type TrafficSamples } from './samples.js'

export { bucketWidth, trafficSeries } from './series.js'

/**
 * Index of the phase that an instant belongs to: the last one that had begun. What lies before the first belongs to the
 * first, what lies after the last to the last, so that every arrival is in exactly one.
 */
export function phaseIndex(phases: readonly Phase[], atMs: number): number {
  let index = 0
  while ((phases[index + 1]?.startMs ?? Infinity) <= atMs) index++
  return index
}

const at = (column: ArrayLike<number>, i: number): number => column[i] ?? NaN

/** One row per operation and phase in which any of it was due, in the order of operations and then phases. */
export function trafficRows(samples: TrafficSamples, phases: readonly Phase[]): TrafficRow[] {
  interface Cell {
    scheduled: number
    completed: number
    failed: number
    dropped: number
    reprepared: number
    retried: number
    gaveUp: number
    latency: number[]
    service: number[]
  }
  const reprepared = new Set(samples.hidden.map(({ sample }) => sample))
  const retried = new Set(samples.retried)
  const gaveUp = samples.errors.map(({ sqlstate }) => sqlstate === POOL_TIMEOUT.sqlstate)
  const cells = new Map<number, Cell>()
  for (let i = 0; i < samples.length; i++) {
    const key = at(samples.operation, i) * phases.length + phaseIndex(phases, at(samples.intendedMs, i))
    let cell = cells.get(key)
    if (!cell) {
      const zero = { scheduled: 0, completed: 0, failed: 0, dropped: 0, reprepared: 0, retried: 0, gaveUp: 0 }
      cell = { ...zero, latency: [], service: [] }
      cells.set(key, cell)
    }
    cell.scheduled++
    const outcome = samples.outcome[i]
    if (outcome === DROPPED) {
      cell.dropped++
      continue
    }
    if (outcome === OK) {
      cell.completed++
      if (reprepared.has(i)) cell.reprepared++
    } else cell.failed++
    if (retried.has(i)) cell.retried++
    // Failed ones count too: who got an error after two seconds has waited for two seconds.
    cell.latency.push(at(samples.latencyMs, i))
    // Who got no connection in time was not served.
    if (outcome !== undefined && gaveUp[outcome - FIRST_ERROR] === true) cell.gaveUp++
    else cell.service.push(at(samples.latencyMs, i) - at(samples.waitMs, i))
  }
  return samples.operations.flatMap(({ release, name }, operation) =>
    phases.flatMap((phase, index) => {
      const cell = cells.get(operation * phases.length + index)
      if (!cell) return []
      const { latency, service, ...counts } = cell
      return {
        release,
        operation: name,
        phase: phase.name,
        ...counts,
        latency: percentilesOf(latency),
        service: percentilesOf(service),
      }
    }),
  )
}

/** One entry per operation and error; its times are those of the ends, its phases those of the intended starts. */
export function trafficErrors(samples: TrafficSamples, phases: readonly Phase[]): TrafficError[] {
  const found = new Map<string, TrafficError>()
  const note = (sample: number, errorIndex: number, hidden: boolean): void => {
    const operation = at(samples.operation, sample)
    const key = `${operation} ${errorIndex} ${hidden}`
    const who = samples.operations[operation]
    const error = samples.errors[errorIndex]
    const phase = phases[phaseIndex(phases, at(samples.intendedMs, sample))]
    if (!who || !error || !phase)
      throw new RangeError(`sample ${sample} names an operation, error or phase that is not there`)
    const endMs = rounded(at(samples.intendedMs, sample) + at(samples.latencyMs, sample))
    let entry = found.get(key)
    if (!entry) {
      entry = {
        release: who.release,
        operation: who.name,
        error,
        phases: {},
        count: 0,
        firstMs: endMs,
        lastMs: endMs,
        hidden,
      }
      found.set(key, entry)
    }
    entry.count++
    entry.phases[phase.name] = (entry.phases[phase.name] ?? 0) + 1
    entry.firstMs = Math.min(entry.firstMs, endMs)
    entry.lastMs = Math.max(entry.lastMs, endMs)
  }
  // A pass that was interrupted before its first phase has nothing to count.
  if (phases.length === 0) return []
  for (let i = 0; i < samples.length; i++) {
    const outcome = at(samples.outcome, i)
    if (outcome >= FIRST_ERROR) note(i, outcome - FIRST_ERROR, false)
  }
  for (const { sample, error } of samples.hidden) note(sample, error, true)
  return [...found.values()].sort((a, b) => a.firstMs - b.firstMs)
}

/** A phase with what the generator itself did meanwhile. */
export interface GeneratorPhase extends Phase {
  /** Share of the time in which the event loop was busy, 0 to 1. */
  eventLoopUtilisation: number
  /** Longest queue of one release. */
  maxQueue: number
}

/**
 * How well the generator kept its schedule, in the baseline (nulls when there was none) and in every phase. What programs
 * did by themselves has no schedule and counts for nothing here.
 */
export function generatorHealth(
  samples: TrafficSamples,
  phases: readonly GeneratorPhase[],
  nominal: { ratePerSecond: number; connections: number },
): GeneratorHealth {
  const found = phases.map(() => ({ lags: [] as number[], dropped: 0 }))
  const scheduled = samples.operations.map((key) => key.scheduled !== false)
  for (let i = 0; i < samples.length; i++) {
    if (scheduled[at(samples.operation, i)] !== true) continue
    const phase = found[phaseIndex(phases, at(samples.intendedMs, i))]
    phase?.lags.push(at(samples.lagMs, i))
    if (phase && samples.outcome[i] === DROPPED) phase.dropped++
  }
  const every = phases.map(({ name, eventLoopUtilisation, maxQueue }, i) => {
    const sorted = Float64Array.from(found[i]?.lags ?? []).sort()
    const lag = (p: number): number | null => (sorted.length > 0 ? rounded(nearestRank(sorted, p)) : null)
    return { name, scheduled: sorted.length, lagP50Ms: lag(0.5), lagP99Ms: lag(0.99), eventLoopUtilisation, maxQueue }
  })
  const index = phases.findIndex(({ name }) => name === 'baseline')
  const baseline = every[index]
  return {
    ...nominal,
    lagP50Ms: baseline?.lagP50Ms ?? null,
    lagP99Ms: baseline?.lagP99Ms ?? null,
    eventLoopUtilisation: baseline?.eventLoopUtilisation ?? null,
    baselineMaxQueue: baseline?.maxQueue ?? null,
    baselineDropped: found[index]?.dropped ?? 0,
    phases: every,
  }
}
