/**
 * One operation from its start to its end, with what the application does around it: it thinks between statements, tries
 * again after certain errors, and behind a pooler it changes sessions between transactions.
 *
 * What `pooling: 'transaction'` emulates is PgBouncer's transaction mode with `server_round_robin = 1`: outside a
 * transaction a script gives its session back before its next statement, waits in the same queue as everybody else, and
 * goes on with the one that has been free for longest. Sessions are really moved, and never reset in between. So whatever
 * belongs to a session stays behind and meets whoever comes next: SET, SQL's PREPARE, LISTEN, temporary tables, session
 * advisory locks, cursors WITH HOLD. Statements that the driver prepares by the protocol work on every session, as poolers
 * that track them do (PgBouncer from 1.21 on). Not emulated: a pooler that does not track them, its own time, its errors,
 * and its PgBouncer-only limits (max_client_conn and the like). Operations written as code keep one session to their end.
 */
import { toPgError } from '../pg/errors.js'
import type { Operation, ScriptOperation, Step } from './operation.js'
import type { Random } from './random.js'
import type { Session } from './session.js'

/** What the application tries again: the whole operation, with the same values. */
export interface Retries {
  /** After the first one. */
  tries: number
  delayMs: number
  /** SQLSTATEs. */
  on: readonly string[]
}

/** What became of one operation. `error` and `hidden` are raw and hold data: pass them through `toPgError`. */
export interface Ran {
  error: unknown
  ok: boolean
  /** Errors that the driver answered by preparing the statement again, without telling. */
  hidden: unknown[]
}

export interface ExecutionOptions {
  operation: Operation
  random: Random
  /** The session that it begins with. */
  session: Session
  pooling: 'session' | 'transaction'
  retries: Retries | null
  /** Waits for a session of the pool; rejects when it takes too long. */
  acquire: () => Promise<Session>
  /** Called when the operation needs the session no longer, with the session outside any transaction. */
  giveBack: (session: Session) => void
  /** It failed and will be tried again. The error is raw. */
  onRetry: (error: unknown) => void
}

export class Execution {
  readonly #options: ExecutionOptions
  #session: Session | null
  /** Bound once, so that every try has the same values. */
  #steps: readonly Step[] | null = null
  #open = false
  #savepoints = false
  #abandoned = false
  #wake: (() => void) | null = null
  readonly #hidden: unknown[] = []

  constructor(options: ExecutionOptions) {
    this.#options = options
    this.#session = options.session
  }

  /** The session that it has now. */
  get session(): Session | null {
    return this.#session
  }

  /**
   * Calls `onEnd` as soon as the last step is over; resolves when the session has been given back. Never rejects. A script
   * that ends inside its transaction is rolled back; for an operation written as code that is only done when it failed.
   */
  async run(onEnd: (ran: Ran) => void): Promise<void> {
    const { random, retries, onRetry } = this.#options
    let ran = await this.#try(random)
    for (let tried = 0; retries && tried < retries.tries && this.#again(ran, retries); tried++) {
      onRetry(ran.error)
      await this.#return(ran.error)
      // The application's request for a connection comes after its pause, and stands behind all others.
      await this.#pause(retries.delayMs)
      if (!this.#abandoned) ran = await this.#try(random.again())
    }
    onEnd(ran)
    await this.#return(ran.error)
  }

  /** A script goes no further than its current statement, and a pause ends. */
  abandon(): void {
    this.#abandoned = true
    this.#wake?.()
  }

  #again(ran: Ran, { on }: Retries): boolean {
    return !ran.ok && !this.#abandoned && on.includes(toPgError(ran.error).sqlstate)
  }

  async #try(random: Random): Promise<Ran> {
    const { operation } = this.#options
    this.#open = false
    this.#savepoints = false
    try {
      const session = (this.#session ??= await this.#options.acquire())
      await session.ready(operation)
      if (operation.kind === 'script') await this.#script(operation, random)
      else await session.call(operation, random, this.#hidden)
      return { ok: true, error: null, hidden: this.#hidden }
    } catch (error) {
      // What the code of an operation has begun is not known.
      this.#open ||= operation.kind === 'code'
      return { ok: false, error, hidden: this.#hidden.filter((hidden) => hidden !== error) }
    }
  }

  async #script(operation: ScriptOperation, random: Random): Promise<void> {
    const { thinkMs = 0, prepared } = operation
    const { pooling, acquire, session: first } = this.#options
    this.#steps ??= operation.bind(first.variables, random)
    let sent = false
    for (const step of this.#steps) {
      if (sent && pooling === 'transaction' && !this.#open) this.#giveBack()
      if (step.kind === 'sleep') await this.#pause(step.ms)
      else if (sent && thinkMs > 0) await this.#pause(thinkMs)
      if (this.#abandoned) throw new Error('abandoned')
      if (step.kind === 'sleep') continue
      if (!this.#session) {
        this.#session = await acquire()
        await this.#session.ready(operation)
      }
      this.#note(await this.#session.statement(step.bound, prepared, this.#hidden))
      sent = true
    }
  }

  /** Nothing has to be guessed from the text: the server says what it did. */
  #note(command: string): void {
    if (command === 'BEGIN' || command === 'START TRANSACTION') this.#open = true
    else if (command === 'SAVEPOINT') this.#savepoints = true
    else if (command === 'COMMIT' || command === 'PREPARE TRANSACTION') this.#open = false
    // ROLLBACK TO SAVEPOINT answers ROLLBACK too, and does not end the transaction.
    else if (command === 'ROLLBACK' && !this.#savepoints) this.#open = false
  }

  async #return(error: unknown): Promise<void> {
    if (this.#session && (this.#open || error !== null)) await this.#session.tidy(error, this.#open)
    this.#open = false
    this.#giveBack()
  }

  #giveBack(): void {
    const session = this.#session
    this.#session = null
    if (session) this.#options.giveBack(session)
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#wake = null
        resolve()
      }
      const timer = setTimeout(done, this.#abandoned ? 0 : ms)
      this.#wake = done
    })
  }
}
