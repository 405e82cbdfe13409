/**
 * The conductor: rehearse(scenario) -> Recording. Opens a throw-away database, fills it, and gives every pass its own
 * equal copy. The only verb that touches the world.
 */
import { join, relative } from 'node:path'
import { asDiskFull, branches, GRANTS_ASSUMPTION, grantApp, type Branch } from './branches/index.js'
import { startClock } from './clock.js'
import { readEnvironment } from './environment.js'
import { RehearsalError } from './errors.js'
import type { Emit } from './events.js'
import { sustainableRate, unhealthy } from './health.js'
import { openMigrationSession } from './migrations/session.js'
import { runMigration } from './migrations/runner.js'
import type { PassInput } from './pass/context.js'
import { quietPass } from './pass/quiet.js'
import { timedPass } from './pass/timed.js'
import { readRelations } from './pg/catalog.js'
import { connect, disconnect, type Sql } from './pg/connect.js'
import { isConnectionFailure, toPgError } from './pg/errors.js'
import { SCHEMA_VERSION, type OperationInfo, type QuietPass, type Recording } from './recording.js'
import type { Scenario } from './scenario.js'
import { finishSeed, runSeed, seedSql } from './seeds/index.js'
import { toolVersion } from './version.js'

export interface RehearseOptions {
  /** Abort it to interrupt: what was recorded until then is returned, and everything that was started is removed. */
  signal?: AbortSignal
  emit?: Emit
  /** Fixed port for the embedded server. */
  port?: number
  /** Shown in the report, to repeat the run. */
  commandLine?: string
}

/**
 * Rehearses a loaded scenario. Throws a RehearsalError when nothing could be recorded (no binaries, no port, schema or
 * seed that fail); once the first pass has begun, trouble is written into the recording as `stopped` instead.
 */
export async function rehearse(scenario: Scenario, options: RehearseOptions = {}): Promise<Recording> {
  const emit = options.emit ?? (() => undefined)
  const signal = options.signal ?? new AbortController().signal
  const startedAt = new Date().toISOString()
  emit({ type: 'step', text: `starting PostgreSQL ${scenario.postgres}` })
  const branch = await branches.embedded.open({
    major: scenario.postgres,
    roles: scenario.roles,
    settings: scenario.settings,
    signal,
    ...(options.port === undefined ? {} : { port: options.port }),
  })
  const recording = blank(scenario)
  let recorded = false
  try {
    await fill(branch, scenario, emit, signal)
    await checkTables(branch, scenario)
    await branch.seal()
    recorded = true
    const quiet = await onCopy(
      branch,
      'quiet',
      async (input, sql) => {
        recording.environment = await readEnvironment({
          sql,
          provider: branch.provider,
          encoding: branch.encoding,
          collation: branch.collation,
          roles: scenario.roles,
          settings: Object.keys(scenario.settings),
          commandLine: options.commandLine ?? '',
          tool: toolVersion(),
          startedAt,
          folder: scenario.folder,
        })
        return quietPass(input)
      },
      scenario,
      emit,
      signal,
    )
    recording.passes.push(quiet)
    stopIf(signal)
    await timed(branch, scenario, recording, quiet, emit, signal)
    stopIf(signal)
    recording.complete = true
  } catch (error) {
    const known =
      // An interruption shows as whatever it broke.
      signal.aborted
        ? interrupted(signal)
        : error instanceof RehearsalError
          ? error
          : (asDiskFull(error, branch.serverLog) ?? connectionLost(error))
    if (!recorded) throw known ?? error
    if (!known) throw error
    recording.stopped = { code: known.code, message: known.message }
  } finally {
    await branch.close()
  }
  return recording
}

const interrupted = (signal: AbortSignal): RehearsalError =>
  signal.reason instanceof RehearsalError ? signal.reason : new RehearsalError('INTERRUPTED')

const connectionLost = (error: unknown): RehearsalError | null =>
  isConnectionFailure(error)
    ? new RehearsalError('CONNECTION_LOST', { message: toPgError(error).message }, error)
    : null

/** The timed pass; once more at a rate that works when the generator could not keep up. */
async function timed(
  branch: Branch,
  scenario: Scenario,
  recording: Recording,
  quiet: QuietPass,
  emit: Emit,
  signal: AbortSignal,
): Promise<void> {
  const taken = new Map(quiet.migration.statements.map((run) => [run.statement, run.work?.locks ?? []] as const))
  let rate = scenario.rate
  for (let attempt = 1; ; attempt++) {
    const pass = await onCopy(
      branch,
      'timed',
      (input) => timedPass({ ...input, rate, connections: scenario.connections, phases: scenario.phases, taken }),
      scenario,
      emit,
      signal,
    )
    recording.passes.push(pass)
    const trouble = unhealthy(pass, scenario.budgets).filter((t) => t.cause === 'generator')
    if (trouble.length === 0 || attempt === 2 || signal.aborted) return
    rate = sustainableRate(pass)
    const message = `The traffic generator could not keep up at ${scenario.rate} operations/s; the timed pass was repeated at ${rate}. The first attempt is in the recording and is not judged.`
    recording.warnings.push(message)
    emit({ type: 'warning', message })
  }
}

async function onCopy<T>(
  branch: Branch,
  name: 'quiet' | 'timed',
  use: (input: PassInput, admin: Sql) => Promise<T>,
  scenario: Scenario,
  emit: Emit,
  signal: AbortSignal,
): Promise<T> {
  emit({ type: 'step', text: `copying the database for the ${name} pass` })
  const copy = await branch.fork(name)
  const admin = connect(copy.address('admin'), { applicationName: 'rehearse conductor' })
  try {
    return await use(
      {
        copiedBy: copy.copiedBy,
        admin: copy.address('admin'),
        migrate: copy.address('migrate'),
        app: copy.address('app'),
        migrations: scenario.migrations,
        transaction: scenario.transaction,
        rollback: scenario.rollback,
        checks: scenario.checks,
        operations: scenario.operations,
        rows: scenario.rows,
        seed: scenario.seedNumber,
        maxDurationMs: scenario.maxDurationMs,
        emit,
        signal,
      },
      admin,
    )
  } finally {
    await disconnect(admin)
    await copy.stop()
  }
}

/** Schema, applied migrations, data, grants: everything that is there before the pending migrations. */
async function fill(branch: Branch, scenario: Scenario, emit: Emit, signal: AbortSignal): Promise<void> {
  const admin = connect(branch.address('admin'), { applicationName: 'rehearse filling' })
  const owner = connect(branch.address('migrate'), { applicationName: 'rehearse filling' })
  try {
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
    for (const seed of scenario.seeds) {
      stopIf(signal)
      emit({
        type: 'step',
        text: `filling the tables from ${seed.file}, ${scenario.rows.toLocaleString('en-US')} rows in the largest`,
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
  } finally {
    await disconnect(owner)
    await disconnect(admin)
  }
}

/** A misspelt table in production.rows would silently be a table of unknown size. */
async function checkTables(branch: Branch, scenario: Scenario): Promise<void> {
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

const scenarioFile = (scenario: Scenario): string => join(relative(process.cwd(), scenario.folder), 'scenario.ts')

const stopIf = (signal: AbortSignal): void => {
  if (signal.aborted) throw interrupted(signal)
}

/** Earlier migrations of the folder build the schema, in the scenario's own transaction mode. */
async function apply(branch: Branch, scenario: Scenario): Promise<void> {
  const session = await openMigrationSession(branch.address('migrate'), startClock())
  try {
    const { run } = await runMigration(session, scenario.appliedMigrations, { transaction: scenario.transaction })
    if (run.outcome.ok) return
    const [file, ordinal] = (run.failedStatement ?? '#').split('#')
    const statement = scenario.appliedMigrations.flatMap((m) => m.statements).find((s) => s.id === run.failedStatement)
    throw new RehearsalError('SCHEMA_FAILED', {
      file: file ?? '',
      line: statement?.line ?? Number(ordinal),
      message: `${run.outcome.error.sqlstate} ${run.outcome.error.message}`,
    })
  } finally {
    await session.close()
  }
}

function blank(scenario: Scenario): Recording {
  return {
    kind: 'recording',
    schemaVersion: SCHEMA_VERSION,
    name: scenario.name,
    complete: false,
    stopped: null,
    seed: scenario.seedNumber,
    rows: scenario.rows,
    productionRows: scenario.productionRows,
    budgets: scenario.budgets,
    environment: null,
    operations: scenario.operations.map((operation): OperationInfo => ({
      release: operation.release,
      name: operation.name,
      weight: operation.weight,
      prepared: operation.prepared,
      file: operation.file,
      line: operation.line,
      sql: operation.kind === 'script' ? operation.normalisedSql : [],
    })),
    migrations: scenario.migrations,
    passes: [],
    assumptions: [...scenario.assumptions, GRANTS_ASSUMPTION],
    warnings: [],
  }
}
