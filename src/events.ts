/** What happens during a rehearsal, for whoever shows it. Events carry no data of rows and no secrets. */
import type { DisturbanceKind, PhaseName } from './recording.js'

export type RehearsalEvent =
  | { type: 'step'; text: string }
  | { type: 'pass'; pass: 'quiet' | 'timed' | 'race' }
  | { type: 'pass'; pass: 'disturbance'; disturbance: DisturbanceKind }
  | { type: 'phase'; pass: 'quiet' | 'timed' | 'disturbance'; phase: PhaseName; lengthMs: number | null }
  | {
      type: 'statement'
      file: string
      line: number
      sql: string
      state: 'started' | 'ok' | 'failed'
      sqlstate: string | null
    }
  | {
      type: 'heartbeat'
      opsPerSecond: number
      p99Ms: number | null
      errors: number
      blocked: number
      /** The migration's strongest lock at this moment, e.g. `SHARE on orders`. */
      worstLock: string | null
    }
  | { type: 'warning'; message: string }

export type Emit = (event: RehearsalEvent) => void
