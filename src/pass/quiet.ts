/**
 * The quiet pass: the migration at rest, taken apart. Nothing else uses the copy, so every statement's locks, rewrites,
 * scans and rows are its own; the compat matrix is tried on every committed state; then the way back is tried.
 */
import type { MigrationTrace } from '../migrations/runner.js'
import { readRelations, type RelationState } from '../pg/catalog.js'
import { connect, disconnect, type Sql } from '../pg/connect.js'
import { dataChecks, runChecks, type CheckResult } from '../probe/checks.js'
import { openCompatProbe, type CompatProbe } from '../probe/compat.js'
import { trapLocks } from '../probe/lock-trap.js'
import { newlyUnfinished, readUnfinished } from '../probe/leftovers.js'
import type { CompatCell, MigrationFile, QuietPass, SchemaState, Statement } from '../recording.js'
import { variables, warmAndCheckpoint } from './context.js'
import { dissect, type Dissected } from './dissect.js'
import { quietTimings, type QuietInput } from './timing.js'
import { dissectTool } from './tool-dissect.js'

/** The pass, and the migrations with what programs among them turned out to send. */
export interface QuietResult {
  pass: QuietPass
  migrations: readonly MigrationFile[]
}

export async function quietPass(input: QuietInput): Promise<QuietResult> {
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
  readonly #input: QuietInput
  readonly #admin: Sql
  readonly #probe: CompatProbe
  readonly #states: SchemaState[] = []
  readonly #compat: CompatCell[] = []
  readonly #warnings: string[] = []

  constructor(input: QuietInput, admin: Sql, probe: CompatProbe) {
    this.#input = input
    this.#admin = admin
    this.#probe = probe
  }

  async run(): Promise<QuietResult> {
    const input = this.#input
    const relations = await readRelations(this.#admin)
    await warmAndCheckpoint(this.#admin, relations)
    const unfinishedBefore = await readUnfinished(this.#admin)
    const checksBefore = await runChecks(this.#admin, input.checks)
    const operationLocks = await this.#probe.operationLocks()
    await this.#state({ id: 'before', label: 'before', kind: 'before', statement: null })

    const timing = quietTimings(input, this.#admin)
    if (!input.signal.aborted) await timing.before()

    const options = {
      input,
      admin: this.#admin,
      files: input.migrations,
      initial: relations,
      onCommit: (state: { id: string; last: Statement | null }) => this.#committed(state),
    }
    const dissected = input.tool ? await dissectTool({ ...options, tool: input.tool }) : await dissect(options)
    const { trace } = dissected
    this.#warnings.push(...dissected.warnings)
    this.#nameStates(dissected)
    if (!trace.run.outcome.ok && !input.signal.aborted) await this.#addTrappedLocks(dissected, relations)
    const after = newlyUnfinished(unfinishedBefore, await readUnfinished(this.#admin))
    const checks = dataChecks(input.checks, checksBefore, await runChecks(this.#admin, input.checks))
    const { timings, warnings: untimed } =
      input.signal.aborted || (!trace.run.outcome.ok && halfApplied(trace).length === 0)
        ? { timings: [], warnings: [] }
        : await timing.after(trace.run, operationLocks)
    const rollback = trace.run.outcome.ok && input.rollback ? await this.#rollback(input.rollback, checksBefore) : null
    const warnings = [...trace.warnings, ...this.#warnings, ...untimed]
    if (input.rollback && !trace.run.outcome.ok)
      warnings.push(`${input.rollback.file} was not tried, because the migration failed.`)
    const pass: QuietPass = {
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
    return { pass, migrations: dissected.files }
  }

  /** The failed statement's locks are gone with its transaction: they are found out by trying it again. */
  async #addTrappedLocks({ trace, sent }: Dissected, relations: ReadonlyMap<number, RelationState>): Promise<void> {
    const failed = trace.run.statements.find((run) => !run.outcome.ok)
    const transaction = trace.transactions.find((t) => t.ordinal === failed?.transaction)
    const sql = failed ? sent(failed.statement) : null
    if (!failed?.work || !transaction || sql === null) return
    const earlier = transaction.statements.slice(0, transaction.statements.indexOf(failed.statement))
    const locks = await trapLocks({
      admin: this.#input.admin,
      migrate: this.#input.migrate,
      relations,
      inTransaction: transaction.kind !== 'autocommit',
      before: earlier.flatMap((id) => sent(id) ?? []),
      sql,
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
    const { trace, warnings } = await dissect({
      input: this.#input,
      admin: this.#admin,
      files: [file],
      initial: await readRelations(this.#admin),
      onCommit: () => Promise.resolve(),
    })
    this.#warnings.push(...warnings)
    const results = await runChecks(this.#admin, this.#input.checks)
    if (trace.run.outcome.ok)
      await this.#state({ id: 'rolled-back', label: 'after the rollback', kind: 'rolled-back', statement: null })
    return { file: file.file, run: trace.run, dataChecks: dataChecks(this.#input.checks, before, results) }
  }

  async #committed({ id, last }: { id: string; last: Statement | null }): Promise<void> {
    await this.#state({ id, label: last ? labelOf(last) : id, kind: 'during', statement: last?.id ?? null })
  }

  /**
   * States of a tool's run get their names once it is known which statement was the last of each. The last committed
   * state is the one after the migration; without any commit it is the one before.
   */
  #nameStates({ states, trace }: Dissected): void {
    for (const state of this.#states) {
      const known = states.get(state.id)
      if (!known) continue
      for (const cell of this.#compat) if (cell.state === state.id) cell.state = known.id
      Object.assign(state, { id: known.id, label: labelOf(known.last), statement: known.last.id })
    }
    const last = this.#states.at(-1)
    if (last?.kind === 'during' && trace.run.outcome.ok) last.kind = 'after'
  }

  async #state(state: SchemaState): Promise<void> {
    this.#states.push(state)
    this.#compat.push(...(await this.#probe.probe(state.id)))
  }
}

/** Tools with a folder for each migration call all files the same: then the folder tells more. */
const labelOf = (last: Statement): string => {
  const parts = last.file.split('/')
  return `after ${parts.slice(parts.at(-1) === 'migration.sql' ? -2 : -1).join('/')}:${last.line}`
}

/** When a migration failed: the statements of the transactions that were committed before. */
export const halfApplied = (trace: MigrationTrace): string[] =>
  trace.run.outcome.ok ? [] : trace.transactions.filter((t) => t.committed).flatMap((t) => t.statements)
