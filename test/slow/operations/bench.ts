/** Runs one operation through the quiet pass on a fresh copy of the database, and lets a second session try the locks. */
import type postgres from 'postgres'
import { readFacts } from '../../../src/judge/facts.js'
import { relationSummaries } from '../../../src/judge/relations.js'
import { quietPass } from '../../../src/pass/quiet.js'
import type { Recording, LockMode, LockTaken, MigrationFile, QuietPass, Work } from '../../../src/recording.js'
import { strength } from '../../../src/sql/lock-modes.js'
import { splitSql } from '../../../src/sql/split.js'
import type { Operation } from '../../../src/traffic/operation.js'
import { connect, startServer, type TestServer } from '../../support/postgres.js'
import type { Expected } from './operation.js'
import { PROBED, SCHEMA } from './schema.js'

const DATABASE = 'operation'

export interface Bench {
  server: TestServer
  control: postgres.Sql
}

export async function openBench(): Promise<Bench> {
  const server = await startServer({
    // A background vacuum would be one more thing that moves.
    settings: { autovacuum: 'off' },
    fill: async (admin, branch) => {
      const owner = connect(branch.address('migrate'))
      await owner.unsafe(SCHEMA)
      await owner.unsafe(
        'grant all on all tables in schema public to app; grant all on all sequences in schema public to app',
      )
      await owner.end()
      await admin.unsafe('vacuum analyze')
    },
  })
  return { server, control: connect({ ...server.admin, database: 'postgres' }) }
}

export async function closeBench({ server, control }: Bench): Promise<void> {
  await control.end()
  await server.stop()
}

/** A copy of the filled database with `setup` done. */
async function freshCopy({ server, control }: Bench, setup: string | undefined): Promise<void> {
  await control.unsafe(`drop database if exists ${DATABASE} with (force)`)
  await control.unsafe(
    `create database ${DATABASE} template ${server.admin.database} strategy file_copy owner ${server.migrate.user}`,
  )
  if (setup === undefined) return
  const owner = connect({ ...server.migrate, database: DATABASE })
  await owner.unsafe(setup)
  await owner.end()
  const admin = connect({ ...server.admin, database: DATABASE })
  await admin.unsafe('analyze')
  await admin.end()
}

export interface PassResult {
  pass: QuietPass
  migrations: MigrationFile[]
}

export async function pass(
  bench: Bench,
  change: Pick<Expected, 'sql' | 'mode' | 'setup'>,
  operations: readonly Operation[] = [],
): Promise<PassResult> {
  await freshCopy(bench, change.setup)
  return passHere(bench, change, operations)
}

async function passHere(
  { server }: Bench,
  change: Pick<Expected, 'sql' | 'mode'>,
  operations: readonly Operation[],
): Promise<PassResult> {
  const file = 'operation.sql'
  const mode = change.mode ?? 'file'
  const migrations = [
    {
      file,
      sha256: '',
      transaction: mode,
      name: null,
      kind: 'sql' as const,
      statements: await splitSql(change.sql, file),
    },
  ]
  const { pass: result } = await quietPass({
    copiedBy: 'copy',
    admin: { ...server.admin, database: DATABASE },
    migrate: { ...server.migrate, database: DATABASE },
    app: { ...server.app, database: DATABASE },
    migrations,
    transaction: mode === 'none' ? 'file' : mode,
    tool: null,
    rollback: null,
    checks: [],
    operations,
    rows: 1000,
    seed: 1,
    maxDurationMs: 60_000,
    emit: () => undefined,
    signal: new AbortController().signal,
  })
  return { pass: result, migrations }
}

/** What the pass says the operation did, in the words of the table. */
export async function measure(
  bench: Bench,
  operation: Expected,
): Promise<Expected & { witness: Expected['blocks'] | null }> {
  await freshCopy(bench, operation.setup)
  const witness =
    (operation.mode ?? 'file') === 'file' && operation.error === undefined ? await tryLocks(bench, operation) : null
  const { pass: quiet, migrations } = await passHere(bench, operation, [])
  const { outcome } = quiet.migration
  const base = { id: operation.id, sql: operation.sql, witness }
  if (!outcome.ok) return { ...base, error: outcome.error.sqlstate }
  const works = quiet.migration.statements.flatMap((run) => run.work ?? [])
  return { ...base, ...inWords(works), blocks: blocked(quiet, migrations) }
}

function inWords(works: readonly Work[]): Omit<Expected, 'id' | 'sql'> {
  const locks = works.flatMap((work) => work.locks).filter((lock) => lock.existedBefore)
  const names = (list: (work: Work) => string[]): string[] => [...new Set(works.flatMap(list))].sort()
  return {
    locks: strongest(locks.filter((lock) => lock.kind !== 'index' && lock.kind !== 'toast')),
    indexes: strongest(
      locks.filter((lock) => lock.kind === 'index' && strength(lock.mode) > strength('ROW EXCLUSIVE')),
    ),
    rewrites: names((work) => work.rewrites.map((r) => r.relation)),
    builds: names((work) => work.indexBuilds.map((b) => b.relation)),
    truncated: names((work) => work.truncated),
    scans: names((work) => work.scans.map((s) => `${s.relation}:${s.rows}${s.passes > 1 ? `x${s.passes}` : ''}`)),
    rows: names((work) => work.rowsWritten.map((r) => `${r.relation}:+${r.inserted}~${r.updated}-${r.deleted}`)),
    transactions: works[0]?.transactions ?? 0,
  }
}

function strongest(locks: readonly LockTaken[]): Record<string, LockMode> {
  const found: Record<string, LockMode> = {}
  for (const { relation, mode } of locks) {
    const known = found[relation]
    if (known === undefined || strength(mode) > strength(known)) found[relation] = mode
  }
  return found
}

function blocked(quiet: QuietPass, migrations: MigrationFile[]): Record<string, 'RW' | 'W'> {
  const recording = { migrations, passes: [quiet], productionRows: {}, environment: null } as unknown as Recording
  const found: Record<string, 'RW' | 'W'> = {}
  for (const row of relationSummaries(readFacts(recording)))
    if (PROBED.includes(row.relation) && row.blocksWrites) found[row.relation] = row.blocksReads ? 'RW' : 'W'
  return found
}

/**
 * The independent truth: the operation runs in a transaction of an ordinary session, and a fresh second session reads
 * and writes every table with a short lock_timeout. Everything is rolled back.
 */
async function tryLocks({ server }: Bench, operation: Expected): Promise<Record<string, 'RW' | 'W'>> {
  const holder = connect({ ...server.migrate, database: DATABASE })
  const other = connect({ ...server.admin, database: DATABASE })
  const waits = async (sql: string): Promise<boolean> => {
    await other.unsafe('begin')
    const code = await other.unsafe(sql).then(
      () => '',
      (error: unknown) => (error as { code?: string }).code ?? 'unknown',
    )
    await other.unsafe('rollback')
    return code === '55P03'
  }
  const found: Record<string, 'RW' | 'W'> = {}
  try {
    await other.unsafe(`set lock_timeout = '60ms'`)
    await holder.unsafe('begin')
    await holder.unsafe(operation.sql)
    for (const table of PROBED) {
      const reads = await waits(`select 1 from only ${table} limit 1`)
      // A real row: only then does a partition ask whether it belongs there. Nobody can write to a materialized view but
      // its own REFRESH.
      const write =
        table === 'best'
          ? 'refresh materialized view concurrently best'
          : `insert into ${table} select * from ${table} limit 1`
      if (reads || (await waits(write))) found[table] = reads ? 'RW' : 'W'
    }
    await holder.unsafe('rollback')
  } finally {
    await holder.end()
    await other.end()
  }
  return found
}
