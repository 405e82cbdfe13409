/** What is there before the pending migrations: built by the team's own tool, or given with the rows of its journal. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { branches, type Branch } from '../src/branches/index.js'
import { RehearsalError } from '../src/errors.js'
import { fill, type Filled } from '../src/fill/index.js'
import type { ScenarioOverrides } from '../src/scenario.js'
import { littleProject, PRELUDE, WITH_JOURNAL, type LittleProject, type ProjectOptions } from './pass/tool-project.js'
import { connect, ROLES } from './support/postgres.js'

let whole: Branch
let project: LittleProject
let databases = 0
/** The branch with a database of its own for this test. */
let branch: Branch

beforeAll(async () => {
  whole = await branches.embedded.open({ major: 18, roles: ROLES })
})
afterAll(() => whole.close())
beforeEach(async () => {
  const database = `filled_${++databases}`
  const admin = connect({ ...whole.address('admin'), database: 'postgres' })
  await admin.unsafe(`create database ${database} owner ${whole.address('migrate').user}`)
  await admin.end()
  branch = { ...whole, address: (role) => ({ ...whole.address(role), database }) }
})
afterEach(() => {
  expect(project.living()).toEqual([])
  project.remove()
})

const UP = '-- migrate:up\n'
const MIGRATIONS = {
  '1_a.sql': `${UP}create table users (id int primary key, name text);`,
  '2_b.sql': `${UP}alter table users add column age int;`,
  '3_c.sql': `${UP}create index on users (age);`,
}
const PENDING_3 = `pending: { from: '3_c' }, roles: { migrate: '${ROLES.migrate}', app: '${ROLES.app}' }`

interface Given extends ProjectOptions {
  script?: string
  migrations?: Readonly<Record<string, string>>
  overrides?: ScenarioOverrides
  signal?: AbortSignal
}

async function filled(given: Given = {}): Promise<Filled> {
  const { script = WITH_JOURNAL, migrations = MIGRATIONS, config = PENDING_3, signal } = given
  project = littleProject(script, migrations, { ...given, config })
  const scenario = await project.load(given.overrides)
  const ready = await project.ready(scenario)
  return fill(branch, scenario, ready, () => undefined, signal ?? new AbortController().signal)
}

async function failure(given: Given = {}): Promise<RehearsalError> {
  const error: unknown = await filled(given).then(
    () => null,
    (e: unknown) => e,
  )
  if (!(error instanceof RehearsalError)) throw new Error(`no such error: ${String(error)}`)
  return error
}

const column = async (query: string): Promise<unknown[]> => {
  const sql = connect(branch.address('app'))
  try {
    return (await sql.unsafe(query).values()).map(([value]) => value as unknown)
  } finally {
    await sql.end()
  }
}
const names = ({ migrations }: Filled): (string | null)[] => migrations.map(({ name }) => name)

describe('applied migrations', () => {
  it('are run by the tool as the last release had it, and then there is data', async () => {
    const found = await filled({
      files: { 'rehearsal/seed.sql': `insert into users select g, 'n', 1 from generate_series(1, :n) g;` },
    })
    expect(names(found)).toEqual(['3_c'])
    expect(found.pendingBy).toBe('configuration (from 3_c)')
    expect(await column('select version from schema_migrations order by 1')).toEqual(['1', '2'])
    expect(await column('select count(*)::int from users where age = 1')).toEqual([100])
    expect(await column(`select count(*)::int from pg_indexes where tablename = 'users'`)).toEqual([1])
  })

  it('all are pending: nothing is run', async () => {
    const found = await filled({ config: PENDING_3.replace(`from: '3_c'`, 'applied: []') })
    expect(names(found)).toEqual(['1_a', '2_b', '3_c'])
    expect(await column(`select to_regclass('users')`)).toEqual([null])
  })

  it('that do not build the schema: file, line, reason, and how to go on', async () => {
    const error = await failure({
      migrations: { ...MIGRATIONS, '2_b.sql': `${UP}-- why\n\nalter table accounts add column age int;` },
    })
    expect(error).toMatchObject({ code: 'BASE_FAILED', exitCode: 2 })
    expect(error.message).toMatch(
      /migrations\/2_b\.sql:4: the applied migrations do not build the schema \(.*\): 42P01 /,
    )
    expect(error.hint).toMatch(/pg_dump --schema-only.*--data-only --inserts --table='(?:public\.)?schema_migrations'/)
  })

  it('whose error the tool swallows', async () => {
    const script = WITH_JOURNAL.replace('for (const [name', 'try {\nfor (const [name').replace(
      'await end()',
      '} catch {}\nawait end()',
    )
    const error = await failure({ script, migrations: { ...MIGRATIONS, '1_a.sql': `${UP}select 1/0;` } })
    expect(error.message).toMatch(/1_a\.sql:2: .*22012/)
  })

  it('that the tool leaves out', async () => {
    const script = WITH_JOURNAL.replace(
      'for (const [name, text] of files)',
      'for (const [name, text] of files.slice(0, 1))',
    )
    const error = await failure({ script })
    expect(error).toMatchObject({ code: 'BASE_FAILED' })
    expect(error.message).toMatch(/2_b\.sql: .*it ended, but its journal .*schema_migrations does not have 2_b$/)
  })

  it('with a tool that gives up', async () => {
    const error = await failure({ script: `${PRELUDE}\nawait connect()\nprocess.exit(7)` })
    expect(error).toMatchObject({ code: 'BASE_FAILED' })
    expect(error.message).toMatch(/1_a\.sql: .*exit code 7/)
  })

  it('with a tool that never connects', async () => {
    expect(await failure({ script: 'process.exit(0)' })).toMatchObject({ code: 'TOOL_NOT_CONNECTED', exitCode: 3 })
  })

  it('with a tool that hangs: not for ever', async () => {
    const error = await failure({
      script: `${PRELUDE}\nconst db = await connect()\nawait db.query('select pg_sleep(300)')`,
      overrides: { maxDurationMs: 1_500 },
    })
    expect(error).toMatchObject({ code: 'BASE_FAILED' })
    expect(error.message).toContain('57014')
  })

  it('interrupted by the user', async () => {
    const interrupt = new AbortController()
    setTimeout(() => interrupt.abort(), 1_200)
    const script = `${PRELUDE}\nconst db = await connect()\nawait db.query('select pg_sleep(300)')`
    expect(await failure({ script, signal: interrupt.signal })).toMatchObject({ code: 'INTERRUPTED', exitCode: 130 })
  })
})

describe('a schema that is given', () => {
  const TABLES = 'create table users (id int primary key, name text);\n'
  const JOURNAL = 'create table schema_migrations (version varchar primary key);\n'
  const schema = (text: string): Given => ({ files: { 'rehearsal/schema.sql': text } })

  it('with the rows of the journal in it: they decide, not the configuration', async () => {
    const found = await filled(schema(`${TABLES}${JOURNAL}insert into schema_migrations values ('1');`))
    expect(names(found)).toEqual(['2_b', '3_c'])
    expect(found.pendingBy).toMatch(/^the journal (?:public\.)?schema_migrations in .*rehearsal\/schema\.sql$/)
  })

  it('with all of them: nothing is pending', async () => {
    const error = await failure(schema(`${TABLES}${JOURNAL}insert into schema_migrations values ('1'), ('2'), ('3');`))
    expect(error).toMatchObject({ code: 'NOTHING_PENDING', exitCode: 0 })
    expect(error.message).toContain('the journal')
  })

  it.each([
    ['without rows', JOURNAL],
    ['without the journal', ''],
  ])('%s: the tool would run everything again, and it says so', async (_, journal) => {
    const error = await failure(schema(`${TABLES}${journal}`))
    expect(error).toMatchObject({ code: 'SCHEMA_FAILED', exitCode: 2 })
    expect(error.message).toMatch(
      /rehearsal\/schema\.sql:1: .*no rows of (?:public\.)?schema_migrations, so .* would run all 3 migrations; add them with pg_dump --data-only --inserts/,
    )
  })

  it('that does not work', async () => {
    const error = await failure(schema(`${TABLES}\ncreate index on nowhere (id);`))
    expect(error).toMatchObject({ code: 'SCHEMA_FAILED', exitCode: 2 })
    expect(error.message).toMatch(/schema\.sql:3: .*42P01/)
  })
})
