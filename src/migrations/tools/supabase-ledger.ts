/** `supabase_migrations.schema_migrations` and the rule of `supabase migration up` and `db push`. Pure. */
import { basename } from 'node:path'
import { journalRow } from './ledger-row.js'
import type { Ledger, LedgerRow, MigrationSource, Pending } from './types.js'

const SCHEMA = 'supabase_migrations'
const TABLE = 'schema_migrations'

/** The version in the name of a file; null when the CLI passes over it. */
export const versionOf = (name: string): string | null => /^([0-9]+)_.*\.sql$/.exec(name)?.[1] ?? null

/** `includeAll`: the command has `--include-all`, which also runs what is older than the last applied one. */
export const supabaseLedger = (includeAll: boolean): Ledger => ({
  table: `${SCHEMA}.${TABLE}`,
  tables: [TABLE, 'seed_files'].map((name) => ({ schema: SCHEMA, name })),
  query: `SELECT version::text FROM ${SCHEMA}.${TABLE} ORDER BY version`,
  pending: (files, rows) => pending(files, rows, includeAll),
  written: 'after',
  recordedBy(sql, parameters, files) {
    const version = journalRow(sql, parameters, { schema: SCHEMA, name: TABLE })?.['version']
    return version == null ? null : (files.find((file) => versionOf(basename(file.path)) === version)?.name ?? null)
  },
})

/** Both lists are sorted and walked side by side; versions are compared as texts. */
function pending(files: readonly MigrationSource[], rows: readonly LedgerRow[], includeAll: boolean): Pending {
  const local = files.map((file) => ({ name: file.name, version: versionOf(basename(file.path)) ?? '' }))
  const remote = rows.map((row) => row['version'] ?? '')
  const here = new Set(local.map(({ version }) => version))
  const applied = new Set(remote)
  const missing = remote.filter((version) => !here.has(version))
  const last = remote.at(-1) ?? ''
  const open = local.filter(({ version }) => !applied.has(version))
  const earlier = open.filter(({ version }) => version < last)
  const names = (list: readonly { name: string }[]): string => list.map(({ name }) => name).join(', ')
  return {
    pending: open.map(({ name }) => name),
    applied: local.filter(({ version }) => applied.has(version)).map(({ name }) => name),
    notes:
      includeAll && missing.length === 0
        ? earlier.map(({ name }) => ({
            ...{ kind: 'order', file: files.find((file) => file.name === name)?.shown ?? null, line: null },
            message: `It is older than ${last}, which is applied already; --include-all runs it all the same.`,
            advice: null,
          }))
        : [],
    refuses:
      missing.length > 0
        ? `Remote migration versions not found in local migrations directory: ${missing.join(', ')}.`
        : earlier.length > 0 && !includeAll
          ? `Found local migration files to be inserted before the last migration on remote database: ${names(earlier)}; only --include-all runs them.`
          : null,
  }
}
