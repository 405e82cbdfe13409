/** The recording before its first pass: what is to be rehearsed, on what data, under which traffic. */
import { relative } from 'node:path'
import { GRANTS_ASSUMPTION } from './branches/index.js'
import type { Filled } from './fill/index.js'
import type { ReadyTool } from './launch.js'
import { SCHEMA_VERSION, type OperationInfo, type Recording } from './recording.js'
import type { Scenario } from './scenario.js'
import type { Supplied } from './supply/index.js'

/** Without a database nothing but the scenario is known. */
export function blank(scenario: Scenario): Recording {
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
    generated: [],
    operations: [],
    traffic: [],
    takenAway: null,
    tool: null,
    migrations: scenario.migrations,
    passes: [],
    assumptions: [...scenario.assumptions, GRANTS_ASSUMPTION],
    warnings: [],
  }
}

/** What is known once the database is there. */
export function learnDatabase(recording: Recording, scenario: Scenario, filled: Filled, ready: ReadyTool | null): void {
  recording.migrations = [...filled.migrations]
  recording.assumptions.push(...filled.assumptions)
  recording.generated = [...filled.generated]
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

/** The traffic, once it is known. */
export function learnTraffic(recording: Recording, supplied: Supplied): void {
  recording.operations = supplied.operations.map((operation): OperationInfo => ({
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
  }))
  recording.traffic = supplied.origins
  recording.takenAway = supplied.takenAway
  recording.assumptions.push(...supplied.assumptions)
}

/** What programs turned out to send: each of them once, however often the pass was repeated. */
export function addOperations(recording: Recording, seen: readonly OperationInfo[]): void {
  for (const one of seen) {
    const known = recording.operations.findIndex(({ release, name }) => release === one.release && name === one.name)
    if (known === -1) recording.operations.push(one)
    else recording.operations[known] = one
  }
}
