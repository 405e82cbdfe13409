/**
 * Whole rehearsals of projects with a real migration tool, by the built command line. What the tool does is not the
 * question here (`fixture.json` says it, and the server's log has confirmed it), but that people are told: the verdict,
 * the place of the failure, what the tool kept to itself, what stays half applied, and what two deploys at once do.
 */
import { describe, expect, test, type TestContext } from 'vitest'
import type { RacePass, ToolNote } from '../../src/recording.js'
import { readFixture, type Fixture } from '../support/projects.js'
import { rehearseProject, runProject, type Rehearsed, type RehearsalOptions } from '../support/rehearsed.js'
import { needTool } from '../support/tools.js'

const folderOf = async (context: TestContext, { packages }: Fixture): Promise<string | null> =>
  packages === null ? null : needTool(context, packages)

async function rehearsed(context: TestContext, name: string, options: Omit<RehearsalOptions, 'tools'> = {}) {
  const fixture = await readFixture(name)
  const found = await rehearseProject(name, { ...options, tools: await folderOf(context, fixture) })
  agreesWith(fixture, found)
  return found
}

/** What the fixture says of the tool itself must be in both passes. */
function agreesWith({ applied, expected, pending }: Fixture, { quiet, timed, report, leftovers }: Rehearsed): void {
  const written = expected.journal.filter((row) => !row.endsWith(' unfinished')).length - applied.length
  // Knex writes the endings of its files into its journal.
  const names = pending.map((name) => name.replace(/\.js$/, ''))
  for (const { migration } of [quiet, timed]) {
    expect(migration.outcome.ok).toBe(expected.exitCode === 0)
    expect(migration.tool).toMatchObject({ exitCode: expected.exitCode, toldError: expected.tellsError })
    expect(migration.tool?.lastError?.sqlstate ?? null).toBe(expected.sqlstates.at(-1) ?? null)
    expect(migration.tool?.journal).toMatchObject({ added: names.slice(0, written), missing: names.slice(written) })
  }
  expect(report.recording.complete).toBe(true)
  // What drizzle-kit and tsx compile they keep for the next time.
  expect(leftovers.filter((name) => !/^tsx-\d+$/.test(name))).toEqual([])
}

/** `file:line` of a statement by its id. */
const place = ({ report }: Rehearsed, id: string): string => {
  const statement = report.recording.migrations.flatMap((file) => file.statements).find((one) => one.id === id)
  return statement ? `${statement.file}:${statement.line}` : id
}

const found = ({ report }: Rehearsed, rule: string): { severity: string; title: string; at: string | null }[] =>
  report.findings
    .filter((finding) => finding.rule === rule)
    .map(({ severity, title, at }) => ({ severity, title, at: at && `${at.file}:${at.line}` }))

const notesOf = ({ report }: Rehearsed): string[] =>
  (report.recording.tool?.notes ?? []).map(({ kind, file, line }: ToolNote) => `${kind} ${file ?? ''}:${line ?? ''}`)

/** `explicit committed 2`: a transaction, its end and how many of the migration's statements it had. */
const transactionsOf = ({ timed }: Rehearsed): string[] =>
  timed.migration.transactions.map(({ kind, end, statements }) => `${kind} ${end} ${statements.length}`)

const CONCURRENTLY = '25001 this cannot run inside a transaction block'
const noNull = (column: string): string =>
  `23502 null value in column "${column}" of relation "users" violates not-null constraint`

interface Failing {
  fixture: string
  error: string
  at: string
  transactions: string[]
  half?: string[]
  notes?: string[]
  options?: Omit<RehearsalOptions, 'tools'>
}

const SCRIPT = 'migrations/1737504000000_orders-indexes.js'

const failing: Failing[] = [
  {
    fixture: 'drizzle-concurrently',
    error: CONCURRENTLY,
    at: 'drizzle/0004_orders_created_at.sql:2',
    transactions: ['explicit rolled back 2'],
    notes: ['impossible drizzle/0004_orders_created_at.sql:2'],
  },
  {
    fixture: 'drizzle-commit-chunk',
    error: noNull('name'),
    at: 'drizzle/0005_name_required.sql:2',
    transactions: [
      'explicit committed 2',
      'autocommit committed 1',
      'autocommit committed 1',
      'autocommit rolled back 1',
    ],
    half: [1, 2, 3]
      .map((line) => `drizzle/0004_orders_created_at.sql:${line}`)
      .concat('drizzle/0005_name_required.sql:1'),
    notes: ['other drizzle/0004_orders_created_at.sql:2'],
    options: { args: ['--postgres', '16'] },
  },
  {
    fixture: 'drizzle-not-null',
    error: noNull('country'),
    at: 'drizzle/0004_user_country.sql:1',
    transactions: ['explicit rolled back 1'],
  },
  {
    fixture: 'drizzle-folders-concurrently',
    error: CONCURRENTLY,
    at: 'drizzle/20250129000000_orders_created_at/migration.sql:2',
    transactions: ['explicit rolled back 2'],
    notes: ['impossible drizzle/20250129000000_orders_created_at/migration.sql:2'],
  },
  {
    fixture: 'node-pg-migrate-ts',
    error: noNull('name'),
    at: 'migrations/1737504000000_name-required.ts:6',
    transactions: ['explicit rolled back 5'],
  },
  {
    fixture: 'node-pg-migrate-js-failing',
    error: '23505 duplicate key value violates unique constraint "orders_total_unique_index" of relation "orders"',
    // A program's statements stand nowhere: the first line that names the table.
    at: `${SCRIPT}:3`,
    transactions: ['explicit committed 5', 'autocommit committed 1', 'autocommit rolled back 1'],
    // In the order of sending: what stands in line 3 is kept back by the tool.
    half: [4, 5, 3, 6, 6].map((line) => `migrations/1736899200000_order-status.js:${line}`).concat(`${SCRIPT}:3`),
    notes: [`other ${SCRIPT}:2`],
  },
  {
    fixture: 'prisma-failing',
    error: CONCURRENTLY,
    at: 'prisma/migrations/20250129000000_two_steps/migration.sql:5',
    transactions: ['message rolled back 2'],
    notes: ['impossible prisma/migrations/20250129000000_two_steps/migration.sql:5'],
  },
  {
    fixture: 'supabase-failing',
    error: CONCURRENTLY,
    at: 'supabase/migrations/20250129000000_two_steps.sql:2',
    transactions: ['message rolled back 2'],
    notes: ['impossible supabase/migrations/20250129000000_two_steps.sql:2'],
  },
  {
    fixture: 'dbmate-failing',
    error: CONCURRENTLY,
    at: 'db/migrations/20250129000000_two_indexes.sql:2',
    transactions: ['autocommit rolled back 1'],
    notes: [2, 3].map((line) => `impossible db/migrations/20250129000000_two_indexes.sql:${line}`),
  },
]

describe('a migration that fails', () => {
  test.for(failing)(
    '$fixture',
    async ({ fixture, error, at, transactions, half = [], notes = [], options }, context) => {
      const run = await rehearsed(context, fixture, options)
      expect([run.code, run.report.verdict]).toEqual([1, 'fail'])
      expect(run.report.headline).toBe(`The migration fails: ${error}`)
      expect(run.stderr).toContain(error)
      expect(found(run, 'migration-fails')).toEqual([{ severity: 'fail', title: run.report.headline, at }])
      expect(transactionsOf(run)).toEqual(transactions)
      expect(notesOf(run)).toEqual(notes)
      for (const pass of [run.quiet, run.timed]) {
        expect(place(run, pass.migration.failedStatement ?? '')).toBe(at)
        expect(pass.leftovers.halfApplied.map((id) => place(run, id))).toEqual(half)
      }
      // What drizzle-kit 0.31 does not say at all.
      const evidence = run.report.findings.find(({ rule }) => rule === 'migration-fails')?.evidence.join(' ') ?? ''
      expect(/did not print the error; this is it/.test(evidence)).toBe(run.timed.migration.tool?.toldError === false)
      expect(found(run, 'tool-commits-early').length).toBe(half.length > 0 ? 1 : 0)
      const invalid = fixture === 'node-pg-migrate-js-failing' ? ['orders_total_unique_index'] : []
      expect(run.timed.leftovers.invalidIndexes.map(({ index }) => index)).toEqual(invalid)
      expect(found(run, 'invalid-index').length).toBe(invalid.length)
      // Prisma's row stays unfinished, and the next deploy stops there.
      const refuses = run.timed.migration.tool?.journal?.refuses ?? null
      expect(refuses?.slice(0, 5) ?? null).toBe(fixture === 'prisma-failing' ? 'P3009' : null)
      expect(found(run, 'next-deploy-refuses').length).toBe(refuses === null ? 0 : 1)
    },
  )

  test('in a pipeline: the index that came first stays', async (context) => {
    const file = 'supabase/migrations/20250129000000_index_first.sql'
    const text =
      'CREATE INDEX CONCURRENTLY first_idx ON orders (total);\nALTER TABLE users ALTER COLUMN name SET NOT NULL;\n'
    const fixture = await readFixture('supabase')
    const run = await rehearseProject('supabase', { tools: await folderOf(context, fixture), files: { [file]: text } })
    expect(run.report.headline).toBe(`The migration fails: ${noNull('name')}`)
    expect(transactionsOf(run).slice(-2)).toEqual(['autocommit committed 1', 'autocommit rolled back 1'])
    for (const { leftovers } of [run.quiet, run.timed])
      expect(place(run, leftovers.halfApplied.at(-1) ?? '')).toBe(`${file}:1`)
  })
})

interface Racing {
  fixture: string
  outcome: RacePass['outcome']
  severity: 'fail' | 'warn' | 'info'
  /** SQLSTATEs of the two, sorted; null for one that got through. */
  errors: (string | null)[]
  transactions: string[]
  options?: Omit<RehearsalOptions, 'tools'>
}

const passing: Racing[] = [
  {
    fixture: 'drizzle-journal',
    outcome: 'broke',
    severity: 'warn',
    errors: ['42701', null],
    transactions: ['explicit committed 6'],
  },
  {
    fixture: 'node-pg-migrate-sql',
    outcome: 'refused',
    severity: 'info',
    errors: ['TOOL', null],
    transactions: ['explicit committed 5'],
    options: { args: ['--postgres', '16'] },
  },
  {
    fixture: 'knex',
    outcome: 'waited',
    severity: 'info',
    errors: [null, null],
    transactions: ['explicit committed 5'],
  },
  {
    fixture: 'knex-concurrently',
    outcome: 'refused',
    severity: 'info',
    errors: ['TOOL', null],
    transactions: ['explicit committed 4', 'explicit committed 1', 'autocommit committed 1'],
  },
  {
    fixture: 'dbmate',
    outcome: 'broke',
    severity: 'warn',
    errors: ['42701', null],
    transactions: ['explicit committed 4', 'autocommit committed 1'],
  },
  {
    // The one that waits for the lock has a snapshot, and CREATE INDEX CONCURRENTLY waits for it.
    fixture: 'prisma',
    outcome: 'both failed',
    severity: 'fail',
    errors: ['40P01', 'TOOL'],
    transactions: ['message committed 4', 'autocommit committed 1'],
  },
  {
    fixture: 'supabase',
    outcome: 'broke',
    severity: 'warn',
    errors: ['42701', null],
    transactions: ['message committed 4', 'autocommit committed 1'],
  },
]

/** Words of the verdict that do not hang on how busy this machine is. */
const notFailed = ({ code, report }: Rehearsed): void => {
  const failures = report.findings.filter(({ severity }) => severity === 'fail')
  expect(failures).toEqual([])
  if (report.verdict !== 'inconclusive') expect([code, report.verdict]).toEqual([0, 'warn'])
}

describe('a migration that works', () => {
  test.for(passing)(
    '$fixture, and two at once',
    async ({ fixture, outcome, severity, errors, transactions, options }, context) => {
      const run = await rehearsed(context, fixture, { ...options, race: true })
      if (severity === 'fail') expect([run.code, run.report.verdict]).toEqual([1, 'fail'])
      else notFailed(run)
      expect(transactionsOf(run)).toEqual(transactions)
      expect(run.race).toMatchObject({ outcome, twice: [], journalRows: [], warnings: [] })
      expect(found(run, 'tool-race').map((finding) => finding.severity)).toEqual([severity])
      const met = (run.race?.runs ?? []).map(({ error }) => error?.sqlstate ?? null)
      expect(met.sort()).toEqual([...errors].sort())
      // Nothing of it was half applied, and every statement knows its place.
      expect(run.timed.leftovers.halfApplied).toEqual([])
      expect(run.timed.migration.statements.filter(({ boundary }) => boundary === 'message')).toEqual([])
    },
  )

  test.for([
    ['drizzle-journal-script', ['explicit committed 6']],
    [
      'node-pg-migrate-js',
      ['explicit committed 5', 'autocommit committed 1', 'autocommit committed 1', 'explicit committed 1'],
    ],
  ] as const)('%s', async ([fixture, transactions], context) => {
    const run = await rehearsed(context, fixture)
    notFailed(run)
    expect(transactionsOf(run)).toEqual(transactions)
    expect(run.race).toBeNull()
  })

  test('drizzle-kit 0.31 applies a data migration twice when two deploy at once', async (context) => {
    const run = await rehearsed(context, 'drizzle-data', { race: true })
    const at = 'drizzle/0004_welcome_credit.sql:2'
    expect([run.code, run.report.verdict]).toEqual([1, 'fail'])
    expect(run.report.headline).toContain('Two migrators at once apply 1 statement twice')
    expect(found(run, 'tool-race')).toEqual([{ severity: 'fail', title: run.report.headline, at }])
    expect(run.race?.twice.map((id) => place(run, id))).toEqual([at])
    expect(run.race?.journalRows).toEqual([{ name: '0004_welcome_credit', rows: 2 }])
    expect(run.race?.runs.map(({ exitCode }) => exitCode)).toEqual([0, 0])
  })
})

describe('a migration that the tool never runs', () => {
  test('drizzle-kit passes over an entry whose time is before the last applied one', async (context) => {
    const run = await rehearsed(context, 'drizzle-when-not-increasing')
    expect([run.code, run.report.verdict]).toEqual([1, 'fail'])
    const [skipped] = found(run, 'tool-skipped')
    expect(skipped).toMatchObject({ severity: 'fail', at: 'drizzle/0004_user_country.sql:1' })
    expect(run.report.headline).toBe(skipped?.title)
    expect(notesOf(run)).toEqual(['skipped drizzle/0004_user_country.sql:'])
    expect(transactionsOf(run)).toEqual([])
  })

  test('a file that the journal does not list: nothing is pending, and that is said', async (context) => {
    const tools = await folderOf(context, await readFixture('drizzle-unlisted'))
    const { code, stdout, stderr } = await runProject('drizzle-unlisted', { tools })
    expect([code, stdout]).toEqual([0, ''])
    expect(stderr).toMatch(/nothing is pending, nothing was rehearsed/)
    expect(stderr).toMatch(/drizzle\/0004_user_country\.sql: .* does not name this file/)
  })

  test('node-pg-migrate refuses a file older than an applied one', async (context) => {
    const run = await rehearsed(context, 'node-pg-migrate-order')
    expect([run.code, run.report.verdict]).toEqual([1, 'fail'])
    expect(run.timed.migration.tool?.journal?.refuses).toMatch(
      /^Not run migration 1736000000000_user-country is preceding/,
    )
    expect(found(run, 'tool-exit-code').map(({ severity }) => severity)).toEqual(['fail'])
    expect(transactionsOf(run)).toEqual([])
  })

  test('drizzle-kit with nothing but a WebSocket driver never comes, and that is no verdict', async () => {
    // What decides is which packages are there; the program only has to come to an end.
    const files = {
      'node_modules/drizzle-kit/package.json':
        '{"name":"drizzle-kit","version":"0.31.11","bin":{"drizzle-kit":"bin.cjs"},"main":"index.cjs"}',
      'node_modules/drizzle-kit/index.cjs': 'exports.defineConfig = (config) => config\n',
      'node_modules/drizzle-kit/bin.cjs': "console.log('Using @neondatabase/serverless driver')\nprocess.exit(1)\n",
      'node_modules/drizzle-orm/package.json': '{"name":"drizzle-orm","version":"0.45.4"}',
      'node_modules/@neondatabase/serverless/package.json': '{"name":"@neondatabase/serverless","version":"1.0.0"}',
    }
    const { code, stdout, stderr } = await runProject('drizzle-journal', { tools: null, files })
    expect([code, stdout]).toEqual([3, ''])
    expect(stderr).toMatch(/takes @neondatabase\/serverless, which talks to a WebSocket server/)
    expect(stderr).toMatch(/Install pg as a devDependency/)
  })
})
