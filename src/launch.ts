/**
 * The team's migration tool made ready to be started: a copy of the project without its .env files, an environment in
 * which every address is that of the rehearsal database, and a guard that lets it connect to nothing else.
 */
import { join } from 'node:path'
import { startClock } from './clock.js'
import { childEnvironment } from './migrations/child/environment.js'
import { refusedConnections, writeGuard } from './migrations/child/guard.js'
import { runChild } from './migrations/child/run-child.js'
import { copyProject, type ProjectCopy } from './migrations/child/tree.js'
import type { AddressVariable } from './migrations/tools/types.js'
import type { ToolExit, ToolInput } from './pass/context.js'
import type { ScenarioTool } from './scenario.js'

export interface LaunchOptions {
  tool: ScenarioTool
  /** A folder of ours that is removed with the rest of the rehearsal. */
  directory: string
  /** The user's environment. */
  shell: Readonly<Record<string, string | undefined>>
}

export interface ReadyTool {
  /** As the release has it: all migrations. */
  release: ToolInput
  /** As the last release had it: only those that are applied. */
  before(applied: readonly string[]): Promise<ToolInput>
  /** Variables of the project's .env files that the tool does not get. */
  withheld: readonly string[]
}

/** Copies the project. Throws USAGE when it is too large. */
export async function prepareTool({ tool, directory, shell }: LaunchOptions): Promise<ReadyTool> {
  const release = await copyProject(tool.project, join(directory, 'project'))
  let runs = 0
  const input = (copy: ProjectCopy, files: ScenarioTool['setup']['files']): ToolInput => ({
    setup: tool.setup,
    command: tool.command,
    connectWithinMs: tool.connectWithinMs,
    async start({ address, signal }): Promise<ToolExit> {
      const { launch } = tool.setup
      if (launch.kind === 'replay') {
        const { exitCode, lines } = await launch.run({ address, files, signal })
        return { exitCode, signal: null, output: lines.join('\n'), blocked: [] }
      }
      const guard = await writeGuard(join(directory, `run-${++runs}`), { proxy: address, allow: tool.allow })
      const { env } = childEnvironment({
        shell,
        address,
        variables: variablesOf(tool, copy),
        urlParameters: tool.setup.urlParameters,
        pass: tool.pass,
        set: tool.set,
        binFolders: copy.binFolders,
        guard,
      })
      const result = await runChild({
        launch: inside(launch, tool.project, copy.root),
        cwd: copy.root,
        env,
        signal,
        clock: startClock(),
        secrets: [address.password],
        runDirectory: directory,
      })
      const blocked = await refusedConnections(guard)
      return {
        exitCode: result.exitCode,
        signal: result.signal,
        output: result.output,
        blocked: blocked.map(({ host, port }) => ({ host, port: port ?? 0 })),
      }
    },
  })
  return {
    release: input(release, tool.setup.files),
    async before(applied) {
      const copy = await copyProject(tool.project, join(directory, 'project-before'))
      await tool.setup.cut(copy.root, applied)
      return input(
        copy,
        tool.setup.files.filter((file) => applied.includes(file.name)),
      )
    },
    withheld: release.otherVariables,
  }
}

/** Names that the project's own .env files give a database address to are names that its programs read. */
function variablesOf(tool: ScenarioTool, copy: ProjectCopy): AddressVariable[] {
  const known = new Set(tool.variables.map(({ name }) => name))
  return [
    ...tool.variables,
    ...copy.databaseVariables.flatMap((name) => (known.has(name) ? [] : [{ name, part: 'url' as const }])),
  ]
}

/** Paths of the project in the command are those of the copy; node_modules is linked there. */
function inside(
  launch: Exclude<ScenarioTool['setup']['launch'], { kind: 'replay' }>,
  project: string,
  root: string,
): typeof launch {
  if (launch.kind === 'shell') return launch
  const moved = (word: string): string =>
    word.includes(`${project}/`) && !word.includes('/node_modules/') ? word.replace(`${project}/`, `${root}/`) : word
  return { kind: 'program', argv: launch.argv.map(moved) }
}
