/** The migrations that are applied already, by the team's own tool. */
import type { Branch } from '../branches/index.js'
import { startClock } from '../clock.js'
import { RehearsalError } from '../errors.js'
import type { Emit } from '../events.js'
import type { ReadyTool } from '../launch.js'
import { openTool, readLedger } from '../pass/tool.js'
import type { Sql } from '../pg/connect.js'
import type { ToolNote } from '../recording.js'
import { migrationFiles, passedOver, type Scenario, type ScenarioTool } from '../scenario.js'
import { plural } from '../units.js'
import { stopIf } from './interrupted.js'
import type { Filled } from './types.js'

/**
 * The applied migrations by the tool itself, as the last release had them, so that its journal is its own work; or,
 * where the schema is given, what the journal in it says.
 */
export async function applyByTool(
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
    assumptions: [],
    generated: [],
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
