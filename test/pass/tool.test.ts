/** A small migration tool of the team's, started for real, in the quiet and in the timed pass. */
import net from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import type { PassInput } from '../../src/pass/context.js'
import { quietPass } from '../../src/pass/quiet.js'
import { timedPass } from '../../src/pass/timed.js'
import { QuietPass, TimedPass, type Work } from '../../src/recording.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { oldTraffic, passInput, timedInput } from './build.js'
import { littleProject, PLAIN, PRELUDE, WITH_JOURNAL, type LittleProject, type ProjectOptions } from './tool-project.js'

let server: TestServer
let owner: ReturnType<typeof connect>
let project: LittleProject

beforeAll(async () => {
  server = await startServer()
  owner = connect(server.migrate)
})
afterAll(async () => {
  await owner.end()
  await server.stop()
})
beforeEach(async () => {
  await owner.unsafe(`
    drop table if exists users, child, marks, schema_migrations cascade;
    create table users (id int primary key, name text, age int);
    insert into users select g, 'u' || g, g % 90 from generate_series(1, 5000) g;
    create table child (id int primary key, user_id int); insert into child select g, g from generate_series(1, 2000) g;
    create table marks (n text, began timestamptz, slept text, ended timestamptz);
    grant all on users, child to app;
    analyze users; analyze child;`)
})
afterEach(() => {
  // Nothing of the tool is left, however it ended.
  expect(project.living()).toEqual([])
  project.remove()
})

/** The input of a pass with the tool of a project. */
async function inputOf(
  script: string,
  migrations: Readonly<Record<string, string>>,
  over: Partial<PassInput> = {},
  options?: ProjectOptions,
): Promise<PassInput> {
  project = littleProject(script, migrations, options)
  const scenario = await project.load()
  const { release } = await project.ready(scenario)
  return passInput(server, { migrations: scenario.migrations, tool: release, ...over })
}

async function quiet(...args: Parameters<typeof inputOf>): Promise<QuietPass> {
  const { pass } = await quietPass(await inputOf(...args))
  return QuietPass.parse(JSON.parse(JSON.stringify(pass)))
}

const locks = (work: Work | null): string[] =>
  (work?.locks ?? []).flatMap((l) => (l.existedBefore && l.kind === 'table' ? [`${l.mode} ${l.relation}`] : []))

const UP = '-- migrate:up\n'
const DOWN = '\n-- migrate:down\ndrop table nothing;\n'

describe('in the quiet pass', () => {
  it('statements, files, lines, locks, transactions, journal', async () => {
    const pass = await quiet(WITH_JOURNAL, {
      '1_a.sql': `${UP}alter table users add column a int;\n\nupdate users set a = 1 where id <= 9;\ncreate index on child (user_id);${DOWN}`,
      '2_b.sql': `${UP}-- why\nalter table child add column b text default 'x';${DOWN}`,
    })
    const { migration } = pass
    expect(migration.outcome).toEqual({ ok: true })
    expect(migration.statements.map(({ statement }) => statement.replace(/^.*migrations/, ''))).toEqual([
      '/1_a.sql#1',
      '/1_a.sql#2',
      '/1_a.sql#3',
      '/2_b.sql#1',
    ])
    expect(migration.statements.map(({ work }) => locks(work))).toEqual([
      ['ACCESS EXCLUSIVE users'],
      ['ROW EXCLUSIVE users'],
      ['SHARE child'],
      ['ACCESS EXCLUSIVE child'],
    ])
    expect(migration.statements[1]?.work?.rowsWritten).toMatchObject([{ relation: 'users', updated: 9 }])
    expect(migration.transactions.map(({ kind, end, statements }) => [kind, end, statements.length])).toEqual([
      ['explicit', 'committed', 3],
      ['explicit', 'committed', 1],
    ])
    expect(migration.tool).toMatchObject({
      exitCode: 0,
      signal: null,
      toldError: null,
      lastError: null,
      journal: { added: ['1_a', '2_b'], missing: [], refuses: null },
    })
    expect(migration.tool?.messages.map(({ role }) => role)).toEqual([
      ...['journal', 'journal', 'transaction', 'migration', 'journal', 'transaction'],
      ...['transaction', 'migration', 'journal', 'transaction'],
    ])
    expect(pass.states.map(({ kind, label }) => [kind, label])).toEqual([
      ['before', 'before'],
      ['during', expect.stringMatching(/1_a\.sql:5$/)],
      ['after', expect.stringMatching(/2_b\.sql:3$/)],
    ])
    expect(pass.warnings).toEqual([])
  })

  it('one that fails and is not told of: exit code 0, and the error all the same', async () => {
    const swallows = `${PRELUDE}
      const db = await connect()
      try {
        await db.query('begin')
        for (const [, text] of files) await db.query(text)
        await db.query('commit')
      } catch { await db.query('rollback') }
      await end()`
    const pass = await quiet(swallows, {
      '1.sql': 'alter table users add column a int;\nalter table users alter column a set not null;',
    })
    expect(pass.migration).toMatchObject({
      outcome: { ok: false, error: { sqlstate: '23502', objects: ['users', 'a'] } },
      failedStatement: expect.stringMatching(/1\.sql#2$/) as string,
      tool: { exitCode: 0, toldError: false, lastError: { sqlstate: '23502' } },
    })
    expect(pass.leftovers.halfApplied).toEqual([])
  })

  it('an error that it prints, and half of its work committed', async () => {
    const pass = await quiet(PLAIN, {
      '1.sql': 'alter table users add column a int;',
      '2.sql': 'alter table users alter column a set not null;',
    })
    expect(pass.migration).toMatchObject({ outcome: { ok: false }, tool: { exitCode: 1, toldError: true } })
    expect(pass.leftovers.halfApplied).toEqual([expect.stringMatching(/1\.sql#1$/)])
  })

  it('two sessions at once, each with its own transactions and locks', async () => {
    const two = `${PRELUDE}
      const [a, b] = [await connect(), await connect()]
      // Each holds its table for itself while the other one works.
      await a.query('begin')
      await a.query(files[0][1])
      await b.query('begin')
      await b.query(files[1][1])
      await Promise.all([a.query('commit'), b.query('commit')])
      await end()`
    const { migration } = await quiet(two, {
      '1.sql': 'alter table users add column a int;',
      '2.sql': 'alter table child add column b int;',
    })
    expect(migration.timedOut).toBe(false)
    expect(migration.outcome).toEqual({ ok: true })
    expect(migration.tool?.sessions).toHaveLength(2)
    expect(new Set(migration.tool?.sessions.map(({ pid }) => pid)).size).toBe(2)
    expect(migration.statements.map(({ statement, work }) => [statement.at(-7), ...locks(work)]).sort()).toEqual([
      ['1', 'ACCESS EXCLUSIVE users'],
      ['2', 'ACCESS EXCLUSIVE child'],
    ])
    expect(migration.transactions.map(({ statements, end }) => [statements.length, end])).toEqual([
      [1, 'committed'],
      [1, 'committed'],
    ])
  })
})

describe('one that ends badly', () => {
  const migrations = { '1.sql': 'alter table users add column a int;' }

  it('hangs in the server: the longest permitted time ends it', async () => {
    const { migration } = await quiet(
      PLAIN,
      { '1.sql': `${migrations['1.sql']} select pg_sleep(300);` },
      { maxDurationMs: 2_500 },
    )
    expect(migration).toMatchObject({ timedOut: true, outcome: { ok: false, error: { sqlstate: '57014' } } })
    expect(await owner`select 1 from pg_stat_activity where query ~ 'pg_sleep' and pid <> pg_backend_pid()`).toEqual([])
  })

  it('hangs by itself', async () => {
    const hangs = `${PRELUDE}
      const db = await connect()
      await db.query(files[0][1])
      setInterval(() => {}, 1000)`
    const { migration } = await quiet(hangs, migrations, { maxDurationMs: 2_500 })
    expect(migration).toMatchObject({ timedOut: true, outcome: { ok: false } })
    expect(migration.tool?.exitCode ?? migration.tool?.signal).not.toBe(0)
    expect(migration.transactions).toMatchObject([{ end: 'committed' }])
  })

  it('is killed', async () => {
    const dies = `${PRELUDE}
      const db = await connect()
      await db.query('begin')
      await db.query(files[0][1])
      process.kill(process.pid, 'SIGKILL')`
    const { migration } = await quiet(dies, migrations)
    // The shell that runs the command line may end with the code 128 + 9 instead.
    expect([migration.tool?.signal, migration.tool?.exitCode]).toSatisfy(
      ([signal, code]: unknown[]) => signal === 'SIGKILL' || code === 137,
    )
    expect(migration).toMatchObject({ outcome: { ok: false, error: { sqlstate: 'TOOL' } } })
    expect(migration.transactions).toMatchObject([{ end: 'rolled back' }])
  })

  it('is interrupted by the user', async () => {
    const interrupt = new AbortController()
    const hangs = `${PRELUDE}
      const db = await connect()
      await db.query(files[0][1])
      await db.query('select pg_sleep(300)')`
    const input = await inputOf(hangs, migrations, { signal: interrupt.signal })
    let living = 0
    const emit: PassInput['emit'] = (event) => {
      if (event.type !== 'statement') return
      living = project.living().length
      setTimeout(() => interrupt.abort(), 100)
    }
    const { pass } = await quietPass({ ...input, emit })
    expect(pass.migration).toMatchObject({ timedOut: true, outcome: { ok: false } })
    expect(pass.migration.statements).toHaveLength(1)
    expect(living).toBeGreaterThan(0)
  })
})

describe('one that never comes', () => {
  const migrations = { '1.sql': 'select 1;' }
  const refused = async (script: string, options?: ProjectOptions): Promise<{ code: string; message: string }> => {
    const input = await inputOf(script, migrations, {}, options)
    const found = await quietPass(input).then(
      () => null,
      (error: unknown) => error,
    )
    expect(found).toMatchObject({ code: 'TOOL_NOT_CONNECTED', exitCode: 3 })
    return found as { code: string; message: string }
  }

  it('because it does nothing', async () => {
    const { message } = await refused(`console.log('nothing to do here')`)
    expect(message).toContain('it ended with exit code 0 without connecting')
    expect(message).toContain('nothing to do here')
  })

  it('because it goes elsewhere, which is named and sees nothing of it', async () => {
    let reached = 0
    const elsewhere = net.createServer((socket) => {
      reached++
      socket.destroy()
    })
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void elsewhere.close())
    const { port } = elsewhere.address() as net.AddressInfo
    const { message } = await refused(
      `${PRELUDE}
      await connect({ host: '127.0.0.1', port: ${port}, user: 'prod', password: 'hidden', database: 'prod' })`,
    )
    expect(message).toContain(`127.0.0.1:${port}`)
    expect(message).not.toContain('hidden')
    expect(reached).toBe(0)
  })

  it('because its password is another one', async () => {
    const { message } = await refused(
      `${PRELUDE}
      const url = new URL(process.env.DATABASE_URL)
      url.password = 'hunter2'
      await connect({ connectionString: url.href })`,
    )
    expect(message).toMatch(/its connection was refused: .*password/)
    expect(message).not.toContain('hunter2')
  })

  it('because it waits for something: after a while it is stopped', async () => {
    const { message } = await refused('setInterval(() => {}, 1000)', { tool: "connectWithin: '1s'" })
    expect(message).toContain('it was stopped')
  })
})

describe('under traffic', () => {
  const operations = oldTraffic('-- name: get\nselect id from child where id = 1;\n')

  /** Begins and ends at the instants that it writes down itself. */
  const marked = (n: number): string =>
    `insert into marks select '${n}', clock_timestamp(), pg_sleep(0.12)::text, clock_timestamp();`
  /** The clocks' granularity, and marks that arrive after what they mark. */
  const SLACK_MS = 30

  it('times of statements in one message hold the true ones; so do the lives of locks', async () => {
    const text = `${marked(1)}\nalter table users add column a int;\n${marked(2)}\n${marked(3)}\ncreate index on users (a);\n${marked(4)}`
    const input = await inputOf(PLAIN, { '1.sql': text }, { operations })
    const admin = connect(server.admin)
    const seen: { at: number; held: boolean }[] = []
    const watch = { on: true }
    const watching = (async () => {
      while (watch.on) {
        const [row] = await admin<{ at: number; held: boolean }[]>`
          select extract(epoch from clock_timestamp())::float8 * 1000 as at, exists (
            select from pg_locks where relation = 'users'::regclass::oid and mode = 'AccessExclusiveLock' and granted
          ) as held`
        if (row) seen.push(row)
      }
    })()
    const taken = new Map([
      [
        input.migrations[0]?.statements[1]?.id ?? '',
        [
          {
            relation: 'users',
            kind: 'table' as const,
            table: 'users',
            mode: 'ACCESS EXCLUSIVE' as const,
            existedBefore: true,
          },
        ],
      ],
    ])
    const pass = await timedPass(timedInput(server, { ...input, taken, rate: 10 })).finally(() => (watch.on = false))
    await watching
    await admin.end()
    TimedPass.parse(JSON.parse(JSON.stringify(pass)))
    expect(pass.migration.outcome).toEqual({ ok: true })
    const { statements } = pass.migration
    expect(statements.map(({ boundary }) => boundary)).toEqual(statements.map(() => 'server'))

    const marks = await owner<{ n: string; began: number; ended: number }[]>`
      select n, extract(epoch from began)::float8 * 1000 as began, extract(epoch from ended)::float8 * 1000 as ended
        from marks order by n`
    const own = statements.filter(({ statement }) => /#[1346]$/.test(statement))
    expect(own).toHaveLength(4)
    // Wall clock minus pass clock, as each of them says it lies at least and at most.
    const offsets = marks.map((mark, i) => ({
      low: mark.ended - (own[i]?.endMs ?? 0),
      high: mark.began - (own[i]?.startMs ?? 0),
    }))
    const low = Math.max(...offsets.map((one) => one.low))
    const high = Math.min(...offsets.map((one) => one.high))
    expect(low).toBeLessThanOrEqual(high + SLACK_MS)
    // Nor is one of them the whole message.
    const whole = pass.migration.endMs - pass.migration.startMs
    for (const { startMs, endMs } of own) expect(endMs - startMs).toBeLessThan(whole - 200)

    const span = pass.locks.find((one) => one.relation === 'users' && one.mode === 'ACCESS EXCLUSIVE')
    const at = seen.flatMap(({ held }, index) => (held ? [index] : []))
    const [first, last] = [at[0] ?? 0, at.at(-1) ?? 0]
    const shortest = (seen[last]?.at ?? 0) - (seen[first]?.at ?? 0)
    const longest = (seen[last + 1]?.at ?? Infinity) - (seen[first - 1]?.at ?? 0)
    expect(shortest).toBeGreaterThan(300)
    expect(span?.heldMs?.highMs).toBeGreaterThanOrEqual(shortest - 1)
    expect(span?.heldMs?.lowMs).toBeLessThanOrEqual(longest + 1)
  })
})
