/** What is there before the pending migrations: schema, applied migrations, data, grants, settings of roles. */
import { grantApp, type Branch } from './branches/index.js'
import { startClock } from './clock.js'
import { RehearsalError } from './errors.js'
import type { Emit } from './events.js'
import { runMigration } from './migrations/runner.js'
import { openMigrationSession } from './migrations/session.js'
import { readRelations } from './pg/catalog.js'
import { connect, disconnect, type Sql } from './pg/connect.js'
import type { ReadyTool } from './launch.js'
import { isConnectionFailure, toPgError } from './pg/errors.js'
import { openTool, readLedger } from './pass/tool.js'
import type { MigrationFile, ToolNote } from './recording.js'
import { migrationFiles, passedOver, type Scenario, type ScenarioTool } from './scenario.js'
import { finishSeed, runSeed, seedSql } from './seeds/index.js'
import { plural } from './units.js'

/** What an abort of the user is called; the command line gives its own reason with the signal's name. */
export const interrupted = (signal: AbortSignal): RehearsalError =>
  signal.reason instanceof RehearsalError ? signal.reason : new RehearsalError('INTERRUPTED')

export const stopIf = (signal: AbortSignal): void => {
  if (signal.aborted) throw interrupted(signal)
}

/** What is pending once the database is there. */
export interface Filled {
  migrations: readonly MigrationFile[]
  pendingBy: string
  notes: readonly ToolNote[]
}

/**
 * Schema, applied migrations, data, grants: everything that is there before the pending migrations. `tool` is null where
 * the files are run as plain SQL.
 */
export async function fill(
  branch: Branch,
  scenario: Scenario,
  tool: ReadyTool | null,
  emit: Emit,
  signal: AbortSignal,
): Promise<Filled> {
  const admin = connect(branch.address('admin'), { applicationName: 'rehearse filling' })
  const owner = connect(branch.address('migrate'), { applicationName: 'rehearse filling' })
  try {
    if (scenario.schema.length + scenario.appliedMigrations.length > 0)
      emit({ type: 'step', text: 'building the schema' })
    for (const file of scenario.schema)
      for (const statement of file.statements) {
        stopIf(signal)
        try {
          await owner.unsafe(statement.sql).simple()
        } catch (error) {
          const { sqlstate, message } = toPgError(error)
          throw new RehearsalError(
            'SCHEMA_FAILED',
            { file: file.file, line: statement.line, message: `${sqlstate} ${message}` },
            error,
          )
        }
      }
    // A dump sets search_path for its own session only.
    await owner.unsafe('reset all').simple()
    if (scenario.appliedMigrations.length > 0) await apply(branch, scenario)
    const filled =
      scenario.tool && tool
        ? await applyByTool(branch, scenario, scenario.tool, tool, admin, emit, signal)
        : plain(scenario)
    for (const seed of scenario.seeds) {
      stopIf(signal)
      emit({
        type: 'step',
        text: `filling the tables from ${seed.file}, :n is ${scenario.rows.toLocaleString('en-US')}`,
      })
      if (seed.kind === 'sql') await seedSql(owner, { file: seed.file, statements: seed.statements })
      else {
        await runSeed(owner, seed.seed, { n: scenario.rows, seedNumber: scenario.seedNumber, file: seed.file })
      }
    }
    stopIf(signal)
    await finishSeed(admin)
    await grantApp(admin, scenario.roles.app)
    for (const [role, settings] of [
      [scenario.roles.migrate, scenario.roleSettings.migrate],
      [scenario.roles.app, scenario.roleSettings.app],
    ] as const)
      for (const [name, value] of Object.entries(settings)) await setForRole(admin, role, name, value, scenario)
    return filled
  } finally {
    await disconnect(owner)
    await disconnect(admin)
  }
}

/** A misspelt table in production.rows would silently be a table of unknown size. */
export async function checkTables(branch: Branch, scenario: Scenario): Promise<void> {
  const names = Object.keys(scenario.productionRows)
  if (names.length === 0) return
  const admin = connect(branch.address('admin'), { applicationName: 'rehearse filling' })
  try {
    const relations = [...(await readRelations(admin)).values()].filter(
      (r) => r.kind === 'table' || r.kind === 'materialized view',
    )
    const missing = names.find((name) => !relations.some((relation) => relation.name === name))
    if (missing === undefined) return
    throw new RehearsalError('SCENARIO_INVALID', {
      file: scenarioFile(scenario),
      message: `production.rows: there is no table "${missing}" before the migration (there are ${relations
        .map((r) => r.name)
        .sort()
        .join(', ')})`,
    })
  } finally {
    await disconnect(admin)
  }
}

/** A setting of a role is applied by the server, which is the one to know whether the value can be. */
async function setForRole(admin: Sql, role: string, name: string, value: string, scenario: Scenario): Promise<void> {
  try {
    await admin.unsafe(`alter role "${role.replaceAll('"', '""')}" set ${name} = '${value.replaceAll("'", "''")}'`)
  } catch (error) {
    if (isConnectionFailure(error)) throw error
    throw new RehearsalError('SCENARIO_INVALID', {
      file: scenarioFile(scenario),
      message: `roleSettings: the server does not take the value of ${name} (${toPgError(error).sqlstate})`,
    })
  }
}

const scenarioFile = (scenario: Scenario): string => scenario.settingsFile

/** Earlier migrations of the folder build the schema, in the scenario's own transaction mode. */
async function apply(branch: Branch, scenario: Scenario): Promise<void> {
  const session = await openMigrationSession(branch.address('migrate'), startClock())
  try {
    const { run } = await runMigration(session, scenario.appliedMigrations, { transaction: scenario.transaction })
    if (run.outcome.ok) return
    const [file, ordinal] = (run.failedStatement ?? '#').split('#')
    const statement = scenario.appliedMigrations.flatMap((m) => m.statements).find((s) => s.id === run.failedStatement)
    throw new RehearsalError('APPLIED_FAILED', {
      file: file ?? '',
      line: statement?.line ?? Number(ordinal),
      message: `${run.outcome.error.sqlstate} ${run.outcome.error.message}`,
    })
  } finally {
    await session.close()
  }
}

const plain = (scenario: Scenario): Filled => ({ migrations: scenario.migrations, pendingBy: '', notes: [] })

/**
 * The applied migrations by the tool itself, as the last release had them, so that its journal is its own work; or,
 * where the schema is given, what the journal in it says.
 */
async function applyByTool(
  branch: Branch,
  scenario: Scenario,
  tool: ScenarioTool,
  ready: ReadyTool,
  admin: Sql,
  emit: Emit,
  signal: AbortSignal,
): Promise<Filled> {
  const { setup } = tool
  const { ledger } = setup
  let { applied, pending, pendingBy } = tool
  if (scenario.schema.length > 0 && ledger) {
    const rows = await readLedger(admin, ledger)
    if (rows.length === 0 && (applied.length > 0 || tool.byJournal)) throw noJournal(scenario, tool)
    const known = ledger.pending(setup.files, rows)
    applied = known.applied
    const there = new Set(applied)
    pending = setup.files.flatMap(({ name }) => (there.has(name) ? [] : [name]))
    pendingBy = `the journal ${ledger.table} in ${scenario.schema.map(({ file }) => file).join(', ')}`
    if (pending.length === 0)
      throw new RehearsalError('NOTHING_PENDING', { tool: setup.title, count: setup.files.length, by: pendingBy })
  } else if (scenario.schema.length === 0 && applied.length > 0) {
    emit({
      type: 'step',
      text: `building the schema with ${setup.title}: ${plural(applied.length, 'applied migration')}`,
    })
    await build(branch, scenario, tool, ready, applied, admin, signal)
  }
  const rows = ledger ? await readLedger(admin, ledger) : []
  const byTool = ledger?.pending(setup.files, rows)
  if (byTool) {
    const missing = applied.filter((name) => !byTool.applied.includes(name) && scenario.schema.length === 0)
    if (missing.length > 0)
      throw new RehearsalError('BASE_FAILED', {
        ...where(tool, missing[0] ?? ''),
        tool: setup.title,
        message: `it ended, but its journal ${ledger?.table ?? ''} does not have ${missing.join(', ')}`,
        journal: ledger?.table ?? '',
      })
  }
  // In the order in which the tool will run them; what it passes over is not among them.
  const order = byTool ? byTool.pending.filter((name) => pending.includes(name)) : pending
  const notes = notesOf(tool, applied, byTool?.notes ?? [])
  return {
    migrations: await migrationFiles(setup.files, order),
    pendingBy,
    notes: byTool ? [...notes, ...passedOver(setup, pending, byTool.pending, notes)] : notes,
  }
}

/**
 * What is known from the files alone and from the journal, each thing once. What a file alone would be skipped for does not
 * matter where it is applied already.
 */
function notesOf(tool: ScenarioTool, applied: readonly string[], byJournal: readonly ToolNote[]): ToolNote[] {
  const { files, notes } = tool.setup
  const told = new Set(byJournal.flatMap(({ file }) => files.find((one) => one.shown === file)?.name ?? []))
  const about = (note: ToolNote): string | undefined =>
    files.find(({ name, shown }) => note.file === shown || note.message.startsWith(`${name} `))?.name
  return [
    ...notes.flatMap((note): ToolNote[] => {
      const name = about(note)
      if (note.kind !== 'skipped' || name === undefined) return [note]
      return told.has(name) ? [] : [applied.includes(name) ? { ...note, kind: 'other' } : note]
    }),
    ...byJournal,
  ]
}

const noJournal = (scenario: Scenario, tool: ScenarioTool): RehearsalError =>
  new RehearsalError('SCHEMA_FAILED', {
    file: scenario.schema[0]?.file ?? '',
    line: 1,
    message: `it has no rows of ${tool.setup.ledger?.table ?? 'the journal'}, so ${tool.setup.title} would run all ${tool.setup.files.length} migrations; add them with pg_dump --data-only --inserts --table='${tool.setup.ledger?.table ?? ''}'`,
  })

const where = (tool: ScenarioTool, name: string): { file: string } => ({
  file: tool.setup.files.find((file) => file.name === name)?.shown ?? name,
})

async function build(
  branch: Branch,
  scenario: Scenario,
  tool: ScenarioTool,
  ready: ReadyTool,
  applied: readonly string[],
  admin: Sql,
  signal: AbortSignal,
): Promise<void> {
  const { setup } = tool
  const open = await openTool({
    tool: await ready.before(applied),
    input: { migrate: branch.address('migrate'), emit: () => undefined },
    admin,
    clock: startClock(),
    files: await migrationFiles(setup.files, applied),
    settings: {},
  })
  const limit = new AbortController()
  const stop = (): void => limit.abort()
  const timer = setTimeout(stop, scenario.maxDurationMs)
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  try {
    const { trace } = await open.run(limit.signal)
    stopIf(signal)
    const { outcome, failedStatement } = trace.run
    if (outcome.ok) return
    const statement = trace.files.flatMap((file) => file.statements).find((one) => one.id === failedStatement)
    const file = statement?.file ?? where(tool, trace.run.tool?.journal?.missing[0] ?? applied[0] ?? '').file
    throw new RehearsalError('BASE_FAILED', {
      file,
      ...(statement ? { line: statement.line } : {}),
      tool: setup.title,
      message:
        outcome.error.sqlstate === 'TOOL'
          ? outcome.error.message
          : `${outcome.error.sqlstate} ${outcome.error.message}`,
      journal: setup.ledger?.table ?? '',
    })
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
    await open.close()
  }
}
