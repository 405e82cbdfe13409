/**
 * What is known of production, as a file without any value in it: the part that traffic reads. Other parts of the file
 * are let through as they are.
 */
import { z } from 'zod'
import { RehearsalError } from '../errors.js'
import { lineAt } from '../sql/text.js'

const count = z.number().nonnegative()
/** A time with its offset, as 2026-01-31T12:00:00Z. */
const time = z.iso.datetime({ offset: true, error: 'expected a time such as 2026-01-31T12:00:00Z' })

/** A row of pg_stat_statements: one statement of one user. */
const Entry = z.looseObject({
  /** Normalised by the server: `$n` for constants. */
  query: z.string(),
  calls: count,
  /** Rows returned or changed by all calls together. */
  rows: count,
  meanMs: count,
  user: z.string().nullable().optional(),
  /** False for a statement inside a function. */
  toplevel: z.boolean().optional(),
  hash: z.string().optional(),
})

const Statements = z.looseObject({
  /** pg_stat_statements_info.stats_reset; null when not known. */
  since: time.nullable(),
  takenAt: time.nullable(),
  /** pg_stat_statements_info.dealloc: how often the least called entries were thrown out for want of room. */
  deallocated: count.optional(),
  entries: z.array(Entry),
})

const TableStatistics = z.looseObject({
  /** `table`, or `schema.table` outside `public`. */
  name: z.string(),
  rows: z.number(),
  bytes: count.nullable().optional(),
  seqScan: count.nullable().optional(),
  idxScan: count.nullable().optional(),
  inserted: count.nullable().optional(),
  updated: count.nullable().optional(),
  deleted: count.nullable().optional(),
})

export const ProfileFile = z.looseObject({
  kind: z.literal('profile').optional(),
  schemaVersion: z.string().optional(),
  takenAt: time.nullable().optional(),
  appliedMigrations: z.array(z.string()).optional(),
  statements: Statements.optional(),
  tables: z.array(TableStatistics).optional(),
})
export type ProfileFile = z.infer<typeof ProfileFile>

/** An entry and where it stands in the file; 1 when that is not known. */
export type StatementEntry = z.infer<typeof Entry> & { line: number }

/** What traffic reads of a profile. */
export interface Profile {
  /** How the file is shown in messages and reports. */
  shownName: string
  takenAt: string | null
  appliedMigrations: readonly string[] | null
  /** null when the profile has none. */
  statements: {
    since: string | null
    takenAt: string | null
    deallocated: number | null
    entries: readonly StatementEntry[]
  } | null
  tables: readonly z.infer<typeof TableStatistics>[]
}

/** How often a table was scanned and written since its statistics were reset; 0 for what the profile does not say. */
export interface TableActivity {
  seqScan: number
  idxScan: number
  inserted: number
  updated: number
  deleted: number
}

/** Reads a profile. Throws PROFILE_INVALID with file and field when the text is no JSON or a field is not as it should be. */
export function readProfile(text: string, shownName: string): Profile {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new RehearsalError('PROFILE_INVALID', { file: shownName, message: 'it is not JSON' }, error)
  }
  const checked = ProfileFile.safeParse(value)
  if (!checked.success) {
    const [issue] = checked.error.issues
    const field = fieldName(issue?.path ?? [])
    // Zod's sentences name what was expected and the type that was found, never what was in the field.
    const message = `${field === '' ? '' : `${field}: `}${issue?.message ?? 'not a profile'}`
    throw new RehearsalError('PROFILE_INVALID', { file: shownName, message })
  }
  const { statements, takenAt = null, appliedMigrations = null, tables = [] } = checked.data
  return {
    shownName,
    takenAt,
    appliedMigrations,
    tables,
    statements: statements ? toStatements(statements, text) : null,
  }
}

function toStatements(statements: z.infer<typeof Statements>, text: string): NonNullable<Profile['statements']> {
  const { since, takenAt, deallocated = null, entries } = statements
  const lines = entryLines(text, entries.length)
  return {
    since,
    takenAt,
    deallocated,
    entries: entries.map((entry, index) => ({ ...entry, line: lines[index] ?? 1 })),
  }
}

/** Activity by table, named as everywhere in recordings. Empty when the profile has no tables. */
export function activityOf(profile: Profile): ReadonlyMap<string, TableActivity> {
  return new Map(
    profile.tables.map((table) => [
      table.name,
      {
        seqScan: table.seqScan ?? 0,
        idxScan: table.idxScan ?? 0,
        inserted: table.inserted ?? 0,
        updated: table.updated ?? 0,
        deleted: table.deleted ?? 0,
      },
    ]),
  )
}

/** `statements.entries[3].calls` */
const fieldName = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((name, part) => {
    if (typeof part === 'number') return `${name}[${part}]`
    return name === '' ? String(part) : `${name}.${String(part)}`
  }, '')

/** Line of each `"query":`. Inside a JSON string its quotes would be escaped. Nothing when their number does not fit. */
function entryLines(text: string, expected: number): number[] {
  const lines: number[] = []
  let from = 0
  let line = 1
  for (const { index } of text.matchAll(/"query"\s*:/g)) {
    line += lineAt(text.slice(from, index), index - from) - 1
    from = index
    lines.push(line)
  }
  return lines.length === expected ? lines : []
}
