/**
 * The traffic of one release as we make it: its arrivals, and a pool with a fixed number of sessions. An arrival that finds
 * no free session waits; it never goes behind a query that is under way on one.
 */
import { connect, disconnect, type Address } from '../pg/connect.js'
import type { PgError, PhaseName, Release } from '../recording.js'
import { Execution, type Ran, type Retries } from './execution.js'
import type { Operation, Variables } from './operation.js'
import { Outcomes, PoolTimeout, type Started } from './outcomes.js'
import { Pool, type Waiter } from './pool.js'
import type { Random } from './random.js'
import { sharesOf } from './rates.js'
import { Schedule, type Arrival } from './schedule.js'
import { Session } from './session.js'
import type { Counts } from './settled.js'
import type { Sink, SourceSession, TrafficSource } from './source.js'

/** How much work may wait: this many seconds of the highest rate asked for so far. What comes on top is dropped, and counted. */
export const QUEUE_SECONDS = 10

/** What one release is to do. */
export interface WorkloadOptions {
  release: Release
  /** Those without `ratePerSecond` share the release's rate by weight; the others come on top. */
  operations: readonly Operation[]
  address: Address
  /** Sessions at the server: the application's pool, or with `pooling: 'transaction'` the pooler's. */
  connections: number
  variables: Omit<Variables, 'clientId'>
  random: Random
  /** Prepare the statements of prepared scripts on every connection before it starts; true by default. */
  warm?: boolean
  /** The release's rate at full traffic; needed when an operation has a rate of its own. */
  nominalPerSecond?: number
  /** A request that waits longer for a session gives up (`POOL`); null, the default, for as long as it takes. */
  queueTimeoutMs?: number | null
  /** What is tried again; nothing by default. */
  retries?: Retries | null
  /** See execution.ts; `session` by default. With `transaction` as many operations are under way as arrive. */
  pooling?: 'session' | 'transaction'
  /** Startup settings of the sessions: statement_timeout, lock_timeout, idle_in_transaction_session_timeout... */
  settings?: Readonly<Record<string, string>>
}

/** An arrival that has not started yet, unlike an operation that waits for its next session. */
interface Arrived extends Waiter {
  sample: number
}

const isArrived = (waiter: Waiter): waiter is Arrived => 'sample' in waiter

export class Workload implements TrafficSource {
  readonly release: Release
  readonly #options: WorkloadOptions
  readonly #sink: Sink
  readonly #schedule: Schedule
  /** Arrivals for each one of the release's rate. */
  readonly #factor: number
  /** The recorder's numbers of the operations. */
  readonly #numbers: number[]
  readonly #sessions: readonly Session[]
  readonly #pool: Pool
  readonly #running = new Map<Started, Execution>()
  readonly #bySession = new Map<Session, Started>()
  #phases = 0
  #highestRate = 0
  #stopped = false
  #onIdle: (() => void) | null = null
  readonly #outcomes: Outcomes

  constructor(options: WorkloadOptions, sink: Sink) {
    const { release, address, variables, settings, operations } = options
    this.release = release
    this.#options = options
    this.#sink = sink
    const { weights, factor } = sharesOf(operations, options.nominalPerSecond)
    this.#factor = factor
    this.#schedule = new Schedule(options.random, weights)
    this.#numbers = operations.map(({ name }) => sink.samples.operation({ release, name }))
    this.#sessions = Array.from(
      { length: options.connections },
      (_, i) => new Session({ release, address, variables, connection: i + 1, ...(settings && { settings }) }),
    )
    this.#outcomes = new Outcomes(release, sink)
    this.#pool = new Pool(sink.clock, options.queueTimeoutMs ?? null)
  }

  /** Connects and warms every session. */
  async open(): Promise<void> {
    const { operations, random, warm = true } = this.#options
    await Promise.all(
      this.#sessions.map(async (session) => {
        await session.open()
        if (warm) await session.warm(operations, random.fork('warm'))
      }),
    )
    for (const session of this.#sessions) this.#pool.give(session)
  }

  phase(name: PhaseName, atMs: number, lengthMs: number): void {
    this.#dispatch(atMs)
    this.#schedule.phase(`phase ${this.#phases++} ${name}`, atMs, atMs + lengthMs)
  }

  setRate(atMs: number, fromPerSecond: number, toPerSecond: number, overMs: number): void {
    const [from, to] = [fromPerSecond * this.#factor, toPerSecond * this.#factor]
    this.#schedule.times.setRate(atMs, from, to, overMs)
    this.#highestRate = Math.max(this.#highestRate, from, to)
  }

  nextDueMs(): number {
    return this.#stopped ? Infinity : this.#schedule.times.peekMs()
  }

  dispatch(): void {
    this.#dispatch(Infinity)
  }

  counts(): Counts {
    return { ...this.#outcomes.counts, running: this.#running.size, queued: this.#pool.waiting }
  }

  sessions(): readonly SourceSession[] {
    return this.#sessions
  }

  running(pid: number): ReturnType<TrafficSource['running']> {
    const session = this.#sessions.find((candidate) => candidate.pid === pid)
    if (!session) return null
    const running = this.#bySession.get(session)
    return {
      connection: session.connection,
      operation: running?.operation.name ?? null,
      sampleIndex: running?.sample ?? null,
    }
  }

  takeMaxQueue(): number {
    return this.#pool.takeLongest()
  }

  /** What is due by now still counts as an arrival, nothing after it; arrivals that wait are dropped. */
  stop(): void {
    this.dispatch()
    this.#stopped = true
    for (const waiter of this.#pool.remove(isArrived)) if (isArrived(waiter)) this.#outcomes.dropped(waiter.sample)
  }

  async idle(): Promise<void> {
    if (this.#running.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve))
  }

  /**
   * Cancels what still runs, in the application's own role; it counts as failed with `error`, unless it ends well all the
   * same. What this does not reach ends with its connection in `close`.
   */
  async abandon(error: PgError): Promise<void> {
    if (this.#running.size === 0) return
    for (const [started, execution] of this.#running) {
      started.unfinished = error
      execution.abandon()
    }
    for (const waiter of this.#pool.remove(() => true)) waiter.gaveUp()
    const pids = [...this.#bySession.keys()].flatMap(({ pid }) => pid ?? []).join()
    const sql = connect(this.#options.address, { applicationName: `rehearse ${this.release} stop` })
    await sql`select pg_cancel_backend(pid::int) from string_to_table(${pids}, ',') pid`.catch(() => undefined)
    await disconnect(sql)
  }

  /** Ends all sessions, and every operation that has still not come back. */
  async close(): Promise<void> {
    this.#pool.close()
    await Promise.all(this.#sessions.map((session) => session.close()))
    // The rejections of the closed connections are delivered first.
    await new Promise((resolve) => setImmediate(resolve))
    for (const started of [...this.#running.keys()]) this.#settle(started, { ok: false, error: null, hidden: [] })
  }

  /** Everything that is due by now, at most until an instant. */
  #dispatch(untilMs: number): void {
    if (this.#stopped) return
    const { clock } = this.#sink
    for (;;) {
      const nowMs = clock.nowMs()
      const arrival = this.#schedule.take(Math.min(nowMs, untilMs))
      if (!arrival) return
      const { intendedMs, operation } = arrival
      const sample = this.#outcomes.scheduled(intendedMs, this.#numbers[operation] ?? NaN, nowMs)
      const session = this.#pool.take()
      if (session) this.#start(session, arrival, sample)
      else if (this.#pool.waiting >= Math.ceil(QUEUE_SECONDS * this.#highestRate)) this.#outcomes.dropped(sample)
      else {
        const arrived: Arrived = {
          sample,
          granted: (free) => this.#start(free, arrival, sample),
          gaveUp: () => this.#outcomes.gaveUp(this.#operation(arrival), arrival, sample),
        }
        this.#pool.wait(arrived, intendedMs)
      }
    }
  }

  #operation({ operation }: Arrival): Operation {
    const found = this.#options.operations[operation]
    if (!found) throw new RangeError(`no operation ${operation}`)
    return found
  }

  #start(session: Session, arrival: Arrival, sample: number): void {
    const { pooling = 'session', retries = null } = this.#options
    const operation = this.#operation(arrival)
    const startMs = this.#sink.clock.nowMs()
    const started: Started = {
      arrival,
      sample,
      operation,
      session,
      startMs,
      takenMs: startMs,
      pid: session.pid,
      unfinished: null,
      settled: false,
    }
    this.#bySession.set(session, started)
    const execution = new Execution({
      operation,
      random: arrival.random,
      session,
      pooling,
      retries,
      acquire: () => this.#acquire(started),
      giveBack: (free) => {
        this.#leave(started, free)
        this.#pool.give(free)
      },
      onRetry: (error) => this.#outcomes.retried(started, error),
    })
    this.#running.set(started, execution)
    void execution.run((ran) => this.#settle(started, ran))
  }

  /** A session for an operation that is under way. */
  #acquire(started: Started): Promise<Session> {
    const take = (session: Session): Session => {
      started.session = session
      started.pid = session.pid
      started.takenMs = this.#sink.clock.nowMs()
      this.#bySession.set(session, started)
      return session
    }
    const free = this.#pool.take()
    if (free) return Promise.resolve(take(free))
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        granted: (session) => resolve(take(session)),
        gaveUp: () => reject(new PoolTimeout()),
      }
      this.#pool.wait(waiter, this.#sink.clock.nowMs())
    })
  }

  #settle(started: Started, ran: Ran): void {
    if (started.settled) return
    this.#running.delete(started)
    this.#leave(started, started.session)
    this.#outcomes.settled(started, ran)
    if (this.#running.size === 0) this.#onIdle?.()
  }

  /** The session may have somebody else's operation by now. */
  #leave(started: Started, session: Session): void {
    if (this.#bySession.get(session) === started) this.#bySession.delete(session)
  }
}
