/** Which migration tool a project uses. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { RehearsalError } from '../../errors.js'
import { filesIn, isMigrationFile } from './command-files.js'
import * as command from './command.js'
import * as drizzle from './drizzle.js'
import { listFolder, exists, unreadable } from './files.js'
import { JOURNALS } from './journals.js'
import { recogniseCommand, recogniseFolder, recogniseProject, type Recognised } from './journals-recognise.js'
import { scriptIn } from './node-pg-migrate-command.js'
import * as nodePgMigrate from './node-pg-migrate.js'
import { readManifest, type Manifest } from './package.js'
import * as prisma from './prisma.js'
import * as supabase from './supabase.js'
import type { ToolName, ToolRequest, ToolSetup } from './types.js'

/** Finds a tool's setup in a project; null when it is not there. */
export type Detect = (request: ToolRequest) => Promise<ToolSetup | null>

/** All tools that can be named in the configuration, in the order in which they are looked for. */
export const TOOLS = {
  drizzle: { title: 'Drizzle', detect: drizzle.detect, program: /drizzle/i },
  prisma: { title: 'Prisma', detect: prisma.detect, program: /\bprisma\b/ },
  'node-pg-migrate': { title: 'node-pg-migrate', detect: nodePgMigrate.detect, program: /node-pg-migrate/ },
  supabase: { title: 'Supabase CLI', detect: supabase.detect, program: /\bsupabase\b/ },
  command: { title: 'a command', detect: command.detect, program: null },
} as const satisfies Record<ToolName, { title: string; detect: Detect; program: RegExp | null }>

const LOOKED_FOR = ['drizzle', 'prisma', 'node-pg-migrate', 'supabase'] as const

/** Folders whose *.sql files are taken for plain SQL migrations when no tool is found. */
const PLAIN_FOLDERS = ['migrations', 'db/migrations', 'sql/migrations']
/** Folders that are searched for the marks of tools that are run by a command only. */
const MARKED_FOLDERS = [...PLAIN_FOLDERS, 'db/migrate', 'src/migrations', 'src/main/resources/db/migration']

const usage = (message: string): RehearsalError => new RehearsalError('USAGE', { message })

/**
 * The tool that the request names, or the only one that the project shows; null when there is none, and for plain SQL.
 * Throws SCENARIO_INVALID when the named one is not there or cannot be used, USAGE when several are found or one that
 * only runs by a command.
 */
export async function detectTool(request: ToolRequest): Promise<ToolSetup | null> {
  const { tool, project, shown } = request
  if (tool === 'sql') return null
  if (tool !== undefined) {
    const setup = await TOOLS[tool].detect(request)
    if (setup !== null) return setup
    throw unreadable(shown(project), `nothing of ${TOOLS[tool].title} was found here`)
  }
  const manifest = await readManifest(project, shown)
  if (request.command !== undefined && recogniseCommand(request.command, manifest)) return command.detect(request)
  const found = await findAll(request)
  const named =
    request.command === undefined ? [] : found.filter(({ tool }) => starts(request.command ?? '', manifest, tool))
  const candidates = named.length === 1 ? named : found
  const other = request.command === undefined ? await recogniseOther(request, manifest) : null
  const [only] = candidates
  // A script alone is weak evidence: it may be left over, where another tool has its files.
  if (only !== undefined && candidates.length === 1 && (other === null || other.weak)) {
    if (only.setup === null) throw only.error
    return only.setup
  }
  if (candidates.length > 0) throw several(request, candidates, other)
  if (request.command !== undefined) return command.detect(request)
  if (other !== null)
    throw usage(
      `${titleOf(other)} was recognised by ${other.evidence}; it is run by your own command: ` +
        "set `migrations: { command: '...' }` in rehearse.config.ts",
    )
  return null
}

/** A tool of which there is something; one that cannot be used may be there beside the one that migrates. */
type Candidate = { tool: ToolName } & ({ setup: ToolSetup } | { setup: null; error: RehearsalError })

async function findAll(request: ToolRequest): Promise<Candidate[]> {
  const found: Candidate[] = []
  for (const tool of LOOKED_FOR) {
    try {
      const setup = await TOOLS[tool].detect(request)
      if (setup !== null) found.push({ tool, setup })
    } catch (error) {
      if (!(error instanceof RehearsalError)) throw error
      found.push({ tool, setup: null, error })
    }
  }
  return found
}

/** Whether the command, or the script that it runs, names the tool's program. */
function starts(line: string, manifest: Manifest | null, tool: ToolName): boolean {
  const script = scriptIn(line, manifest?.scripts ?? {})
  const text = `${line}\n${script === null ? '' : (manifest?.scripts[script.name] ?? '')}`
  return TOOLS[tool].program?.test(text) === true
}

function several(request: ToolRequest, candidates: readonly Candidate[], other: Other | null): RehearsalError {
  const names = candidates.map((candidate) => {
    const { tool, setup } = candidate
    const evidence = setup === null ? candidate.error.message : request.shown(setup.configFile ?? setup.folder)
    return `${TOOLS[tool].title} (${evidence})`
  })
  if (other !== null && !other.weak) names.push(`${titleOf(other)} (${other.evidence})`)
  const folders = candidates.flatMap(({ setup }) => (setup === null ? [] : [setup.folder]))
  const shared = folders.find((folder, i) => folders.indexOf(folder) !== i)
  const both = shared === undefined ? '' : ` share ${request.shown(shared)}, and`
  const choices = candidates.map(({ tool }) => `'${tool}'`).join(' or ')
  return usage(
    `${names.join(' and ')}${both} were all found here: say which one migrates the database with ` +
      `\`migrations: { tool: ${choices} }\` in rehearse.config.ts`,
  )
}

interface Other extends Recognised {
  /** Only a script of package.json says so. */
  weak: boolean
}

const titleOf = ({ name }: Recognised): string => JOURNALS[name]?.title ?? 'sqitch'

/** A tool that is run by a command only. */
async function recogniseOther({ project, shown }: ToolRequest, manifest: Manifest | null): Promise<Other | null> {
  const names = await readdir(project)
  const byFile = recogniseProject(names, null)
  if (byFile) return { ...byFile, weak: false }
  for (const name of MARKED_FOLDERS) {
    const folder = join(project, name)
    if (!(await exists(folder))) continue
    const recognised = recogniseFolder(await filesIn(folder, shown))
    if (recognised) return { ...recognised, weak: false }
  }
  const byScript = recogniseProject([], manifest)
  return byScript === null ? null : { ...byScript, weak: true }
}

/**
 * The folder of plain SQL migrations of a project without a tool: `migrations`, `db/migrations` or `sql/migrations` with
 * *.sql files and nothing else that could be a migration; null without one. Throws USAGE when there are several.
 */
export async function findPlainSqlFolder(project: string, shown: (path: string) => string): Promise<string | null> {
  const found: string[] = []
  for (const name of PLAIN_FOLDERS) {
    const folder = join(project, name)
    if (!(await exists(folder))) continue
    const entries = await listFolder(folder, shown(folder))
    const files = entries.filter((entry) => entry.kind === 'file' && isMigrationFile(entry.name))
    if (files.length > 0 && files.every((entry) => entry.name.endsWith('.sql'))) found.push(folder)
  }
  if (found.length > 1)
    throw usage(
      `${found.map(shown).join(' and ')} both hold SQL files: say which holds the migrations with ` +
        "`migrations: { tool: 'sql', folder: '...' }` in rehearse.config.ts",
    )
  return found[0] ?? null
}
