/** Which migration files there are, and which of them are pending. */
import { readdir } from 'node:fs/promises'
import { RehearsalError } from '../errors.js'
import type { MigrationFile, TransactionMode } from '../recording.js'
import { kindOf, readMigration, type Folder } from './files.js'
import { resolvePending, saysWhatIsApplied, type PendingFiles, type PendingInput } from './pending.js'
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
  pending: Pick<PendingInput, 'given' | 'since' | 'profile' | 'settingsFile'>,
  /** Where nothing says what is pending: every file, or what git says is new. */
  usually: 'all' | 'new',
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

  const { wanted, by } = await wantedNames(names, { ...pending, path, folder, usually })
  if (wanted.size === 0)
    throw new RehearsalError('NOTHING_PENDING', { tool: folder.shown(path), count: names.length, by: by ?? '' })
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
    assumptions: [
      ...(by === null ? [] : [`Which migrations are pending is known by ${by}.`]),
      ...(left.length === 0 ? [] : [`Migration files that are not run, by migrations.pending: ${left.join(', ')}.`]),
    ],
  }
}

interface Wanted extends Pick<PendingInput, 'given' | 'since' | 'profile' | 'settingsFile'> {
  path: string
  folder: Folder
  usually: 'all' | 'new'
}

/** The names of the pending files; `by` is null where the scenario itself says so. */
async function wantedNames(
  names: readonly string[],
  { path, folder, usually, ...input }: Wanted,
): Promise<{ wanted: Set<string>; by: string | null }> {
  const known = input.given !== undefined || input.since !== undefined || (await saysWhatIsApplied(input.profile))
  if (usually === 'all' && !known) return { wanted: new Set(names), by: null }
  const found: PendingFiles = await resolvePending({
    ...input,
    project: folder.path,
    files: names.map((name) => ({ name, path: `${path}/${name}`, shown: folder.shown(`${path}/${name}`) })),
  })
  return { wanted: new Set(found.pending), by: found.by.startsWith('configuration') ? null : found.by }
}

/** The same order on every machine, whatever its locale. */
const byCodePoint = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
