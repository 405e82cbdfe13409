/**
 * The traffic of one release: its arrivals, a first-in-first-out queue, and a fixed number of connections. An arrival that
 * finds no free connection waits; it never goes behind a query that is under way on one.
 */
import type { Clock } from '../clock.js'
import { connect, disconnect, type Address } from '../pg/connect.js'
import type { PgError, Release } from '../recording.js'
import type { Operation, Variables } from './operation.js'
import type { Random } from './random.js'
import type { SampleRecorder } from './samples.js'
import { Schedule, type Arrival } from './schedule.js'
import { Session, type Ran } from './session.js'
import { detailOf, toTrafficError, type Counts, type DeadlockReport, type Settled } from './settled.js'

/** How much work may wait: this many seconds of the highest rate asked for so far. What comes on top is dropped, and counted. */
export const QUEUE_SECONDS = 10

/** What one release is to do. */
export interface WorkloadOptions {
  release: Release
  operations: readonly Operation[]
  address: Address
  connections: number
  variables: Omit<Variables, 'clientId'>
  random: Random
  /** Prepare the statements of prepared scripts on every connection before it starts; true by default. */
  warm?: boolean
}

/** Where a workload reports to. */
export interface Sink {
  clock: Clock
  samples: SampleRecorder
  /** Position of this workload's first operation in the recorder's list. */
  firstOperation: number
  onSettled: (settled: Settled) => void
  onDeadlock: (report: DeadlockReport) => void
  /** A failure that did not come from the server, raw. */
  onClientError: (error: unknown) => void
}

interface Waiting {
  arrival: Arrival
  sample: number
}

interface Running extends Waiting {
  session: Session
  operation: Operation
  startMs: number
  pid: number | null
  /** Set when the pass ended first: the outcome in place of whatever error the cancellation brings. */
  unfinished: PgError | null
  settled: boolean
}

export class Workload {
  readonly release: Release
  readonly schedule: Schedule
  readonly sessions: readonly Session[]
  readonly #options: WorkloadOptions
  readonly #sink: Sink
  /** Used in turn, so that every connection sees the same mix. */
  readonly #free: Session[] = []
  readonly #running = new Map<Session, Running>()
  #queue: Waiting[] = []
  #head = 0
  #highestRate = 0
  #stopped = false
  #onIdle: (() => void) | null = null
  readonly #counts = { scheduled: 0, completed: 0, failed: 0, dropped: 0 }
  /** Longest queue since it was last set. */
  maxQueue = 0

  constructor(options: WorkloadOptions, sink: Sink) {
    this.release = options.release
    this.#options = options
    this.#sink = sink
    this.schedule = new Schedule(
      options.random,
      options.operations.map(({ weight }) => weight),
    )
    const { release, address, variables } = options
    this.sessions = Array.from(
      { length: options.connections },
      (_, i) => new Session({ release, address, variables, connection: i + 1 }),
    )
  }

  /** Connects and warms every session. */
  async open(): Promise<void> {
    const { operations, random, warm = true } = this.#options
    await Promise.all(
      this.sessions.map(async (session) => {
        await session.open()
        if (warm) await session.warm(operations, random.fork('warm'))
      }),
    )
    this.#free.push(...this.sessions)
  }

  setRate(atMs: number, fromPerSecond: number, toPerSecond: number, overMs: number): void {
    this.schedule.times.setRate(atMs, fromPerSecond, toPerSecond, overMs)
    this.#highestRate = Math.max(this.#highestRate, fromPerSecond, toPerSecond)
  }

  get queued(): number {
    return this.#queue.length - this.#head
  }

  counts(): Counts {
    return { ...this.#counts, running: this.#running.size, queued: this.queued }
  }

  /** What the session is doing now. */
  running(session: Session): { operation: string; sampleIndex: number } | null {
    const running = this.#running.get(session)
    return running ? { operation: running.operation.name, sampleIndex: running.sample } : null
  }

  /** Starts, queues or drops everything that is due. */
  dispatch(): void {
    if (this.#stopped) return
    const { clock, samples, firstOperation } = this.#sink
    for (;;) {
      const nowMs = clock.nowMs()
      const arrival = this.schedule.take(nowMs)
      if (!arrival) return
      this.#counts.scheduled++
      const sample = samples.arrive(arrival.intendedMs, firstOperation + arrival.operation, nowMs)
      const session = this.#free.shift()
      if (session) this.#start(session, { arrival, sample })
      else if (this.queued >= Math.ceil(QUEUE_SECONDS * this.#highestRate)) this.#drop(sample)
      else {
        this.#queue.push({ arrival, sample })
        this.maxQueue = Math.max(this.maxQueue, this.queued)
      }
    }
  }

  /** What is due by now still counts as an arrival, nothing after it; what waits in the queue is dropped. */
  stop(): void {
    this.dispatch()
    this.#stopped = true
    for (const { sample } of this.#queue.slice(this.#head)) this.#drop(sample)
    this.#queue = []
    this.#head = 0
  }

  /** Resolves when nothing runs any more; only after `stop`. */
  async idle(): Promise<void> {
    if (this.#running.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve))
  }

  /**
   * Cancels what still runs, in the application's own role; it counts as failed with `error`, unless it ends well all the
   * same. What this does not reach ends with its connection in `close`.
   */
  async abandon(error: PgError): Promise<void> {
    const running = [...this.#running.values()]
    if (running.length === 0) return
    for (const one of running) {
      one.unfinished = error
      one.session.abandon()
    }
    const pids = running.flatMap(({ session }) => session.pid ?? []).join()
    const sql = connect(this.#options.address, { applicationName: `rehearse ${this.release} stop` })
    await sql`select pg_cancel_backend(pid::int) from string_to_table(${pids}, ',') pid`.catch(() => undefined)
    await disconnect(sql)
  }

  /** Ends all sessions, and every operation that has still not come back. */
  async close(): Promise<void> {
    await Promise.all(this.sessions.map((session) => session.close()))
    // The rejections of the closed connections are delivered first.
    await new Promise((resolve) => setImmediate(resolve))
    for (const running of [...this.#running.values()]) {
      this.#settle(running, { ok: false, error: null, hidden: [] })
    }
  }

  #drop(sample: number): void {
    this.#counts.dropped++
    this.#sink.samples.drop(sample)
  }

  #start(session: Session, waiting: Waiting): void {
    const operation = this.#options.operations[waiting.arrival.operation]
    if (!operation) throw new RangeError(`no operation ${waiting.arrival.operation}`)
    const startMs = this.#sink.clock.nowMs()
    const running: Running = {
      ...waiting,
      session,
      operation,
      startMs,
      pid: session.pid,
      unfinished: null,
      settled: false,
    }
    this.#running.set(session, running)
    const over = session.run(operation, waiting.arrival.random, (ran) => this.#settle(running, ran))
    void over.then(() => this.#release(session))
  }

  #settle(running: Running, ran: Ran): void {
    if (running.settled) return
    running.settled = true
    this.#running.delete(running.session)
    const { samples, clock, onSettled, onDeadlock, onClientError } = this.#sink
    const endMs = clock.nowMs()
    const { sample, startMs, session, operation } = running
    const error = ran.ok ? null : (running.unfinished ?? toTrafficError(ran.error))
    this.#counts[error ? 'failed' : 'completed']++
    samples.settle(sample, { startMs, endMs, error })
    for (const hidden of ran.hidden) samples.hide(sample, toTrafficError(hidden))
    // After a reconnect at the start of the operation the session knows the newer one.
    const pid = session.pid ?? running.pid
    const who = { release: this.release, operation: operation.name, pid }
    if (error?.sqlstate === '40P01') onDeadlock({ ...who, atMs: endMs, detail: detailOf(ran.error) })
    if (error?.sqlstate === 'CLIENT') onClientError(ran.error)
    onSettled({
      ...who,
      connection: session.connection,
      sampleIndex: sample,
      intendedMs: running.arrival.intendedMs,
      startMs,
      endMs,
      sqlstate: error?.sqlstate ?? null,
    })
    if (this.#running.size === 0) this.#onIdle?.()
  }

  #release(session: Session): void {
    const next = this.#queue[this.#head]
    if (!next) {
      this.#free.push(session)
      return
    }
    this.#head++
    // Keeps taking from the front cheap without moving the whole queue each time.
    if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    this.#start(session, next)
  }
}
