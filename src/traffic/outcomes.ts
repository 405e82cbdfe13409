/** Counts what becomes of the arrivals of one release, and tells the recorder and the listeners. */
import { POOL_TIMEOUT } from '../pg/errors.js'
import type { PgError, Release } from '../recording.js'
import type { Ran } from './execution.js'
import type { Operation } from './operation.js'
import type { Arrival } from './schedule.js'
import type { Session } from './session.js'
import { detailOf, toTrafficError, type Counts } from './settled.js'
import type { Sink } from './source.js'

/** An operation that has begun. */
export interface Started {
  arrival: Arrival
  sample: number
  operation: Operation
  /** The session that it has, or had last. */
  session: Session
  startMs: number
  takenMs: number
  pid: number | null
  /** Set when the pass ended first: the outcome in place of whatever error the cancellation brings. */
  unfinished: PgError | null
  settled: boolean
}

/** What an operation under way gets when it waited too long for its next session. */
export class PoolTimeout extends Error {}

export class Outcomes {
  readonly #release: Release
  readonly #sink: Sink
  readonly #counts = { scheduled: 0, completed: 0, failed: 0, dropped: 0 }

  constructor(release: Release, sink: Sink) {
    this.#release = release
    this.#sink = sink
  }

  get counts(): Omit<Counts, 'running' | 'queued'> {
    return this.#counts
  }

  /** Returns the arrival's position in the samples. */
  scheduled(intendedMs: number, operation: number, nowMs: number): number {
    this.#counts.scheduled++
    return this.#sink.samples.arrive(intendedMs, operation, nowMs)
  }

  dropped(sample: number): void {
    this.#counts.dropped++
    this.#sink.samples.drop(sample)
  }

  /** The request got no session in time and never started. */
  gaveUp({ name }: Operation, { intendedMs }: Arrival, sample: number): void {
    const endMs = this.#sink.clock.nowMs()
    this.#counts.failed++
    this.#sink.samples.settle(sample, { startMs: endMs, endMs, error: POOL_TIMEOUT })
    this.#sink.onSettled({
      release: this.#release,
      connection: 0,
      pid: null,
      takenMs: endMs,
      operation: name,
      sampleIndex: sample,
      intendedMs,
      startMs: endMs,
      endMs,
      sqlstate: POOL_TIMEOUT.sqlstate,
    })
  }

  /** A try failed; another one follows. */
  retried(started: Started, error: unknown): void {
    if (started.settled) return
    this.#sink.samples.retry(started.sample)
    this.#deadlock(started, toTrafficError(error), error)
  }

  settled(started: Started, ran: Ran): void {
    started.settled = true
    const { samples, clock, onSettled, onClientError } = this.#sink
    const endMs = clock.nowMs()
    const { sample, startMs, takenMs, session, operation, arrival, unfinished } = started
    const error = ran.ok
      ? null
      : (unfinished ?? (ran.error instanceof PoolTimeout ? POOL_TIMEOUT : toTrafficError(ran.error)))
    this.#counts[error ? 'failed' : 'completed']++
    samples.settle(sample, { startMs, endMs, error })
    for (const hidden of ran.hidden) samples.hide(sample, toTrafficError(hidden))
    // After a reconnect at the start of the operation the session knows the newer one.
    const pid = session.pid ?? started.pid
    this.#deadlock(started, error, ran.error)
    if (error?.sqlstate === 'CLIENT') onClientError(ran.error)
    onSettled({
      release: this.#release,
      connection: session.connection,
      pid,
      takenMs,
      operation: operation.name,
      sampleIndex: sample,
      intendedMs: arrival.intendedMs,
      startMs,
      endMs,
      sqlstate: error?.sqlstate ?? null,
    })
  }

  #deadlock({ operation, session, pid }: Started, error: PgError | null, raw: unknown): void {
    if (error?.sqlstate !== '40P01') return
    this.#sink.onDeadlock({
      release: this.#release,
      operation: operation.name,
      pid: session.pid ?? pid,
      atMs: this.#sink.clock.nowMs(),
      detail: detailOf(raw),
    })
  }
}
