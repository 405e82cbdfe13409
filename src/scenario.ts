/** Scenario folders: what is rehearsed, found, read and checked as a whole before anything starts. */
import { basename } from 'node:path'
import { RehearsalError } from './errors.js'
import { DisturbanceKind, type Budgets, type MigrationFile, type TransactionMode } from './recording.js'
import { toBudgets } from './scenario/budgets.js'
import { Folder, kindOf, readChecks, readMigration, readSchema, readSeed } from './scenario/files.js'
import type { CheckQuery, SqlFile } from './scenario/files.js'
import { finder } from './scenario/find.js'
import { readMigrations } from './scenario/migrations.js'
import { importDefault } from './scenario/module.js'
import { migrationFiles, readTool, type ScenarioTool } from './scenario/tool.js'
import { describeIssues, ScenarioFile, type ScenarioSettings } from './scenario/schema.js'
import { readTraffic, type TrafficPlan } from './scenario/traffic.js'
import { findPlainSqlFolder } from './migrations/tools/index.js'
import { checkSeed, type Seed } from './seeds/index.js'
import type { Operation } from './traffic/operation.js'

export { parseDuration } from './scenario/duration.js'
export { defineConfig, defineScenario, type ScenarioDefinition } from './scenario/schema.js'
export { migrationFiles, passedOver, type ScenarioTool } from './scenario/tool.js'
export type { CheckQuery, SqlFile }

/** Length of each phase of the timed pass. */
export interface Phases {
  warmupMs: number
  baselineMs: number
  rolloutMs: number
  settleMs: number
}

export type SeedFile = ({ kind: 'sql' } & SqlFile) | { kind: 'ts'; file: string; seed: Seed }

export interface Scenario {
  name: string
  description: string | null
  /** scenario.ts or rehearse.config.ts, as shown; it need not be there. */
  settingsFile: string
  /** Absolute. Every `file` below is as shown to people: relative to the working directory, or else to this folder. */
  folder: string
  schema: SqlFile[]
  /** Migrations before the pending ones, which run after `schema` and before the seeds, in the same mode. */
  appliedMigrations: MigrationFile[]
  seeds: SeedFile[]
  migrations: MigrationFile[]
  /** The team's migration tool; null where the files are run as plain SQL. */
  tool: ScenarioTool | null
  transaction: TransactionMode
  rollback: MigrationFile | null
  checks: CheckQuery[]
  /** Where the traffic of each release comes from, and the application's manners. */
  traffic: TrafficPlan
  /** The git ref of the running release, where it is named; else it is taken to be the merge-base with the default branch. */
  runningRef: string | null
  /** Those of files, of both releases. */
  operations: Operation[]
  productionRows: Record<string, number>
  rows: number
  seedNumber: number
  postgres: 16 | 17 | 18
  /** Operations a second of each release. */
  rate: number
  /** Whether the user said so. */
  rateGiven: boolean
  /** Connections of each release. */
  connections: number
  roles: { migrate: string; app: string }
  phases: Phases
  maxDurationMs: number
  /** What else is to go on while the migration runs, each in a pass of its own; `lastsMs` from its start. */
  disturbances: { kinds: DisturbanceKind[]; lastsMs: number }
  /** Plain SQL files are tried again after 55P03. */
  retries: { tries: number; delayMs: number } | null
  /** Only the metrics that the scenario or the command line sets. */
  budgets: Budgets
  settings: Record<string, string>
  roleSettings: { migrate: Record<string, string>; app: Record<string, string> }
  /** What was taken for granted, in sentences. */
  assumptions: string[]
}

export const DEFAULTS = {
  rows: 100_000,
  seedNumber: 1,
  postgres: 18,
  rate: 100,
  connections: 10,
  roles: { migrate: 'rehearse_owner', app: 'rehearse_app' },
  phases: { warmupMs: 3_000, baselineMs: 10_000, rolloutMs: 10_000, settleMs: 5_000 },
  maxDurationMs: 600_000,
  disturbForMs: 10_000,
  retryDelayMs: 1_000,
} as const

/** What the command line sets, which wins over the scenario. */
export interface ScenarioOverrides {
  rows?: number | undefined
  seedNumber?: number | undefined
  postgres?: 16 | 17 | 18 | undefined
  rate?: number | undefined
  connections?: number | undefined
  phases?: Partial<{ [phase in keyof Phases]: number | undefined }> | undefined
  maxDurationMs?: number | undefined
  budgets?: Budgets | undefined
  disturbances?: readonly DisturbanceKind[] | undefined
  disturbForMs?: number | undefined
  /** A git ref: what it does not have is pending. */
  pendingSince?: string | undefined
}

/**
 * Loads a scenario folder. Nothing is connected to and nothing is written. Throws NO_SCENARIO, SCENARIO_INVALID,
 * SQL_UNREADABLE or SCRIPT_INVALID with file and line, or file and field.
 */
export async function loadScenario(path: string, overrides: ScenarioOverrides = {}): Promise<Scenario> {
  const folder = new Folder(path)
  const kind = await kindOf(folder.path)
  if (kind !== 'folder')
    throw new RehearsalError('NO_SCENARIO', {
      path,
      reason: kind === null ? 'no such folder' : 'it is a file, not a folder',
    })
  const { settings, file, kind: settled } = await readSettings(folder)
  const given = typeof settings.migrations === 'string' ? { folder: settings.migrations } : (settings.migrations ?? {})
  const profile = settings.profile === undefined ? null : folder.resolve(settings.profile)
  const pending = {
    given: settings.pending ?? given.pending,
    since: overrides.pendingSince,
    profile: profile === null ? null : { path: profile, shown: folder.shown(profile) },
    settingsFile: file,
  }
  // A scenario folder has its SQL files; a project has a tool, unless it says otherwise.
  const looksForTool =
    given.tool === undefined ? settled !== 'scenario' || given.command !== undefined : given.tool !== 'sql'
  const usualFolder = settled === 'project' ? 'rehearsal' : '.'
  const find = finder(folder, file, usualFolder)
  const schemaFiles = await find.many('schema', settings.schema, ['schema.sql'])
  const tool = looksForTool ? await readTool({ folder, given, pending, schemaGiven: schemaFiles.length > 0 }) : null
  const rows = overrides.rows ?? settings.rows ?? DEFAULTS.rows
  const each = async <T>(paths: string[], read: (path: string, shown: string) => Promise<T>): Promise<T[]> => {
    const files: T[] = []
    for (const found of paths) files.push(await read(found, folder.shown(found)))
    return files
  }
  const one = <T>(found: string | null, read: (path: string, shown: string) => Promise<T>): Promise<T[]> =>
    each(found === null ? [] : [found], read)

  const migrations = tool
    ? {
        transaction: 'all' as const,
        applied: [],
        pending: await migrationFiles(tool.setup.files, tool.pending),
        assumptions: [...tool.setup.assumptions],
      }
    : await readMigrations(
        folder,
        await plainFolder(folder, settings.migrations, settled),
        pending,
        settled === 'project' ? 'new' : 'all',
      )
  // A project's schema is that of production; in a scenario folder earlier files may go on from a schema.
  const inSchema = settled === 'project' && schemaFiles.length > 0 && migrations.applied.length > 0
  const schema = await each(schemaFiles, (p, s) => readSchema(p, s, rows))
  const seeds = await each(
    await find.many('seed', settings.seed, ['seed.sql', 'seed.ts']),
    async (p, s): Promise<SeedFile> =>
      p.endsWith('.sql')
        ? { kind: 'sql', ...(await readSeed(p, s, rows)) }
        : { kind: 'ts', file: s, seed: checkSeed(await importDefault(p, s, 'SCENARIO_INVALID'), s) },
  )
  const rollback = await one(await find.one('rollback', settings.rollback, ['rollback.sql']), (p, s) =>
    readMigration(p, s, migrations.transaction),
  )
  const checks = await one(await find.one('checks', settings.checks, ['checks.sql']), readChecks)
  const traffic = await readTraffic({
    folder,
    settings: settings.traffic,
    settingsFile: file,
    find,
    usualFolder,
    profile: pending.profile,
  })

  const { phases } = settings
  return {
    name: settings.name ?? basename(folder.path),
    settingsFile: file,
    description: settings.description ?? null,
    folder: folder.path,
    schema,
    appliedMigrations: inSchema ? [] : migrations.applied,
    seeds,
    migrations: migrations.pending,
    tool,
    transaction: migrations.transaction,
    rollback: rollback[0] ?? null,
    checks: checks.flat(),
    traffic: overrides.rate === undefined ? traffic : { ...traffic, ramp: null },
    runningRef: settings.traffic?.oldRef ?? overrides.pendingSince ?? sinceOf(pending.given),
    operations: [traffic.old, traffic.new].flatMap((one) => (one.kind === 'files' ? one.operations : [])),
    productionRows: settings.production?.rows ?? {},
    rows,
    seedNumber: overrides.seedNumber ?? settings.seedNumber ?? DEFAULTS.seedNumber,
    postgres: overrides.postgres ?? settings.postgres ?? DEFAULTS.postgres,
    rate: overrides.rate ?? rateOf(settings.traffic?.rate) ?? DEFAULTS.rate,
    rateGiven: (overrides.rate ?? settings.traffic?.rate) !== undefined,
    connections: overrides.connections ?? settings.traffic?.connections ?? DEFAULTS.connections,
    roles: {
      migrate: settings.roles?.migrate ?? DEFAULTS.roles.migrate,
      app: settings.roles?.app ?? DEFAULTS.roles.app,
    },
    phases: {
      warmupMs: overrides.phases?.warmupMs ?? phases?.warmup ?? DEFAULTS.phases.warmupMs,
      baselineMs: overrides.phases?.baselineMs ?? phases?.baseline ?? DEFAULTS.phases.baselineMs,
      rolloutMs: overrides.phases?.rolloutMs ?? phases?.rollout ?? DEFAULTS.phases.rolloutMs,
      settleMs: overrides.phases?.settleMs ?? phases?.settle ?? DEFAULTS.phases.settleMs,
    },
    maxDurationMs: overrides.maxDurationMs ?? settings.maxDuration ?? DEFAULTS.maxDurationMs,
    disturbances: {
      kinds: [...(overrides.disturbances ?? kindsOf(settings.disturbances))],
      lastsMs: overrides.disturbForMs ?? settings.disturbFor ?? DEFAULTS.disturbForMs,
    },
    retries: retriesOf(given.retries),
    budgets: { ...toBudgets(settings.budgets), ...overrides.budgets },
    settings: settings.settings ?? {},
    roleSettings: { migrate: settings.roleSettings?.migrate ?? {}, app: settings.roleSettings?.app ?? {} },
    assumptions: [
      ...migrations.assumptions,
      ...(inSchema ? ['The schema that is given has everything that the migrations before the pending ones do.'] : []),
    ],
  }
}

const sinceOf = (given: ScenarioSettings['pending']): string | null => (given && 'since' in given ? given.since : null)

const kindsOf = (given: ScenarioSettings['disturbances']): readonly DisturbanceKind[] =>
  given === true ? DisturbanceKind.options : given === undefined || given === false ? [] : given

function retriesOf(given: number | { tries: number; delay?: number | undefined } | undefined): Scenario['retries'] {
  if (given === undefined) return null
  const { tries, delay } = typeof given === 'number' ? { tries: given, delay: undefined } : given
  return { tries, delayMs: delay ?? DEFAULTS.retryDelayMs }
}

const rateOf = (given: number | { to: number } | undefined): number | undefined =>
  typeof given === 'object' ? given.to : given

/** What a folder is: a scenario with files of usual names, or a project whose own tool is used, if it has one. */
type FolderKind = 'scenario' | 'project' | 'unknown'

const CONFIGS = ['ts', 'mts', 'cts', 'js', 'mjs', 'cjs'].map((ending) => `rehearse.config.${ending}`)
/** Any of these beside a folder of migrations makes a scenario. */
const SCENARIO_FILES = ['old.sql', 'old.ts', 'new.sql', 'new.ts', 'schema.sql', 'seed.sql', 'seed.ts', 'checks.sql']

/** scenario.ts or rehearse.config.ts, checked; empty settings where there is neither. `file` is its name in messages. */
async function readSettings(folder: Folder): Promise<{ settings: ScenarioSettings; file: string; kind: FolderKind }> {
  const there: string[] = []
  for (const name of ['scenario.ts', ...CONFIGS]) if (await folder.has(name)) there.push(name)
  const [name, second] = there
  if (second !== undefined)
    throw new RehearsalError('SCENARIO_INVALID', {
      file: folder.shown(folder.path),
      message: `both ${name ?? ''} and ${second}: keep one`,
    })
  if (name === undefined) {
    let scenario = false
    if ((await kindOf(folder.resolve('migrations'))) === 'folder')
      for (const file of SCENARIO_FILES) scenario ||= await folder.has(file)
    const file = folder.shown(folder.resolve(scenario ? 'scenario.ts' : 'rehearse.config.ts'))
    const project = await folder.has('package.json')
    return { settings: {}, file, kind: scenario ? 'scenario' : project ? 'project' : 'unknown' }
  }
  const path = folder.resolve(name)
  const file = folder.shown(path)
  const exported = await importDefault(path, file, 'SCENARIO_INVALID')
  const define = name === 'scenario.ts' ? 'defineScenario' : 'defineConfig'
  const fail = (message: string): never => {
    throw new RehearsalError('SCENARIO_INVALID', { file, message })
  }
  if (exported === undefined) return fail(`needs a default export: export default ${define}({ ... })`)
  const checked = ScenarioFile.safeParse(exported)
  return checked.success
    ? { settings: checked.data, file, kind: name === 'scenario.ts' ? 'scenario' : 'project' }
    : fail(describeIssues(checked.error))
}

/** In a project without a tool, plain SQL files may be in one of several folders. */
async function plainFolder(
  folder: Folder,
  settings: ScenarioSettings['migrations'],
  kind: FolderKind,
): Promise<ScenarioSettings['migrations']> {
  const given = typeof settings === 'string' ? { folder: settings } : (settings ?? {})
  if (kind === 'scenario' || given.folder !== undefined) return settings
  const found = await findPlainSqlFolder(folder.path, (path) => folder.shown(path))
  return found === null ? settings : { ...given, folder: found }
}
