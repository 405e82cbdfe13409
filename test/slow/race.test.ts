/** The same small migration tool started twice at once, with and without a lock of its own. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { racePass } from '../../src/pass/race.js'
import { RacePass } from '../../src/recording.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { passInput } from '../pass/build.js'
import { littleProject, PRELUDE, type LittleProject } from '../pass/tool-project.js'

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
    drop table if exists users, schema_migrations cascade;
    create table users (id int primary key, age int);
    insert into users select g, 0 from generate_series(1, 1000) g;
    create table schema_migrations (version varchar);`)
})
afterEach(() => {
  expect(project.living()).toEqual([])
  project.remove()
})

const LOCKS = {
  none: '',
  wait: "await db.query('select pg_advisory_lock(1)')",
  try: `const { rows: [{ got }] } = await db.query('select pg_try_advisory_lock(1) as got')
    if (!got) { console.error('another migration is already running'); process.exit(1) }
    await new Promise((resolve) => setTimeout(resolve, 300))`,
}

/** Reads the journal, then runs what is not in it, each file in a transaction. */
const tool = (lock: string, before = '', after = ''): string => `${PRELUDE}
${before}
const db = await connect()
${lock}
const { rows } = await db.query('select version from schema_migrations')
for (const [name, text] of files) {
  const version = name.split('_')[0]
  if (rows.some((row) => row.version === version)) continue
  await db.query('begin')
  await db.query(text)
  await db.query("insert into schema_migrations (version) values ('" + version + "')")
  await db.query('commit')
}
await end()
${after}`

async function race(script: string, text: string): Promise<RacePass> {
  project = littleProject(script, { '1_a.sql': `-- migrate:up\n${text}\n` })
  const scenario = await project.load()
  const { release } = await project.ready(scenario)
  const pass = await racePass(passInput(server, { migrations: scenario.migrations, tool: release }))
  return RacePass.parse(JSON.parse(JSON.stringify(pass)))
}

const committed = (pass: RacePass): number[] => pass.runs.map((run) => run.committed.length).sort()
const exits = (pass: RacePass): (number | null)[] => pass.runs.map((run) => run.exitCode).sort()
const rows = async (): Promise<number> => (await owner`select 1 from schema_migrations`).length
const ages = async (): Promise<number[]> =>
  (await owner<{ age: number }[]>`select distinct age from users`).map(({ age }) => age)

const DATA = 'update users set age = age + 1;'
const DDL = 'alter table users add column name text;'

describe('two at once', () => {
  it('without a lock, a change of data: applied twice', async () => {
    const pass = await race(tool(LOCKS.none), DATA)
    expect(pass).toMatchObject({ outcome: 'applied twice', journalRows: [{ name: '1_a', rows: 2 }] })
    expect(pass.twice).toEqual([expect.stringMatching(/1_a\.sql#1$/)])
    expect(committed(pass)).toEqual([1, 1])
    // So it is.
    expect(await ages()).toEqual([2])
    expect(await rows()).toBe(2)
  })

  it('without a lock, a change of the schema: the second breaks', async () => {
    const pass = await race(tool(LOCKS.none), DDL)
    expect(pass).toMatchObject({ outcome: 'broke', twice: [], journalRows: [] })
    expect(committed(pass)).toEqual([0, 1])
    expect(exits(pass)).toEqual([0, 1])
    expect(pass.runs.find((run) => run.committed.length === 0)?.error).toMatchObject({ sqlstate: '42701' })
    expect(await rows()).toBe(1)
  })

  it('with a lock that is waited for: the second waits and finds nothing to do', async () => {
    const pass = await race(tool(LOCKS.wait), `${DATA} select pg_sleep(0.4);`)
    expect(pass).toMatchObject({ outcome: 'waited', twice: [], journalRows: [] })
    expect(committed(pass)).toEqual([0, 2])
    expect(exits(pass)).toEqual([0, 0])
    expect(await ages()).toEqual([1])
  })

  it('with a lock that is tried: the second gives up', async () => {
    const pass = await race(tool(LOCKS.try), DATA)
    expect(pass).toMatchObject({ outcome: 'refused', twice: [] })
    expect(exits(pass)).toEqual([0, 1])
    expect(committed(pass)).toEqual([0, 1])
    expect(await ages()).toEqual([1])
  })

  it('with a lock that is no concern of the database: the second comes when all is done', async () => {
    const before = `import { openSync, rmSync } from 'node:fs'
      for (;;) try { openSync('../lock', 'wx'); break } catch { await new Promise((r) => setTimeout(r, 20)) }`
    const pass = await race(tool(LOCKS.none, before, "rmSync('../lock')"), DATA)
    expect(pass).toMatchObject({ outcome: 'nothing to do', twice: [] })
    expect(exits(pass)).toEqual([0, 0])
    expect(await ages()).toEqual([1])
  })

  it('a migration that fails alone: both fail', async () => {
    const pass = await race(tool(LOCKS.none), 'alter table nowhere add column a int;')
    expect(pass).toMatchObject({ outcome: 'both failed', twice: [] })
    expect(committed(pass)).toEqual([0, 0])
    expect(await rows()).toBe(0)
  })

  it('one that hangs: it is stopped, and said', async () => {
    project = littleProject(tool(LOCKS.wait), { '1_a.sql': '-- migrate:up\nselect pg_sleep(300);\n' })
    const scenario = await project.load()
    const { release } = await project.ready(scenario)
    const input = passInput(server, { migrations: scenario.migrations, tool: release, maxDurationMs: 1_500 })
    const pass = RacePass.parse(await racePass(input))
    expect(pass.warnings).toEqual(['The race was stopped before both had ended.'])
    expect(pass.runs).toHaveLength(2)
    expect(await rows()).toBe(0)
  })
})
