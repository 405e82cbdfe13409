/**
 * Open-loop traffic: operations start when the schedule says so, not when the one before has ended, and their latency
 * counts from that intended start. One timer serves all releases and starts everything that is due; it never spins,
 * because a busy loop takes the processor from the server under test.
 */
import { performance, type EventLoopUtilization } from 'node:perf_hooks'
import { sleep, type Clock } from '../clock.js'
import { RehearsalError } from '../errors.js'
import { pgError, toPgError } from '../pg/errors.js'
import type { PhaseName, Release } from '../recording.js'
import { SampleRecorder, type TrafficSamples } from './samples.js'
import type { Counts, DeadlockReport, Settled } from './settled.js'
import type { GeneratorPhase } from './summary.js'
import type { Sink, TrafficSource } from './source.js'
import { Workload, type WorkloadOptions } from './workload.js'

export type { Counts, DeadlockReport, Settled } from './settled.js'
export type { Sink, TrafficSource } from './source.js'
export type { WorkloadOptions } from './workload.js'

export interface TrafficOptions {
  workloads: readonly WorkloadOptions[]
  /** Programs of the user's, whose own queries are traffic; each reports to the sink that it gets. */
  programs?: readonly ((sink: Sink) => TrafficSource)[]
  /** Instants of everything that is recorded: milliseconds since the pass started. */
  clock: Clock
  /** First listener; see `Traffic.onSettled`. */
  onOperation?: (settled: Settled) => void
  onDeadlock?: (report: DeadlockReport) => void
}

/** Everything that is known when the traffic has stopped; see summary.ts. */
export interface TrafficResult {
  samples: TrafficSamples
  phases: GeneratorPhase[]
  /** The first script that could not be computed (SCRIPT_INVALID); the rehearsal's result is then of no use. */
  scriptError: RehearsalError | null
}

/** Traffic that runs. */
export interface Traffic {
  /** From now on: linearly from one rate to the other within `overMs`, then constant. Nothing for an unknown release. */
  setRate(release: Release, fromPerSecond: number, toPerSecond: number, overMs: number): void
  /**
   * Ends the phase before and begins this one; returns the instant. The first one should come before any rate is set.
   * With `lengthMs` arrivals lie within so long, however late the next phase begins: then two runs with the same seed and
   * rates have the same arrivals, at the same distance from the start of their phase.
   */
  phase(name: PhaseName, lengthMs?: number): number
  /** Which session has this backend, and what it runs now; null when the process is none of ours. */
  sessionOf(
    pid: number,
  ): { release: Release; connection: number; operation: string | null; sampleIndex: number | null } | null
  /** Every session with its backend. */
  sessions(): { release: Release; connection: number; pid: number | null }[]
  /** Calls back for each operation that ended or gave up; returns a function that ends this. Dropped ones do not settle. */
  onSettled(callback: (settled: Settled) => void): () => void
  counts(release: Release): Counts
  /**
   * No further arrivals; the queue is dropped, what runs may end within `graceMs` and is canceled then (counted as
   * failed with 57014). Closes all sessions. Never rejects; a second call returns the same.
   */
  stop(graceMs: number): Promise<TrafficResult>
}

/** Node's timers cannot count further than 2^31 ms; a rate close to 0 would ask for more. */
const MAX_SLEEP_MS = 60_000
/** How long a cancel request may take before the connection is closed instead. */
const CANCEL_MS = 1_000
const UNFINISHED = pgError('57014', 'still running when the pass ended, and canceled then')
const NO_COUNTS: Counts = { scheduled: 0, completed: 0, failed: 0, dropped: 0, running: 0, queued: 0 }

/**
 * Connects all sessions and prepares their statements; the rates are 0 until `setRate`. Throws CONNECTION_LOST, what a
 * program throws, or a RangeError for an operation's own rate without `nominalPerSecond`.
 */
export async function startTraffic(options: TrafficOptions): Promise<Traffic> {
  const engine = new Engine(options)
  await engine.open()
  return engine
}

interface Mark {
  name: PhaseName
  startMs: number
  loop: EventLoopUtilization
}

class Engine implements Traffic {
  readonly #clock: Clock
  readonly #samples: SampleRecorder
  readonly #sources: TrafficSource[]
  readonly #listeners = new Set<(settled: Settled) => void>()
  readonly #phases: GeneratorPhase[] = []
  #mark: Mark | null = null
  /** When the phase began, in the turn in which it did. */
  #begunMs: number | null = null
  #timer: NodeJS.Timeout | null = null
  #scriptError: RehearsalError | null = null
  #stopping: Promise<TrafficResult> | null = null

  constructor({ workloads, programs = [], clock, onOperation, onDeadlock }: TrafficOptions) {
    this.#clock = clock
    this.#samples = new SampleRecorder()
    if (onOperation) this.#listeners.add(onOperation)
    const sink: Sink = {
      clock,
      samples: this.#samples,
      onSettled: (settled) => this.#listeners.forEach((listener) => listener(settled)),
      onDeadlock: (report) => onDeadlock?.(report),
      onClientError: (error) => {
        if (error instanceof RehearsalError) this.#scriptError ??= error
      },
    }
    const used = workloads.filter(({ operations, connections }) => operations.length > 0 && connections > 0)
    this.#sources = [
      ...used.map((workload) => new Workload(workload, sink)),
      ...programs.map((program) => program(sink)),
    ]
  }

  async open(): Promise<void> {
    const opened = await Promise.allSettled(this.#sources.map((source) => source.open()))
    const failed = opened.find((result) => result.status === 'rejected')
    if (!failed) return
    await Promise.all(this.#sources.map((source) => source.close()))
    if (failed.reason instanceof RehearsalError) throw failed.reason
    const { condition, message } = toPgError(failed.reason)
    throw new RehearsalError('CONNECTION_LOST', { message: `${message} (${condition})` })
  }

  setRate(release: Release, fromPerSecond: number, toPerSecond: number, overMs: number): void {
    if (this.#stopping) return
    const atMs = this.#begunMs ?? this.#clock.nowMs()
    for (const source of this.#sources) {
      if (source.release === release) source.setRate(atMs, fromPerSecond, toPerSecond, overMs)
    }
    this.#arm()
  }

  phase(name: PhaseName, lengthMs = Infinity): number {
    const startMs = this.#clock.nowMs()
    if (this.#stopping) return startMs
    for (const source of this.#sources) source.phase(name, startMs, lengthMs)
    this.#endPhase(startMs)
    // Rates that are set in the same turn count from the very start of the phase: two runs are then alike to the microsecond.
    this.#begunMs = startMs
    queueMicrotask(() => (this.#begunMs = null))
    this.#arm()
    this.#mark = { name, startMs, loop: performance.eventLoopUtilization() }
    return startMs
  }

  sessionOf(pid: number): ReturnType<Traffic['sessionOf']> {
    for (const source of this.#sources) {
      const running = source.running(pid)
      if (running) return { release: source.release, ...running }
    }
    return null
  }

  sessions(): ReturnType<Traffic['sessions']> {
    return this.#sources.flatMap((source) =>
      source.sessions().map(({ connection, pid }) => ({ release: source.release, connection, pid })),
    )
  }

  onSettled(callback: (settled: Settled) => void): () => void {
    this.#listeners.add(callback)
    return () => void this.#listeners.delete(callback)
  }

  counts(release: Release): Counts {
    const sum = { ...NO_COUNTS }
    for (const source of this.#sources) {
      if (source.release !== release) continue
      const counts = source.counts()
      for (const name of Object.keys(sum) as (keyof Counts)[]) sum[name] += counts[name]
    }
    return sum
  }

  stop(graceMs: number): Promise<TrafficResult> {
    this.#stopping ??= this.#stop(graceMs)
    return this.#stopping
  }

  async #stop(graceMs: number): Promise<TrafficResult> {
    if (this.#timer) clearTimeout(this.#timer)
    for (const source of this.#sources) source.stop()
    this.#endPhase(this.#clock.nowMs())
    const idle = Promise.all(this.#sources.map((source) => source.idle()))
    await within(idle, graceMs)
    const abandoned = Promise.all(this.#sources.map((source) => source.abandon(UNFINISHED)))
    await within(Promise.all([idle, abandoned]), CANCEL_MS)
    await Promise.all(this.#sources.map((source) => source.close()))
    return { samples: this.#samples.finish(), phases: this.#phases, scriptError: this.#scriptError }
  }

  #arm(): void {
    if (this.#timer) clearTimeout(this.#timer)
    const nextMs = Math.min(...this.#sources.map((source) => source.nextDueMs()))
    // Timers count whole milliseconds; less than one would be a busy loop.
    const delayMs = Math.min(MAX_SLEEP_MS, Math.max(1, nextMs - this.#clock.nowMs()))
    this.#timer = nextMs === Infinity ? null : setTimeout(() => this.#tick(), delayMs)
  }

  #tick(): void {
    for (const source of this.#sources) source.dispatch()
    this.#arm()
  }

  #endPhase(endMs: number): void {
    const maxQueue = Math.max(0, ...this.#sources.map((source) => source.takeMaxQueue()))
    const mark = this.#mark
    if (!mark) return
    const { utilization } = performance.eventLoopUtilization(mark.loop)
    this.#phases.push({ name: mark.name, startMs: mark.startMs, endMs, eventLoopUtilisation: utilization, maxQueue })
    this.#mark = null
  }
}

/** Waits for the promise, at most so long. */
async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  const timeout = new AbortController()
  await Promise.race([promise, sleep(ms, timeout.signal)])
  timeout.abort()
}
