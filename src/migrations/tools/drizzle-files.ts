/** Drizzle's migrations on the disk, read by the rules of the drizzle-orm that is installed. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  asObject,
  exists,
  lineOf,
  listFolder,
  readJson,
  readMigration,
  sha256,
  unreadable,
  type Range,
} from './files.js'
import type { InstalledPackage } from './package.js'
import type { MigrationSource, ToolNote } from './types.js'

/** What drizzle-orm reads: only a journal (to 0.45), a journal or else folders (betas of 1.0), only folders (1.0). */
export type DrizzleLayouts = 'journal' | 'either' | 'folders'
/**
 * Which migrations it runs: those later than the latest applied one (to 0.45, early betas), those whose time (a few
 * betas) or whose name (1.0) is not in the journal table.
 */
export type DrizzleRule = 'watermark' | 'times' | 'names'

export interface DrizzleVersion {
  layouts: DrizzleLayouts
  rule: DrizzleRule
}

/** What an installed drizzle-orm does, from its migrator: version numbers of the betas do not tell. */
export async function probeDrizzle(orm: InstalledPackage): Promise<DrizzleVersion> {
  const read = (file: string): Promise<string> => readFile(join(orm.folder, file), 'utf8').catch(() => '')
  const [migrator, utils] = await Promise.all([read('migrator.js'), read('migrator.utils.js')])
  const layouts = !migrator.includes('migration.sql')
    ? 'journal'
    : migrator.includes('readMigrationFilesOLD')
      ? 'either'
      : 'folders'
  const rule = !utils.includes('getMigrationsToRun') ? 'watermark' : utils.includes('created_at') ? 'times' : 'names'
  return { layouts, rule }
}

/** What the tool itself knows of a migration besides its text. */
export interface DrizzleEntry {
  /** `created_at` of its journal row, in ms; NaN for a folder whose name does not begin with 14 digits. */
  when: number
}

export interface DrizzleFolder {
  layout: 'journal' | 'folders'
  files: MigrationSource[]
  /** By the migrations' names. */
  entries: ReadonlyMap<string, DrizzleEntry>
  notes: ToolNote[]
}

/** Where drizzle-orm cuts a file into the strings that it sends; it does not look at what the marker stands in. */
export const BREAKPOINT = '--> statement-breakpoint'

export function chunksOf(sql: string): Range[] {
  const chunks: Range[] = []
  let start = 0
  for (const part of sql.split(BREAKPOINT)) {
    chunks.push({ start, end: start + part.length })
    start += part.length + BREAKPOINT.length
  }
  return chunks
}

/** Of the text as drizzle-orm decodes it. */
export const hashOf = (file: MigrationSource): string => sha256(file.text)

const journalOf = (folder: string): string => join(folder, 'meta', '_journal.json')

/**
 * Reads the folder as this drizzle-orm would. Throws SCENARIO_INVALID where it would fail: a layout that is not its own,
 * a file that the journal names and that does not exist.
 */
export async function readDrizzleFolder(
  folder: string,
  { layouts }: Pick<DrizzleVersion, 'layouts'>,
  shown: (path: string) => string,
): Promise<DrizzleFolder> {
  const journal = journalOf(folder)
  const hasJournal = await exists(journal)
  if (layouts === 'folders' && hasJournal)
    throw unreadable(
      shown(journal),
      'the installed drizzle-orm refuses a folder with a journal: "We detected that you have old drizzle-kit migration folders. ' +
        'You must upgrade drizzle-kit and run "drizzle-kit up""',
    )
  if (hasJournal) return readJournal(folder, shown)
  if (layouts !== 'journal') return readFolders(folder, shown)
  const entries = await listFolder(folder, shown(folder))
  const newer = await Promise.all(entries.map(({ path }) => exists(join(path, 'migration.sql'))))
  const why = newer.includes(true)
    ? ': the folder is laid out for drizzle-orm 1.0 (a folder for each migration), and an older one is installed'
    : ''
  throw unreadable(shown(journal), `the installed drizzle-orm "Can't find meta/_journal.json file"${why}`)
}

async function readJournal(folder: string, shown: (path: string) => string): Promise<DrizzleFolder> {
  const path = journalOf(folder)
  const { value, text } = await readJson(path, shown(path))
  const listed = asObject(value)?.['entries']
  if (!Array.isArray(listed)) throw unreadable(shown(path), 'has no list of entries')
  const onDisk = (await listFolder(folder, shown(folder))).filter(
    ({ kind, name }) => kind === 'file' && name.endsWith('.sql'),
  )
  const known = new Set(onDisk.map(({ name }) => name))
  const files: MigrationSource[] = []
  const entries = new Map<string, DrizzleEntry>()
  const notes: ToolNote[] = []
  const tags = listed.map((entry) => asObject(entry)?.['tag'])
  const unlisted = onDisk.filter(({ name }) => !tags.includes(name.slice(0, -'.sql'.length)))
  for (const [i, entry] of listed.entries()) {
    const { tag, when } = asObject(entry) ?? {}
    if (typeof tag !== 'string' || typeof when !== 'number')
      throw unreadable(shown(path), `entry ${i + 1} has no tag or no when`)
    const line = lineOf(text, `"tag": ${JSON.stringify(tag)}`, JSON.stringify(tag))
    if (entries.has(tag)) {
      const message = `the journal names ${tag} twice, and Drizzle runs its file twice where both entries are pending.`
      notes.push({ kind: 'order', file: shown(path), line, message, advice: 'Remove one of the entries.' })
      continue
    }
    const file = join(folder, `${tag}.sql`)
    // A tag may lead to another folder.
    if (!known.has(`${tag}.sql`) && !(await exists(file)))
      throw unreadable(shown(path), missingFile(tag, shown(file), unlisted.length, shown(folder)), line)
    files.push(await readMigration(file, { name: tag, shown }))
    entries.set(tag, { when })
  }
  notes.push(...unlisted.map((file) => unlistedNote(shown(file.path), shown(path))))
  notes.push(...orderNotes(files, entries, shown(path), text))
  return { layout: 'journal', files, entries, notes }
}

function missingFile(tag: string, file: string, unlisted: number, folder: string): string {
  const rest =
    unlisted === 0
      ? ''
      : `, and it does not name ${unlisted} SQL file${unlisted === 1 ? '' : 's'} of the folder. It does not build the schema: ` +
        `to rehearse the SQL files themselves, set migrations to { tool: 'sql', folder: '${folder}' }`
  return `the journal names ${tag}, but ${file} does not exist, so drizzle-orm stops with "No file ... found"${rest}`
}

const unlistedNote = (file: string, journal: string): ToolNote => ({
  kind: 'unlisted',
  file,
  line: null,
  message: `${journal} does not name this file, so Drizzle never runs it.`,
  advice: 'Make migrations with drizzle-kit generate (--custom for SQL of your own), which adds them to the journal.',
})

/** Entries that a database which already has an earlier one passes over: Drizzle runs only what is later. */
function orderNotes(
  files: readonly MigrationSource[],
  entries: ReadonlyMap<string, DrizzleEntry>,
  journal: string,
  text: string,
): ToolNote[] {
  const notes: ToolNote[] = []
  let latest: { name: string; when: number } | null = null
  for (const { name } of files) {
    const { when } = entries.get(name) ?? { when: NaN }
    if (latest !== null && when <= latest.when) {
      const message =
        `${name} (when ${when}) is not later than ${latest.name} (when ${latest.when}), which stands before it: Drizzle ` +
        `skips it without a word in every database that has ${latest.name} already.`
      const line = lineOf(text, `"tag": ${JSON.stringify(name)}`, JSON.stringify(name))
      const advice = `Set its when to a number above ${latest.when}, before it is deployed anywhere.`
      notes.push({ kind: 'skipped', file: journal, line, message, advice })
    }
    if (latest === null || when > latest.when) latest = { name, when }
  }
  return notes
}

/** drizzle-orm's own reckoning: months and days are not checked. */
function timeOf(name: string): number {
  const part = (from: number, to: number): number => parseInt(name.slice(0, 14).slice(from, to), 10)
  return Date.UTC(part(0, 4), part(4, 6) - 1, part(6, 8), part(8, 10), part(10, 12), part(12, 14))
}

async function readFolders(folder: string, shown: (path: string) => string): Promise<DrizzleFolder> {
  const inside = await listFolder(folder, shown(folder))
  const found = []
  const notes: ToolNote[] = []
  for (const entry of inside) {
    const path = join(entry.path, 'migration.sql')
    if (await exists(path)) found.push({ name: entry.name, path })
    else if (entry.name.endsWith('.sql') && entry.kind === 'file')
      notes.push({
        ...{ kind: 'unlisted', file: shown(entry.path), line: null },
        message: 'is not in a folder of its own as migration.sql, so Drizzle never runs it.',
        advice: 'Make migrations with drizzle-kit generate (--custom for SQL of your own).',
      })
  }
  found.sort((a, b) => a.name.localeCompare(b.name))
  const files = await Promise.all(found.map(({ name, path }) => readMigration(path, { name, shown })))
  const entries = new Map(found.map(({ name }) => [name, { when: timeOf(name) }]))
  for (const { name, shown: file } of files)
    if (Number.isNaN(entries.get(name)?.when))
      notes.push({
        ...{ kind: 'impossible', file, line: null },
        message: `the name of the folder ${name} does not begin with a time (YYYYMMDDHHMMSS), and Drizzle cannot write it to its journal (SQLSTATE 22P02).`,
        advice: 'Name it as drizzle-kit generate does: 20260131120000_name.',
      })
  return { layout: 'folders', files, entries, notes }
}
