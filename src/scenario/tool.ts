/** The team's migration tool in a scenario or a project: found, read, and asked for what is pending. */
import { isAbsolute } from 'node:path'
import { RehearsalError } from '../errors.js'
import { findLiteralUrlsInLaunch } from '../migrations/child/literal-urls.js'
import { detectTool } from '../migrations/tools/index.js'
import type { AddressVariable, MigrationSource, ToolSetup } from '../migrations/tools/types.js'
import type { MigrationFile, ToolNote } from '../recording.js'
import { splitSql } from '../sql/split.js'
import type { Folder } from './files.js'
import { resolvePending, type PendingFiles, type PendingInput } from './pending.js'
import type { ScenarioSettings } from './schema.js'

export interface ScenarioTool {
  setup: ToolSetup
  /** Absolute folder that it is run in. */
  project: string
  /** As one would type it. */
  command: string
  applied: string[]
  /** In the tool's order. What the tool itself makes of them is seen when its journal is there. */
  pending: string[]
  /** How the pending ones are known. */
  pendingBy: string
  /** Only the journal in the given schema tells which of them are applied already. */
  byJournal: boolean
  /** Variables that get the address, or a part of it. */
  variables: AddressVariable[]
  set: Record<string, string>
  pass: string[]
  allow: string[]
  connectWithinMs: number
}

type Given = Exclude<ScenarioSettings['migrations'], string | undefined>

export const CONNECT_WITHIN_MS = 60_000

export interface ToolInputs {
  folder: Folder
  given: Given
  pending: Pick<PendingInput, 'given' | 'since' | 'profile' | 'settingsFile'>
  /** The schema is given, and the tool's journal with it: then that decides, unless the user says what is pending. */
  schemaGiven: boolean
}

/** null when no tool is used here. Throws SCENARIO_INVALID, USAGE, PENDING_UNKNOWN, NOTHING_PENDING. */
export async function readTool({ folder, given, pending, schemaGiven }: ToolInputs): Promise<ScenarioTool | null> {
  const project = folder.resolve(given.project ?? '.')
  const setup = await detectTool({
    project,
    shown: (path) => folder.shown(path),
    ...(given.tool === undefined ? {} : { tool: given.tool }),
    ...(given.command === undefined ? {} : { command: given.command }),
    ...(given.config === undefined ? {} : { config: given.config }),
    ...(given.folder === undefined ? {} : { folder: given.folder }),
  })
  if (!setup) return null
  await refuseLiteralUrls(setup, project, folder)
  const byJournal = schemaGiven && setup.ledger !== null && pending.given === undefined && pending.since === undefined
  const files: PendingFiles = byJournal
    ? { applied: [], pending: setup.files.map(({ name }) => name), by: 'the journal' }
    : await resolvePending({ ...pending, files: setup.files, project })
  if (files.pending.length === 0) throw nothingPending(setup, files)
  const names = given.urlEnv === undefined ? [] : [given.urlEnv].flat()
  return {
    setup,
    project,
    command: commandOf(setup, project),
    applied: files.applied,
    pending: files.pending,
    pendingBy: files.by,
    byJournal,
    variables: [
      ...names.map((name) => ({ name, part: 'url' as const })),
      ...setup.variables.filter(({ name }) => !names.includes(name)),
    ],
    set: given.env ?? {},
    pass: given.passEnv ?? [],
    allow: given.allowHosts ?? [],
    connectWithinMs: given.connectWithin ?? CONNECT_WITHIN_MS,
  }
}

const nothingPending = (setup: ToolSetup, files: PendingFiles): RehearsalError =>
  new RehearsalError('NOTHING_PENDING', {
    tool: setup.title,
    count: setup.files.length,
    by: files.by,
    notes: setup.notes
      .filter(({ kind }) => kind === 'unlisted' || kind === 'skipped')
      .map((note) =>
        note.file === null || note.message.includes(note.file) ? note.message : `${note.file}: ${note.message}`,
      )
      .join(' '),
  })

/** As people type it: the tool's name instead of the path of Node and of its file. */
export function commandOf(setup: ToolSetup, project: string): string {
  const { launch } = setup
  if (launch.kind === 'shell') return launch.line
  if (launch.kind === 'replay') return setup.title
  const words = launch.argv.flatMap((word, index) => {
    if (index === 0 && word === process.execPath) return []
    const inside = /.*\/node_modules\/(?:\.bin\/)?(.+)$/.exec(word)?.[1]
    if (inside !== undefined && index <= 1) return [inside.split('/')[0] ?? inside]
    return [isAbsolute(word) && word.startsWith(`${project}/`) ? word.slice(project.length + 1) : word]
  })
  return words.join(' ')
}

/** What the command runs may hold an address that no variable can replace. */
async function refuseLiteralUrls(setup: ToolSetup, project: string, folder: Folder): Promise<void> {
  if (setup.launch.kind === 'replay') return
  const [first] = await findLiteralUrlsInLaunch(setup.launch, project)
  if (first === undefined) return
  throw new RehearsalError('SCENARIO_INVALID', {
    file: isAbsolute(first.file) ? folder.shown(first.file) : first.file,
    line: first.line,
    message:
      'holds the address of a database: a rehearsal never starts a tool that could reach another one; read it from the environment (process.env.DATABASE_URL)',
  })
}

/** The pending migrations as the recording has them. Statements of programs are learnt when they run. */
export async function migrationFiles(
  sources: readonly MigrationSource[],
  names: readonly string[],
): Promise<MigrationFile[]> {
  const files: MigrationFile[] = []
  for (const name of names) {
    const source = sources.find((one) => one.name === name)
    if (!source) continue
    files.push({
      file: source.shown,
      sha256: source.sha256,
      transaction: 'tool',
      name: source.name,
      kind: source.kind,
      // What does not parse is the server's to refuse, as it would in production.
      statements: source.kind === 'sql' ? await splitSql(source.sql, source.shown).catch(() => []) : [],
    })
  }
  return files
}

/** The migrations that are in this release and that the tool's own rule passes over. */
export function passedOver(
  setup: ToolSetup,
  wanted: readonly string[],
  byTool: readonly string[],
  notes: readonly ToolNote[],
): ToolNote[] {
  const said = new Set(notes.map((note) => note.file))
  return wanted.flatMap((name): ToolNote[] => {
    const file = setup.files.find((one) => one.name === name)?.shown ?? name
    if (byTool.includes(name) || said.has(file)) return []
    return [
      {
        kind: 'skipped',
        file,
        line: null,
        message: `${setup.title} takes ${name} for applied already and will not run it.`,
        advice: null,
      },
    ]
  })
}
