/**
 * The conductor: rehearse(scenario) -> Recording. Opens a throw-away database, fills it, and gives every pass its own
 * equal copy. The only verb that touches the world.
 */
import { asDiskFull, branches, type Branch } from './branches/index.js'
import { addOperations, blank, learnDatabase, learnTraffic } from './begun.js'
import { readEnvironment } from './environment.js'
import { RehearsalError } from './errors.js'
import type { Emit } from './events.js'
import { checkTables, fill, interrupted, stopIf } from './fill/index.js'
import { sustainableRate, unhealthy } from './health.js'
import { prepareTool, type ReadyTool } from './launch.js'
import type { PassInput } from './pass/context.js'
import { disturbanceSettings, disturbedPass } from './pass/disturbed.js'
import { racePass } from './pass/race.js'
import { quietPass } from './pass/quiet.js'
import { timedPass } from './pass/timed.js'
import type { UnmigratedCopy } from './pass/timing.js'
import { connect, disconnect, type Sql } from './pg/connect.js'
import { isConnectionFailure, toPgError } from './pg/errors.js'
import type { MigrationFile, QuietPass, Recording, Release } from './recording.js'
import type { Scenario } from './scenario.js'
import { supply, type Supplied } from './supply/index.js'
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
    learnDatabase(recording, scenario, filled, tool)
    await checkTables(branch, scenario)
    await branch.seal()
    const supplied = await supply({
      branch,
      scenario,
      tool,
      migrations: recording.migrations,
      shell: options.shell ?? {},
      emit,
      signal,
    })
    stopIf(signal)
    learnTraffic(recording, supplied)
    const run: Run = { branch, scenario, tool, supplied, emit, signal }
    recorded = true
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
      return quietPass({ ...input, unmigrated: () => unmigrated(branch) })
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
    await disturbed(run, recording, quiet.pass)
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
  let rate = fullRate(run, recording)
  const asked = rate
  for (let attempt = 1; ; attempt++) {
    const pass = await onCopy(run, 'timed', recording.migrations, (input) =>
      timedPass({
        ...input,
        ...trafficOf(run, rate, ['old', 'new']),
        phases: scenario.phases,
        taken,
        onOperations: (seen) => addOperations(recording, seen),
      }),
    )
    recording.passes.push(pass)
    const trouble = unhealthy(pass, scenario.budgets).filter((t) => t.cause === 'generator')
    if (trouble.length === 0 || attempt === 2 || signal.aborted) return
    rate = sustainableRate(pass)
    const message = `The traffic generator could not keep up at ${asked} operations/s; the timed pass was repeated at ${rate}. The first attempt is in the recording and is not judged.`
    recording.warnings.push(message)
    emit({ type: 'warning', message })
  }
}

/** Beyond it a generator on a few cores cannot keep its schedule; see the research on traffic. */
const MOST_PER_SECOND = 2_000

/** As asked for; else what production has, as far as it can be played. */
function fullRate({ scenario, supplied, emit }: Run, recording: Recording): number {
  const { ratePerSecond } = supplied
  if (scenario.rateGiven || ratePerSecond === null) return scenario.rate
  if (ratePerSecond <= MOST_PER_SECOND) return Math.max(1, Math.round(ratePerSecond * 10) / 10)
  const message = `Production has ${Math.round(ratePerSecond)} operations/s of what is played; ${MOST_PER_SECOND} are offered, which is what one machine can time (set traffic.rate or --rate for another rate).`
  recording.warnings.push(message)
  emit({ type: 'warning', message })
  return MOST_PER_SECOND
}

/** The rest of what a pass under traffic needs. */
function trafficOf({ scenario, supplied }: Run, rate: number, releases: readonly Release[]) {
  const { manners, ramp } = scenario.traffic
  const programs = supplied.programs.flatMap(({ release, start }) => (releases.includes(release) ? [start] : []))
  return { rate, ramp, manners, programs, connections: scenario.connections }
}

/** Each disturbance in a short pass of its own. */
async function disturbed(run: Run, recording: Recording, quiet: QuietPass): Promise<void> {
  const { scenario, signal } = run
  const taken = new Map(quiet.migration.statements.map((one) => [one.statement, one.work?.locks ?? []] as const))
  for (const disturbance of scenario.disturbances.kinds) {
    const pass = await onCopy(
      run,
      'disturbance',
      recording.migrations,
      (input) =>
        disturbedPass({
          ...input,
          ...trafficOf(run, fullRate(run, recording), ['old']),
          phases: scenario.phases,
          taken,
          disturbance,
          lastsMs: scenario.disturbances.lastsMs,
        }),
      disturbanceSettings(disturbance),
    )
    recording.passes.push(pass)
    stopIf(signal)
  }
}

/** What stays the same for all passes. */
interface Run {
  branch: Branch
  scenario: Scenario
  tool: ReadyTool | null
  supplied: Supplied
  emit: Emit
  signal: AbortSignal
}

async function onCopy<T>(
  { branch, scenario, tool, supplied, emit, signal }: Run,
  name: 'quiet' | 'timed' | 'race' | 'disturbance',
  migrations: readonly MigrationFile[],
  use: (input: PassInput, admin: Sql) => Promise<T>,
  settings: Readonly<Record<string, string>> = {},
): Promise<T> {
  emit({ type: 'step', text: `copying the database for the ${name} pass` })
  const copy = await branch.fork(name, settings)
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
        retries: scenario.retries,
        tool: tool?.release ?? null,
        rollback: scenario.rollback,
        checks: scenario.checks,
        operations: supplied.operations,
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

/** A second copy, on which the migration does not run. */
async function unmigrated(branch: Branch): Promise<UnmigratedCopy> {
  const copy = await branch.fork('unmigrated')
  return { app: copy.address('app'), admin: copy.address('admin'), stop: () => copy.stop() }
}
