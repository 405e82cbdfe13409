/** Migration files and the tools' own files, read the way every adapter needs them. */
import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { isAbsolute, join, relative, sep } from 'node:path'
import { RehearsalError } from '../../errors.js'
import { lineAt } from '../../sql/text.js'
import type { MigrationSource } from './types.js'

/** A stretch of a text: indexes of its first character and of the one after its last. */
export interface Range {
  start: number
  end: number
}

/** What a message about a file of the tool's begins with; `line` where it is known. */
export const unreadable = (shown: string, message: string, line: number | null = null): RehearsalError =>
  new RehearsalError('SCENARIO_INVALID', { file: shown, message, ...(line === null ? {} : { line }) })

/** The operating system's word for it, without a path in it. */
function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ENOENT') return 'does not exist'
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read (permission denied)'
  if (code === 'ENOTDIR') return 'is no folder'
  if (code === 'EISDIR') return 'is a folder'
  return `cannot be read (${code === '' ? 'unknown error' : code})`
}

/** The bytes of a file and its text, UTF-8, a byte order mark kept. Throws SCENARIO_INVALID. */
export async function readWhole(path: string, shown: string): Promise<{ bytes: Buffer; text: string }> {
  try {
    const bytes = await readFile(path)
    return { bytes, text: bytes.toString('utf8') }
  } catch (error) {
    throw unreadable(shown, reasonOf(error))
  }
}

/** In hex. Of a text: of its UTF-8 form, as a tool gets it that hashes the string and not the file. */
export const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex')

/** A text without what stands in the ranges: spaces instead, line ends kept, so that lines and columns stay. */
export function blank(text: string, ranges: readonly Range[]): string {
  let result = ''
  let at = 0
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    if (end <= at) continue
    const from = Math.max(at, start)
    result += text.slice(at, from) + text.slice(from, end).replace(/[^\r\n]/g, ' ')
    at = end
  }
  return result + text.slice(at)
}

export interface ReadOptions {
  /** The tool's own name of the migration. */
  name: string
  shown: (path: string) => string
  /** `sql` unless said otherwise. */
  kind?: 'sql' | 'code'
  /** Parts of the text that the tool does not send. */
  notSent?: (text: string) => readonly Range[]
}

/** Reads one migration. Of a program `sql` is empty. Throws SCENARIO_INVALID when the file cannot be read. */
export async function readMigration(path: string, options: ReadOptions): Promise<MigrationSource> {
  const shown = options.shown(path)
  const { bytes, text } = await readWhole(path, shown)
  const kind = options.kind ?? 'sql'
  const sql = kind === 'code' ? '' : blank(text, options.notSent?.(text) ?? [])
  return { name: options.name, path, shown, kind, sql, text, sha256: sha256(bytes) }
}

export interface Entry {
  name: string
  path: string
  /** Of a symbolic link: what it leads to; `other` when that is missing. */
  kind: 'file' | 'folder' | 'other'
}

/** What is in a folder, in the order of the names' code units. Throws SCENARIO_INVALID when it cannot be listed. */
export async function listFolder(folder: string, shown: string): Promise<Entry[]> {
  let names: string[]
  try {
    names = await readdir(folder)
  } catch (error) {
    throw unreadable(shown, reasonOf(error))
  }
  return Promise.all(
    names.sort().map(async (name) => {
      const path = join(folder, name)
      const found = await stat(path).catch(() => null)
      return { name, path, kind: found?.isFile() ? 'file' : found?.isDirectory() ? 'folder' : 'other' } as const
    }),
  )
}

/** Whether there is anything at the path. */
export const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** A JSON file. Throws SCENARIO_INVALID with the line; nothing of the text is repeated, it may hold a password. */
export async function readJson(path: string, shown: string): Promise<{ value: unknown; text: string }> {
  const { text } = await readWhole(path, shown)
  try {
    return { value: JSON.parse(text.startsWith('\uFEFF') ? text.slice(1) : text) as unknown, text }
  } catch {
    throw unreadable(shown, 'is not valid JSON', brokenLine(text))
  }
}

/**
 * The engine's message does not always give a position, but tells whether a text ended too early: the first line with
 * which the text up to there is wrong in another way is the broken one. null when no line is to blame.
 */
function brokenLine(text: string): number | null {
  const lines = text.split('\n')
  const startsWell = (count: number): boolean => {
    const start = lines.slice(0, count).join('\n')
    try {
      JSON.parse(start)
      return true
    } catch (error) {
      const message = error instanceof Error ? error.message : ''
      const position = / at position (\d+)/.exec(message)?.[1]
      // No string goes on in the next line.
      if (message.includes('Unterminated string')) return false
      return message.includes('end of JSON input') || Number(position) >= start.length
    }
  }
  let [good, bad] = [0, lines.length]
  if (startsWell(bad)) return bad
  while (bad - good > 1) {
    const middle = (good + bad) >> 1
    if (startsWell(middle)) good = middle
    else bad = middle
  }
  return bad
}

/** 1-based line of the first place at which one of the texts stands, or null. */
export function lineOf(text: string, ...needles: readonly string[]): number | null {
  for (const needle of needles) {
    const index = text.indexOf(needle)
    if (index !== -1) return lineAt(text, index)
  }
  return null
}

/** The same path in a copy of the project. Throws SCENARIO_INVALID when it is not inside the project. */
export function inCopy(project: string, root: string, path: string, shown: string): string {
  const way = relative(project, path)
  if (way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way))
    throw unreadable(shown, 'is outside the folder of the project, so no older state of it can be made in a copy')
  return join(root, way)
}

/** A JSON value as an object, or null. */
export const asObject = (value: unknown): Readonly<Record<string, unknown>> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : null
