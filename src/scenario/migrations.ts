/** Which migration files there are, and which of them are pending. */
import { readdir } from 'node:fs/promises'
import { RehearsalError } from '../errors.js'
import type { MigrationFile, TransactionMode } from '../recording.js'
import { kindOf, readMigration, type Folder } from './files.js'
import type { ScenarioSettings } from './schema.js'

export interface Migrations {
  transaction: TransactionMode
  /** Run before the data is made, to build the schema. */
  applied: MigrationFile[]
  pending: MigrationFile[]
  assumptions: string[]
}

/**
 * Reads the migration folder, files in the order of their names. Throws NO_SCENARIO when nothing is pending,
 * SCENARIO_INVALID for a pending file that is not there.
 */
export async function readMigrations(
  folder: Folder,
  settings: ScenarioSettings['migrations'],
  settingsFile: string,
): Promise<Migrations> {
  const given = typeof settings === 'string' ? { folder: settings } : (settings ?? {})
  const path = folder.resolve(given.folder ?? 'migrations')
  const nothing = (reason: string): RehearsalError =>
    new RehearsalError('NO_SCENARIO', { path: folder.shown(folder.path), reason })
  if ((await kindOf(path)) !== 'folder') throw nothing(`no folder ${folder.shown(path)}`)
  const names = (await readdir(path, { withFileTypes: true }))
    .filter((entry) => !entry.isDirectory() && entry.name.endsWith('.sql') && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .sort(byCodePoint)
  if (names.length === 0) throw nothing(`no *.sql file in ${folder.shown(path)}`)

  const wanted = pendingNames(names, given.pending, (message) => {
    throw new RehearsalError('SCENARIO_INVALID', { file: settingsFile, message: `migrations.pending: ${message}` })
  })
  const first = names.findIndex((name) => wanted.has(name))
  const left = names.slice(first).filter((name) => !wanted.has(name))
  const transaction = given.transaction ?? 'file'
  const read = (list: string[]): Promise<MigrationFile[]> =>
    Promise.all(
      list.map((name) =>
        readMigration(`${path}/${name}`, folder.shown(folder.resolve(`${path}/${name}`)), transaction),
      ),
    )
  return {
    transaction,
    applied: await read(names.slice(0, first)),
    pending: await read(names.filter((name) => wanted.has(name))),
    assumptions:
      left.length === 0 ? [] : [`Migration files that are not run, by migrations.pending: ${left.join(', ')}.`],
  }
}

type Pending = Exclude<ScenarioSettings['migrations'], string | undefined>['pending']

function pendingNames(names: string[], pending: Pending, fail: (message: string) => never): Set<string> {
  if (pending === undefined) return new Set(names)
  if (!Array.isArray(pending)) {
    const from = names.indexOf(pending.from)
    return from === -1 ? fail(`no file ${pending.from}`) : new Set(names.slice(from))
  }
  for (const name of pending) if (!names.includes(name)) fail(`no file ${name}`)
  return new Set(pending)
}

/** The same order on every machine, whatever its locale. */
const byCodePoint = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
