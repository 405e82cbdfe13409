/** What the traffic tells others about its operations while it runs. */
import { serverErrorIn, toPgError } from '../pg/errors.js'
import type { PgError, Release } from '../recording.js'

/** One operation that ended, whether well or not. Holds no data. */
export interface Settled {
  release: Release
  /** Ordinal within the release, from 1; 0 when it never got one. */
  connection: number
  /** Backend of the session that it had last. */
  pid: number | null
  /** When it got that session: later than `startMs` after another try, or where a pooler moved it. */
  takenMs: number
  operation: string
  sampleIndex: number
  intendedMs: number
  startMs: number
  endMs: number
  sqlstate: string | null
}

/** A deadlock's victim. `detail` is the server's text with the process ids: to be parsed for them and forgotten. */
export interface DeadlockReport {
  release: Release
  operation: string
  pid: number | null
  atMs: number
  detail: string
}

/** Arrivals of a release so far. */
export interface Counts {
  scheduled: number
  completed: number
  failed: number
  dropped: number
  running: number
  queued: number
}

/** The text that names the processes of a deadlock. */
export const detailOf = (error: unknown): string => {
  const detail = (serverErrorIn(error) as { detail?: unknown } | null)?.detail
  return typeof detail === 'string' ? detail : ''
}

/** The server's own words for "the connection ends now" are a lost connection to whoever was using it. */
export function toTrafficError(error: unknown): PgError {
  const known = toPgError(error)
  return /^57P0[1-5]$/.test(known.sqlstate) ? { ...known, sqlstate: '08006' } : known
}
