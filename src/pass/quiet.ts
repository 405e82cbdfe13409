/**
 * The quiet pass: the migration at rest, taken apart. Nothing else uses the copy, so every statement's locks, rewrites,
 * scans and rows are its own; the compat matrix is tried on every committed state; then the way back is tried.
 */
import { startClock } from '../clock.js'
import { openMigrationSession } from '../migrations/session.js'
import { runMigration, type Hooks, type MigrationTrace, type TransactionTrace } from '../migrations/runner.js'
import { openLockWatch } from '../observe/lock-watch.js'
import { startSampler } from '../observe/sampler.js'
import { WorkMeter } from '../observe/work.js'
import { readRelations, type RelationState } from '../pg/catalog.js'
import { connect, disconnect, type Sql } from '../pg/connect.js'
import { toPgError } from '../pg/errors.js'
import { dataChecks, runChecks, type CheckResult } from '../probe/checks.js'
import { openCompatProbe, type CompatProbe } from '../probe/compat.js'
import { trapLocks } from '../probe/lock-trap.js'
import { newlyUnfinished, readUnfinished } from '../probe/leftovers.js'
import { timingProbe } from '../probe/timings.js'
import {
  LockMode,
  type CompatCell,
  type MigrationFile,
  type QuietPass,
  type SchemaState,
  type Statement,
} from '../recording.js'
import { statementFacts } from '../sql/split.js'
import { ANNOUNCE, byId, COUNT_EXACTLY, variables, warmAndCheckpoint, type PassInput } from './context.js'

/** Nothing is timed here, so the sampler may look as often as it likes. */
const QUIET_PERIOD_MS = 2
/** Below the limit that the judge warns at, so that what is near it was measured twice. */
const SUSPICIOUS_RATIO = 1.3

export async function quietPass(input: PassInput): Promise<QuietPass> {
  input.emit({ type: 'pass', pass: 'quiet' })
  const admin = connect(input.admin, { applicationName: 'rehearse observer' })
  const probe = await openCompatProbe({
    app: input.app,
    operations: input.operations,
    variables: variables(input),
    seed: input.seed,
  })
  try {
    return await new Quiet(input, admin, probe).run()
  } finally {
    await probe.close()
    await disconnect(admin)
  }
}

class Quiet {
  readonly #input: PassInput
  readonly #admin: Sql
  readonly #probe: CompatProbe
  readonly #states: SchemaState[] = []
  readonly #compat: CompatCell[] = []
  readonly #warnings: string[] = []
  readonly #statements: Map<string, Statement>

  constructor(input: PassInput, admin: Sql, probe: CompatProbe) {
    this.#input = input
    this.#admin = admin
    this.#probe = probe
    this.#statements = byId(input.migrations)
  }

  async run(): Promise<QuietPass> {
    const input = this.#input
    const relations = await readRelations(this.#admin)
    await warmAndCheckpoint(this.#admin, relations)
    const unfinishedBefore = await readUnfinished(this.#admin)
    const checksBefore = await runChecks(this.#admin, input.checks)
    const operationLocks = await this.#probe.operationLocks()
    await this.#state({ id: 'before', label: 'before', kind: 'before', statement: null })

    const timing = timingProbe({
      app: input.app,
      operations: input.operations,
      variables: variables(input),
      seed: input.seed,
      suspicious: SUSPICIOUS_RATIO,
    })
    if (!input.signal.aborted) await timing.before()

    const trace = await this.#migrate(input.migrations, relations, true)
    this.#nameLastState(trace)
    if (!trace.run.outcome.ok && !input.signal.aborted) await this.#addTrappedLocks(trace, relations)
    const after = newlyUnfinished(unfinishedBefore, await readUnfinished(this.#admin))
    const checks = dataChecks(input.checks, checksBefore, await runChecks(this.#admin, input.checks))
    const timings = input.signal.aborted
      ? []
      : await timing.after(async () => {
          await this.#admin.unsafe('vacuum (analyze)').simple()
        })
    const rollback = trace.run.outcome.ok && input.rollback ? await this.#rollback(input.rollback, checksBefore) : null
    const warnings = [...trace.warnings, ...this.#warnings]
    if (input.rollback && !trace.run.outcome.ok)
      warnings.push(`${input.rollback.file} was not tried, because the migration failed.`)
    return {
      kind: 'quiet',
      copiedBy: input.copiedBy,
      migration: trace.run,
      states: this.#states,
      compat: this.#compat,
      operationLocks,
      timings,
      leftovers: { ...after, halfApplied: halfApplied(trace) },
      dataChecks: checks,
      rollback,
      warnings,
    }
  }

  /** A question that the server does not answer (a timeout of the migration's own) costs the answer, not the rehearsal. */
  async #ask<T>(statement: Statement, question: () => Promise<T>): Promise<T | null> {
    try {
      return await question()
    } catch (error) {
      this.#warnings.push(
        `${statement.file}:${statement.line}: what it did could not be measured (${toPgError(error).sqlstate}).`,
      )
      return null
    }
  }

  /** The failed statement's locks are gone with its transaction: they are found out by trying it again. */
  async #addTrappedLocks(trace: MigrationTrace, relations: ReadonlyMap<number, RelationState>): Promise<void> {
    const failed = trace.run.statements.find((run) => !run.outcome.ok)
    const transaction = trace.transactions.find((t) => t.ordinal === failed?.transaction)
    const statement = failed ? this.#statements.get(failed.statement) : undefined
    if (!failed?.work || !transaction || !statement) return
    const earlier = transaction.statements.slice(0, transaction.statements.indexOf(statement.id))
    const locks = await trapLocks({
      admin: this.#input.admin,
      migrate: this.#input.migrate,
      relations,
      inTransaction: transaction.kind !== 'autocommit',
      before: earlier.flatMap((id) => this.#statements.get(id)?.sql ?? []),
      sql: statement.sql,
    })
    for (const { oid, mode } of locks) {
      const relation = relations.get(oid)
      if (!relation || failed.work.locks.some((lock) => lock.relation === relation.name && lock.mode === mode)) continue
      failed.work.locks.push({
        relation: relation.name,
        kind: relation.kind,
        table: relation.table,
        mode,
        existedBefore: true,
      })
    }
  }

  async #rollback(file: MigrationFile, before: readonly CheckResult[]): Promise<QuietPass['rollback']> {
    this.#input.emit({ type: 'step', text: `trying the way back, ${file.file}` })
    const trace = await this.#migrate([file], await readRelations(this.#admin), false)
    const results = await runChecks(this.#admin, this.#input.checks)
    if (trace.run.outcome.ok)
      await this.#state({ id: 'rolled-back', label: 'after the rollback', kind: 'rolled-back', statement: null })
    return { file: file.file, run: trace.run, dataChecks: dataChecks(this.#input.checks, before, results) }
  }

  /** Runs the files and measures every statement. With `states`, the matrix is tried after each commit. */
  async #migrate(
    files: readonly MigrationFile[],
    initial: ReadonlyMap<number, RelationState>,
    states: boolean,
  ): Promise<MigrationTrace> {
    const input = this.#input
    const clock = startClock()
    const session = await openMigrationSession(input.migrate, clock, { ...ANNOUNCE, ...COUNT_EXACTLY })
    const observer = connect(input.admin, { applicationName: 'rehearse sampler' })
    let sampled: { oid: number; mode: LockMode }[] = []
    const sampler = startSampler({
      sql: observer,
      clock,
      periodMs: QUIET_PERIOD_MS,
      pids: () => [session.pid],
      onLook: (look) => {
        for (const row of look.locks) {
          const mode = row.lockType === 'relation' ? (LockMode.safeParse(row.mode).data ?? null) : null
          if (mode && row.pid === session.pid && !sampled.some((s) => s.oid === row.relation && s.mode === mode))
            sampled.push({ oid: row.relation, mode })
        }
      },
    })
    session.tap.onSend = () => sampler.nudge()
    const limit = new AbortController()
    const stop = (): void => {
      limit.abort()
      void observer`select pg_cancel_backend(${session.pid})`.catch(() => undefined)
    }
    const timer = setTimeout(stop, input.maxDurationMs)
    input.signal.addEventListener('abort', stop, { once: true })
    if (input.signal.aborted) limit.abort()
    const watch = await openLockWatch(input.admin, session, this.#admin)
    const meter = new WorkMeter({
      session: session.sql,
      notices: session.notices,
      observer: this.#admin,
      initial,
      sampled: () => {
        const seen = sampled
        sampled = []
        return seen
      },
      watch,
    })
    const hooks: Hooks = {
      beforeStatement: async (statement, inTransaction) => {
        // SET TRANSACTION must come before any query of its transaction, ours included.
        if (!statementFacts(statement.sql).setsTransaction)
          await this.#ask(statement, () => meter.before(inTransaction))
      },
      afterStatement: async (statement, state) => {
        const facts = statementFacts(statement.sql)
        if (facts.setsTransaction) return null
        const dropsIndexConcurrently = facts.concurrently && (facts.kind === 'DropStmt' || facts.kind === 'ReindexStmt')
        return this.#ask(statement, () =>
          meter.after({ ...state, truncates: facts.isTruncate, dropsIndexConcurrently }),
        )
      },
      afterCommit: async (transaction) => {
        if (states) await this.#committed(transaction)
      },
    }
    try {
      return await runMigration(session, files, {
        transaction: input.transaction,
        hooks,
        dissect: true,
        signal: limit.signal,
        onStatement: (statement, state, sqlstate) =>
          input.emit({
            type: 'statement',
            file: statement.file,
            line: statement.line,
            sql: statement.sql,
            state,
            sqlstate,
          }),
      })
    } finally {
      clearTimeout(timer)
      input.signal.removeEventListener('abort', stop)
      await sampler.stop()
      await disconnect(observer)
      await watch?.close()
      await session.close()
    }
  }

  /** A committed transaction is a state that sessions can meet, unless it only read or set something. */
  async #committed(transaction: TransactionTrace): Promise<void> {
    const statements = transaction.statements.flatMap((id) => this.#statements.get(id) ?? [])
    const last = statements.at(-1)
    if (!last) return
    const changes = statements.some((statement) => {
      const facts = statementFacts(statement.sql)
      return !facts.isQuery && !facts.isSet && facts.transaction === null
    })
    if (!changes) return
    await this.#state({
      id: `T${transaction.ordinal}`,
      label: `after ${last.file.slice(last.file.lastIndexOf('/') + 1)}:${last.line}`,
      kind: 'during',
      statement: last.id,
    })
  }

  /** The last committed state is the one after the migration; without any commit it is the one before. */
  #nameLastState(trace: MigrationTrace): void {
    const last = this.#states.at(-1)
    if (last?.kind === 'during' && trace.run.outcome.ok) last.kind = 'after'
  }

  async #state(state: SchemaState): Promise<void> {
    this.#states.push(state)
    this.#compat.push(...(await this.#probe.probe(state.id)))
  }
}

/** When a migration failed: the statements of the transactions that were committed before. */
export const halfApplied = (trace: MigrationTrace): string[] =>
  trace.run.outcome.ok ? [] : trace.transactions.filter((t) => t.committed).flatMap((t) => t.statements)
