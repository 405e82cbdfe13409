/** What tools take for pending, each by its own rule, as measured or read in its source. Pure. */
import { basename } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Journal } from './journals.js'
import type { LedgerRow, MigrationSource, Pending, ToolNote } from './types.js'

export type Rule = (journal: Journal, files: readonly MigrationSource[], rows: readonly LedgerRow[]) => Pending

type Refusal = (names: readonly string[]) => string

interface ByName {
  /** A pending migration that sorts before an applied one: runs with a note, or makes the tool refuse. */
  earlier: 'noted' | Refusal
  /** An applied one without a file; null when the tool does not mind. */
  missing: Refusal | null
  isApplied?: (row: LedgerRow) => boolean
}

const orderNote = (file: MigrationSource, title: string): ToolNote => ({
  kind: 'order',
  file: file.shown,
  line: null,
  message: `It sorts before migrations that are applied already; ${title} runs it all the same and does not check the order.`,
  advice: null,
})

/** Pending is what the journal does not name. */
export function byName(options: ByName): Rule {
  return (journal, files, rows) => {
    const state = new Map<string, boolean>()
    for (const row of rows) {
      const key = journal.keyOfRow(row)
      // The last row of a migration counts: set anew so that it also comes last.
      if (key !== null) state.set(key, options.isApplied?.(row) ?? true)
    }
    const keyOf = (file: MigrationSource): string | null => journal.keyOfFile(file.path)
    const isApplied = (file: MigrationSource): boolean => state.get(keyOf(file) ?? '') === true
    const migrations = files.filter((file) => keyOf(file) !== null)
    const pending = migrations.filter((file) => !isApplied(file))
    const lastApplied = migrations.findLastIndex(isApplied)
    const earlier = pending.filter((file) => migrations.indexOf(file) < lastApplied)
    const known = new Set(migrations.map(keyOf))
    const missing = [...state].filter(([key, applied]) => applied && !known.has(key)).map(([key]) => key)
    const refuses =
      missing.length > 0 && options.missing !== null
        ? options.missing(missing)
        : earlier.length > 0 && options.earlier !== 'noted'
          ? options.earlier(earlier.map((file) => file.name))
          : null
    return {
      pending: pending.map((file) => file.name),
      applied: migrations.filter(isApplied).map((file) => file.name),
      notes: [
        ...notMigrations(journal, files),
        ...(options.earlier === 'noted' ? earlier.map((file) => orderNote(file, journal.title)) : []),
      ],
      refuses,
    }
  }
}

/** Pending is what is above the one version that the journal holds (golang-migrate). */
export function byWatermark(): Rule {
  return (journal, files, rows) => {
    const current = rows[0] === undefined ? null : journal.keyOfRow(rows[0])
    const dirty = /^t/i.test(rows[0]?.['dirty'] ?? 'f')
    const migrations = files.filter((file) => journal.keyOfFile(file.path) !== null)
    const isPending = (file: MigrationSource): boolean =>
      current === null || compareVersions(journal.keyOfFile(file.path) ?? '', current) > 0
    return {
      pending: migrations.filter(isPending).map((file) => file.name),
      applied: migrations.filter((file) => !isPending(file)).map((file) => file.name),
      notes: notMigrations(journal, files),
      refuses: dirty && current !== null ? `Dirty database version ${current}. Fix and force version.` : null,
    }
  }
}

/** Flyway: versions above the highest applied one, and repeatable migrations whose checksum is another. */
export function byFlywayVersion(): Rule {
  return (journal, files, rows) => {
    const applied = new Map<string, LedgerRow>()
    const failed: string[] = []
    for (const row of rows) {
      const key = journal.keyOfRow(row)
      if (key === null) continue
      if (/^f/i.test(row['success'] ?? 't')) failed.push(row['version'] ?? row['description'] ?? key)
      else if (/^DELETE/.test(row['type'] ?? '')) applied.delete(key)
      else applied.set(key, row)
    }
    const keyOf = (file: MigrationSource): string => journal.keyOfFile(file.path) ?? ''
    const isRepeatable = (key: string): boolean => key.startsWith('R:')
    const highest = [...applied.keys()]
      .filter((key) => !isRepeatable(key))
      .reduce<string | null>((top, key) => (top === null || compareVersions(key, top) > 0 ? key : top), null)
    const migrations = files.filter((file) => keyOf(file) !== '')
    const isPending = (file: MigrationSource): boolean => {
      const key = keyOf(file)
      if (isRepeatable(key)) return applied.get(key)?.['checksum'] !== flywayChecksum(file.text)
      return !applied.has(key) && (highest === null || compareVersions(key, highest) > 0)
    }
    const ignored = migrations.filter(
      (file) => !isRepeatable(keyOf(file)) && !applied.has(keyOf(file)) && !isPending(file),
    )
    const refuses =
      failed.length > 0
        ? `Detected failed migration to version ${failed.join(', ')}. Fix it and run flyway repair.`
        : ignored.length > 0
          ? `Detected resolved migration not applied to database: ${ignored.map((file) => file.name).join(', ')}. To ignore this, or to run it, set outOfOrder.`
          : null
    return {
      pending: migrations.filter(isPending).map((file) => file.name),
      applied: migrations.filter((file) => applied.has(keyOf(file)) && !isPending(file)).map((file) => file.name),
      notes: notMigrations(journal, files),
      refuses,
    }
  }
}

/** Flyway's checksum of a script: CRC-32 of its lines without their ends, as a signed number. */
export function flywayChecksum(text: string): string {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/)
  return String(crc32(lines.join('')) | 0)
}

/** Liquibase's formatted SQL: a file is pending while one of its changesets is not in the journal. */
export function byChangeset(): Rule {
  return (journal, files, rows) => {
    const done = new Set(rows.map((row) => [row['author'], row['id'], basename(row['filename'] ?? '')].join('\0')))
    const changesets = (file: MigrationSource): string[] =>
      [...file.text.matchAll(/^\s*--\s*changeset\s+([^\s:]+):(\S+)/gim)].map(([, author, id]) =>
        [author, id, basename(file.path)].join('\0'),
      )
    const isApplied = (file: MigrationSource): boolean => changesets(file).every((changeset) => done.has(changeset))
    const migrations = files.filter((file) => changesets(file).length > 0)
    return {
      pending: migrations.filter((file) => !isApplied(file)).map((file) => file.name),
      applied: migrations.filter(isApplied).map((file) => file.name),
      notes: files
        .filter((file) => !migrations.includes(file))
        .map((file) => unlisted(file, `It holds no changeset, so ${journal.title} passes over it.`)),
      refuses: null,
    }
  }
}

/** Versions part by part as numbers; repeatable migrations (`R:...`) and files without a key come last. */
export function compareVersions(a: string, b: string): number {
  const last = (key: string): boolean => !/^\d/.test(key)
  if (last(a) || last(b)) return Number(last(a)) - Number(last(b)) || (a < b ? -1 : a > b ? 1 : 0)
  const [left, right] = [a.split('.'), b.split('.')]
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = BigInt(left[i] ?? '0') - BigInt(right[i] ?? '0')
    if (difference !== 0n) return difference < 0n ? -1 : 1
  }
  return 0
}

const unlisted = (file: MigrationSource, message: string): ToolNote => ({
  kind: 'unlisted',
  file: file.shown,
  line: null,
  message,
  advice: null,
})

const notMigrations = (journal: Journal, files: readonly MigrationSource[]): ToolNote[] =>
  files
    .filter((file) => journal.keyOfFile(file.path) === null)
    .map((file) => unlisted(file, `Its name is not that of a migration, so ${journal.title} passes over it.`))
