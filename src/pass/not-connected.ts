/** A migration tool that never reached the rehearsal database: why, and what to do. */
import { RehearsalError } from '../errors.js'
import { tellingLine } from '../migrations/child/telling-line.js'
import type { Proxy } from '../wire/proxy.js'
import type { ToolExit, ToolInput } from './context.js'

/** Why the tool never came, as far as can be told. */
export function notConnected(tool: ToolInput, proxy: Pick<Proxy, 'refusals'>, exit: ToolExit): RehearsalError {
  const blocked = tool.setup.notes.find((note) => note.kind === 'blocked')
  const elsewhere = exit.blocked[0]
  const refused = proxy.refusals.at(-1)
  const ended =
    exit.exitCode === null ? 'it was stopped' : `it ended with exit code ${exit.exitCode} without connecting`
  const reason = elsewhere
    ? `it wanted to connect to ${elsewhere.host}:${elsewhere.port}, which was not let through`
    : refused
      ? `its connection was refused: ${refused.reason}`
      : (blocked?.message ?? ended)
  // It never met the database, so nothing that it says can hold a row.
  const said = tellingLine(exit.output)
  return new RehearsalError('TOOL_NOT_CONNECTED', {
    tool: tool.setup.title,
    command: tool.command,
    reason,
    ...(said === undefined || elsewhere ? {} : { said: said.slice(0, 300) }),
    names: tool.setup.variables.map(({ name }) => name).join(', '),
    ...adviceOf(tool, exit, blocked?.advice ?? null),
  })
}

/** What to do; without one, the usual hint about the name of the variable. */
function adviceOf(tool: ToolInput, exit: ToolExit, known: string | null): { advice?: string } {
  if (known !== null) return { advice: known }
  const names = tool.setup.variables.map(({ name }) => name).join(', ') || 'DATABASE_URL'
  if (exit.blocked.length > 0)
    return {
      advice: `It did not take that address from ${names}, where the rehearsal database's is: let it read it from there, or name another variable with migrations.urlEnv. What is no database can be let through with migrations.allowHosts.`,
    }
  if (exit.exitCode === 0 || exit.exitCode === null) return {}
  return {
    advice: `It failed before it connected: see whether ${tool.command} starts at all. It was given the address in ${names}; name another variable with migrations.urlEnv in rehearse.config.ts.`,
  }
}
