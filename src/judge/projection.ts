/**
 * A one-point projection to production's size. Work that grows with a table is taken as linear in its rows: the time
 * measured here, less the cost that does not grow, times the ratio of the sizes. It is a range: the low end lets
 * production be twice as fast as this machine, the high end lets it be slower (cold cache, sorts that spill). Only the
 * low end may fail a migration. Pure.
 */
import type { Projection } from '../recording.js'

const FASTER = 0.5
/** Sorts grow faster than linearly and spill to disk; reading and rewriting depend on the cache. */
const SLOWER: Record<Projection['work'], number> = { scan: 3, rewrite: 3, 'index build': 4, 'rows written': 3 }

export interface ProjectionInput {
  relation: string
  work: Projection['work']
  rowsHere: number
  rowsInProduction: number
  /** Durations of the same statement without its waits, e.g. quiet and timed. */
  durationsMs: readonly number[]
  /** What a statement without any work costs here. */
  constantMs: number
}

/** null when nothing can be projected: no rows here, or nothing measured. */
export function project(input: ProjectionInput): Projection | null {
  if (input.rowsHere <= 0 || input.durationsMs.length === 0) return null
  const ratio = Math.max(1, input.rowsInProduction / input.rowsHere)
  const shortest = Math.min(...input.durationsMs)
  const longest = Math.max(...input.durationsMs)
  if (ratio === 1) {
    return { ...shared(input), measuredMs: longest, lowMs: shortest, highMs: longest }
  }
  return {
    ...shared(input),
    measuredMs: longest,
    lowMs: Math.max(0, shortest - input.constantMs) * ratio * FASTER,
    highMs: longest * ratio * SLOWER[input.work],
  }
}

const shared = (input: ProjectionInput): Pick<Projection, 'relation' | 'work' | 'rowsHere' | 'rowsInProduction'> => ({
  relation: input.relation,
  work: input.work,
  rowsHere: input.rowsHere,
  rowsInProduction: input.rowsInProduction,
})
