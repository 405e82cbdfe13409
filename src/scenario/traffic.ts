/** The traffic of both releases from their files. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RehearsalError } from '../errors.js'
import type { Release } from '../recording.js'
import { codeOperations } from '../traffic/define.js'
import type { Operation } from '../traffic/operation.js'
import { parseScript } from '../traffic/script.js'
import type { Folder } from './files.js'
import { importDefault } from './module.js'
import { readText } from './read-text.js'

export interface Traffic {
  operations: Operation[]
  assumptions: string[]
}

/**
 * `old` and `next` are the files' paths, null where there is none; `usualFolder` is where files of usual names are looked
 * for. Throws SCENARIO_INVALID, SCRIPT_INVALID, SQL_UNREADABLE.
 */
export async function readTraffic(
  folder: Folder,
  old: string | null,
  next: string | null,
  usualFolder = '.',
): Promise<Traffic> {
  const usual = (name: string): string => join(usualFolder, name)
  const fail = (message: string): never => {
    throw new RehearsalError('SCENARIO_INVALID', { file: folder.shown(folder.path), message })
  }
  if (old === null) {
    return fail(
      next === null
        ? `no traffic: add ${usual('old.sql')} (or old.ts) with what the running release does, and ${usual('new.sql')} for the release after it`
        : `${folder.shown(next)} is the new release only: add ${usual('old.sql')} (or old.ts), which runs during the migration`,
    )
  }
  const before = await readOperations(folder, old, 'old')
  if (next !== null) return { operations: [...before, ...(await readOperations(folder, next, 'new'))], assumptions: [] }
  const assumption = `The new release sends the same statements as the old one: there is no new.sql beside ${folder.shown(old)}.`
  return { operations: [...before, ...(await readOperations(folder, old, 'new'))], assumptions: [assumption] }
}

async function readOperations(folder: Folder, path: string, release: Release): Promise<Operation[]> {
  const shown = folder.shown(path)
  if (path.endsWith('.sql')) return parseScript(await readText(path, shown), shown, release)
  return codeOperations(
    await importDefault(path, shown, 'SCRIPT_INVALID'),
    release,
    shown,
    await readFile(path, 'utf8'),
  )
}
