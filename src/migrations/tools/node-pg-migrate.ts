/** node-pg-migrate 9: SQL files and programs, run by its own command line. */
import { rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { evaluateConfig } from '../child/config-probe.js'
import type { EvaluateConfig } from './drizzle-config.js'
import { inCopy, unreadable } from './files.js'
import { ADVICE, byteOrderMark, transactionNotes } from './impossible.js'
import { fileNotes, readFolder } from './node-pg-migrate-files.js'
import { globBase } from './node-pg-migrate-glob.js'
import { nodePgMigrateLedger } from './node-pg-migrate-ledger.js'
import { isCalled, readOptions, type NodePgMigrateOptions } from './node-pg-migrate-options.js'
import { findPackage, readManifest, refuseLiteralAddress, type InstalledPackage } from './package.js'
import type { Launch, MigrationSource, ToolNote, ToolRequest, ToolSetup } from './types.js'

const TOOL = 'node-pg-migrate'

/**
 * The project's node-pg-migrate, or null when package.json neither depends on it nor calls it. Throws SCENARIO_INVALID
 * when its configuration or its migrations cannot be read, where node-pg-migrate itself would stop because of its files,
 * and for a literal address in the command.
 */
export async function detect(
  request: ToolRequest,
  evaluate: EvaluateConfig = evaluateConfig,
): Promise<ToolSetup | null> {
  const { tool, project, shown, command } = request
  if (tool !== undefined && tool !== TOOL) return null
  const manifest = await readManifest(project, shown)
  if (tool === undefined && manifest?.dependencies.has(TOOL) !== true && !isCalled(manifest)) return null
  const options = await readOptions(request, manifest, evaluate)
  if (command !== undefined) refuseLiteralAddress(command, options.variables, 'migrations.command')
  const files = await readFolder(options.folder, shown)
  const installed = await findPackage(TOOL, project)
  return {
    tool: TOOL,
    title: TOOL,
    version: installed === null ? null : `${TOOL} ${installed.version}`,
    configFile: options.configFile,
    folder: folderOf(options),
    files,
    ledger: nodePgMigrateLedger(options.table, options.selection),
    launch: launchOf(options, installed, request),
    variables: options.variables,
    urlParameters: {},
    notes: staticNotes(files, options),
    assumptions: [...options.assumptions, ...oldVersion(installed)],
    async cut(root, names) {
      const places = files
        .filter(({ name }) => !names.includes(name))
        .map((file) => inCopy(project, root, file.path, file.shown))
      for (const path of places) await rm(path, { force: true })
    },
  }
}

const folderOf = ({ folder: { dir, base, useGlob } }: NodePgMigrateOptions): string =>
  useGlob ? globBase(join(base, dir)) : dir

function launchOf(
  options: NodePgMigrateOptions,
  installed: InstalledPackage | null,
  { command, project, shown, folder }: ToolRequest,
): Launch {
  if (command !== undefined) return { kind: 'shell', line: command }
  const bin = installed?.bins[TOOL]
  if (bin === undefined)
    throw unreadable(
      shown(join(project, 'package.json')),
      `${TOOL} is not installed (no node_modules/${TOOL} from the project upwards): install the project's dependencies, or set migrations.command`,
    )
  // A count or a name follows the action; a list option would take words that come after it.
  const own = folder === undefined ? [] : ['-m', relative(project, options.folder.dir) || '.']
  return { kind: 'program', argv: [process.execPath, bin, 'up', ...options.positional, ...options.optionWords, ...own] }
}

function staticNotes(files: readonly MigrationSource[], { singleTransaction }: NodePgMigrateOptions): ToolNote[] {
  const sending = { tool: TOOL, transaction: singleTransaction ? 'all' : 'file', advice: ADVICE[TOOL] } as const
  return [
    ...files.flatMap((file) => byteOrderMark(file, TOOL) ?? []),
    ...fileNotes(files, singleTransaction),
    ...transactionNotes(files, sending),
  ]
}

function oldVersion(installed: InstalledPackage | null): string[] {
  const major = Number(installed?.version.split('.')[0])
  return installed === null || major === 9
    ? []
    : [`The rules are those of ${TOOL} 9; ${installed.version} is installed.`]
}
