/** Scenario folders: what is rehearsed, found, read and checked as a whole before anything starts. */
import { basename } from 'node:path'
import { RehearsalError } from './errors.js'
import type { Budgets, MigrationFile, TransactionMode } from './recording.js'
import { toBudgets } from './scenario/budgets.js'
import { Folder, kindOf, readChecks, readMigration, readSchema, readSeed } from './scenario/files.js'
import type { CheckQuery, SqlFile } from './scenario/files.js'
import { finder } from './scenario/find.js'
import { readMigrations } from './scenario/migrations.js'
import { importDefault } from './scenario/module.js'
import { describeIssues, ScenarioFile, type ScenarioSettings } from './scenario/schema.js'
import { readTraffic } from './scenario/traffic.js'
import { checkSeed, type Seed } from './seeds/index.js'
import type { Operation } from './traffic/operation.js'

export { parseDuration } from './scenario/duration.js'
export { defineScenario, type ScenarioDefinition } from './scenario/schema.js'
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
  /** Absolute. Every `file` below is as shown to people: relative to the working directory, or else to this folder. */
  folder: string
  schema: SqlFile[]
  /** Migrations before the pending ones, which run after `schema` and before the seeds, in the same mode. */
  appliedMigrations: MigrationFile[]
  seeds: SeedFile[]
  migrations: MigrationFile[]
  transaction: TransactionMode
  rollback: MigrationFile | null
  checks: CheckQuery[]
  /** Of both releases. */
  operations: Operation[]
  productionRows: Record<string, number>
  rows: number
  seedNumber: number
  postgres: 16 | 17 | 18
  /** Operations a second of each release. */
  rate: number
  /** Connections of each release. */
  connections: number
  roles: { migrate: string; app: string }
  phases: Phases
  maxDurationMs: number
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
} as const satisfies Partial<Scenario>

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
  const { settings, file } = await readSettings(folder)
  const find = finder(folder, file)
  const rows = overrides.rows ?? settings.rows ?? DEFAULTS.rows
  const each = async <T>(paths: string[], read: (path: string, shown: string) => Promise<T>): Promise<T[]> => {
    const files: T[] = []
    for (const found of paths) files.push(await read(found, folder.shown(found)))
    return files
  }
  const one = <T>(found: string | null, read: (path: string, shown: string) => Promise<T>): Promise<T[]> =>
    each(found === null ? [] : [found], read)

  const migrations = await readMigrations(folder, settings.migrations, file)
  const schema = await each(await find.many('schema', settings.schema, ['schema.sql']), (p, s) =>
    readSchema(p, s, rows),
  )
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
  const traffic = await readTraffic(
    folder,
    await find.one('traffic.old', settings.traffic?.old, ['old.sql', 'old.ts']),
    await find.one('traffic.new', settings.traffic?.new, ['new.sql', 'new.ts']),
  )

  const { phases } = settings
  return {
    name: settings.name ?? basename(folder.path),
    description: settings.description ?? null,
    folder: folder.path,
    schema,
    appliedMigrations: migrations.applied,
    seeds,
    migrations: migrations.pending,
    transaction: migrations.transaction,
    rollback: rollback[0] ?? null,
    checks: checks.flat(),
    operations: traffic.operations,
    productionRows: settings.production?.rows ?? {},
    rows,
    seedNumber: overrides.seedNumber ?? settings.seedNumber ?? DEFAULTS.seedNumber,
    postgres: overrides.postgres ?? settings.postgres ?? DEFAULTS.postgres,
    rate: overrides.rate ?? settings.traffic?.rate ?? DEFAULTS.rate,
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
    budgets: { ...toBudgets(settings.budgets), ...overrides.budgets },
    settings: settings.settings ?? {},
    roleSettings: { migrate: settings.roleSettings?.migrate ?? {}, app: settings.roleSettings?.app ?? {} },
    assumptions: [...migrations.assumptions, ...traffic.assumptions],
  }
}

/** scenario.ts, checked; an empty one where there is none. `file` is its name in messages. */
async function readSettings(folder: Folder): Promise<{ settings: ScenarioSettings; file: string }> {
  const path = folder.resolve('scenario.ts')
  const file = folder.shown(path)
  if (!(await folder.has('scenario.ts'))) return { settings: {}, file }
  const exported = await importDefault(path, file, 'SCENARIO_INVALID')
  const fail = (message: string): never => {
    throw new RehearsalError('SCENARIO_INVALID', { file, message })
  }
  if (exported === undefined) return fail('needs a default export: export default defineScenario({ ... })')
  const checked = ScenarioFile.safeParse(exported)
  return checked.success ? { settings: checked.data, file } : fail(describeIssues(checked.error))
}
