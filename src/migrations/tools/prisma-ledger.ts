/** `_prisma_migrations` and what `prisma migrate deploy` makes of it (schema-engine, apply_migrations). Pure. */
import { sha256 } from './files.js'
import { journalRow } from './ledger-row.js'
import type { Ledger, LedgerRow, MigrationSource, Pending, ToolNote } from './types.js'

const SCHEMA = 'public'
const TABLE = '_prisma_migrations'

/** The column `logs` is left out on purpose: it holds the server's messages, and they hold values of rows. */
const QUERY =
  `SELECT migration_name::text, checksum::text, started_at::text, finished_at::text, rolled_back_at::text ` +
  `FROM "${SCHEMA}"."${TABLE}" ORDER BY "started_at" ASC`

export const prismaLedger: Ledger = {
  table: `${SCHEMA}.${TABLE}`,
  tables: [{ schema: SCHEMA, name: TABLE }],
  query: QUERY,
  pending,
  written: 'before',
  recordedBy(sql, parameters, files) {
    const row = journalRow(sql, parameters, { schema: SCHEMA, name: TABLE })
    const name = row?.['migration_name']
    if (name != null) return files.find((file) => file.name === name)?.name ?? null
    const checksum = row?.['checksum']
    if (checksum == null) return null
    const same = files.filter((file) => file.sha256 === checksum)
    return same.length === 1 ? (same[0]?.name ?? null) : null
  },
}

/** An attempt that neither ended well nor was resolved: it stops every further deploy. */
export const isUnfinished = (row: LedgerRow): boolean => row['finished_at'] == null && row['rolled_back_at'] == null

const counts = (row: LedgerRow): boolean => row['rolled_back_at'] == null

/** Names on disk that no row names which was not rolled back, in the order of names. */
export function pendingNames(files: readonly MigrationSource[], rows: readonly LedgerRow[]): string[] {
  const recorded = new Set(rows.filter(counts).map((row) => row['migration_name']))
  return files.map((file) => file.name).filter((name) => !recorded.has(name))
}

/** What P3009 says, without the `logs` that Prisma would print with it. */
export function failedMigrations(rows: readonly LedgerRow[]): string | null {
  const names = rows.filter(isUnfinished).map((row) => `\`${row['migration_name'] ?? ''}\``)
  if (names.length === 0) return null
  const [noun, them] = names.length === 1 ? ['migration', 'it'] : ['migrations', 'each of them']
  return (
    `P3009: migrate found failed migrations in the target database, new migrations will not be applied. ` +
    `The ${noun} ${names.join(', ')} failed; resolve ${them} with \`prisma migrate resolve\`.`
  )
}

function pending(files: readonly MigrationSource[], rows: readonly LedgerRow[]): Pending {
  const names = pendingNames(files, rows)
  const finished = rows.filter((row) => counts(row) && row['finished_at'] != null)
  const isApplied = new Set(finished.map((row) => row['migration_name']))
  const last = finished.map((row) => row['migration_name'] ?? '').reduce((a, b) => (b > a ? b : a), '')
  const notes: ToolNote[] = []
  for (const file of files) {
    const row = finished.findLast((candidate) => candidate['migration_name'] === file.name)
    if (row && !isSameText(file, row['checksum'] ?? '')) notes.push(edited(file))
    if (names.includes(file.name) && file.name < last) notes.push(outOfOrder(file, last))
  }
  const known = new Set(files.map((file) => file.name))
  for (const name of isApplied) if (name != null && !known.has(name)) notes.push(gone(name))
  return {
    pending: names,
    applied: files.map((file) => file.name).filter((name) => isApplied.has(name)),
    notes,
    refuses: failedMigrations(rows),
  }
}

/** The engine takes both kinds of line ends for the same text. */
function isSameText(file: MigrationSource, checksum: string): boolean {
  const unix = file.text.replaceAll('\r\n', '\n')
  return [file.sha256, sha256(unix), sha256(unix.replaceAll('\n', '\r\n'))].includes(checksum)
}

const edited = (file: MigrationSource): ToolNote => ({
  kind: 'other',
  file: file.shown,
  line: null,
  message:
    'It was changed after it was applied: `prisma migrate deploy` does not compare checksums, and the change never runs.',
  advice: 'Undo the change and write it as a new migration.',
})

const outOfOrder = (file: MigrationSource, last: string): ToolNote => ({
  kind: 'order',
  file: file.shown,
  line: null,
  message: `It sorts before ${last}, which is applied already; \`prisma migrate deploy\` runs it all the same and says nothing.`,
  advice: null,
})

const gone = (name: string): ToolNote => ({
  kind: 'other',
  file: null,
  line: null,
  message: `${name} is applied according to the journal, and there is no such folder; \`prisma migrate deploy\` does not mind.`,
  advice: null,
})
