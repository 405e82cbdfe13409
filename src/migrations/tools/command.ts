/** Any command of the team's that migrates: `make migrate`. What its tool's journal is, is recognised where certain. */
import { readdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { filesIn, migrationsOf } from './command-files.js'
import { readKnexfile, type KnexSettings } from './command-knex.js'
import type { EvaluateConfig } from './drizzle-config.js'
import { exists, inCopy, unreadable } from './files.js'
import { ADVICE, transactionNotes } from './impossible.js'
import { inOrder, journalIn, JOURNALS, ledgerOf, type Journal } from './journals.js'
import {
  recogniseCommand,
  recogniseDependency,
  recogniseFolder,
  recogniseProject,
  type FolderFile,
  type Recognised,
} from './journals-recognise.js'
import { readManifest, refuseLiteralAddress } from './package.js'
import { evaluateConfig } from '../child/config-probe.js'
import type { AddressVariable, MigrationSource, ToolNote, ToolRequest, ToolSetup } from './types.js'

/** Where migrations usually are, when the configuration does not say. */
const USUAL_FOLDERS = ['migrations', 'db/migrations', 'db/migrate', 'sql/migrations', 'src/migrations']

/** The variables that tools read by themselves, beside DATABASE_URL. */
const VARIABLES: Readonly<Partial<Record<Recognised['name'], readonly string[]>>> = {
  goose: ['GOOSE_DBSTRING'],
}

/**
 * The setup of a command; null without `request.command`. Throws SCENARIO_INVALID when the command or a knexfile holds a
 * literal address, and when the folder of the migrations is not known.
 */
export async function detect(
  request: ToolRequest,
  evaluate: EvaluateConfig = evaluateConfig,
): Promise<ToolSetup | null> {
  const { command, project, shown } = request
  if (command === undefined) {
    if (request.tool !== 'command') return null
    throw unreadable(shown(project), 'no command to run: set migrations.command')
  }
  const manifest = await readManifest(project, shown)
  const root = await readdir(project)
  const byCommand = recogniseCommand(command, manifest) ?? recogniseProject(root, null)
  const knex = byCommand?.name === 'knex' ? await readKnexfile(request, evaluate) : null
  const folder = await folderOf(request, knex)
  const found = await filesIn(folder, shown)
  const recognised = recogniseFolder(found) ?? byCommand ?? (hasPrograms(found) ? recogniseDependency(manifest) : null)
  const journal = journalOf(recognised, knex)
  const files = inOrder(journal, await migrationsOf(found, shown))
  const variables = [
    'DATABASE_URL',
    ...(knex?.variables ?? []),
    ...(recognised ? (VARIABLES[recognised.name] ?? []) : []),
  ]
  const addresses = [...new Set(variables)].map((name): AddressVariable => ({ name, part: 'url' }))
  refuseLiteralAddress(command, addresses, 'migrations.command')
  return {
    tool: 'command',
    title: recognised === null ? 'Command' : `${titleOf(recognised, journal)} by command`,
    version: null,
    configFile: knex?.file ?? null,
    folder,
    files,
    ledger: journal === null ? null : ledgerOf(journal),
    launch: { kind: 'shell', line: command },
    variables: addresses,
    urlParameters: journal?.urlParameters ?? {},
    notes: notesOf(recognised, journal, files, command),
    assumptions: [
      recognised === null
        ? 'It is not known which tool the command runs, so its journal is not read.'
        : `The command is taken to run ${titleOf(recognised, journal)} (${recognised.evidence}).`,
    ],
    async cut(copy, names) {
      const keep = new Set(names)
      const gone = new Set(files.filter(({ name }) => !keep.has(name)).map(({ path }) => path))
      // Ways back of what goes, too: `1_a.down.sql` of `1_a.up.sql`.
      const stems = [...gone].map((path) => path.replace(/\.up\.sql$/i, ''))
      for (const { path } of found)
        if (gone.has(path) || stems.some((stem) => path === `${stem}.down.sql`))
          await rm(inCopy(project, copy, path, shown(path)), { force: true })
    },
  }
}

const hasPrograms = (files: readonly FolderFile[]): boolean => files.some(({ path }) => !path.endsWith('.sql'))

const titleOf = (recognised: Recognised, journal: Journal | null): string => journal?.title ?? recognised.name

function journalOf(recognised: Recognised | null, knex: KnexSettings | null): Journal | null {
  const journal = recognised === null ? null : JOURNALS[recognised.name]
  if (journal === null || recognised?.name !== 'knex' || knex === null) return journal
  return journalIn(journal, {
    ...(knex.table === null ? {} : { table: knex.table }),
    ...(knex.schema === null ? {} : { schema: knex.schema }),
  })
}

async function folderOf(request: ToolRequest, knex: KnexSettings | null): Promise<string> {
  const { project, shown } = request
  const named = request.folder ?? null
  if (named !== null || knex?.folder != null) {
    const folder = named === null ? (knex?.folder ?? project) : resolve(project, named)
    if (await exists(folder)) return folder
    throw unreadable(shown(folder), 'does not exist; set migrations.folder to the folder of the migrations')
  }
  for (const usual of USUAL_FOLDERS) if (await exists(join(project, usual))) return join(project, usual)
  throw unreadable(
    shown(project),
    `no folder of migrations here (looked for ${USUAL_FOLDERS.join(', ')}): set migrations.folder`,
  )
}

function notesOf(
  recognised: Recognised | null,
  journal: Journal | null,
  files: readonly MigrationSource[],
  command: string,
): ToolNote[] {
  const notes: ToolNote[] = []
  if (journal?.advice !== undefined && !command.includes('--no-dump-schema'))
    notes.push({ kind: 'other', file: null, line: null, message: journal.advice, advice: null })
  if (recognised?.name === 'dbmate') {
    const outside = (file: MigrationSource): boolean =>
      /^--[ \t]*migrate:up[^\n]*\btransaction:false\b/m.test(file.text)
    const inside = files.filter((file) => !outside(file))
    notes.push(
      ...transactionNotes(inside, { tool: 'dbmate', transaction: 'file', advice: ADVICE.dbmate }),
      ...transactionNotes(files.filter(outside), { tool: 'dbmate', transaction: 'message', advice: ADVICE.dbmate }),
    )
  }
  return notes
}
