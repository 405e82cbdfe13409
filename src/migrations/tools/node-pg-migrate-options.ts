/**
 * node-pg-migrate's options: its command line, node-config's section, its own configuration file, in the order in which
 * version 9 applies them. What a configuration says wins over the command line.
 */
import { extname, join, resolve } from 'node:path'
import type { EvaluateConfig } from './drizzle-config.js'
import { asObject, exists, readJson, unreadable } from './files.js'
import type { FolderOptions } from './node-pg-migrate-files.js'
import type { Selection } from './node-pg-migrate-ledger.js'
import { callsIn, parseCall, scriptIn, type ParsedCall, type ToolCall } from './node-pg-migrate-command.js'
import { findPackage, type Manifest } from './package.js'
import type { JournalTable } from './ledger-row.js'
import type { AddressVariable, ToolRequest } from './types.js'

export interface NodePgMigrateOptions {
  folder: FolderOptions
  table: JournalTable
  selection: Selection
  singleTransaction: boolean
  variables: AddressVariable[]
  /** Absolute; null when there is none. */
  configFile: string | null
  /** Words of the options, for a call of our own. */
  optionWords: readonly string[]
  positional: readonly string[]
  assumptions: string[]
}

interface FoundCall {
  call: ToolCall | null
  /** Where it stands, for people. */
  where: string
  /** Of package.json's, when it is the script's call that we make ourselves. */
  script: string | null
}

/** Prefers a script that migrates up to one that only makes files, whose options are the same. */
function findCall({ command }: ToolRequest, manifest: Manifest | null, shownManifest: string): FoundCall {
  const scripts = manifest?.scripts ?? {}
  if (command !== undefined) {
    const [direct] = callsIn(command)
    if (direct !== undefined) return { call: direct, where: 'migrations.command', script: null }
    const run = scriptIn(command, scripts)
    const [inScript] = run === null ? [] : callsIn(scripts[run.name] ?? '')
    if (run !== null && inScript !== undefined) {
      const call = { ...inScript, words: [...inScript.words, ...run.extra] }
      return { call, where: `${shownManifest}, script ${run.name}`, script: null }
    }
    return { call: null, where: 'migrations.command', script: null }
  }
  const all = Object.entries(scripts).flatMap(([name, line]) => callsIn(line).map((call) => ({ name, call })))
  const rank = ({ call }: { call: ToolCall }): number => {
    const { action, positional } = parseCall(call.words)
    return action === 'up' && positional.length === 0 ? 0 : action === null ? 1 : action === 'up' ? 2 : 3
  }
  const [best] = all.sort((a, b) => rank(a) - rank(b))
  if (best === undefined) return { call: null, where: shownManifest, script: null }
  return { call: best.call, where: `${shownManifest}, script ${best.name}`, script: best.name }
}

/** Whether package.json's scripts call it. */
export const isCalled = (manifest: Manifest | null): boolean =>
  Object.values(manifest?.scripts ?? {}).some((line) => callsIn(line).length > 0)

/** Throws SCENARIO_INVALID for a configuration that cannot be read. */
export async function readOptions(
  request: ToolRequest,
  manifest: Manifest | null,
  evaluate: EvaluateConfig,
): Promise<NodePgMigrateOptions> {
  const { project, shown } = request
  const { call, where, script } = findCall(request, manifest, shown(join(project, 'package.json')))
  const assumptions: string[] = []
  if (call?.needsShell === true || (script !== null && call !== null && call.folder !== null))
    throw unreadable(
      where,
      'this call of node-pg-migrate needs a shell to be understood: write it out in migrations.command',
    )
  if (script !== null && call !== null) {
    assumptions.push(`node-pg-migrate is called with the options of the script ${script} in package.json.`)
    if (call.assigned.length > 0) assumptions.push(`What that script sets (${call.assigned.join(', ')}) is not set.`)
  } else if (call === null && request.command !== undefined)
    assumptions.push('The command calls node-pg-migrate with its default options.')
  const parsed = parseCall(call?.words ?? [])
  for (const name of ['dry-run', 'fake'])
    if (parsed.options[name] === true)
      throw unreadable(
        where,
        `--${name} runs no migration: say in migrations.command how a deploy calls node-pg-migrate`,
      )
  const base = resolve(project, call?.folder ?? '.')
  const settings: Record<string, unknown> = { ...parsed.options }
  const variableName = text(settings['database-url-var']) ?? 'DATABASE_URL'
  const variables: AddressVariable[] = [{ name: variableName, part: 'url' }]
  const apply = (section: unknown, from: string): void => {
    const found = asObject(section)
    if (found === null) return
    if ('database-url-var' in found)
      throw unreadable(
        from,
        'node-pg-migrate takes database-url-var here for the address itself: give the name with -d',
      )
    for (const name of FROM_CONFIG) if (accepts(name, found[name])) settings[name] = found[name]
    if (['url', 'host', 'port', 'name', 'database'].some((key) => Boolean(found[key])))
      assumptions.push(`The database that ${from} names is not used: ${variableName} wins over it.`)
  }
  const section = text(settings['config-value']) ?? 'db'
  await applyNodeConfig(request, base, section, apply, assumptions)
  const configName = text(settings['config-file']) ?? request.config
  const configFile = configName === undefined ? null : resolve(base, configName)
  if (configFile !== null) {
    const { value, names } = await readConfigFile(configFile, base, shown, evaluate)
    apply(asObject(value)?.[section] ?? value, shown(configFile))
    variables.push(...names.filter((name) => name !== variableName).map((name) => ({ name, part: 'url' as const })))
  }
  const optionWords = [...parsed.optionWords]
  if (configFile !== null && settings['config-file'] === undefined) optionWords.push('-f', request.config ?? '')
  return {
    ...{
      folder: folderOf(settings, base, request.folder),
      table: tableOf(settings),
      selection: selectionOf(settings, parsed),
    },
    // Only the command line can switch it off.
    singleTransaction: parsed.options['single-transaction'] !== false,
    ...{ variables, configFile, optionWords, positional: parsed.action === 'up' ? parsed.positional : [], assumptions },
  }
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)

/** What a configuration may say, and of which type for it to count. */
const FROM_CONFIG = [
  ...['schema', 'use-glob', 'migrations-dir', 'migrations-schema', 'migrations-table', 'ignore-pattern', 'check-order'],
] as const
function accepts(name: string, value: unknown): boolean {
  if (name === 'schema') return Array.isArray(value) || text(value) !== undefined
  if (name === 'use-glob' || name === 'check-order') return typeof value === 'boolean'
  return typeof value === 'string'
}

function folderOf(
  settings: Readonly<Record<string, unknown>>,
  base: string,
  folder: string | undefined,
): FolderOptions {
  const useGlob = settings['use-glob'] === true
  const dir = folder ?? text(settings['migrations-dir']) ?? 'migrations'
  return { dir: useGlob ? dir : resolve(base, dir), base, useGlob, ignorePattern: text(settings['ignore-pattern']) }
}

function tableOf(settings: Readonly<Record<string, unknown>>): JournalTable {
  const { schema } = settings
  const [first] = (Array.isArray(schema) ? schema : [schema]).flatMap((name: unknown) => text(name) ?? [])
  return {
    schema: text(settings['migrations-schema']) ?? first ?? 'public',
    name: text(settings['migrations-table']) ?? 'pgmigrations',
  }
}

function selectionOf(settings: Readonly<Record<string, unknown>>, { action, positional }: ParsedCall): Selection {
  const [first] = action === 'up' ? positional : []
  const count = first !== undefined && /^-?\d+$/.test(first) ? Number(first) : null
  const only = first === undefined || count !== null ? null : positional.join('-').replaceAll('_ ', '-')
  return { checkOrder: settings['check-order'] !== false, count, timestamp: settings['timestamp'] === true, only }
}

/** JSON is read, a program is run without the environment. `names`: variables that its address comes from. */
async function readConfigFile(
  file: string,
  base: string,
  shown: (path: string) => string,
  evaluate: EvaluateConfig,
): Promise<{ value: unknown; names: string[] }> {
  if (!(await exists(file))) throw unreadable(shown(file), 'does not exist')
  if (extname(file) === '.json') return { value: (await readJson(file, shown(file))).value, names: [] }
  const { value, reads } = await evaluate(file, base)
  return { value, names: reads.filter(({ path }) => path?.split('.').at(-1) === 'url').map(({ name }) => name) }
}

/** node-config's files in JSON, later ones over earlier ones, when the package is there for node-pg-migrate to find. */
async function applyNodeConfig(
  { project, shown }: ToolRequest,
  base: string,
  section: string,
  apply: (section: unknown, from: string) => void,
  assumptions: string[],
): Promise<void> {
  const tool = await findPackage('node-pg-migrate', project)
  if ((await findPackage('config', tool?.folder ?? project)) === null) return
  const folder = join(base, 'config')
  const sections: Readonly<Record<string, unknown>>[] = []
  for (const name of ['default', 'development', 'local', 'local-development']) {
    const file = join(folder, `${name}.json`)
    if (await exists(file)) {
      const found = asObject(asObject((await readJson(file, shown(file))).value)?.[section])
      if (found !== null) sections.push(found)
    }
    for (const ending of ['js', 'ts', 'yaml', 'yml', 'json5', 'toml'])
      if (await exists(join(folder, `${name}.${ending}`)))
        assumptions.push(`Nothing in ${shown(join(folder, `${name}.${ending}`))} is about migrations.`)
  }
  if (sections.length === 0) return
  assumptions.push('node-config is read as for NODE_ENV=development.')
  apply(Object.assign({}, ...sections) as unknown, shown(folder))
}
