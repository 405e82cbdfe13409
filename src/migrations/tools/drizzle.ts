/** Drizzle: drizzle-kit migrate, or the project's own script that calls drizzle-orm's migrate(). */
import { rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { evaluateConfig } from '../child/config-probe.js'
import { readDrizzleConfig, type DrizzleConfig, type EvaluateConfig } from './drizzle-config.js'
import { chooseDriver } from './drizzle-driver.js'
import { chunksOf, probeDrizzle, readDrizzleFolder, type DrizzleFolder, type DrizzleVersion } from './drizzle-files.js'
import { drizzleLedger } from './drizzle-ledger.js'
import { asObject, exists, inCopy, readJson, unreadable } from './files.js'
import { ADVICE, byteOrderMark, transactionNotes } from './impossible.js'
import { findPackage, refuseLiteralAddress, type InstalledPackage } from './package.js'
import type { Launch, ToolNote, ToolRequest, ToolSetup } from './types.js'

/**
 * The project's Drizzle, or null when it has none for PostgreSQL. Throws SCENARIO_INVALID when its configuration or its
 * migrations cannot be read, where Drizzle itself would stop because of its files, and for a literal address.
 */
export async function detect(
  request: ToolRequest,
  evaluate: EvaluateConfig = evaluateConfig,
): Promise<ToolSetup | null> {
  if (request.tool !== undefined && request.tool !== 'drizzle') return null
  const config = await readDrizzleConfig(request, evaluate)
  if (config === null) return null
  const { command, project, shown } = request
  if (command !== undefined) refuseLiteralAddress(command, config.variables, 'migrations.command')
  const kit = await findPackage('drizzle-kit', project)
  // drizzle-kit imports drizzle-orm from where it is itself; a script of the project's own from the project.
  const [first, second] = command === undefined && kit !== null ? [kit.folder, project] : [project, kit?.folder]
  const orm =
    (await findPackage('drizzle-orm', first)) ??
    (second === undefined ? null : await findPackage('drizzle-orm', second))
  const version = orm === null ? await versionByFolder(config.out) : await probeDrizzle(orm)
  const folder = await readDrizzleFolder(config.out, version, shown)
  const run = await launchOf(config, kit, orm, request)
  const packages = [kit, orm].flatMap((installed) => (installed ? [`${installed.name} ${installed.version}`] : []))
  return {
    tool: 'drizzle',
    title: `Drizzle (${folder.layout === 'journal' ? 'journal' : 'folder'} layout)`,
    version: packages.length === 0 ? null : packages.join(', '),
    configFile: config.file,
    folder: config.out,
    files: folder.files,
    ledger: drizzleLedger(config.table, version.rule, folder.entries),
    launch: run.launch,
    variables: config.variables,
    urlParameters: {},
    notes: [...run.notes, ...folder.notes, ...staticNotes(folder)],
    assumptions: [
      ...config.assumptions,
      ...run.assumptions,
      ...(orm === null
        ? ['drizzle-orm is not installed here; its rules were taken from the layout of the folder.']
        : []),
    ],
    cut: (root, names) => cut(folder, config.out, request, root, names),
  }
}

const versionByFolder = async (out: string): Promise<DrizzleVersion> =>
  (await exists(join(out, 'meta', '_journal.json')))
    ? { layouts: 'journal', rule: 'watermark' }
    : { layouts: 'folders', rule: 'names' }

interface Run {
  launch: Launch
  notes: ToolNote[]
  assumptions: string[]
}

async function launchOf(
  config: DrizzleConfig,
  kit: InstalledPackage | null,
  orm: InstalledPackage | null,
  { command, project }: ToolRequest,
): Promise<Run> {
  if (command !== undefined) return { launch: { kind: 'shell', line: command }, notes: [], assumptions: [] }
  const missing = (name: string): never => {
    throw unreadable(
      config.shown,
      `${name} is not installed (no node_modules/${name} from the project upwards): install the project's dependencies, or set migrations.command`,
    )
  }
  const bin = kit?.bins['drizzle-kit']
  if (kit === null || bin === undefined || config.file === null) return missing('drizzle-kit')
  if (orm === null) return missing('drizzle-orm')
  const { driver, notes } = await chooseDriver(kit.folder, config)
  return {
    // Relative, so that it is the copy's own in a copy of the project.
    launch: { kind: 'program', argv: [process.execPath, bin, 'migrate', `--config=${relative(project, config.file)}`] },
    notes,
    assumptions:
      driver === null ? [] : [`drizzle-kit connects with ${driver}, the first of its drivers that is installed.`],
  }
}

function staticNotes({ files }: DrizzleFolder): ToolNote[] {
  const sending = { tool: 'Drizzle', transaction: 'all', chunks: chunksOf, advice: ADVICE.drizzle } as const
  return [...files.flatMap((file) => byteOrderMark(file, 'Drizzle') ?? []), ...transactionNotes(files, sending)]
}

/** Takes the other migrations' files out of a copy; snapshots stay, migrating does not read them. */
async function cut(
  { layout, files }: DrizzleFolder,
  out: string,
  { project, shown }: ToolRequest,
  root: string,
  names: readonly string[],
): Promise<void> {
  const keep = new Set(names)
  const place = (path: string): string => inCopy(project, root, path, shown(path))
  for (const { name, path } of files) {
    if (keep.has(name)) continue
    await rm(place(layout === 'journal' ? path : dirname(path)), { recursive: true, force: true })
  }
  if (layout === 'folders') return
  const journal = join(out, 'meta', '_journal.json')
  const { value } = await readJson(place(journal), shown(journal))
  const content = asObject(value) ?? {}
  const entries = (Array.isArray(content['entries']) ? content['entries'] : []) as unknown[]
  const kept = entries.filter((entry) => keep.has(String(asObject(entry)?.['tag'])))
  await writeFile(place(journal), JSON.stringify({ ...content, entries: kept }, null, 2))
}
