/** What a rehearsal is going to do and how long that takes: printed before anything starts. Pure. */
import type { Scenario } from './scenario.js'

export interface Plan {
  passes: { kind: 'quiet' | 'timed' | 'race'; why: string }[]
  /** Without the migration's own time, which nobody knows before. */
  expectedMs: number
}

/** Rows that a seed makes in a second on two cores, for the expectation only. */
const ROWS_PER_SECOND = 60_000

export function plan(scenario: Scenario, race = false): Plan {
  const { warmupMs, baselineMs, rolloutMs, settleMs } = scenario.phases
  const seedMs = 2_000 + (scenario.rows / ROWS_PER_SECOND) * 1_000
  const probes = scenario.operations.length * (scenario.migrations.length + 2) * 10
  return {
    passes: [
      { kind: 'quiet', why: 'the migration at rest: locks, rewrites, scans, compat matrix, way back' },
      { kind: 'timed', why: 'the migration under the traffic of both releases' },
      ...(race ? [{ kind: 'race' as const, why: 'the migration tool started twice at once' }] : []),
    ],
    expectedMs: seedMs + 4_000 + probes + warmupMs + baselineMs + rolloutMs + settleMs,
  }
}
