/**
 * The conductor: rehearse(scenario) -> Recording. Opens a throw-away database, fills it, and gives every pass its own
 * equal copy. The only verb that touches the world.
 */
import { relative } from 'node:path'
import { asDiskFull, branches, GRANTS_ASSUMPTION, type Branch } from './branches/index.js'
import { readEnvironment } from './environment.js'
import { RehearsalError } from './errors.js'
import type { Emit } from './events.js'
import { checkTables, fill, interrupted, stopIf, type Filled } from './fill.js'
import { sustainableRate, unhealthy } from './health.js'
import { prepareTool, type ReadyTool } from './launch.js'
import type { PassInput } from './pass/context.js'
import { racePass } from './pass/race.js'
import { quietPass } from './pass/quiet.js'
import { timedPass } from './pass/timed.js'
import { connect, disconnect, type Sql } from './pg/connect.js'
import { isConnectionFailure, toPgError } from './pg/errors.js'
import { SCHEMA_VERSION, type MigrationFile, type OperationInfo, type QuietPass, type Recording } from './recording.js'
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
  /** The user's environment, from which a migration tool gets what it needs to be found and nothing else. */
  shell?: Readonly<Record<string, string | undefined>>
  /** Adds a pass that starts the migration tool twice at once. */
  race?: boolean
}

/**
 * Rehearses a loaded scenario. Throws a RehearsalError when nothing could be recorded (no binaries, no port, schema or
 * seed that fail, a race without a tool); once the first pass has begun, trouble is written into the recording as
 * `stopped` instead.
 */
export async function rehearse(scenario: Scenario, options: RehearseOptions = {}): Promise<Recording> {
  const emit = options.emit ?? (() => undefined)
  const signal = options.signal ?? new AbortController().signal
  const startedAt = new Date().toISOString()
  if (options.race === true && !scenario.tool)
    throw new RehearsalError('USAGE', {
      message: '--race starts the migration tool twice, and there is none here: these are plain SQL files',
    })
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
  let tool: ReadyTool | null = null
  try {
    if (scenario.tool) {
      emit({ type: 'step', text: `copying the project for ${scenario.tool.setup.title}` })
      tool = await prepareTool({ tool: scenario.tool, directory: branch.directory, shell: options.shell ?? {} })
    }
    const filled = await fill(branch, scenario, tool, emit, signal)
    learn(recording, scenario, filled, tool)
    await checkTables(branch, scenario)
    await branch.seal()
    recorded = true
    const run: Run = { branch, scenario, tool, emit, signal }
    const quiet = await onCopy(run, 'quiet', recording.migrations, async (input, sql) => {
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
    })
    recording.passes.push(quiet.pass)
    recording.migrations = [...quiet.migrations]
    stopIf(signal)
    await timed(run, recording, quiet.pass)
    stopIf(signal)
    if (options.race === true) {
      recording.passes.push(await onCopy(run, 'race', recording.migrations, racePass))
      stopIf(signal)
    }
    recording.complete = true
  } catch (error) {
    const known =
      // An interruption shows as whatever it broke.
      signal.aborted
        ? interrupted(signal)
        : error instanceof RehearsalError
          ? error
          : (asDiskFull(error, branch.serverLog) ?? connectionLost(error))
    // A tool that never came leaves nothing to report but why.
    if (!recorded || (recording.passes.length === 0 && known !== null && NOT_STARTED.has(known.code)))
      throw known ?? error
    if (!known) throw error
    recording.stopped = { code: known.code, message: known.message }
  } finally {
    await branch.close()
  }
  return recording
}

/** The migration tool never met the database. */
const NOT_STARTED: ReadonlySet<string> = new Set(['TOOL_NOT_CONNECTED', 'TOOL_FAILED_TO_START'])

const connectionLost = (error: unknown): RehearsalError | null =>
  isConnectionFailure(error)
    ? new RehearsalError('CONNECTION_LOST', { message: toPgError(error).message }, error)
    : null

/** The timed pass; once more at a rate that works when the generator could not keep up. */
async function timed(run: Run, recording: Recording, quiet: QuietPass): Promise<void> {
  const { scenario, emit, signal } = run
  const taken = new Map(quiet.migration.statements.map((run) => [run.statement, run.work?.locks ?? []] as const))
  let rate = scenario.rate
  for (let attempt = 1; ; attempt++) {
    const pass = await onCopy(run, 'timed', recording.migrations, (input) =>
      timedPass({ ...input, rate, connections: scenario.connections, phases: scenario.phases, taken }),
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

/** What stays the same for all passes. */
interface Run {
  branch: Branch
  scenario: Scenario
  tool: ReadyTool | null
  emit: Emit
  signal: AbortSignal
}

async function onCopy<T>(
  { branch, scenario, tool, emit, signal }: Run,
  name: 'quiet' | 'timed' | 'race',
  migrations: readonly MigrationFile[],
  use: (input: PassInput, admin: Sql) => Promise<T>,
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
        migrations,
        transaction: scenario.transaction,
        tool: tool?.release ?? null,
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

/** What is known once the database is there. */
function learn(recording: Recording, scenario: Scenario, filled: Filled, ready: ReadyTool | null): void {
  recording.migrations = [...filled.migrations]
  if (!scenario.tool) return
  const { setup, command, project } = scenario.tool
  recording.tool = {
    tool: setup.tool,
    title: setup.title,
    version: setup.version,
    command,
    how: setup.launch.kind === 'replay' ? 'replay' : 'program',
    why: setup.launch.kind === 'replay' ? setup.launch.why : null,
    folder: relative(project, setup.folder) || '.',
    journal: setup.ledger?.table ?? null,
    pendingBy: filled.pendingBy,
    notes: [...filled.notes],
  }
  if (ready && ready.withheld.length > 0)
    recording.assumptions.push(
      `Variables of the project's .env files that the migration tool was not given: ${ready.withheld.join(', ')} (pass them on with migrations.passEnv).`,
    )
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
      source: operation.source ?? 'declared',
      ratePerSecond: operation.ratePerSecond ?? null,
      table: operation.table ?? null,
    })),
    traffic: [],
    takenAway: null,
    tool: null,
    migrations: scenario.migrations,
    passes: [],
    assumptions: [...scenario.assumptions, GRANTS_ASSUMPTION],
    warnings: [],
  }
}
