/**
 * One virtual connection of the application: a session of its own that runs one operation at a time. The driver's pool is
 * not used, because queries behind a blocked one of the same connection would wait for nothing of their own.
 *
 * What is known of postgres 3.4.9 and relied on here is pinned by test/traffic/session.test.ts: `retried` on a settled
 * query, `describe()` filling the connection's statement cache, and options that are read at each query.
 */
import type { Sql } from 'postgres'
import { sleep } from '../clock.js'
import { connect, disconnect, sendTextAsItIs, type Address } from '../pg/connect.js'
import { isConnectionFailure } from '../pg/errors.js'
import type { Release } from '../recording.js'
import { watchQueries, type DriverQuery } from './driver.js'
import type { BoundStatement, Operation, ScriptOperation, Variables } from './operation.js'
import type { Random } from './random.js'

export interface SessionOptions {
  address: Address
  release: Release
  /** Ordinal within the release, from 1. */
  connection: number
  variables: Omit<Variables, 'clientId'>
}

/** What became of one operation. `error` and `hidden` are raw and hold data: pass them through `toPgError`. */
export interface Ran {
  error: unknown
  ok: boolean
  /** Errors that the driver answered by preparing the statement again, without telling. */
  hidden: unknown[]
}

export class Session {
  readonly release: Release
  readonly connection: number
  readonly #options: SessionOptions
  readonly #variables: Variables
  #sql: Sql
  #pid: number | null = null
  /** The connection went away while idle: the next operation begins with a new one. */
  #lost = false
  /** Scripts bind text; operations written as code get the driver's own conversions. */
  #textParameters = false
  #queries: DriverQuery[] = []
  #abandoned = new AbortController()
  #closed = false

  constructor(options: SessionOptions) {
    this.#options = options
    this.release = options.release
    this.connection = options.connection
    // As pgbench counts its clients.
    this.#variables = { ...options.variables, clientId: options.connection - 1 }
    this.#sql = this.#make()
  }

  /** Process id of the server's backend; null before `open` and after the connection was lost. */
  get pid(): number | null {
    return this.#pid
  }

  /** `application_name` of the session. */
  get name(): string {
    return `rehearse ${this.release} #${this.connection}`
  }

  /** Connects and learns the backend's pid. Throws what the driver throws. */
  async open(): Promise<void> {
    const rows = await this.#sql.unsafe<{ pid: number }[]>('select pg_backend_pid() as pid')
    this.#pid = rows[0]?.pid ?? null
    this.#lost = false
  }

  /**
   * Prepares every statement of the prepared scripts (Parse and Describe, nothing is executed), as an application that
   * has been running for a while has. A statement that cannot be prepared is left to its first use. Operations written as
   * code warm up by running: what they send is not known before.
   */
  async warm(operations: readonly Operation[], random: Random): Promise<void> {
    for (const operation of operations) {
      if (operation.kind !== 'script' || !operation.prepared) continue
      for (const { text, params } of this.#statements(operation, random)) {
        // What fails here fails again, with its error counted, when the operation runs.
        await this.#sql
          .unsafe(text, params)
          .describe()
          .catch(() => undefined)
      }
    }
  }

  #statements(operation: ScriptOperation, random: Random): BoundStatement[] {
    try {
      const steps = operation.bind(this.#variables, random.fork(operation.name))
      return steps.flatMap((step) => (step.kind === 'statement' ? [step.bound] : []))
    } catch {
      return []
    }
  }

  /**
   * Runs one operation and calls `onEnd` as soon as its last step is over; resolves when the session is outside any
   * transaction and ready for the next one. Never rejects. A script that ends inside its transaction is rolled back; for
   * an operation written as code that is only done when it failed.
   */
  async run(operation: Operation, random: Random, onEnd: (ran: Ran) => void): Promise<void> {
    this.#queries = []
    this.#abandoned = new AbortController()
    const transaction = { open: false }
    let ran: Ran
    try {
      if (this.#lost) await this.#renew()
      this.#sql.options.prepare = operation.prepared
      this.#textParameters = operation.kind === 'script'
      if (operation.kind === 'script') await this.#script(operation, random, transaction)
      else await operation.run(watchQueries(this.#sql, this.#queries), random, this.#variables)
      ran = { ok: true, error: null, hidden: this.#hidden() }
    } catch (error) {
      transaction.open ||= operation.kind === 'code'
      ran = { ok: false, error, hidden: this.#hidden().filter((hidden) => hidden !== error) }
    }
    this.#queries = []
    onEnd(ran)
    if (this.#closed) return
    try {
      // The driver would hand the next query the error that ended the last connection: start with a fresh instance.
      if (isConnectionFailure(ran.error)) await this.#renew()
      else if (transaction.open) await this.#sql.unsafe('rollback')
    } catch {
      this.#lost = true
    }
  }

  /** A script goes no further than its current statement, and a `\sleep` ends. */
  abandon(): void {
    this.#abandoned.abort()
  }

  /** Ends the session; what still runs on it is cut off after two seconds. */
  async close(): Promise<void> {
    this.#closed = true
    this.#abandoned.abort()
    await disconnect(this.#sql)
  }

  async #script(operation: ScriptOperation, random: Random, transaction: { open: boolean }): Promise<void> {
    let savepoints = false
    for (const step of operation.bind(this.#variables, random)) {
      if (step.kind === 'sleep') await sleep(step.ms, this.#abandoned.signal)
      if (this.#abandoned.signal.aborted) throw new Error('abandoned')
      if (step.kind === 'sleep') continue
      const { text, params } = step.bound
      // Without `simple: false` the driver sends statements without parameters by the simple protocol, never prepared.
      const options = { prepare: operation.prepared, simple: !operation.prepared && params.length === 0 }
      const query = this.#sql.unsafe(text, params, options).raw()
      this.#queries.push(query)
      // Rows are not kept: a large result must not cost memory.
      const result = await query.forEach(() => undefined)
      // The server's own words for what it did; nothing has to be guessed from the text.
      const { command } = result as unknown as { command: string }
      if (command === 'BEGIN' || command === 'START TRANSACTION') transaction.open = true
      else if (command === 'SAVEPOINT') savepoints = true
      else if (command === 'COMMIT' || command === 'PREPARE TRANSACTION') transaction.open = false
      // ROLLBACK TO SAVEPOINT answers ROLLBACK too, and does not end the transaction.
      else if (command === 'ROLLBACK' && !savepoints) transaction.open = false
    }
  }

  #hidden(): unknown[] {
    return this.#queries.map((query) => query.retried).filter((error) => error !== undefined && error !== null)
  }

  #make(): Sql {
    const sql = connect(this.#options.address, { applicationName: this.name }) as unknown as Sql
    // Both are read by the driver whenever they are needed, not once.
    sql.options.onclose = () => {
      if (sql !== this.#sql) return
      this.#lost = true
      this.#pid = null
    }
    sendTextAsItIs(sql, () => this.#textParameters)
    return sql
  }

  async #renew(): Promise<void> {
    const old = this.#sql
    this.#pid = null
    this.#sql = this.#make()
    void disconnect(old)
    await this.open()
  }
}
