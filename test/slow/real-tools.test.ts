/**
 * What is recorded of real migration tools, held against the server's own log: the same statements in the same sessions
 * and transactions, whatever the tool. And neither pass changes what a tool does: outcome, journal, schema and rows are
 * those of a run without us.
 */
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test, type TestContext } from 'vitest'
import type { ToolSetup } from '../../src/migrations/tools/types.js'
import type { WireTrace } from '../../src/migrations/wire-trace/trace.js'
import { afterwards, prepareBefore, runDirectly, type Prepared } from '../support/direct-run.js'
import { connect } from '../support/postgres.js'
import { readFixture } from '../support/projects.js'
import {
  type By,
  contentsOf,
  loggedSessions,
  pendingIn,
  recordedSessions,
  recordPlain,
  recordQuiet,
  type SessionFacts,
  setupOf,
} from '../support/recorded.js'
import { logOf, needServer, startLogServer, type LogServer } from '../support/server-log.js'
import { needTool } from '../support/tools.js'

const FIXTURES = fileURLToPath(new URL('../fixtures/projects', import.meta.url))
const names = readdirSync(FIXTURES, { withFileTypes: true })
  // Projects of two git refs are another test's.
  .filter((entry) => existsSync(`${FIXTURES}/${entry.name}/fixture.json`))
  .map((entry) => entry.name)

const servers = new Map<number, Promise<LogServer>>()

function serverOf(context: TestContext, major: number): Promise<LogServer> {
  const started = servers.get(major) ?? startLogServer(major)
  servers.set(major, started)
  return needServer(context, started)
}

afterAll(async () => {
  for (const server of await Promise.allSettled(servers.values()))
    if (server.status === 'fulfilled') await server.value.stop()
})

/** A database before the pending migrations, of which every run gets a copy. */
async function prepared(context: TestContext, name: string, major: number) {
  const { packages } = await readFixture(name)
  const tools = packages === null ? null : await needTool(context, packages)
  const server = await serverOf(context, major)
  const before = await prepareBefore(name, server, tools)
  const copy = async (what: string): Promise<Prepared> => {
    const address = await server.copy(before.address, `${before.address.database}-${what}`)
    return { ...before, address, superuser: server.superuser(address) }
  }
  return { server, before, copy }
}

/** What the migration's statements came to, transaction by transaction. */
const story = ({ run }: WireTrace): unknown => ({
  outcome: run.outcome,
  failed: run.failedStatement,
  statements: run.statements.map(({ statement, outcome }) => [statement, outcome.ok]),
  transactions: run.transactions.map(({ end, statements }) => ({ end, statements })),
  journal: run.tool?.journal,
})

describe.each([18, 16])('on PostgreSQL %i', (major) => {
  test.for(names)('%s', async (name, context) => {
    const { server, before, copy } = await prepared(context, name, major)
    const { project } = before
    try {
      const { expected, applied } = project.fixture
      const setup = await setupOf(project)
      const pending = pendingIn(project, setup)
      const [direct, plain, quiet] = [await copy('direct'), await copy('plain'), await copy('quiet')]

      const alone = await runDirectly(project, direct.address)
      const result = await recordPlain(plain, setup, 'tool')
      const log = await logOf(server, plain.address.database)
      const logged = loggedSessions(log, plain.address.user)
      expect(logged.flatMap((session) => session.sent)).not.toEqual([])
      expect(recordedSessions(result.sessions, result.trace.steps)).toEqual(logged)

      const { run } = result.trace
      expect(result.exit.exitCode).toBe(alone.exitCode)
      expect(run.outcome.ok).toBe(expected.exitCode === 0)
      const failed = run.statements.find(({ outcome }) => !outcome.ok)
      expect(run.failedStatement).toBe(failed?.statement ?? null)
      expect(failed !== undefined).toBe(expected.sqlstates.length > 0)
      expect(run.tool?.lastError?.sqlstate ?? null).toBe(expected.sqlstates.at(-1) ?? null)
      expect(run.tool?.toldError).toBe(expected.tellsError)
      expect(await afterwards(plain)).toEqual(await afterwards(direct))
      expect(await contentsOf(plain, setup)).toEqual(await contentsOf(direct, setup))
      // The server's marks tell the statements of every message apart.
      if (setup.tool !== 'supabase') expect(run.statements.filter(({ boundary }) => boundary === 'message')).toEqual([])
      const written = expected.journal.filter((row) => !row.endsWith(' unfinished')).length - applied.length
      expect(run.tool?.journal?.added).toEqual(pending.slice(0, written))
      expect(run.tool?.journal?.missing).toEqual(pending.slice(written))

      const dissected = await recordQuiet(quiet, setup, 'tool')
      expect(dissected.trace.run.tool?.exitCode).toBe(alone.exitCode)
      expect(story(dissected.trace as WireTrace)).toEqual(story(result.trace))
      expect(await afterwards(quiet)).toEqual(await afterwards(direct))
      expect(await contentsOf(quiet, setup)).toEqual(await contentsOf(direct, setup))
    } finally {
      await project.remove()
    }
  })
})

/** What the database is like when the tool comes. */
type Start = 'before' | 'empty' | 'foreign'

describe.each([18, 16])('in place of a program, on PostgreSQL %i', (major) => {
  const FIRST = 'SELECT version()'

  /** What one session said and what came of it. The engine's driver here prepares only what has parameters. */
  const shown = ({ sent, sqlstates, transactions }: SessionFacts): unknown => {
    const said = sent.map((text) => (/^extended (?![^]*\$1)/.test(text) ? text.replace('extended', 'simple') : text))
    return { said, sqlstates, transactions }
  }

  /** Without the statement that only the native engine begins with. */
  const withoutFirst = (facts: SessionFacts): SessionFacts => {
    expect([facts.sent[0], facts.transactions[0]?.statements]).toEqual([`extended ${FIRST}`, [FIRST]])
    return { ...facts, sent: facts.sent.slice(1), transactions: facts.transactions.slice(1) }
  }

  /** The pending migrations, and once more what is left to do. */
  async function told(place: Prepared, setup: ToolSetup, by: By): Promise<unknown> {
    const runs: unknown[] = []
    for (let nth = 0; nth < 2; nth++) {
      const { sessions, trace, exit } = await recordPlain(place, setup, by)
      // A session before, in which the command line tries whether the database is there, says nothing.
      const facts = recordedSessions(sessions, trace.steps).filter(({ sent }) => sent.length > 0)
      const own = setup.tool === 'prisma' && by === 'replay' ? facts.map(withoutFirst) : facts
      runs.push({ exitCode: exit.exitCode, sessions: own.map(shown), journal: trace.run.tool?.journal })
    }
    return { runs, contents: await contentsOf(place, setup) }
  }

  test.for<[string, Start]>([
    ['prisma', 'before'],
    ['prisma', 'empty'],
    ['prisma', 'foreign'],
    ['prisma-failing', 'before'],
    ['supabase', 'before'],
    ['supabase', 'empty'],
    ['supabase-failing', 'before'],
  ])('%s, database %s', async ([name, start], context) => {
    const { server, before, copy } = await prepared(context, name, major)
    try {
      const setup = await setupOf(before.project)
      const place = async (by: By): Promise<Prepared> => {
        if (start === 'before') return copy(by)
        const address = await server.database(`${before.address.database}-${start}-${by}`)
        const sql = connect(address)
        if (start === 'foreign') await sql.unsafe('CREATE TABLE somebody_else (id int)')
        await sql.end()
        return { ...before, address, superuser: server.superuser(address) }
      }
      const tool = await told(await place('tool'), setup, 'tool')
      expect(await told(await place('replay'), setup, 'replay')).toEqual(tool)
    } finally {
      await before.project.remove()
    }
  })
})
