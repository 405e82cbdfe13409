/**
 * The conductor: rehearse(scenario) -> Recording. Opens a throw-away database, fills it, and gives every pass its own
 * equal copy. The only verb that touches the world.
 */
import { asDiskFull, branches, GRANTS_ASSUMPTION, type Branch } from './branches/index.js'
import { readEnvironment } from './environment.js'
import { RehearsalError } from './errors.js'
import type { Emit } from './events.js'
import { checkTables, fill, interrupted, stopIf } from './fill.js'
import { sustainableRate, unhealthy } from './health.js'
import type { PassInput } from './pass/context.js'
import { quietPass } from './pass/quiet.js'
import { timedPass } from './pass/timed.js'
import { connect, disconnect, type Sql } from './pg/connect.js'
import { isConnectionFailure, toPgError } from './pg/errors.js'
import { SCHEMA_VERSION, type OperationInfo, type QuietPass, type Recording } from './recording.js'
import type { Scenario } from './scenario.js'
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
    tool: null,
    migrations: scenario.migrations,
    passes: [],
    assumptions: [...scenario.assumptions, GRANTS_ASSUMPTION],
    warnings: [],
  }
}
