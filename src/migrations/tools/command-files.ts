/** A folder of migrations of whatever tool: what of each file is sent on the way up. */
import { basename, extname } from 'node:path'
import { listFolder, readMigration, readWhole, type Range } from './files.js'
import type { FolderFile } from './journals-recognise.js'
import { outsideOfUp } from './node-pg-migrate-files.js'
import type { MigrationSource } from './types.js'

const ENDINGS = new Set(['.sql', '.js', '.ts', '.cjs', '.mjs', '.cts', '.mts', '.rb'])

/** Whether a file can be a migration of some tool. */
export const isMigrationFile = (name: string): boolean =>
  ENDINGS.has(extname(name)) && !name.startsWith('.') && !/\.d\.[cm]?ts$/.test(name)

/** The files of a folder that can be migrations, by name, with the text of those in SQL. */
export async function filesIn(folder: string, shown: (path: string) => string): Promise<FolderFile[]> {
  const entries = (await listFolder(folder, shown(folder))).filter(
    ({ name, kind }) => kind === 'file' && isMigrationFile(name),
  )
  return Promise.all(
    entries.map(async ({ path }) => ({
      path,
      shown: shown(path),
      text: path.endsWith('.sql') ? (await readWhole(path, shown(path))).text : '',
    })),
  )
}

/** Files that only lead back, and Flyway's that undo. */
const isWayBack = (name: string): boolean =>
  /\.(?:down|undo)\.sql$/i.test(name) || /^U[0-9][0-9._]*__.+\.sql$/.test(name)

const nameOf = (path: string): string =>
  basename(path)
    .replace(/\.up\.sql$/i, '')
    .replace(/\.[^.]+$/, '')

/**
 * The migrations among the files, by name. Down sections of dbmate, goose and node-pg-migrate are blanked out, and files
 * that only lead back left out.
 */
export function migrationsOf(
  files: readonly FolderFile[],
  shown: (path: string) => string,
): Promise<MigrationSource[]> {
  return Promise.all(
    files
      .filter(({ path }) => !isWayBack(basename(path)))
      .map(({ path }) =>
        readMigration(path, { name: nameOf(path), kind: path.endsWith('.sql') ? 'sql' : 'code', shown, notSent }),
      ),
  )
}

/** Lines that begin the way up and the way back, for the tools that know several of each in one file. */
const SECTIONS = [
  { up: /^--[ \t]*migrate:up(?=\s|$)/, down: /^--[ \t]*migrate:down(?=\s|$)/ },
  { up: /^[ \t]*--[ \t]*\+goose[ \t]+up\b/i, down: /^[ \t]*--[ \t]*\+goose[ \t]+down\b/i },
] as const

/** What of an SQL file is not sent on the way up, whatever tool its markers belong to. */
export function notSent(text: string): Range[] {
  for (const { up, down } of SECTIONS) {
    const ranges = outsideOf(text, up, down)
    if (ranges !== null) return ranges
  }
  return outsideOfUp(text)
}

/** null when the file has no such marker. What stands before the first one is no part of any section. */
function outsideOf(text: string, up: RegExp, down: RegExp): Range[] | null {
  const ranges: Range[] = []
  let at = 0
  let isMarked = false
  let isUp = false
  for (const line of text.split(/(?<=\n)/)) {
    if (up.test(line)) [isUp, isMarked] = [true, true]
    else if (down.test(line)) [isUp, isMarked] = [false, true]
    if (!isUp) ranges.push({ start: at, end: at + line.length })
    at += line.length
  }
  return isMarked ? ranges : null
}
