/**
 * A program of the user's as a source of traffic. It is given the address of a proxy of its own, and what it sends
 * through that is one release's traffic. It works at its own pace: a closed loop, in which nothing is scheduled, queued
 * or dropped.
 */
import { RehearsalError } from '../errors.js'
import type { Address } from '../pg/connect.js'
import type { OperationInfo, PgError, PhaseName, ProgramRun, Release } from '../recording.js'
import type { Counts } from '../traffic/settled.js'
import type { Sink, SourceSession, TrafficSource } from '../traffic/source.js'
import { openProxy, type Proxy } from '../wire/proxy.js'
import type { Exchange } from '../wire/types.js'
import { Operations } from './operations.js'
import { Runner, type Program } from './program.js'
import { Watcher } from './watcher.js'

export type { Program } from './program.js'

export interface ProgramOptions {
  release: Release
  program: Program
  /** The copy, in the application's role. */
  address: Address
  /** A folder of ours, removed with the rest of the rehearsal; not shared with another program. */
  directory: string
  /** The user's environment. */
  shell: Readonly<Record<string, string | undefined>>
  /** Aborted when the user interrupts: nothing is waited for any more. */
  signal?: AbortSignal
  /** From SIGTERM to SIGKILL; 3,000 unless given. */
  graceMs?: number
  /** Told of everything that it sends, parameters included: for a copy that is thrown away. */
  capture?: (exchange: Exchange) => void
  /** Told why the new release's program does not work. */
  onFailure?: (error: RehearsalError) => void
}

export interface ProgramSource extends TrafficSource {
  /** Every run of it that has ended, after `close` all of them. */
  runs(): ProgramRun[]
  /** The statements that it was seen to send. */
  operations(): OperationInfo[]
  /** In sentences. */
  warnings(): string[]
}

/**
 * `open` starts the old release's program and waits until it works; the new one's is started by the first rate above zero
 * outside the phase `migrate`. A rate of zero from the start ends it; a ramp down to zero lets it go on until then.
 * `open` throws PROGRAM_NOT_READY, PROGRAM_NOT_CONNECTED, NO_PORT, USAGE; what the new release's program fails with goes
 * to `onFailure` and into the warnings, and its runs say that it was not ready.
 */
export const programSource =
  (options: ProgramOptions) =>
  (sink: Sink): ProgramSource =>
    new Source(options, sink)

class Source implements ProgramSource {
  readonly release: Release
  readonly #options: ProgramOptions
  readonly #sink: Sink
  readonly #operations: Operations
  readonly #watcher: Watcher
  #proxy: Proxy | null = null
  #runner: Runner | null = null
  #sessions = 0
  #phase: PhaseName | null = null
  /** Resolves when the program works; set once it has been started. */
  #started: Promise<void> | null = null
  #isReady = false
  #ended: Promise<void> | null = null
  #failed: RehearsalError | null = null

  constructor(options: ProgramOptions, sink: Sink) {
    this.release = options.release
    this.#options = options
    this.#sink = sink
    this.#operations = new Operations(options.release, options.program.command, sink.samples)
    this.#watcher = new Watcher(options.release, sink, this.#operations)
    options.signal?.addEventListener('abort', () => this.#end(), { once: true })
  }

  async open(): Promise<void> {
    const { clock } = this.#sink
    const { capture } = this.#options
    const proxy = await openProxy({
      upstream: { ...this.#options.address, tls: null },
      clock,
      holdBack: () => false,
      forgets: true,
      ...(capture ? { keepParameters: () => true } : {}),
      onSession: () => {
        this.#sessions++
      },
      onExchange: (exchange) => {
        capture?.(exchange)
        this.#watcher.exchange(exchange)
      },
      onEnd: (session) => this.#watcher.ended(session, this.#proxy?.underWay(session.pid) ?? null),
    })
    this.#proxy = proxy
    if (this.release === 'old' && this.#options.signal?.aborted !== true) await this.#start(proxy)
  }

  #start(proxy: Proxy): Promise<void> {
    const { program, directory, shell, graceMs } = this.#options
    this.#runner ??= new Runner({
      release: this.release,
      program,
      directory,
      shell,
      clock: this.#sink.clock,
      proxy,
      sessions: () => this.#sessions,
      ...(graceMs === undefined ? {} : { graceMs }),
    })
    const runner = this.#runner
    this.#started ??= runner.start().then(() => {
      this.#isReady = this.#ended === null
    })
    return this.#started
  }

  phase(name: PhaseName): void {
    this.#phase = name
    this.#watcher.begin()
  }

  setRate(_atMs: number, fromPerSecond: number, toPerSecond: number): void {
    if (fromPerSecond === 0 && toPerSecond === 0) {
      // What was never started may still be.
      if (this.#started) this.#end()
    } else if (toPerSecond > 0 && this.#proxy && !this.#started && !this.#ended && this.#phase !== 'migrate')
      this.#start(this.#proxy).catch((error: unknown) => this.#fail(error))
  }

  /** That the next release does not start on the schema after the migration is a result, and no reason to stop. */
  #fail(error: unknown): void {
    if (!(error instanceof RehearsalError)) {
      this.#sink.onClientError(error)
      return
    }
    this.#failed = error
    this.#options.onFailure?.(error)
  }

  #end(): void {
    this.#watcher.stopping()
    this.#ended ??= this.#runner?.end() ?? Promise.resolve()
  }

  nextDueMs(): number {
    return Infinity
  }

  dispatch(): void {
    // It runs by itself.
  }

  counts(): Counts {
    const proxy = this.#proxy
    const running = proxy?.pids().filter((pid) => proxy.underWay(pid) !== null).length ?? 0
    const { completed, failed } = this.#watcher.counts()
    return { scheduled: completed + failed + running, completed, failed, dropped: 0, running, queued: 0 }
  }

  sessions(): SourceSession[] {
    return (this.#proxy?.sessions ?? [])
      .filter(({ endedMs }) => endedMs === null)
      .map(({ ordinal, pid }) => ({ connection: ordinal, pid }))
  }

  running(pid: number): ReturnType<TrafficSource['running']> {
    const session = this.sessions().find((one) => one.pid === pid)
    if (!session) return null
    const sql = this.#proxy?.underWay(pid)?.sql ?? null
    const operation = sql === null ? null : this.#operations.of(sql).name
    return { connection: session.connection, operation, sampleIndex: null }
  }

  takeMaxQueue(): number {
    return 0
  }

  stop(): void {
    this.#watcher.end()
    this.#end()
  }

  async idle(): Promise<void> {
    await this.#ended
  }

  async abandon(error: PgError): Promise<void> {
    this.#watcher.abandon(error)
    await this.#proxy?.cancelAll()
  }

  async close(): Promise<void> {
    this.#watcher.end()
    this.#end()
    await this.#ended?.catch(() => undefined)
    await this.#started?.catch(() => undefined)
    await this.#proxy?.close().catch(() => undefined)
  }

  runs(): ProgramRun[] {
    return (this.#runner?.runs() ?? []).map((run) => ({ ...run, ready: this.#isReady }))
  }

  operations(): OperationInfo[] {
    return this.#operations.list()
  }

  warnings(): string[] {
    const late =
      this.#started && !this.#isReady && this.release === 'new'
        ? [
            this.#failed === null
              ? 'The program of the new release did not work yet when the pass ended: give it a longer rollout.'
              : `After the migration ${this.#failed.message}.`,
          ]
        : []
    return [...late, ...(this.#runner?.warnings() ?? [])]
  }
}
