/** A project of a user's, and its tool run the way a rehearsal runs it. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { startClock } from '../../../src/clock.js'
import { childEnvironment } from '../../../src/migrations/child/environment.js'
import { refusedConnections, writeGuard, type RefusedConnection } from '../../../src/migrations/child/guard.js'
import { runChild, type ChildResult, type ProgramLaunch } from '../../../src/migrations/child/run-child.js'
import { copyProject } from '../../../src/migrations/child/tree.js'
import type { Address } from '../../../src/pg/connect.js'

const packages = new URL('../../../node_modules/', import.meta.url).pathname

export interface Scratch {
  readonly path: string
  write(files: Readonly<Record<string, string>>): void
  git(...args: string[]): void
  remove(): void
}

/** A folder of its own with a space in its name. */
export function scratch(): Scratch {
  const path = realpathSync(mkdtempSync(join(os.tmpdir(), 'rehearse test-')))
  return {
    path,
    write(files) {
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(path, name)), { recursive: true })
        writeFileSync(join(path, name), text)
      }
    },
    git: (...args) => {
      execFileSync('git', ['-c', 'safe.directory=*', ...args], { cwd: path, stdio: 'ignore' })
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  }
}

/** Gives a project packages that are installed here. */
export function install(project: string, ...names: string[]): void {
  mkdirSync(join(project, 'node_modules'), { recursive: true })
  for (const name of names) symlinkSync(join(packages, name), join(project, 'node_modules', name))
}

export interface ToolOptions {
  launch: ProgramLaunch
  address: Address
  shell?: Record<string, string>
  pass?: string[]
  set?: Record<string, string>
  allow?: string[]
}

export interface ToolRun extends ChildResult {
  /** The lines of its output. */
  lines: string[]
  refused: RefusedConnection[]
}

/** Copies the project and runs its tool in the copy. */
export async function runTool(project: string, options: ToolOptions): Promise<ToolRun> {
  const run = scratch()
  try {
    const copy = await copyProject(project, join(run.path, 'project'))
    const guard = await writeGuard(join(run.path, 'guard'), { proxy: options.address, allow: options.allow ?? [] })
    const { env } = childEnvironment({
      shell: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...options.shell },
      address: options.address,
      variables: copy.databaseVariables.map((name) => ({ name, part: 'url' })),
      urlParameters: {},
      pass: options.pass ?? [],
      set: options.set ?? {},
      binFolders: copy.binFolders,
      guard,
    })
    const result = await runChild({
      launch: options.launch,
      cwd: copy.root,
      env,
      signal: new AbortController().signal,
      clock: startClock(),
      secrets: [options.address.password],
      runDirectory: run.path,
    })
    return { ...result, lines: result.output.trimEnd().split('\n'), refused: await refusedConnections(guard) }
  } finally {
    run.remove()
  }
}
