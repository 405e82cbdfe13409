/** A fixture's tool run directly against a server that logs every statement: the truth that recordings are compared with. */
import type { Address } from '../../src/pg/connect.js'
import { connect } from './postgres.js'
import { runPrisma } from './prisma-wasm.js'
import { factsOf, makeProject, rowsOf, runTool, type Project, type ToolRun, type TransactionFacts } from './projects.js'
import { logOf, type LogEntry, type LogServer } from './server-log.js'
import { runSupabaseBatch } from './supabase-batch.js'

/** A database in the state before the pending migrations, and the whole project. */
export interface Prepared {
  readonly project: Project
  /** Of the role without superuser that owns the database. */
  readonly address: Address
  /** Of a superuser. */
  readonly superuser: Address
}

/** Runs the project's tool: by its own command, or what stands for it where its program cannot be had from npm. */
export function runDirectly(project: Project, address: Address): Promise<ToolRun> {
  if (project.fixture.packages === null) return runSupabaseBatch(project, address)
  return project.fixture.packages === 'prisma-6' ? runPrisma(project, address) : runTool(project, address)
}

let databases = 0

/**
 * Makes a new database, lets the tool apply what the fixture calls applied, and fills the tables. `tools` is the folder
 * of `toolFolder`, null where there is none.
 */
export async function prepareBefore(name: string, server: LogServer, tools: string | null): Promise<Prepared> {
  const address = await server.database(`${name}-${++databases}`)
  const project = await makeProject(name, { tools })
  try {
    const { applied, migrations } = project.fixture
    const cut = migrations.map((migration) => migration.name).filter((migration) => !applied.includes(migration))
    const older = await makeProject(name, { tools, cut })
    const first = await runDirectly(older, address).finally(() => older.remove())
    if (first.exitCode !== 0) throw new Error(`${name}: the applied migrations failed: ${first.stdout}${first.stderr}`)
    const sql = connect(address)
    await sql.unsafe(await rowsOf(name)).simple()
    await sql.end()
    return { project, address, superuser: server.superuser(address) }
  } catch (error) {
    await project.remove()
    throw error
  }
}

export interface DirectRun {
  readonly run: ToolRun
  /** What the server logged in this run, sessions of the tool only. */
  readonly log: LogEntry[]
  readonly transactions: TransactionFacts[]
  readonly sqlstates: string[]
}

/** Runs something that sends statements to this database and nothing else does, and reads what the server logged of it. */
export async function logged(server: LogServer, address: Address, body: () => Promise<ToolRun>): Promise<DirectRun> {
  const before = new Set((await logOf(server, address.database)).map((entry) => entry.session))
  const run = await body()
  const log = (await logOf(server, address.database)).filter((entry) => !before.has(entry.session))
  return { run, log, ...factsOf(log) }
}

/** The first column of a query's rows as text; empty when its table is not there yet. */
export async function column(address: Address, query: string): Promise<(string | null)[]> {
  const sql = connect(address, { fetch_types: false })
  try {
    const rows = await sql.unsafe(query).values()
    return rows.map((row) => (row[0] === null || row[0] === undefined ? null : String(row[0])))
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === '42P01' || error.code === '3F000')) return []
    throw error
  } finally {
    await sql.end()
  }
}

export interface Afterwards {
  journal: (string | null)[]
  committed: string[]
  state: Record<string, string | null>
}

/** What is in the database, in the form of `fixture.json`. */
export async function afterwards({ project, superuser }: Prepared): Promise<Afterwards> {
  const { applied, expected, journal, migrations } = project.fixture
  const committed: string[] = []
  for (const { name, witness } of migrations)
    if (witness !== null && !applied.includes(name) && (await column(superuser, witness))[0] === 'true')
      committed.push(name)
  const state: Record<string, string | null> = {}
  for (const query of Object.keys(expected.state)) state[query] = (await column(superuser, query))[0] ?? null
  return { journal: await column(superuser, journal), committed, state }
}
