/**
 * `supabase migration up` without its program: the messages of the CLI (read in its source), in its order. Per file
 * RESET ALL, then all its statements and the journal's row as one pipelined batch with one Sync, which the server runs as
 * one transaction.
 */
import { basename } from 'node:path'
import { openReplay, type ReplaySession } from './replay.js'
import { splitAsSupabase } from './supabase-split.js'
import { supabaseLedger, versionOf } from './supabase-ledger.js'
import type { LedgerRow, MigrationSource, ReplayOptions, ReplayResult } from './types.js'

const TEXT = 25
const TEXT_ARRAY = 1009

export const SUPABASE_SQL = {
  list: 'SELECT version FROM supabase_migrations.schema_migrations ORDER BY version',
  create: [
    "SET lock_timeout = '4s'",
    'CREATE SCHEMA IF NOT EXISTS supabase_migrations',
    'CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (version text NOT NULL PRIMARY KEY)',
    'ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS statements text[]',
    'ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS name text',
  ],
  reset: 'RESET ALL',
  insert: 'INSERT INTO supabase_migrations.schema_migrations(version, name, statements) VALUES($1, $2, $3)',
} as const

/** Sends what the CLI sends. Resolves with its exit code; rejects only when the connection is lost or aborted. */
export async function replaySupabase(options: ReplayOptions, includeAll: boolean): Promise<ReplayResult> {
  const { files, address, signal } = options
  const lines = ['Connecting to remote database...']
  const session = await openReplay(address, signal)
  const failed = (line: string): ReplayResult => ({ exitCode: 1, lines: [...lines, line] })
  try {
    const listed = await session.prepared(SUPABASE_SQL.list, [], 'keep')
    // Only a missing table, or schema, means that nothing is applied yet.
    if (listed.error && !['42P01', '3F000'].includes(listed.error.sqlstate))
      return failed(`ERROR (SQLSTATE ${listed.error.sqlstate})`)
    const rows: LedgerRow[] = listed.rows.map(([version]) => ({ version: version ?? null }))
    const { pending, refuses } = supabaseLedger(includeAll).pending(files, rows)
    if (refuses !== null) return failed(refuses)
    if (pending.length > 0) {
      const created = await session.pipeline(SUPABASE_SQL.create.map((sql) => ({ sql })))
      if (created.error) return failed(`failed to create migration table: ERROR (SQLSTATE ${created.error.sqlstate})`)
    }
    for (const file of files.filter(({ name }) => pending.includes(name))) {
      signal.throwIfAborted()
      lines.push(`Applying migration ${basename(file.path)}...`)
      const error = await apply(session, file)
      if (error !== null) return failed(error)
    }
    lines.push(pending.length === 0 ? 'Database is up to date.' : 'Local database is up to date.')
    return { exitCode: 0, lines }
  } finally {
    await session.end()
  }
}

async function apply(session: ReplaySession, file: MigrationSource): Promise<string | null> {
  const reset = await session.query(SUPABASE_SQL.reset)
  if (reset.error) return `failed to reset connection state: ERROR (SQLSTATE ${reset.error.sqlstate})`
  const statements = splitAsSupabase(file.text)
  const name = basename(file.path)
  const version = versionOf(name) ?? ''
  const { error, completed } = await session.pipeline([
    ...statements.map((sql) => ({ sql })),
    {
      sql: SUPABASE_SQL.insert,
      parameters: [version, name.slice(version.length + 1, -'.sql'.length), arrayLiteral(statements)],
      types: [TEXT, TEXT, TEXT_ARRAY],
    },
  ])
  return error === null ? null : `ERROR (SQLSTATE ${error.sqlstate})\nAt statement: ${completed}`
}

/** A text[] in its text form. */
const arrayLiteral = (texts: readonly string[]): string =>
  `{${texts.map((text) => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`
