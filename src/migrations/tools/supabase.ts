/** The Supabase CLI's folder `supabase/migrations`. */
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { exists, inCopy, listFolder, readMigration, unreadable } from './files.js'
import { ADVICE, byteOrderMark, transactionNotes } from './impossible.js'
import { findPackage, refuseLiteralAddress } from './package.js'
import { supabaseLedger, versionOf } from './supabase-ledger.js'
import { replaySupabase } from './supabase-replay.js'
import type { AddressVariable, Launch, MigrationSource, ToolNote, ToolRequest, ToolSetup } from './types.js'

const VARIABLES: readonly AddressVariable[] = [{ name: 'DATABASE_URL', part: 'url' }]

/**
 * The CLI is told the address on its command line only. It takes no answer without TLS from a server that is not its own
 * unless it is told so here.
 */
const COMMAND = 'PGSSLMODE=disable supabase migration up --db-url "$DATABASE_URL"'

/** null when the project has no migrations of the Supabase CLI. Throws SCENARIO_INVALID. */
export async function detect(request: ToolRequest): Promise<ToolSetup | null> {
  const asked = request.tool === 'supabase'
  const usual = join(request.project, 'supabase', 'migrations')
  const folder = request.folder === undefined ? usual : resolve(request.project, request.folder)
  // Without being asked for, only the folder itself tells that it is the CLI's.
  if (!asked && (request.tool !== undefined || folder !== usual)) return null
  if (!(await exists(folder))) {
    if (!asked) return null
    throw unreadable(request.shown(folder), 'does not exist: no migrations of the Supabase CLI here')
  }
  const { files, notes } = await readFiles(folder, request)
  if (files.length === 0 && !asked) return null
  const installed = await findPackage('supabase', request.project)
  const bin = installed?.bins['supabase']
  const includeAll = /(?:^|\s)--include-all(?:\s|=|$)/.test(request.command ?? '')
  return {
    tool: 'supabase',
    title: 'Supabase CLI',
    version: installed === null ? null : `supabase ${installed.version}`,
    configFile: null,
    folder,
    files,
    ledger: supabaseLedger(includeAll),
    launch: launchOf(request, bin !== undefined && (await exists(bin)), includeAll),
    variables: VARIABLES,
    urlParameters: { sslmode: 'disable' },
    notes: [
      ...notes,
      ...transactionNotes(files, {
        ...{ tool: 'Supabase CLI', transaction: 'message', protocol: 'pipeline', advice: ADVICE.supabase },
      }),
    ],
    assumptions: ['Secrets of supabase/config.toml ([db.vault]) are not written, and seeds and roles are not run.'],
    async cut(root, names) {
      const gone = files.filter(({ name }) => !names.includes(name))
      for (const { path, shown } of gone) await rm(inCopy(request.project, root, path, shown), { force: true })
    },
  }
}

function launchOf(request: ToolRequest, hasProgram: boolean, includeAll: boolean): Launch {
  const { command } = request
  if (command !== undefined) {
    refuseLiteralAddress(command, VARIABLES, 'migrations.command')
    return { kind: 'shell', line: command }
  }
  if (hasProgram) return { kind: 'shell', line: COMMAND }
  return {
    kind: 'replay',
    why: 'The program of the Supabase CLI is not in node_modules. Its messages are sent by the rehearsal.',
    run: (options) => replaySupabase(options, includeAll),
  }
}

/** In the order of their names. The CLI says that it passes over what is not named like a migration. */
async function readFiles(
  folder: string,
  request: ToolRequest,
): Promise<{ files: MigrationSource[]; notes: ToolNote[] }> {
  const files: MigrationSource[] = []
  const notes: ToolNote[] = []
  const entries = (await listFolder(folder, request.shown(folder))).filter(({ kind }) => kind === 'file')
  for (const [index, { name, path }] of entries.entries()) {
    const note = (kind: ToolNote['kind'], message: string, advice: string): void =>
      void notes.push({ kind, file: request.shown(path), line: null, message, advice })
    if (index === 0 && isDeprecatedInit(name))
      note('skipped', 'The CLI never runs a first migration of this name from before December 2021.', 'Rename it.')
    else if (versionOf(name) === null) {
      if (name.endsWith('.sql'))
        note('unlisted', 'The CLI passes over it: its name is not <timestamp>_name.sql.', 'Rename it.')
    } else {
      const file = await readMigration(join(folder, name), {
        name: name.slice(0, -'.sql'.length),
        shown: request.shown,
      })
      const mark = byteOrderMark(file, 'the Supabase CLI')
      if (mark) notes.push(mark)
      files.push(file)
    }
  }
  return { files, notes }
}

const isDeprecatedInit = (name: string): boolean => {
  const stamp = /([0-9]{14})_init\.sql/.exec(name)?.[1]
  return stamp !== undefined && stamp < '20211209000000'
}
