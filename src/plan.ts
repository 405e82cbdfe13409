/** What a rehearsal is going to do and how long that takes: printed before anything starts. Pure. */
import type { Scenario } from './scenario.js'

export interface Plan {
  passes: { kind: 'quiet' | 'timed' | 'race' | 'disturbance'; why: string }[]
  /** Without the migration's own time, which nobody knows before. */
  expectedMs: number
}

/** Rows that a seed makes in a second on two cores, for the expectation only. */
const ROWS_PER_SECOND = 60_000

/** Of a derived traffic. */
const USUAL_OPERATIONS = 100
/** A disturbance pass without the disturbance itself. */
const DISTURBED_MS = 8_000

export function plan(scenario: Scenario, race = false): Plan {
  const { warmupMs, baselineMs, rolloutMs, settleMs } = scenario.phases
  const seedMs = 2_000 + (scenario.rows / ROWS_PER_SECOND) * 1_000
  const { kinds, lastsMs } = scenario.disturbances
  // How many operations are derived is known when the schema is.
  const operations = scenario.operations.length || USUAL_OPERATIONS
  const probes = operations * (scenario.migrations.length + 2) * 10
  return {
    passes: [
      { kind: 'quiet', why: 'the migration at rest: locks, rewrites, scans, compat matrix, way back' },
      { kind: 'timed', why: 'the migration under the traffic of both releases' },
      ...(race ? [{ kind: 'race' as const, why: 'the migration tool started twice at once' }] : []),
      ...kinds.map((kind) => ({ kind: 'disturbance' as const, why: `the migration while there is ${kind}` })),
    ],
    expectedMs:
      seedMs + 4_000 + probes + warmupMs + baselineMs + rolloutMs + settleMs + kinds.length * (DISTURBED_MS + lastsMs),
  }
}
