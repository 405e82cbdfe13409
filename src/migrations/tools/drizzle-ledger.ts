/** Drizzle's journal table: which migrations it calls applied and which it will run. Pure. */
import { quoteName } from '../../sql/identifiers.js'
import { hashOf, type DrizzleEntry, type DrizzleRule } from './drizzle-files.js'
import { journalRow, type JournalTable } from './ledger-row.js'
import type { Ledger, LedgerRow, MigrationSource, Pending, ToolNote } from './types.js'

/** The ledger of a folder whose migrations have these entries. */
export function drizzleLedger(
  table: JournalTable,
  rule: DrizzleRule,
  entries: ReadonlyMap<string, DrizzleEntry>,
): Ledger {
  const whenOf = (file: MigrationSource): number => entries.get(file.name)?.when ?? NaN
  return {
    table: `${table.schema}.${table.name}`,
    tables: [table],
    // All columns: 1.0 adds `name`, and how it reads the table depends on whether it is there.
    query: `select * from ${quoteName(table.schema)}.${quoteName(table.name)} order by id`,
    written: 'after',
    pending(files, rows) {
      if (rule === 'names') return pendingByName(files, rows, whenOf)
      return rule === 'times' ? pendingByTime(files, rows, whenOf) : pendingByWatermark(files, rows, whenOf)
    },
    recordedBy(sql, parameters, files) {
      const row = journalRow(sql, parameters, table)
      if (row === null) return null
      const { hash, created_at: time, name } = row
      const named = files.find((file) => file.name === name)
      if (named !== undefined) return named.name
      const alike = files.filter((file) => hashOf(file) === hash)
      if (alike.length === 1) return alike[0]?.name ?? null
      const candidates = alike.length > 1 ? alike : files
      return candidates.find((file) => typeof time === 'string' && whenOf(file) === Number(time))?.name ?? null
    },
  }
}

type WhenOf = (file: MigrationSource) => number

/** The migrator compares with the first row `order by created_at desc`, where NULL, read as 0, comes first. */
function pendingByWatermark(files: readonly MigrationSource[], rows: readonly LedgerRow[], whenOf: WhenOf): Pending {
  const times = rows.map((row) => row['created_at'] ?? null)
  const last = rows.length === 0 ? null : times.includes(null) ? 0 : Math.max(...times.map(Number))
  const pending = files.filter((file) => last === null || last < whenOf(file))
  const rest = files.filter((file) => !pending.includes(file))
  const byTime = new Map(rows.map((row) => [row['created_at'] ?? '', row]))
  const hashes = new Set(rows.map((row) => row['hash']))
  const notes: ToolNote[] = []
  const applied: string[] = []
  for (const file of rest) {
    const row = byTime.get(String(whenOf(file)))
    if (row === undefined && !hashes.has(hashOf(file))) {
      const message = `${file.name} (when ${whenOf(file)}) was never applied, and Drizzle will never run it: it only runs what is later than the latest applied migration (created_at ${last ?? 0}).`
      const advice = `Give it a when above ${last ?? 0} in meta/_journal.json.`
      notes.push({ kind: 'skipped', file: file.shown, line: null, message, advice })
      continue
    }
    applied.push(file.name)
    if (row !== undefined) notes.push(...changedNote(file, row))
  }
  notes.push(
    ...unknownNote(
      rows,
      files,
      (row, file) => row['created_at'] === String(whenOf(file)) || row['hash'] === hashOf(file),
    ),
  )
  return { pending: pending.map(({ name }) => name), applied, notes: [...notes, ...alikeNotes(pending)], refuses: null }
}

function pendingByTime(files: readonly MigrationSource[], rows: readonly LedgerRow[], whenOf: WhenOf): Pending {
  const times = new Set(rows.map((row) => Number(row['created_at'] ?? null)))
  return split(
    files,
    rows,
    (file) => times.has(whenOf(file)),
    (row, file) => Number(row['created_at']) === whenOf(file),
  )
}

function pendingByName(files: readonly MigrationSource[], rows: readonly LedgerRow[], whenOf: WhenOf): Pending {
  // A table of an earlier version: it is given the names first.
  if (rows.length > 0 && !rows.some((row) => 'name' in row)) {
    const named = rows.map((row) => ({ ...row, name: nameFor(row, files, whenOf) }))
    const lost = named.filter(({ name }) => name === null).length
    const pending = pendingByName(files, named, whenOf)
    const refuses = `While upgrading its journal table, Drizzle finds ${lost} applied migration${lost === 1 ? '' : 's'} that match no file and stops.`
    return { ...pending, refuses: lost === 0 ? null : refuses }
  }
  const names = new Set(rows.map((row) => row['name']))
  return split(
    files,
    rows,
    (file) => names.has(file.name),
    (row, file) => row['name'] === file.name,
  )
}

/** drizzle-orm 1.0's match for rows of before: the time cut to seconds; the hash where that is not unique or unknown. */
function nameFor(row: LedgerRow, files: readonly MigrationSource[], whenOf: WhenOf): string | null {
  const time = Number(`${(row['created_at'] ?? 'null').slice(0, -3)}000`)
  const sameTime = files.filter((file) => whenOf(file) === time)
  if (sameTime.length === 1) return sameTime[0]?.name ?? null
  const candidates = sameTime.length > 1 ? sameTime : [...files].reverse()
  return candidates.find((file) => hashOf(file) === row['hash'])?.name ?? null
}

function split(
  files: readonly MigrationSource[],
  rows: readonly LedgerRow[],
  isApplied: (file: MigrationSource) => boolean,
  belongs: (row: LedgerRow, file: MigrationSource) => boolean,
): Pending {
  const pending = files.filter((file) => !isApplied(file))
  const applied = files.filter(isApplied)
  const notes = applied.flatMap((file) => {
    const row = rows.find((candidate) => belongs(candidate, file))
    return row === undefined ? [] : changedNote(file, row)
  })
  notes.push(...unknownNote(rows, files, belongs), ...alikeNotes(pending))
  return { pending: pending.map(({ name }) => name), applied: applied.map(({ name }) => name), notes, refuses: null }
}

function changedNote(file: MigrationSource, row: LedgerRow): ToolNote[] {
  if (row['hash'] === undefined || row['hash'] === null || row['hash'] === hashOf(file)) return []
  const message = `${file.name} is not the file that was applied (its hash differs from the journal's). Drizzle does not compare: what was changed will not run.`
  return [{ kind: 'other', file: file.shown, line: null, message, advice: 'Put changes in a new migration.' }]
}

function unknownNote(
  rows: readonly LedgerRow[],
  files: readonly MigrationSource[],
  belongs: (row: LedgerRow, file: MigrationSource) => boolean,
): ToolNote[] {
  const unknown = rows.filter((row) => !files.some((file) => belongs(row, file))).length
  if (unknown === 0) return []
  const message = `The journal table has ${unknown} row${unknown === 1 ? '' : 's'} that no migration of this folder has written.`
  return [{ kind: 'order', file: null, line: null, message, advice: null }]
}

/** The journal tells such files apart by their time only. */
function alikeNotes(pending: readonly MigrationSource[]): ToolNote[] {
  return pending.flatMap((file, i) => {
    const twin = pending.slice(0, i).find((earlier) => hashOf(earlier) === hashOf(file))
    if (twin === undefined) return []
    const message = `${file.name} has the same content as ${twin.name}, which is pending too.`
    return [{ kind: 'other', file: file.shown, line: null, message, advice: null }]
  })
}
