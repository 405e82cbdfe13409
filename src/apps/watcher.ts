/** Turns what passes on the wire into samples: each command that a program sends is one operation. */
import { CLIENT_ERROR, pgError } from '../pg/errors.js'
import type { PgError, Release } from '../recording.js'
import { toTrafficError } from '../traffic/settled.js'
import type { Sink } from '../traffic/source.js'
import { ServerError } from '../wire/messages.js'
import type { Exchange, ServerMessage, WireSession } from '../wire/types.js'
import type { Operations } from './operations.js'

/**
 * A query that is cut off because we end its program is not the migration's doing, unless it has been waiting for so
 * long that it hangs.
 */
const HANGS_MS = 1_000
const HUNG = pgError('57014', 'still running when its program was stopped')
const GIVEN_UP: PgError = {
  sqlstate: CLIENT_ERROR,
  condition: 'connection_closed',
  message: 'the program closed the connection before the answer came',
  objects: [],
}
const LOST = pgError('08006', 'the connection to the server was lost')

interface Outcome {
  session: WireSession
  sql: string
  extended: boolean
  startMs: number
  endMs: number
  error: PgError | null
  message: ServerMessage | null
}

export class Watcher {
  readonly #release: Release
  readonly #sink: Sink
  readonly #operations: Operations
  readonly #counts = { completed: 0, failed: 0 }
  #fromMs = Infinity
  #untilMs = Infinity
  /** The outcome of what is cut off from now on. */
  #unfinished: PgError | null = null
  #stopping = false

  constructor(release: Release, sink: Sink, operations: Operations) {
    this.#release = release
    this.#sink = sink
    this.#operations = operations
  }

  /** What is sent from now on counts. */
  begin(): void {
    this.#fromMs = Math.min(this.#fromMs, this.#sink.clock.nowMs())
  }

  /** What is sent from now on does not count any more. */
  end(): void {
    this.#untilMs = Math.min(this.#untilMs, this.#sink.clock.nowMs())
  }

  /** The program is being ended by us. */
  stopping(): void {
    this.#stopping = true
  }

  /** What is under way counts as failed with this. */
  abandon(error: PgError): void {
    this.#unfinished = error
  }

  counts(): { completed: number; failed: number } {
    return this.#counts
  }

  exchange(exchange: Exchange): void {
    const { session, commands, sentMs, readyMs } = exchange
    let startMs = sentMs
    let told = false
    for (const [index, command] of commands.entries()) {
      const last = index === commands.length - 1
      const { completed, error } = command
      // Passed over by the server after an error before it.
      if (completed.length === 0 && error === null) continue
      if (index > 0) startMs = command.sentMs
      const endMs = (last ? readyMs : null) ?? error?.atMs ?? completed.at(-1)?.atMs ?? startMs
      told ||= error !== null
      const extended = command.protocol === 'extended'
      this.#note({ session, sql: command.sql, extended, startMs, endMs, ...this.#failure(error, command.sql) })
    }
    // A Parse that failed before anything was executed.
    if (exchange.error && !told)
      this.#note({
        session,
        sql: exchange.sql ?? '',
        extended: true,
        startMs,
        endMs: readyMs ?? exchange.error.atMs,
        ...this.#failure(exchange.error, exchange.sql ?? ''),
      })
  }

  /** A session has ended; `exchange` is what it did not answer. */
  ended(session: WireSession, exchange: Exchange | null): void {
    if (exchange === null || exchange.sql === null) return
    const endMs = this.#sink.clock.nowMs()
    const message = exchange.error ?? exchange.commands.at(-1)?.error ?? null
    const base = { session, sql: exchange.sql, extended: exchange.commands[0]?.protocol !== 'simple', endMs, message }
    const note = (error: PgError): void => this.#note({ ...base, startMs: exchange.sentMs, error })
    if (this.#unfinished) note(this.#unfinished)
    else if (message) note(this.#failure(message, exchange.sql).error ?? LOST)
    else if (this.#stopping) {
      if (endMs - exchange.sentMs >= HANGS_MS) note(HUNG)
    } else note(session.trouble?.includes('server') === true ? LOST : GIVEN_UP)
  }

  #failure(message: ServerMessage | null, sql: string): Pick<Outcome, 'error' | 'message'> {
    if (message === null) return { error: null, message }
    // After a cancellation of ours it is told what it was.
    if (message.sqlstate === '57014' && this.#unfinished) return { error: this.#unfinished, message }
    return { error: toTrafficError(Object.assign(new ServerError(message), { query: sql })), message }
  }

  #note({ session, sql, extended, startMs, endMs, error, message }: Outcome): void {
    if (startMs < this.#fromMs || startMs >= this.#untilMs) return
    if (error === null && !this.#operations.of(sql).counts) return
    const { samples, onSettled, onDeadlock } = this.#sink
    const { name, operation } = this.#operations.use(sql, extended)
    this.#counts[error === null ? 'completed' : 'failed']++
    // Closed loop: the program decides when it sends, so that nothing can be late.
    const sampleIndex = samples.arrive(startMs, operation, startMs)
    samples.settle(sampleIndex, { startMs, endMs, error })
    const who = { release: this.#release, operation: name, pid: session.pid }
    if (error?.sqlstate === '40P01') onDeadlock({ ...who, atMs: endMs, detail: message?.fields.get('D') ?? '' })
    onSettled({
      ...who,
      connection: session.ordinal,
      takenMs: startMs,
      sampleIndex,
      intendedMs: startMs,
      startMs,
      endMs,
      sqlstate: error?.sqlstate ?? null,
    })
  }
}
