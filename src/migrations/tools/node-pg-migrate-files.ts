/** node-pg-migrate's migrations on the disk: which files, in which order, and what of an SQL file is sent. Version 9. */
import { readdir } from 'node:fs/promises'
import { basename, extname, isAbsolute, join, resolve } from 'node:path'
import { asGlob, globBase } from './node-pg-migrate-glob.js'
import { exists, listFolder, readMigration, unreadable, type Range } from './files.js'
import type { MigrationSource, ToolNote } from './types.js'

export interface FolderOptions {
  /** Absolute folder, or with `useGlob` a pattern, relative to `base`. */
  dir: string
  base: string
  useGlob: boolean
  /** A regular expression for the whole name, or with `useGlob` a pattern. Undefined: names that begin with a dot. */
  ignorePattern: string | undefined
}

/** The number that a file is sorted by: 17 digits are a time, anything else is taken as it is. null without digits. */
export function numericPrefix(name: string): number | null {
  const [digits] = /^\d+/.exec(name) ?? []
  if (digits === undefined) return null
  if (digits.length !== 17) return Number(digits)
  const part = (from: number, to: number): string => digits.slice(from, to)
  const day = `${part(0, 4)}-${part(4, 6)}-${part(6, 8)}`
  return new Date(`${day}T${part(8, 10)}:${part(10, 12)}:${part(12, 14)}.${part(14, 17)}Z`).valueOf()
}

/** node-pg-migrate's order of file names. */
export const compareNames = (a: string, b: string): number =>
  (numericPrefix(a) ?? NaN) - (numericPrefix(b) ?? NaN) ||
  a.localeCompare(b, undefined, { usage: 'sort', numeric: true, sensitivity: 'variant', ignorePunctuation: true })

/**
 * All migrations in the tool's order. Throws SCENARIO_INVALID when the folder cannot be listed, and where
 * node-pg-migrate stops: a file without a number among several.
 */
export async function readFolder(options: FolderOptions, shown: (path: string) => string): Promise<MigrationSource[]> {
  const paths = options.useGlob ? await globbed(options, shown) : await listed(options, shown)
  const odd = paths.length < 2 ? undefined : paths.find((path) => numericPrefix(basename(path)) === null)
  if (odd !== undefined)
    throw unreadable(shown(odd), `node-pg-migrate stops: Cannot determine numeric prefix for "${basename(odd)}"`)
  const byName = (a: string, b: string): number => compareNames(basename(a), basename(b))
  // It sorts, loads kind by kind, and sorts again: of equal names, the kind that came first goes first.
  const sorted = [...paths].sort(byName)
  const kinds = [...new Set(sorted.map((path) => extname(path).toLowerCase()))]
  const loaded = kinds.flatMap((kind) => sorted.filter((path) => extname(path).toLowerCase() === kind)).sort(byName)
  return Promise.all(
    loaded.map((path) => {
      const kind = extname(path).toLowerCase() === '.sql' ? 'sql' : 'code'
      return readMigration(path, { name: basename(path, extname(path)), kind, shown, notSent: outsideOfUp })
    }),
  )
}

async function listed({ dir, ignorePattern }: FolderOptions, shown: (path: string) => string): Promise<string[]> {
  const ignored = ignoreExpression(ignorePattern)
  if (!(await exists(dir)))
    throw unreadable(
      shown(dir),
      'does not exist: no migrations of node-pg-migrate here; name their folder in migrations.folder',
    )
  return (await listFolder(dir, shown(dir)))
    .filter(({ name, kind }) => kind !== 'folder' && !ignored.test(name))
    .map(({ path }) => path)
}

function ignoreExpression(pattern: string | undefined): RegExp {
  try {
    return new RegExp(pattern === undefined || pattern === '' ? '^\\..*' : `^${pattern}$`)
  } catch {
    throw unreadable('ignore-pattern of node-pg-migrate', 'is not a regular expression')
  }
}

async function globbed(options: FolderOptions, shown: (path: string) => string): Promise<string[]> {
  const { dir, base, ignorePattern } = options
  const pattern = isAbsolute(dir) ? dir : join(base, dir)
  const [wanted, ignored] = [asGlob(pattern), ignorePattern === undefined ? null : asGlob(resolve(base, ignorePattern))]
  const from = globBase(pattern)
  try {
    const entries = await readdir(from, { withFileTypes: true, recursive: true })
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => wanted.test(path) && ignored?.test(path) !== true)
  } catch {
    throw unreadable(shown(from), 'cannot be listed')
  }
}

const marker = (direction: 'up' | 'down', text: string): number =>
  text.search(new RegExp(`^\\s*--[\\s-]*${direction}\\s+migration`, 'im'))

/** What of an SQL file is not sent on the way up. Without an `-- Up Migration` line everything is, a down section too. */
export function outsideOfUp(text: string): Range[] {
  const [up, down] = [marker('up', text), marker('down', text)]
  if (up === -1) return []
  const end = down < up ? text.length : down
  return [
    { start: 0, end: up },
    { start: end, end: text.length },
  ]
}

/** What the files alone tell. `singleTransaction`: all pending files in one transaction, as by default. */
export function fileNotes(files: readonly MigrationSource[], singleTransaction: boolean): ToolNote[] {
  const notes: ToolNote[] = []
  const names = new Map<string, MigrationSource>()
  for (const file of files) {
    const about = { file: file.shown, line: null } as const
    const twin = names.get(file.name)
    if (twin !== undefined) {
      const message = `has the same name (${file.name}) as ${twin.shown}: the journal cannot tell them apart.`
      notes.push({ kind: 'order', ...about, message, advice: 'Rename one of them.' })
    }
    names.set(file.name, file)
    if (file.kind === 'sql' && marker('up', file.text) === -1 && marker('down', file.text) !== -1) {
      const message =
        'has a `-- Down Migration` line and no `-- Up Migration` line: node-pg-migrate runs the whole file on the way up, the down section included.'
      notes.push({ kind: 'other', ...about, message, advice: 'Begin the up section with `-- Up Migration`.' })
    }
    const line = file.kind === 'code' ? noTransactionLine(file.text) : null
    if (line === null) continue
    const message = singleTransaction
      ? 'calls pgm.noTransaction(): node-pg-migrate sends COMMIT before it and BEGIN after it, so the files before it in the same run stay when it or a later one fails, and it runs statement by statement itself.'
      : 'calls pgm.noTransaction(): it runs statement by statement, and what it has done stays when it fails.'
    notes.push({ kind: 'other', file: file.shown, line, message, advice: null })
  }
  return notes
}

/**
 * Line of the first call of noTransaction in a program, outside of comments and strings and not in what it exports as
 * `down`; null when there is none.
 */
export function noTransactionLine(text: string): number | null {
  const tokens =
    /\/\*[^]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[^]|[^`\\])*`|\b(up|down)\s*(?:=|\(|:)|\b(noTransaction)\s*\(/g
  let section = 'up'
  for (const match of text.matchAll(tokens)) {
    if (match[1] !== undefined) section = match[1]
    else if (match[2] !== undefined && section === 'up') return text.slice(0, match.index).split('\n').length
  }
  return null
}
