/** The facts about machine, server and data that a result depends on. No path, no host name, no secret. */
import { execFile } from 'node:child_process'
import os from 'node:os'
import { promisify } from 'node:util'
import type { Environment } from './recording.js'
import { readRelations } from './pg/catalog.js'
import type { Sql } from './pg/connect.js'

/** Settings that change what a rehearsal measures. */
const SETTINGS = [
  'autovacuum',
  'checkpoint_timeout',
  'deadlock_timeout',
  'default_transaction_isolation',
  'effective_cache_size',
  'fsync',
  'full_page_writes',
  'idle_in_transaction_session_timeout',
  'lock_timeout',
  'maintenance_work_mem',
  'max_connections',
  'max_parallel_maintenance_workers',
  'max_wal_size',
  'random_page_cost',
  'shared_buffers',
  'statement_timeout',
  'synchronous_commit',
  'wal_level',
  'work_mem',
]

export interface EnvironmentInput {
  sql: Sql
  provider: string
  encoding: string
  collation: string
  roles: { migrate: string; app: string }
  /** Names of settings that the scenario sets, to be shown as well. */
  settings: readonly string[]
  commandLine: string
  tool: string
  startedAt: string
  folder: string
}

export async function readEnvironment(input: EnvironmentInput): Promise<Environment> {
  const { sql } = input
  const names = [...new Set([...SETTINGS, ...input.settings])].sort()
  const settings = await sql<{ name: string; value: string }[]>`
    select name, current_setting(name) as value from pg_catalog.pg_settings where name = any(${`{${names.join(',')}}`}::text[]) order by name`
  const server = await sql<{ version: string; number: string; bytes: string }[]>`
    select version() as version, current_setting('server_version_num') as number,
           pg_database_size(current_database())::text as bytes`
  const relations: Environment['relations'] = []
  const all = await readRelations(sql)
  const indexBytes = new Map<number, number>()
  for (const relation of all.values())
    if (relation.oid !== relation.tableOid)
      indexBytes.set(relation.tableOid, (indexBytes.get(relation.tableOid) ?? 0) + relation.bytes)
  for (const relation of all.values()) {
    if (relation.kind !== 'table' && relation.kind !== 'materialized view') continue
    const schema = relation.name === relation.bare ? 'public' : relation.name.slice(0, -relation.bare.length - 1)
    const rows = await sql<{ n: string }[]>`select count(*)::text as n from ${sql(schema)}.${sql(relation.bare)}`
    relations.push({
      relation: relation.name,
      kind: relation.kind,
      rows: Number(rows[0]?.n ?? 0),
      bytes: relation.bytes + (indexBytes.get(relation.oid) ?? 0),
    })
  }
  return {
    tool: input.tool,
    node: process.version,
    os: `${os.platform()} ${os.arch()}`,
    cpus: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    ci: process.env['GITHUB_ACTIONS'] ? 'GitHub Actions' : process.env['CI'] ? 'yes' : null,
    git: await gitRevision(input.folder),
    startedAt: input.startedAt,
    commandLine: input.commandLine,
    provider: input.provider,
    postgres: (server[0]?.version ?? '').replace(/^PostgreSQL /, '').replace(/ on .*$/, ''),
    serverVersion: Number(server[0]?.number ?? 0),
    encoding: input.encoding,
    collation: input.collation,
    settings: Object.fromEntries(settings.map((row) => [row.name, row.value])),
    databaseBytes: Number(server[0]?.bytes ?? 0),
    relations: relations.sort((a, b) => b.rows - a.rows || a.relation.localeCompare(b.relation)),
    roundTripMs: await roundTrip(sql),
    roles: input.roles,
  }
}

/** Median of 50 empty statements, in ms. */
async function roundTrip(sql: Sql): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < 50; i++) {
    const start = performance.now()
    await sql.unsafe('select').simple()
    times.push(performance.now() - start)
  }
  times.sort((a, b) => a - b)
  return Math.round((times[25] ?? 0) * 1000) / 1000
}

/** The commit that the folder is at; null without git. */
export async function gitRevision(folder: string): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)('git', ['rev-parse', 'HEAD'], { cwd: folder, timeout: 5_000 })
    return stdout.trim() || null
  } catch {
    return null
  }
}
