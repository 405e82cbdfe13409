/** The migration tool in sentences. Pure. */
import type { MigrationFile, MigrationRun, MigrationTool, ToolRun } from '../recording.js'
import { oneLine } from './words.js'

/** What the tool is called: `Drizzle`, or what was started where all that is known is a command. */
export function toolName(tool: MigrationTool | null): string {
  if (tool === null) return 'The migration tool'
  // A command of a tool that was recognised has its name: `Knex by command`.
  if (tool.title === 'Command') return `“${oneLine(tool.command, 60)}”`
  return tool.title.replace(/ (?:\(.*|by command)$/, '')
}

/** What ran: the tool itself, or its messages sent by the harness. */
export const runName = (tool: MigrationTool | null): string =>
  tool?.how === 'replay' ? `The replay of ${toolName(tool)}` : toolName(tool)

/** How it ended, after its name: `ended with exit code 1`. */
export function ending(run: ToolRun): string {
  if (run.exitCode !== null) return `ended with exit code ${run.exitCode}`
  return run.signal === null ? 'did not start' : `was ended by ${run.signal}`
}

/** `a, b and c`; of many the first four. */
export function named(names: readonly string[]): string {
  if (names.length > 4) return `${names.slice(0, 4).join(', ')} and ${names.length - 4} more`
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1) ?? ''}`
}

/** What its journal says of the pending migrations; null where none is known. */
export function journalSentence(tool: MigrationTool | null, run: ToolRun): string | null {
  if (run.journal === null) return null
  const { added, missing } = run.journal
  const journal = tool?.journal === null || tool === null ? 'Its journal' : `Its journal (${tool.journal})`
  if (added.length === 0 && missing.length === 0) return null
  if (missing.length === 0) return `${journal} counts ${named(added)} as applied.`
  if (added.length === 0) return `${journal} does not count ${named(missing)} as applied.`
  return `${journal} counts ${named(added)} as applied, and not ${named(missing)}.`
}

/** Stands for a SQLSTATE where the tool gave up although the server refused nothing. */
export const NO_SQLSTATE = 'TOOL'

/**
 * Whether the migration failed by an error of the server. A tool can also give up by itself, with an exit code and
 * nothing on the wire.
 */
export const failedOnWire = (run: MigrationRun): boolean =>
  !run.outcome.ok &&
  run.outcome.error.sqlstate !== NO_SQLSTATE &&
  (run.tool === null || run.failedStatement !== null || run.tool.lastError !== null)

/** Whether a migration goes by this name: the tool's own, or the file's without its ending. */
export function isCalled(file: Pick<MigrationFile, 'file' | 'name'>, name: string): boolean {
  if (file.name !== null) return file.name === name
  const last = file.file.slice(file.file.lastIndexOf('/') + 1)
  return last === name || last.replace(/\.[^.]+$/, '') === name
}
