/**
 * Runs plain SQL migrations the way the scenario declares (`file`, `all`, `statement`, `batch`, or no transaction) and
 * keeps the stamps from which lock times are bracketed. Transaction boundaries come from ReadyForQuery, not from a model.
 */
import { sleep } from '../clock.js'
import type { MigrationFile, MigrationRun, PgError, Statement, StatementRun } from '../recording.js'
import { pgError, toPgError } from '../pg/errors.js'
import { statementFacts } from '../sql/split.js'
import { RETRIED, units, type MigrationTrace, type RunOptions, type TransactionTrace } from './run-options.js'
import type { Execution, MigrationSession } from './session.js'

export type { Hooks, MigrationTrace, Retries, RunOptions, TransactionTrace } from './run-options.js'

export async function runMigration(
  session: MigrationSession,
  files: readonly MigrationFile[],
  options: RunOptions,
): Promise<MigrationTrace> {
  return new Runner(session, options).run(files)
}

const UNFINISHED = 'The migration ended inside a transaction that it had opened itself; it was rolled back.'

class Runner {
  readonly #session: MigrationSession
  readonly #options: RunOptions
  readonly #runs: StatementRun[] = []
  readonly #transactions: TransactionTrace[] = []
  readonly #warnings: string[] = []
  #open: TransactionTrace | null = null
  #failure: { error: PgError; statement: string | null } | null = null

  constructor(session: MigrationSession, options: RunOptions) {
    this.#session = session
    this.#options = options
  }

  async run(files: readonly MigrationFile[]): Promise<MigrationTrace> {
    const { transaction } = this.#options
    const together = transaction === 'all' && files.some((file) => file.transaction !== 'none')
    for (const unit of units(files, together)) {
      if (this.#stopped()) break
      await this.#runUnit(unit)
    }
    if (this.#open) {
      if (this.#failure) await this.#finish()
      else {
        this.#warnings.push(UNFINISHED)
        await this.#end('ROLLBACK')
      }
    }
    const all = files.reduce((sum, file) => sum + file.statements.length, 0)
    // Stopped between two statements: the server had nothing to cancel.
    const distinct = new Set(this.#runs.map((run) => run.statement)).size
    if (this.#options.signal?.aborted && distinct < all)
      this.#failure ??= { error: pgError('57014', 'stopped between two statements'), statement: null }
    const startMs = this.#transactions[0]?.startMs ?? 0
    const endMs = this.#transactions.at(-1)?.end.readyMs ?? startMs
    const run: MigrationRun = {
      startMs,
      endMs,
      outcome: this.#failure ? { ok: false, error: this.#failure.error } : { ok: true },
      failedStatement: this.#failure?.statement ?? null,
      timedOut: this.#options.signal?.aborted ?? false,
      statements: this.#runs,
      transactions: this.#transactions.map((t) => ({
        ordinal: t.ordinal,
        startMs: t.startMs,
        endMs: t.end.readyMs,
        end: t.committed ? 'committed' : 'rolled back',
        statements: t.statements,
        kind: t.kind,
      })),
      tool: null,
    }
    return { run, transactions: this.#transactions, warnings: this.#warnings }
  }

  /** Files that share a transaction, or one file: what is rolled back and tried again as a whole. */
  async #runUnit(files: readonly MigrationFile[]): Promise<void> {
    const own = files[0]?.transaction
    for (let tries = 0; ; tries++) {
      const before = this.#transactions.length
      if (own === 'none' && this.#open) await this.#finish()
      if (own === 'all' || own === 'file') {
        for (const file of files) {
          if (!this.#stopped() && !this.#open) await this.#begin()
          for (const statement of file.statements) if (!this.#stopped()) await this.#runStatement(statement)
        }
        await this.#finish()
      } else if (own === 'batch' && (files[0]?.statements.length ?? 0) > 1)
        for (const file of files) await this.#runBatch(file)
      else return this.#runSeparately(files.flatMap((file) => file.statements))
      if (this.#committedSince(before) || !(await this.#again(tries))) return
    }
  }

  /** Statement by statement; a transaction that the file opens itself is tried again from its beginning. */
  async #runSeparately(statements: readonly Statement[]): Promise<void> {
    let first = 0
    let before = 0
    let tries = 0
    for (let next = 0; next < statements.length && !this.#stopped();) {
      if (!this.#open) {
        if (first !== next) tries = 0
        first = next
        before = this.#transactions.length
      }
      const statement = statements[next++]
      if (statement) await this.#runAlone(statement)
      if (this.#failure?.error.sqlstate !== RETRIED) continue
      if (this.#open) await this.#finish()
      if (!this.#committedSince(before) && (await this.#again(tries++))) next = first
    }
  }

  #committedSince(transactions: number): boolean {
    return this.#transactions.slice(transactions).some((one) => one.committed)
  }

  /** Whether lock_timeout ended the last try and there is one left: then waits and forgets the failure. */
  async #again(tries: number): Promise<boolean> {
    const { retries, signal } = this.#options
    if (!retries || tries >= retries.tries || this.#failure?.error.sqlstate !== RETRIED) return false
    if (!signal?.aborted) await sleep(retries.delayMs, signal)
    if (signal?.aborted) return false
    this.#failure = null
    return true
  }

  #stopped(): boolean {
    return this.#failure !== null || (this.#options.signal?.aborted ?? false)
  }

  async #begin(): Promise<void> {
    const x = await this.#session.execute('BEGIN')
    if (x.failed) this.#fail(x, null)
    else this.#open = this.#newTransaction('explicit', x.sentMs)
  }

  #newTransaction(kind: TransactionTrace['kind'], startMs: number): TransactionTrace {
    const transaction: TransactionTrace = {
      ordinal: this.#transactions.length + 1,
      kind,
      statements: [],
      startMs,
      end: { sentMs: startMs, readyMs: startMs },
      committed: false,
    }
    this.#transactions.push(transaction)
    return transaction
  }

  #fail(x: Execution, statement: string | null): void {
    this.#failure ??= { error: toPgError(x.error), statement }
  }

  /** COMMIT what is open; after a failure, ROLLBACK. */
  async #finish(): Promise<void> {
    if (!this.#open && this.#session.tap.status === 'I') return
    await this.#end(this.#stopped() ? 'ROLLBACK' : 'COMMIT')
  }

  async #end(command: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    const aborted = this.#session.tap.status === 'E'
    const x = await this.#session.execute(command)
    const transaction = this.#open
    this.#open = null
    if (x.failed) this.#fail(x, transaction?.statements.at(-1) ?? null)
    if (!transaction) return
    // A failed statement has already released the locks of its transaction.
    if (!aborted) transaction.end = { sentMs: x.sentMs, readyMs: x.readyMs }
    transaction.committed = command === 'COMMIT' && !x.failed && !aborted
    if (transaction.committed) await this.#options.hooks?.afterCommit?.(transaction)
  }

  /** A statement outside any transaction of ours. */
  async #runAlone(statement: Statement): Promise<void> {
    const facts = statementFacts(statement.sql)
    const mayWrap =
      this.#options.dissect === true &&
      !this.#open &&
      facts.transaction === null &&
      !facts.refusesTransactionBlock &&
      !facts.mayCommit &&
      !facts.isSet
    if (!mayWrap) return this.#runStatement(statement)
    await this.#begin()
    if (this.#open) await this.#runStatement(statement)
    await this.#finish()
    // Some refuse only when they see the object, e.g. REINDEX of a partitioned table: our wrapping was at fault.
    if (this.#failure?.error.sqlstate !== '25001' || this.#failure.statement !== statement.id) return
    this.#failure = null
    this.#runs.pop()
    this.#transactions.pop()
    await this.#runStatement(statement)
  }

  async #runStatement(statement: Statement): Promise<void> {
    const { hooks, onStatement } = this.#options
    const control = statementFacts(statement.sql).transaction
    const wasOpen = this.#session.tap.status === 'T'
    await hooks?.beforeStatement?.(statement, wasOpen)
    onStatement?.(statement, 'started', null)
    const x = await this.#session.execute(statement.sql)
    const stays = x.status !== 'I'
    const transaction = (this.#open ??= this.#newTransaction(stays ? 'explicit' : 'autocommit', x.sentMs))
    transaction.statements.push(statement.id)
    const error = x.failed ? toPgError(x.error) : null
    const run: StatementRun = {
      statement: statement.id,
      transaction: transaction.ordinal,
      startMs: x.sentMs,
      endMs: x.readyMs,
      boundary: 'client',
      outcome: error ? { ok: false, error } : { ok: true },
      work: null,
    }
    this.#runs.push(run)
    onStatement?.(statement, error ? 'failed' : 'ok', error?.sqlstate ?? null)
    if (x.failed) {
      transaction.end = { sentMs: x.sentMs, readyMs: x.readyMs }
      this.#fail(x, statement.id)
      if (!stays) this.#open = null
    }
    run.work = (await hooks?.afterStatement?.(statement, { inTransaction: stays, aborted: x.failed })) ?? null
    if (x.failed || (stays && control !== 'commit' && control !== 'rollback')) return
    transaction.end = { sentMs: x.sentMs, readyMs: x.readyMs }
    transaction.committed = control !== 'rollback'
    // AND CHAIN has opened the next one already.
    this.#open = stays ? this.#newTransaction('explicit', x.sentMs) : null
    if (transaction.committed) await hooks?.afterCommit?.(transaction)
  }

  /** The whole file as one simple-protocol message: one implicit transaction, answered all at once. */
  async #runBatch(file: MigrationFile): Promise<void> {
    const hasTransactionStatement = file.statements.some((s) => statementFacts(s.sql).transaction !== null)
    if (this.#options.dissect && !hasTransactionStatement) {
      this.#warnings.push(
        `${file.file}: sent statement by statement in the quiet pass (one message in the timed pass), to tell its statements apart.`,
      )
      await this.#begin()
      for (const statement of file.statements) if (!this.#stopped()) await this.#runStatement(statement)
      return this.#finish()
    }
    const { hooks, onStatement } = this.#options
    const first = file.statements[0]
    if (!first) return
    await hooks?.beforeStatement?.(first, false)
    onStatement?.(first, 'started', null)
    const x = await this.#session.execute(file.statements.map((s) => s.sql).join(';\n') + ';')
    const error = x.failed ? toPgError(x.error) : null
    const begin = (): TransactionTrace => {
      const transaction = this.#newTransaction('message', x.sentMs)
      transaction.end = { sentMs: x.sentMs, readyMs: x.readyMs }
      return transaction
    }
    const committed: TransactionTrace[] = []
    let open: TransactionTrace | null = null
    // The server answers each completed statement before the error: the count tells which one failed.
    for (const [index, statement] of file.statements.entries()) {
      if (error && index > x.completed) break
      const failed = error !== null && index === x.completed
      open ??= begin()
      open.statements.push(statement.id)
      this.#runs.push({
        statement: statement.id,
        transaction: open.ordinal,
        startMs: x.sentMs,
        endMs: x.readyMs,
        boundary: 'message',
        outcome: failed ? { ok: false, error } : { ok: true },
        work: null,
      })
      onStatement?.(statement, failed ? 'failed' : 'ok', failed ? error.sqlstate : null)
      if (failed) this.#fail(x, statement.id)
      // What is committed inside the message stays, whatever fails after it.
      const control = failed ? null : statementFacts(statement.sql).transaction
      if (control === 'commit') committed.push(open)
      if (control === 'commit' || control === 'rollback') open = null
    }
    // The whole message was answered and its last commit, at its end, was refused.
    if (error && !this.#failure) this.#fail(x, this.#runs.at(-1)?.statement ?? null)
    const last = this.#runs.at(-1)
    if (last) last.work = (await hooks?.afterStatement?.(first, { inTransaction: false, aborted: x.failed })) ?? null
    this.#warnings.push(`${file.file}: sent as one message; the times of its statements are those of the message.`)
    if (x.status !== 'I') {
      if (!x.failed) this.#warnings.push(UNFINISHED)
      await this.#session.execute('ROLLBACK')
    } else if (open && !x.failed) committed.push(open)
    for (const transaction of committed) transaction.committed = true
    const final = committed.at(-1)
    // All of it is one state: nobody can look in between.
    if (final) await hooks?.afterCommit?.({ ...final, statements: committed.flatMap((t) => t.statements) })
  }
}
