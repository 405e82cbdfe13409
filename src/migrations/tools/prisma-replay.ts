/**
 * `prisma migrate deploy` without its engine: the messages of the native schema engine for PostgreSQL, in its order.
 * Texts and order are those that engine 6.19 sent to a driver that only listened (its WebAssembly build, from npm); that
 * a script is one simple Query and that every other query is prepared anew under a name is in the source of the native
 * one (`simple_query`, `PostgreSqlWithNoCache`). Left out: the short session before, in which the CLI tries whether the
 * database is there.
 */
import { randomUUID } from 'node:crypto'
import { sha256 } from './files.js'
import { failedMigrations, pendingNames } from './prisma-ledger.js'
import { openReplay, type Answer, type ReplaySession } from './replay.js'
import type { LedgerRow, MigrationSource, ReplayOptions, ReplayResult } from './types.js'

/** The engine gives up on the advisory lock after this time. */
export const LOCK_TIMEOUT_MS = 10_000

export const PRISMA_SQL = {
  version: 'SELECT version()',
  schema:
    "SELECT EXISTS(SELECT 1 FROM pg_namespace WHERE nspname = $1), version(), current_setting('server_version_num')::integer as numeric_version;",
  lock: 'SELECT pg_advisory_lock(72707369)',
  tables: `
                SELECT tbl.relname AS table_name, namespace.nspname AS table_namespace
                FROM pg_class AS tbl
                INNER JOIN pg_namespace AS namespace ON namespace.oid = tbl.relnamespace
                WHERE tbl.relkind = 'r' AND namespace.nspname = ANY ( $1 )
            `,
  create: `CREATE TABLE _prisma_migrations (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             TIMESTAMPTZ,
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          TIMESTAMPTZ,
    started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count     INTEGER NOT NULL DEFAULT 0
);
`,
  list: 'SELECT "id", "checksum", "finished_at", "migration_name", "logs", "rolled_back_at", "started_at", "applied_steps_count" FROM "_prisma_migrations" ORDER BY "started_at" ASC',
  start: 'INSERT INTO "_prisma_migrations" ("id","checksum","started_at","migration_name") VALUES ($1,$2,$3,$4)',
  step: 'UPDATE "_prisma_migrations" SET "applied_steps_count" = ("applied_steps_count" + $1) WHERE "id" = $2',
  finish: 'UPDATE "_prisma_migrations" SET "finished_at" = $1 WHERE "id" = $2',
  fail: 'UPDATE "_prisma_migrations" SET "logs" = $1 WHERE "id" = $2',
} as const

/** Tables of PostGIS do not make a schema "not empty". */
const IGNORED_TABLES = /^(?:spatial_ref_sys|geometry_columns|geography_columns|raster_columns|raster_overviews)$/i

export interface PrismaReplayOptions {
  /** PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK is set. */
  withoutLock?: boolean
  lockTimeoutMs?: number
}

/** What stops a deploy: what Prisma would print, without any data. */
class Stop extends Error {}

/** Sends what a deploy sends. Resolves with its exit code; rejects only when the connection is lost or aborted. */
export async function replayPrisma(options: ReplayOptions, settings: PrismaReplayOptions = {}): Promise<ReplayResult> {
  const { files, address, signal } = options
  const found = files.length === 0 ? 'No migration' : `${files.length} migration${files.length === 1 ? '' : 's'}`
  const lines = [`${found} found in prisma/migrations`]
  const session = await openReplay(address, signal)
  try {
    await prepare(session)
    if (settings.withoutLock !== true) await lock(session, settings.lockTimeoutMs ?? LOCK_TIMEOUT_MS)
    await initialise(session)
    const rows = await list(session)
    const failed = failedMigrations(rows)
    if (failed !== null) throw new Stop(failed)
    const names = pendingNames(files, rows)
    for (const name of names) {
      signal.throwIfAborted()
      const file = files.find((candidate) => candidate.name === name)
      if (file) await apply(session, file)
    }
    if (names.length === 0) lines.push('No pending migrations to apply.')
    else
      lines.push(
        'The following migration(s) have been applied:',
        ...names,
        'All migrations have been successfully applied.',
      )
    return { exitCode: 0, lines }
  } catch (error) {
    if (!(error instanceof Stop)) throw error
    return { exitCode: 1, lines: [...lines, ...error.message.split('\n')] }
  } finally {
    await session.end()
  }
}

/** Any other query that the server refuses ends the engine too; its words may hold data. */
function expectOk(answer: Answer): Answer {
  if (answer.error) throw new Stop(`Error: the database answered with SQLSTATE ${answer.error.sqlstate}`)
  return answer
}

async function prepare(session: ReplaySession): Promise<void> {
  expectOk(await session.prepared(PRISMA_SQL.version))
  const [row] = expectOk(await session.prepared(PRISMA_SQL.schema, ['public'])).rows
  if (row?.[0] === 'f') expectOk(await session.query('CREATE SCHEMA "public"'))
}

async function lock(session: ReplaySession, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), timeoutMs)))
  const locked = session.query(PRISMA_SQL.lock)
  try {
    const first = await Promise.race([locked, late])
    if (first !== 'late') return void expectOk(first)
  } finally {
    clearTimeout(timer)
  }
  // The engine's process ends here, and its socket with it.
  session.destroy()
  await locked.catch(() => undefined)
  throw new Stop(
    'P1002: The database server was reached but timed out. ' +
      `Timed out trying to acquire a postgres advisory lock (${PRISMA_SQL.lock}). Elapsed: ${timeoutMs}ms.`,
  )
}

async function initialise(session: ReplaySession): Promise<void> {
  const names = expectOk(await session.prepared(PRISMA_SQL.tables, ['{public}'])).rows.map(([name]) => name ?? '')
  if (names.includes('_prisma_migrations')) return
  if (names.some((name) => !IGNORED_TABLES.test(name)))
    throw new Stop(
      'P3005: The database schema is not empty. Read more about how to baseline an existing production database: https://pris.ly/d/migrate-baseline',
    )
  expectOk(await session.query(PRISMA_SQL.create))
}

async function list(session: ReplaySession): Promise<LedgerRow[]> {
  const { rows } = expectOk(await session.prepared(PRISMA_SQL.list))
  // The fifth column is `logs`.
  return rows.map(([, checksum, finished, name, , rolledBack, started]) => ({
    migration_name: name ?? null,
    checksum: checksum ?? null,
    finished_at: finished ?? null,
    rolled_back_at: rolledBack ?? null,
    started_at: started ?? null,
  }))
}

async function apply(session: ReplaySession, file: MigrationSource): Promise<void> {
  const id = randomUUID()
  const now = (): string => new Date().toISOString().replace('Z', '+00:00')
  // The engine hashes the text that it has read.
  expectOk(await session.prepared(PRISMA_SQL.start, [id, sha256(file.text), now(), file.name]))
  const answer = await session.query(file.text)
  if (answer.error) {
    const { sqlstate, message } = answer.error
    const told =
      'A migration failed to apply. New migrations cannot be applied before the error is recovered from. ' +
      'Read more about how to resolve migration issues in a production database: https://pris.ly/d/migrate-resolve' +
      `\n\nMigration name: ${file.name}\n\nDatabase error code: ${sqlstate}`
    expectOk(await session.prepared(PRISMA_SQL.fail, [`${told}\n\nDatabase error:\nERROR: ${message}\n`, id]))
    throw new Stop(`P3018: ${told}`)
  }
  expectOk(await session.prepared(PRISMA_SQL.step, ['1', id]))
  expectOk(await session.prepared(PRISMA_SQL.finish, [now(), id]))
}
