/**
 * What real migration tools do to a server, by the server's own log: each project in `test/fixtures/projects` with its
 * tool from npm, run directly. Nothing of the harness takes part but the starting of PostgreSQL. `fixture.json` says
 * what must come out, so a new version of a tool that does otherwise is noticed here and not in a recording.
 */
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, test, type TestContext } from 'vitest'
import { connect } from '../support/postgres.js'
import { afterwards, column, logged, prepareBefore, runDirectly, type Prepared } from '../support/direct-run.js'
import { readFixture, shortened, type ToolRun } from '../support/projects.js'
import { logOf, needServer, startLogServer, type LogEntry, type LogServer } from '../support/server-log.js'
import { errorsOf, pidsOf, statementsOf, transactions } from '../support/server-transactions.js'
import { needTool } from '../support/tools.js'

const FIXTURES = fileURLToPath(new URL('../fixtures/projects', import.meta.url))
const names = readdirSync(FIXTURES, { withFileTypes: true })
  // Projects of two git refs are another test's.
  .filter((entry) => existsSync(`${FIXTURES}/${entry.name}/fixture.json`))
  .map((entry) => entry.name)

const servers = new Map<number, Promise<LogServer>>()

/** One server of a major for all tests; a major that is not installed skips each of them. */
function serverOf(context: TestContext, major: number): Promise<LogServer> {
  const started = servers.get(major) ?? startLogServer(major)
  servers.set(major, started)
  return needServer(context, started)
}

afterAll(async () => {
  for (const server of await Promise.allSettled(servers.values()))
    if (server.status === 'fulfilled') await server.value.stop()
})

async function prepared(context: TestContext, name: string, major: number): Promise<[LogServer, Prepared]> {
  const { packages } = await readFixture(name)
  const tools = packages === null ? null : await needTool(context, packages)
  const server = await serverOf(context, major)
  return [server, await prepareBefore(name, server, tools)]
}

const printed = (run: ToolRun): string => run.stdout + run.stderr

// The same facts on 16 are those that real-tools.test.ts meets there.
describe.each([18])('on PostgreSQL %i', (major) => {
  test.for(names)('%s', async (name, context) => {
    const [server, before] = await prepared(context, name, major)
    const { project, address } = before
    try {
      const { expected } = project.fixture
      const direct = await logged(server, address, () => runDirectly(project, address))
      const output = printed(direct.run)
      expect(direct.run.exitCode, output).toBe(expected.exitCode)
      expect(direct.transactions).toEqual(expected.log)
      expect(direct.sqlstates).toEqual(expected.sqlstates)
      if (expected.says !== null) expect(output).toContain(expected.says)
      const first = direct.log.find((entry) => entry.kind === 'error')
      expect(first === undefined ? null : output.includes(first.message)).toBe(expected.tellsError)
      expect(await afterwards(before)).toEqual({
        journal: expected.journal,
        committed: expected.committed,
        state: expected.state,
      })
      if (expected.again === null) return
      const again = await logged(server, address, () => runDirectly(project, address))
      expect(again.run.exitCode, printed(again.run)).toBe(expected.again.exitCode)
      expect(again.sqlstates).toEqual(expected.again.sqlstates)
      if (expected.again.says !== null) expect(printed(again.run)).toContain(expected.again.says)
    } finally {
      await project.remove()
    }
  })

  test('statements stand in the log as they stand in the files, in order', async (context) => {
    const [server, { project, address }] = await prepared(context, 'drizzle-journal', major)
    try {
      const { log } = await logged(server, address, () => runDirectly(project, address))
      const chunks = project.fixture.pending.flatMap((name) =>
        readFileSync(`${project.root}/drizzle/${name}.sql`, 'utf8').split('--> statement-breakpoint'),
      )
      const sent = statementsOf(log).map((entry) => entry.sql)
      expect(sent.filter((sql) => sql !== null && chunks.includes(sql))).toEqual(chunks)
      expect(pidsOf(log)).toHaveLength(1)
      expect(log.some((entry) => entry.sql?.includes('$1'))).toBe(true)
      // The values are not there: the hash of a file is one of them.
      expect(log.filter((entry) => /[0-9a-f]{64}/.test(entry.message))).toEqual([])
    } finally {
      await project.remove()
    }
  })
})

describe.each([18, 16])('transactions in the log of PostgreSQL %i', (major) => {
  /** Sends each text as one simple Query in one session, and says what became of the transactions. */
  async function outcomes(context: TestContext, texts: readonly string[], end = true): Promise<string[]> {
    const server = await serverOf(context, major)
    const address = await server.database(`log-${randomUUID()}`)
    const setUp = connect(address)
    await setUp.unsafe('CREATE TABLE t (id int)')
    await setUp.end()
    const before = new Set((await logOf(server, address.database)).map((entry) => entry.session))
    const sql = connect(address, { fetch_types: false })
    for (const text of texts)
      await sql
        .unsafe(text)
        .simple()
        .catch(() => undefined)
    if (end) await sql.end()
    const log = (await logOf(server, address.database)).filter((entry) => !before.has(entry.session))
    await sql.end()
    const [pid = 0] = pidsOf(log)
    return transactions(log, pid).map(
      ({ explicit, outcome, statements }) => `${explicit ? 'block' : 'alone'} of ${statements.length} ${outcome}`,
    )
  }

  test('blocks end with COMMIT, ROLLBACK, a failure or the session', async (context) => {
    const texts = ['BEGIN', 'INSERT INTO t VALUES (1)', 'COMMIT', 'BEGIN', 'SELECT 1/0', 'SELECT 1', 'COMMIT']
    expect(await outcomes(context, [...texts, 'START TRANSACTION', 'SELECT 1', 'ROLLBACK'])).toEqual([
      'block of 3 committed',
      'block of 4 rolled back',
      'block of 3 rolled back',
    ])
    expect(await outcomes(context, ['BEGIN', 'SELECT 1'])).toEqual(['block of 2 rolled back'])
    expect(await outcomes(context, ['BEGIN', 'SELECT 1'], false)).toEqual(['block of 2 open'])
  })

  test('a message is a transaction, and one with a COMMIT in it is not known when it fails', async (context) => {
    const index = 'CREATE INDEX CONCURRENTLY i ON t (id)'
    const texts = ['SELECT 1; SELECT 2', 'SELECT 1; SELECT 1/0', index, `SELECT 1; ${index}`, 'SELEC 1']
    expect(await outcomes(context, [...texts, `INSERT INTO t VALUES (1); COMMIT; ${index}`, 'SELECT 1'])).toEqual([
      'alone of 1 committed',
      'alone of 1 rolled back',
      'alone of 1 committed',
      'alone of 1 rolled back',
      'alone of 1 rolled back',
      'alone of 1 unclear',
      'alone of 1 committed',
    ])
  })

  test('a block begun in a message with other statements, and left by a message', async (context) => {
    const texts = ['BEGIN; INSERT INTO t VALUES (1)', 'INSERT INTO t VALUES (2); COMMIT', 'SELECT 1']
    expect(await outcomes(context, texts)).toEqual(['block of 2 committed', 'alone of 1 committed'])
  })
})

describe('two runs at once', () => {
  /**
   * Holds the table until both runs wait for it, or one is done and the other waits; then lets go. Whatever a tool reads
   * before it begins, both have read by then. `lingerMs`: so much later.
   */
  async function race(
    { project, address, superuser }: Prepared,
    table: string,
    enough: (waiting: number, ended: number) => boolean,
    lingerMs = 0,
  ): Promise<ToolRun[]> {
    const [holder, watcher] = [connect(superuser), connect(superuser)]
    let ended = 0
    const runs: Promise<ToolRun>[] = []
    try {
      await holder.begin(async (tx) => {
        await tx.unsafe(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`)
        const count = (): void => {
          ended++
        }
        for (let i = 0; i < 2; i++) {
          const run = runDirectly(project, address)
          runs.push(run)
          run.then(count, count)
        }
        const deadline = Date.now() + 60_000
        for (;;) {
          const [row] = await watcher<{ waiting: number }[]>`
            SELECT count(DISTINCT pid)::int AS waiting FROM pg_locks WHERE NOT granted`
          if (enough(row?.waiting ?? 0, ended)) break
          if (Date.now() > deadline) throw new Error(`${row?.waiting ?? 0} wait, ${ended} have ended`)
          await sleep(20)
        }
        await sleep(lingerMs)
      })
      return await Promise.all(runs)
    } finally {
      await Promise.allSettled(runs)
      await holder.end()
      await watcher.end()
    }
  }

  const bothWait = (waiting: number): boolean => waiting === 2
  const oneGaveUp = (waiting: number, ended: number): boolean => waiting === 1 && ended === 1
  const exitCodes = (runs: ToolRun[]): (number | null)[] => runs.map((run) => run.exitCode).sort()

  test('drizzle-kit 0.31 applies a data migration twice, and both say that all went well', async (context) => {
    const [, before] = await prepared(context, 'drizzle-data', 18)
    const runs = await race(before, 'users', bothWait).finally(() => before.project.remove())
    expect(exitCodes(runs)).toEqual([0, 0])
    expect(await column(before.superuser, 'SELECT DISTINCT balance FROM users')).toEqual(['200'])
    const rows = `SELECT count(*) FROM drizzle.__drizzle_migrations GROUP BY hash HAVING count(*) > 1`
    expect(await column(before.superuser, rows)).toEqual(['2'])
  })

  /** What the sessions of the two runs sent, one list a session, and the errors that they met. */
  async function sentIn(server: LogServer, { address }: Prepared, old: readonly LogEntry[]) {
    const known = new Set(old.map((entry) => entry.session))
    const log = (await logOf(server, address.database)).filter(
      (entry) => !known.has(entry.session) && entry.user === address.user,
    )
    const sessions = pidsOf(log).map((pid) =>
      statementsOf(log.filter((entry) => entry.pid === pid)).map((entry) => shortened(entry.sql ?? '')),
    )
    return { log, sessions, sqlstates: errorsOf(log) }
  }

  test('node-pg-migrate: the second fails at once, and asks to give back a lock that it never had', async (context) => {
    const [server, before] = await prepared(context, 'node-pg-migrate-sql', 18)
    const old = await logOf(server, before.address.database)
    const runs = await race(before, 'orders', oneGaveUp).finally(() => before.project.remove())
    expect(exitCodes(runs)).toEqual([0, 1])
    expect(runs.map(printed).join()).toContain('Another migration is already running')
    const { sessions, sqlstates } = await sentIn(server, before, old)
    expect(sessions.toSorted((a, b) => a.length - b.length)[0]).toEqual([
      'SELECT pg_try_advisory_lock(7241865325823964) AS "lockObtained"',
      'SELECT pg_advisory_unlock(7241865325823964) AS "lockReleased"',
    ])
    expect(sqlstates).toEqual([])
  })

  test('drizzle-kit with DDL: nothing keeps the two apart, the second fails by what the first has done', async (context) => {
    const [server, before] = await prepared(context, 'drizzle-journal', 18)
    const old = await logOf(server, before.address.database)
    const runs = await race(before, 'orders', bothWait).finally(() => before.project.remove())
    expect(exitCodes(runs)).toEqual([0, 1])
    expect((await sentIn(server, before, old)).sqlstates).toEqual(['42701'])
  })

  test('supabase: nothing keeps the two apart either', async (context) => {
    const [server, before] = await prepared(context, 'supabase', 18)
    const old = await logOf(server, before.address.database)
    const runs = await race(before, 'orders', bothWait).finally(() => before.project.remove())
    expect(exitCodes(runs)).toEqual([0, 1])
    expect((await sentIn(server, before, old)).sqlstates).toEqual(['42701'])
  })

  // A session looks for a deadlock once, after so long (deadlock_timeout). Who looks when there is one is its victim.
  test.for([
    { name: 'the one with the index if the other has waited long', lingerMs: 1_500, exits: [1, 1], says: 'P3009' },
    { name: 'the other one otherwise', lingerMs: 0, exits: [0, 1], says: 'deadlock detected' },
  ])(
    'prisma: who waits for the lock has a snapshot, for which CREATE INDEX CONCURRENTLY waits; $name fails',
    async ({ lingerMs, exits, says }, context) => {
      const [server, before] = await prepared(context, 'prisma', 18)
      const old = await logOf(server, before.address.database)
      const runs = await race(before, 'orders', bothWait, lingerMs).finally(() => before.project.remove())
      expect(exitCodes(runs)).toEqual(exits)
      expect(runs.map(printed).join()).toContain(says)
      expect((await sentIn(server, before, old)).sqlstates).toEqual(['40P01'])
    },
  )

  test('knex with a file outside of transactions: the second gives up at the lock', async (context) => {
    const [server, before] = await prepared(context, 'knex-concurrently', 18)
    const old = await logOf(server, before.address.database)
    const runs = await race(before, 'orders', oneGaveUp).finally(() => before.project.remove())
    expect(exitCodes(runs)).toEqual([0, 1])
    expect(runs.map(printed).join()).toContain('Migration table is already locked')
    expect((await sentIn(server, before, old)).sqlstates).toEqual([])
  })

  test('knex: the second waits for the row of the lock and then finds nothing to do', async (context) => {
    const [server, before] = await prepared(context, 'knex', 18)
    const old = await logOf(server, before.address.database)
    const runs = await race(before, 'orders', bothWait).finally(() => before.project.remove())
    expect(exitCodes(runs)).toEqual([0, 0])
    expect(runs.map((run) => run.stdout.trim()).sort()).toEqual(['Already up to date', 'Batch 2 run: 2 migrations'])
    const { log, sqlstates } = await sentIn(server, before, old)
    expect(statementsOf(log).filter((entry) => entry.sql?.startsWith('alter table "orders"'))).toHaveLength(1)
    expect(sqlstates).toEqual([])
  })

  test('dbmate: nothing keeps the two apart, the second fails by what the first has done', async (context) => {
    const [server, before] = await prepared(context, 'dbmate', 18)
    const old = await logOf(server, before.address.database)
    const runs = await race(before, 'orders', bothWait).finally(() => before.project.remove())
    expect(exitCodes(runs)).toEqual([0, 2])
    const { log, sqlstates } = await sentIn(server, before, old)
    expect(statementsOf(log).filter((entry) => entry.sql?.includes('ADD COLUMN status'))).toHaveLength(2)
    expect(sqlstates).toEqual(['42701'])
  })
})
