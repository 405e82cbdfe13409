/**
 * One session of the application at the server: it runs one operation at a time. The driver's pool is
 * not used, because queries behind a blocked one of the same connection would wait for nothing of their own.
 *
 * What is known of postgres 3.4.9 and relied on here is pinned by test/traffic/session.test.ts: `retried` on a settled
 * query, `describe()` filling the connection's statement cache, and options that are read at each query.
 */
import type { Sql } from 'postgres'
import { connect, disconnect, sendTextAsItIs, type Address } from '../pg/connect.js'
import { isConnectionFailure } from '../pg/errors.js'
import type { Release } from '../recording.js'
import { watchQueries, type DriverQuery } from './driver.js'
import type { BoundStatement, CodeOperation, Operation, ScriptOperation, Variables } from './operation.js'
import type { Random } from './random.js'

export interface SessionOptions {
  address: Address
  release: Release
  /** Ordinal within the release, from 1. */
  connection: number
  variables: Omit<Variables, 'clientId'>
  /** Startup settings, e.g. statement_timeout. */
  settings?: Readonly<Record<string, string>>
}

const ignore = (): void => undefined

/** The error after which the driver prepared a statement again, without telling. */
const noteHidden = ({ retried }: DriverQuery, hidden: unknown[]): void => {
  if (retried !== undefined && retried !== null) hidden.push(retried)
}

export class Session {
  readonly release: Release
  readonly connection: number
  /** What scripts can read; `clientId` is this session's. */
  readonly variables: Variables
  readonly #options: SessionOptions
  #sql: Sql
  #pid: number | null = null
  /** The connection went away while idle: the next operation begins with a new one. */
  #lost = false
  /** Scripts bind text; operations written as code get the driver's own conversions. */
  #textParameters = false
  #closed = false

  constructor(options: SessionOptions) {
    this.#options = options
    this.release = options.release
    this.connection = options.connection
    // As pgbench counts its clients.
    this.variables = { ...options.variables, clientId: options.connection - 1 }
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
      const steps = operation.bind(this.variables, random.fork(operation.name))
      return steps.flatMap((step) => (step.kind === 'statement' ? [step.bound] : []))
    } catch {
      return []
    }
  }

  /** Gets ready for an operation: connects anew where the connection was lost. Throws what the driver throws. */
  async ready(operation: Operation): Promise<void> {
    if (this.#lost) await this.#renew()
    this.#sql.options.prepare = operation.prepared
    this.#textParameters = operation.kind === 'script'
  }

  /**
   * Sends one statement of a script and waits for its end; rows are not kept, because a large result must not cost memory.
   * Resolves with the server's own word for what it did (BEGIN, SELECT...). What the driver retried silently goes to `hidden`.
   */
  async statement({ text, params }: BoundStatement, prepared: boolean, hidden: unknown[]): Promise<string> {
    // Without `simple: false` the driver sends statements without parameters by the simple protocol, never prepared.
    const options = { prepare: prepared, simple: !prepared && params.length === 0 }
    const query = this.#sql.unsafe(text, params, options).raw()
    try {
      const result = await query.forEach(ignore)
      return (result as unknown as { command: string }).command
    } finally {
      noteHidden(query as unknown as DriverQuery, hidden)
    }
  }

  /** Calls an operation's own code with this connection. */
  async call(operation: CodeOperation, random: Random, hidden: unknown[]): Promise<void> {
    const made: DriverQuery[] = []
    try {
      await operation.run(watchQueries(this.#sql, made, operation.thinkMs), random, this.variables)
    } finally {
      for (const query of made) noteHidden(query, hidden)
    }
  }

  /** After an operation: outside any transaction, and on a connection that works. Never rejects. */
  async tidy(error: unknown, inTransaction: boolean): Promise<void> {
    if (this.#closed) return
    try {
      // The driver would hand the next query the error that ended the last connection: start with a fresh instance.
      if (isConnectionFailure(error)) await this.#renew()
      else if (inTransaction) await this.#sql.unsafe('rollback')
    } catch {
      this.#lost = true
    }
  }

  /** Ends the session; what still runs on it is cut off after two seconds. */
  async close(): Promise<void> {
    this.#closed = true
    await disconnect(this.#sql)
  }

  #make(): Sql {
    const { address, settings } = this.#options
    const sql = connect(address, { applicationName: this.name, ...(settings && { settings }) }) as unknown as Sql
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
