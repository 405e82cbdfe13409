/**
 * Who makes traffic for one release: our own workload (scheduled operations on sessions of ours), or a program of the
 * user's behind the wire proxy. The engine drives both in the same way.
 */
import type { Clock } from '../clock.js'
import type { PgError, PhaseName, Release } from '../recording.js'
import type { SampleRecorder } from './samples.js'
import type { Counts, DeadlockReport, Settled } from './settled.js'

/** Where a source reports to. */
export interface Sink {
  clock: Clock
  samples: SampleRecorder
  onSettled: (settled: Settled) => void
  onDeadlock: (report: DeadlockReport) => void
  /** A failure that did not come from the server, raw. */
  onClientError: (error: unknown) => void
}

export interface SourceSession {
  /** Ordinal within the release, from 1. */
  connection: number
  /** null while not connected. */
  pid: number | null
}

export interface TrafficSource {
  readonly release: Release
  /** Connects, warms up or starts what is needed before the first phase. Throws what the driver throws, or a RehearsalError. */
  open(): Promise<void>
  /** A phase begins, before its rates are set. Arrivals that are scheduled lie within its first `lengthMs`. */
  phase(name: PhaseName, atMs: number, lengthMs: number): void
  /** From now on: linearly from one rate to the other, then constant. A program only knows 0 and more than 0. */
  setRate(atMs: number, fromPerSecond: number, toPerSecond: number, overMs: number): void
  /** When `dispatch` should be called next; Infinity for never. */
  nextDueMs(): number
  /** Starts, queues or drops everything that is due. */
  dispatch(): void
  counts(): Counts
  sessions(): readonly SourceSession[]
  /** What the backend is doing for this source; null when it is none of its sessions. */
  running(pid: number): { connection: number; operation: string | null; sampleIndex: number | null } | null
  /** Longest queue since it was last asked. */
  takeMaxQueue(): number
  /** Nothing new any more; what waits is dropped. */
  stop(): void
  /** Resolves when nothing runs any more; only after `stop`. */
  idle(): Promise<void>
  /** Breaks off what still runs; it counts as failed with `error`. */
  abandon(error: PgError): Promise<void>
  /** Ends everything. Never rejects. */
  close(): Promise<void>
}
