/** `rehearse` with a small migration tool of a project, from the command line to the reports. */
import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { databaseUrl } from '../../src/migrations/child/database-url.js'
import type { Recording, Report } from '../../src/recording.js'
import { PLAIN, PRELUDE, WITH_JOURNAL } from '../pass/tool-project.js'
import { until } from '../support/child-process.js'
import { place, root, SHORT, type Finished, type Place, type Started } from '../support/cli.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { schemaErrors } from '../support/validate.js'

let here: Place
let started: Started | null = null
beforeEach(() => {
  here = place()
  symlinkSync(`${root}node_modules`, join(here.cwd, 'node_modules'), 'dir')
  here.write({
    'package.json': '{"private":true}',
    'rehearsal/schema.sql': 'create table t (id int primary key, v text not null);\n',
    'rehearsal/seed.sql': "insert into t select g, 'v' || g from generate_series(1, :n) g;\n",
    'rehearsal/old.sql': '-- name: get\n\\set id random(1, :n)\nselect v from t where id = :id;\n',
    'migrations/1_a.sql': "set lock_timeout = '2s'; alter table t add column w text;",
  })
  setTool(PLAIN)
})
afterEach(() => {
  started?.child.kill('SIGKILL')
  started = null
  here.remove()
})

function setTool(script: string, more = ''): void {
  here.write({
    'migrate.mjs': script,
    'rehearse.config.ts': `export default {
      migrations: { command: 'node migrate.mjs', folder: 'migrations', ${more} }, pending: { applied: [] } }\n`,
  })
}

const OUT = ['--out', 'reports/o']
const read = (name: string): unknown => JSON.parse(readFileSync(join(here.cwd, 'reports/o', name), 'utf8'))

/** Ids of processes that this test's rehearsal started: its temporary folder is in their environment or command line. */
const living = (): number[] =>
  readdirSync('/proc').flatMap((pid) => {
    try {
      const [environment, command] = ['environ', 'cmdline'].map((file) =>
        readFileSync(`/proc/${pid}/${file}`, 'latin1'),
      )
      return /^\d+$/.test(pid) && `${environment ?? ''}${command ?? ''}`.includes(here.tmp) ? [Number(pid)] : []
    } catch {
      return []
    }
  })

async function expectNothingLeft(): Promise<void> {
  // A watchdog may be on its way out.
  await until('no process is left', 3_000, () => living().length === 0)
  expect(here.leftovers()).toEqual([])
}

test('a whole rehearsal with a race: report, recording, exit code', async () => {
  here.write({
    'rehearsal/schema.sql': `create table t (id int primary key, v text not null);
      create table schema_migrations (version varchar primary key);\ninsert into schema_migrations values ('0');\n`,
    'migrations/0_z.sql': '-- migrate:up\nselect 1;',
    'migrations/1_a.sql': '-- migrate:up\nalter table t add column w text;\nalter table t add column x text;',
  })
  setTool(WITH_JOURNAL)
  const { code, stderr } = await here.run(['--race', ...SHORT, ...OUT])
  expect(code, stderr).toBe(0)
  const report = read('report.json') as Report
  expect(schemaErrors('report', report)).toEqual([])
  const { recording } = report
  expect(recording.complete).toBe(true)
  expect(recording.passes.map(({ kind }) => kind)).toEqual(['quiet', 'timed', 'race'])
  expect(recording.tool).toMatchObject({ tool: 'command', command: 'node migrate.mjs' })
  expect(recording.tool?.pendingBy).toMatch(/^the journal .*schema_migrations in rehearsal\/schema\.sql$/)
  for (const pass of recording.passes)
    if (pass.kind !== 'race') {
      expect(pass.migration.statements.map(({ statement }) => statement)).toEqual([
        'migrations/1_a.sql#1',
        'migrations/1_a.sql#2',
      ])
      expect(pass.migration.tool?.journal).toEqual({ added: ['1_a'], missing: [], refuses: null })
    }
  const timed = recording.passes.find((pass) => pass.kind === 'timed')
  expect(timed?.migration.statements.map(({ boundary }) => boundary)).toEqual(['server', 'server'])
  expect(timed?.locks.map(({ relation, mode }) => `${mode} ${relation}`)).toContain('ACCESS EXCLUSIVE t')
  await expectNothingLeft()
})

describe('an error that the tool swallows', () => {
  test('fails the rehearsal, with exit code 1', async () => {
    here.write({ 'migrations/1_a.sql': 'alter table nowhere add column w text;' })
    setTool(PLAIN.replace('await db.query(text)', 'await db.query(text).catch(() => {})'))
    const { code } = await here.run([...SHORT, ...OUT])
    expect(code).toBe(1)
    const report = read('report.json') as Report
    expect(report.verdict).toBe('fail')
    expect(report.findings.map(({ rule }) => rule)).toContain('migration-fails')
    await expectNothingLeft()
  })
})

describe.skipIf(process.platform !== 'linux')('interrupted while the tool runs', () => {
  /** Waits for half a minute where the application has its connections: in the timed pass. */
  const SLEEPS = `select pg_sleep(case when count(*) > 10 then 30 else 0 end) from pg_stat_activity where usename = 'rehearse_app';`

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s: partial recording, exit %i, nothing left', async (signal, expected) => {
    here.write({ 'migrations/1_a.sql': SLEEPS })
    started = here.start([...SHORT, ...OUT])
    const { child, stderr } = started
    await until('the migration runs under traffic', 60_000, () => {
      if (child.exitCode !== null) throw new Error(stderr())
      return /timed pass\n[^]*migrate\n/.test(stderr())
    })
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(living().length).toBeGreaterThan(3)
    const begun = Date.now()
    child.kill(signal)
    const { code } = await started.finished
    expect(code).toBe(expected)
    expect(Date.now() - begun).toBeLessThan(12_000)
    await expectNothingLeft()
    const recording = read('recording.json') as Recording
    expect(recording).toMatchObject({ complete: false, stopped: { code: 'INTERRUPTED' } })
    expect(recording.passes.map((pass) => pass.kind)).toEqual(['quiet', 'timed'])
    expect(schemaErrors('recording', recording)).toEqual([])
    expect((read('report.json') as Report).verdict).toBe('inconclusive')
  })
})

const unwrapped = (text: string): string => text.replaceAll(/\s+/g, ' ')

describe('an address that leads elsewhere', () => {
  let production: TestServer
  let elsewhere: string
  const connections = (): number =>
    readFileSync(production.serverLog, 'utf8').match(/connection received/g)?.length ?? 0
  beforeAll(async () => {
    production = await startServer({ settings: { log_connections: 'on' } })
    elsewhere = databaseUrl(production.migrate)
    // A witness that works: this one is in its log.
    const sql = connect(production.migrate)
    await sql`select 1`
    await sql.end()
    expect(connections()).toBe(1)
  })
  afterAll(() => production.stop())

  async function rehearsed(env: Record<string, string> = {}): Promise<Finished> {
    const finished = await here.run([...SHORT, ...OUT], { env })
    expect(connections()).toBe(1)
    const secret = production.migrate.password
    expect(finished.stderr).not.toContain(secret)
    for (const name of existsSync(join(here.cwd, 'reports/o')) ? readdirSync(join(here.cwd, 'reports/o')) : [])
      expect(readFileSync(join(here.cwd, 'reports/o', name), 'utf8')).not.toContain(secret)
    await expectNothingLeft()
    return finished
  }
  const expectRehearsed = ({ code, stderr }: Finished): void => {
    expect(code, stderr).toBe(0)
    const recording = read('recording.json') as Recording
    expect(recording.passes.map((pass) => pass.kind)).toEqual(['quiet', 'timed'])
    for (const pass of recording.passes)
      if (pass.kind !== 'race') expect(pass.migration).toMatchObject({ outcome: { ok: true }, statements: [{}, {}] })
  }
  /** Reads .env files by itself, as dotenv does; what is set already wins or does not. */
  const dotenv = (name: string, wins: boolean): string => `
import { existsSync, readFileSync } from 'node:fs'
for (const file of ['.env.local', '.env']) if (existsSync(file))
  for (const line of readFileSync(file, 'utf8').split('\\n')) {
    const [, key, value] = /^(\\w+)=(.*)$/.exec(line) ?? []
    if (key && (${String(wins)} || process.env[key] === undefined)) process.env[key] = value
  }
${PRELUDE.replaceAll('import { readdirSync, readFileSync }', 'import { readdirSync }')}
const db = await connect({ connectionString: process.env.${name} })
for (const [, text] of files) await db.query(text)
await end()
`
  test.each(['.env', '.env.local'])('in %s', async (file) => {
    here.write({ [file]: `DATABASE_URL=${elsewhere}\n` })
    setTool(dotenv('DATABASE_URL', true))
    expectRehearsed(await rehearsed())
  })

  test('in the shell', async () => {
    expectRehearsed(
      await rehearsed({ DATABASE_URL: elsewhere, PGHOST: '127.0.0.1', PGPORT: String(production.migrate.port) }),
    )
  })

  test('in .env under another name', async () => {
    here.write({ '.env': `SHOP_DB=${elsewhere}\n` })
    setTool(dotenv('SHOP_DB', false))
    expectRehearsed(await rehearsed())
  })

  test('in the shell under another name, which is named', async () => {
    setTool(dotenv('SHOP_DB', false), "urlEnv: 'SHOP_DB'")
    expectRehearsed(await rehearsed({ SHOP_DB: elsewhere }))
  })

  test('in the shell under another name, which nobody named', async () => {
    setTool(`if (!process.env.SHOP_DB) throw new Error('SHOP_DB is not set')\n${dotenv('SHOP_DB', false)}`)
    const { code, stderr } = await rehearsed({ SHOP_DB: elsewhere })
    expect(code).toBe(3)
    expect(unwrapped(stderr)).toMatch(
      /Command never connected to the rehearsal database \(node migrate\.mjs\): .*SHOP_DB is not set/,
    )
  })

  test('in the text of the program', async () => {
    setTool(PLAIN.replace('await connect()', `await connect({ connectionString: '${elsewhere}' })`))
    const { code, stderr } = await rehearsed()
    expect(code).toBe(3)
    expect(unwrapped(stderr)).toContain(
      `it wanted to connect to 127.0.0.1:${production.migrate.port}, which was not let through`,
    )
  })
})
