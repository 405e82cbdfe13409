/** What is there before the pending migrations: schema, applied migrations, data, grants, settings of roles. */
import { grantApp, type Branch } from '../branches/index.js'
import { startClock } from '../clock.js'
import { RehearsalError } from '../errors.js'
import type { Emit } from '../events.js'
import type { ReadyTool } from '../launch.js'
import { runMigration } from '../migrations/runner.js'
import { openMigrationSession } from '../migrations/session.js'
import { readRelations } from '../pg/catalog.js'
import { connect, disconnect, type Sql } from '../pg/connect.js'
import { isConnectionFailure, toPgError } from '../pg/errors.js'
import type { Scenario } from '../scenario.js'
import { finishSeed, runSeed, seedSql } from '../seeds/index.js'
import { applyByTool } from './by-tool.js'
import { generate } from './generate.js'
import { stopIf } from './interrupted.js'
import type { Filled } from './types.js'

export { interrupted, stopIf } from './interrupted.js'

export type { Filled } from './types.js'

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
    // Traffic of ours can use rows of ours; what a user's traffic needs only the user's seed has.
    const { kind } = scenario.traffic.old
    const made =
      scenario.seeds.length === 0 && (kind === 'schema' || kind === 'production')
        ? await generate(owner, admin, scenario, emit, signal)
        : { assumptions: [], generated: [] }
    await finishSeed(admin)
    await grantApp(admin, scenario.roles.app)
    for (const [role, settings] of [
      [scenario.roles.migrate, scenario.roleSettings.migrate],
      [scenario.roles.app, scenario.roleSettings.app],
    ] as const)
      for (const [name, value] of Object.entries(settings)) await setForRole(admin, role, name, value, scenario)
    return { ...filled, ...made }
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

const plain = (scenario: Scenario): Filled => ({
  migrations: scenario.migrations,
  pendingBy: '',
  notes: [],
  assumptions: [],
  generated: [],
})
