import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import { DEFAULTS, loadScenario, type Scenario, type ScenarioOverrides } from '../../src/scenario.js'
import { Random } from '../../src/traffic/random.js'

let folder: string
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'scenario-')), 'add-index')
})
afterEach(() => {
  rmSync(dirname(folder), { recursive: true, force: true })
})

type Files = Record<string, string | Buffer | null>

const GOOD: Files = {
  'migrations/001.sql': 'create index on t (a);\n',
  'old.sql': '-- name: get\n\\set id random(1, :n)\nselect a from t where id = :id;\n',
  'new.sql': '-- name: get\nselect a from t;\n',
}

function write(files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    if (content === null) continue
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
}

/** Loads the good scenario with some files other, or away (null). */
function load(files: Files = {}, overrides?: ScenarioOverrides): Promise<Scenario> {
  write({ ...GOOD, ...files })
  return loadScenario(folder, overrides)
}

async function failure(files: Files): Promise<RehearsalError> {
  const error: unknown = await load(files).catch((e: unknown) => e)
  expect(error).toBeInstanceOf(RehearsalError)
  return error as RehearsalError
}

const settings = (text: string): Files => ({ 'scenario.ts': `export default ${text}` })

describe('a scenario folder', () => {
  it('needs only migrations and old traffic; the rest has defaults', async () => {
    const { disturbForMs, retryDelayMs, ...defaults } = DEFAULTS
    expect([disturbForMs, retryDelayMs]).toEqual([10_000, 1_000])
    const scenario = await load({ 'new.sql': null })
    expect(scenario).toMatchObject({
      name: 'add-index',
      description: null,
      folder,
      schema: [],
      appliedMigrations: [],
      seeds: [],
      transaction: 'file',
      rollback: null,
      checks: [],
      productionRows: {},
      ...defaults,
      budgets: {},
      settings: {},
      roleSettings: { migrate: {}, app: {} },
    })
    expect(scenario.migrations.map((m) => m.file)).toEqual(['migrations/001.sql'])
    expect(scenario.operations.map((o) => [o.release, o.name])).toEqual([
      ['old', 'get'],
      ['new', 'get'],
    ])
    expect(scenario.traffic.assumptions).toEqual([
      'The new release sends the same statements as the old one: there is no new.sql beside old.sql.',
    ])
  })

  it('reads every file', async () => {
    const scenario = await load({
      'schema.sql':
        '\\restrict x\n-- é\ncreate table t (id int, a int);\ncreate table u (v int[], w int default (5)::int);',
      'seed.sql': '\\if :{?n}\n\\else\n\\set n 5\n\\endif\ninsert into t select g from generate_series(1,:n) g;',
      'migrations/010.sql': '-- rehearse: no-transaction\r\n\ncreate index concurrently on t (a);',
      'migrations/002.sql': 'select 1;select 2',
      'migrations/notes.md': 'not SQL',
      'migrations/meta/x.sql': 'not SQL',
      'rollback.sql': 'drop index t_a_idx;',
      'checks.sql':
        '-- all is well\n\n-- name: no nulls\nselect 1\nfrom t where a is null;\n-- name: b\n\nwith x as (select 2) select * from x',
    })
    expect(scenario.schema.map((s) => [s.file, s.statements.map((x) => [x.id, x.line])])).toEqual([
      [
        'schema.sql',
        [
          ['schema.sql#1', 3],
          ['schema.sql#2', 4],
        ],
      ],
    ])
    expect(scenario.seeds).toMatchObject([
      {
        kind: 'sql',
        file: 'seed.sql',
        statements: [{ line: 5, sql: 'insert into t select g from generate_series(1,100000) g' }],
      },
    ])
    expect(scenario.migrations.map((m) => [m.file, m.transaction, m.statements.length])).toEqual([
      ['migrations/001.sql', 'file', 1],
      ['migrations/002.sql', 'file', 2],
      ['migrations/010.sql', 'none', 1],
    ])
    expect(scenario.migrations[0]?.sha256).toBe(createHash('sha256').update('create index on t (a);\n').digest('hex'))
    expect(scenario.rollback).toMatchObject({ file: 'rollback.sql', transaction: 'file' })
    expect(scenario.checks).toEqual([
      { name: 'no nulls', file: 'checks.sql', line: 4, sql: 'select 1\nfrom t where a is null' },
      { name: 'b', file: 'checks.sql', line: 8, sql: 'with x as (select 2) select * from x' },
    ])
    expect(scenario.assumptions).toEqual([])
  })

  it('reads scenario.ts, whatever the folder it lies in can resolve', async () => {
    const scenario = await load({
      'helper.ts': 'export const rows: number = 48_000_000\n',
      'scenario.ts': `import { defineScenario } from 'pg-rehearse'
        import { rows } from './helper.js'
        export default defineScenario({
          name: 'Busy table', description: 'd',
          schema: ['sql/a.sql', '../outside.sql'], seed: ['seed.ts', 'more.sql'],
          migrations: { folder: 'db', transaction: 'all', pending: { from: '002.sql' } },
          rollback: 'sql/back.sql', checks: 'sql/c.sql',
          traffic: { old: 'traffic/v1.sql', new: 'traffic/v2.ts', rate: 50, connections: 4 },
          production: { rows: { orders: rows, 'audit.log': 0 } },
          postgres: 17, rows: 5_000, seedNumber: 9,
          roles: { migrate: 'owner' },
          phases: { warmup: '0s', settle: '500ms' }, maxDuration: '2m',
          budgets: { 'lock.held': 300, 'operation.blocked': { warn: 50 }, 'statement.underLock': { fail: 60, warn: null } },
          settings: { lock_timeout: '2s', max_connections: 50, jit: false },
          roleSettings: { app: { statement_timeout: '30s' } },
        })`,
      '../outside.sql': 'create table o ();',
      'sql/a.sql': 'create table t ();',
      'sql/back.sql': 'select 1',
      'sql/c.sql': '-- name: c\nselect 1',
      'seed.ts':
        "import { defineSeed } from 'pg-rehearse'\nexport default defineSeed({ tables: { t: { rows: 3, columns: ['id'], row: (i) => ({ id: i }) } } })",
      'more.sql': 'select :n',
      'db/001.sql': 'select 1',
      'db/002.sql': 'select 2',
      'db/003.sql': 'select 3',
      'traffic/v1.sql': '-- name: a\nselect 1',
      'traffic/v2.ts':
        "import { defineTraffic } from 'pg-rehearse'\nexport default defineTraffic({ operations: {\n b: { weight: 2, run: async (_s, random, { rows }) => random.int(rows, rows) } } })",
    })
    const { operations, schema, seeds, appliedMigrations, migrations, ...rest } = scenario
    expect(rest).toMatchObject({
      name: 'Busy table',
      description: 'd',
      transaction: 'all',
      rollback: { file: 'sql/back.sql', transaction: 'all' },
      checks: [{ name: 'c', file: 'sql/c.sql' }],
      productionRows: { orders: 48_000_000, 'audit.log': 0 },
      postgres: 17,
      rows: 5000,
      seedNumber: 9,
      rate: 50,
      connections: 4,
      roles: { migrate: 'owner', app: DEFAULTS.roles.app },
      phases: { warmupMs: 0, baselineMs: 10_000, rolloutMs: 10_000, settleMs: 500 },
      maxDurationMs: 120_000,
      budgets: {
        'lock.held': { warn: 100, fail: 300 },
        'operation.blocked': { warn: 50, fail: 2000 },
        'statement.underLock': { warn: null, fail: 60 },
      },
      settings: { lock_timeout: '2s', max_connections: '50', jit: 'false' },
      roleSettings: { migrate: {}, app: { statement_timeout: '30s' } },
    })
    expect(schema.map((s) => s.file)).toEqual(['sql/a.sql', '../outside.sql'])
    expect(seeds.map((s) => [s.kind, s.file])).toEqual([
      ['ts', 'seed.ts'],
      ['sql', 'more.sql'],
    ])
    expect(seeds[0]).toMatchObject({ seed: { tables: { t: { rows: 3 } } } })
    expect(seeds[1]).toMatchObject({ statements: [{ sql: 'select 5000' }] })
    expect(appliedMigrations.map((m) => [m.file, m.transaction])).toEqual([['db/001.sql', 'all']])
    expect(migrations.map((m) => m.file)).toEqual(['db/002.sql', 'db/003.sql'])
    expect(operations.map((o) => [o.kind, o.release, o.name, o.line, o.file])).toEqual([
      ['script', 'old', 'a', 1, 'traffic/v1.sql'],
      ['code', 'new', 'b', 3, 'traffic/v2.ts'],
    ])
    const code = operations[1]
    if (code?.kind !== 'code') throw new Error('not code')
    expect(await code.run(undefined as never, new Random(1), { rows: 5, clientId: 0, seed: 1 })).toBe(5)
  })

  it('refuses a seed.ts that is none before anything starts', async () => {
    const error = await failure({ 'seed.ts': 'export default { tables: 3 }' })
    expect(error.message).toMatch(/^seed\.ts: the default export is not a seed/)
    expect(error.exitCode).toBe(2)
  })

  it('takes a list of pending files, and says which later ones it leaves out', async () => {
    const scenario = await load({
      ...settings("{ migrations: { pending: ['002.sql', '004.sql'] } }"),
      'migrations/002.sql': 'select 2',
      'migrations/003.sql': 'select 3',
      'migrations/004.sql': 'select 4',
    })
    expect(scenario.appliedMigrations.map((m) => m.file)).toEqual(['migrations/001.sql'])
    expect(scenario.migrations.map((m) => m.file)).toEqual(['migrations/002.sql', 'migrations/004.sql'])
    expect(scenario.assumptions).toEqual(['Migration files that are not run, by migrations.pending: 003.sql.'])
  })

  it('is overridden by the command line', async () => {
    const scenario = await load(
      {
        ...settings(
          "{ rows: 5, seedNumber: 2, traffic: { rate: 1 }, phases: { baseline: '1s' }, budgets: { 'lock.held': 5 } }",
        ),
        'seed.sql': 'select :n',
      },
      {
        rows: 7,
        seedNumber: 3,
        rate: 2,
        connections: 1,
        postgres: 16,
        maxDurationMs: 9,
        phases: { baselineMs: 4, settleMs: undefined },
        budgets: { 'lock.held': { warn: 1, fail: 2 } },
      },
    )
    expect(scenario).toMatchObject({
      ...{ rows: 7, seedNumber: 3, rate: 2, connections: 1, postgres: 16, maxDurationMs: 9 },
      phases: { ...DEFAULTS.phases, baselineMs: 4 },
      budgets: { 'lock.held': { warn: 1, fail: 2 } },
      seeds: [{ statements: [{ sql: 'select 7' }] }],
    })
  })

  it('shows files relative to the working directory when they are below it', async () => {
    write(GOOD)
    // Workers cannot change their directory.
    const cwd = vi.spyOn(process, 'cwd').mockReturnValue(dirname(folder))
    try {
      const scenario = await loadScenario(folder)
      expect(scenario.migrations[0]?.file).toBe('add-index/migrations/001.sql')
      expect(scenario.operations[0]?.file).toBe('add-index/old.sql')
    } finally {
      cwd.mockRestore()
    }
  })
})

describe('what is wrong is said with file and line', () => {
  it.each<[string, Files, string]>([
    [
      'migration syntax',
      { 'migrations/001.sql': 'select 1;\n\nalter tabel t' },
      'migrations/001.sql:3: cannot read this SQL: syntax error at or near "tabel"',
    ],
    [
      'migration psql command',
      { 'migrations/001.sql': 'select 1;\n\\i x.sql' },
      'migrations/001.sql:2: cannot read this SQL: \\i is a command of psql',
    ],
    [
      'migration COPY',
      { 'migrations/001.sql': 'copy t from stdin;\n1\n\\.\n' },
      'migrations/001.sql:1: cannot read this SQL: COPY ... FROM STDIN',
    ],
    [
      'migration without statements',
      { 'migrations/001.sql': '-- later\n' },
      'migrations/001.sql: no statement in this file',
    ],
    ['empty migration', { 'migrations/001.sql': '' }, 'migrations/001.sql: no statement in this file'],
    [
      'migration not UTF-8',
      { 'migrations/001.sql': Buffer.from([0x73, 0xff, 0xfe]) },
      'migrations/001.sql: cannot read this SQL: the file is not UTF-8 text',
    ],
    [
      'migration with NUL',
      { 'migrations/001.sql': 'select 1;\nselect \0' },
      'migrations/001.sql:2: cannot read this SQL: a NUL character',
    ],
    [
      'unknown directive',
      { 'migrations/001.sql': '-- rehearse: no-tx\nselect 1' },
      'migrations/001.sql:1: unknown "-- rehearse: no-tx"',
    ],
    ['schema syntax', { 'schema.sql': '\ncreate tabel t' }, 'schema.sql:2: cannot read this SQL: syntax error'],
    ['empty schema', { 'schema.sql': '-- x' }, 'schema.sql: no statement in this file'],
    ['seed variable', { 'seed.sql': '\nselect :m' }, 'seed.sql:2: cannot read this SQL: :m is never set'],
    [
      'seed command',
      { 'seed.sql': '\\copy t from x' },
      'seed.sql:1: cannot read this SQL: \\copy is a command of psql',
    ],
    ['seed syntax', { 'seed.sql': 'insert into' }, 'seed.sql:1: cannot read this SQL: syntax error at end of input'],
    ['two seeds', { 'seed.sql': 'select 1', 'seed.ts': '' }, 'both seed.sql and seed.ts: keep one'],
    ['rollback syntax', { 'rollback.sql': 'drop indx' }, 'rollback.sql:1: cannot read this SQL'],
    [
      'check with two queries',
      { 'checks.sql': '-- name: a\nselect 1;\nselect 2;' },
      'checks.sql:3: check a must be one query',
    ],
    [
      'check that writes',
      { 'checks.sql': '-- name: a\n\ndelete from t' },
      'checks.sql:3: check a must be one query that only reads',
    ],
    [
      'check that writes in WITH',
      { 'checks.sql': '-- name: a\nwith x as (delete from t returning 1) select * from x' },
      'checks.sql:2: check a must be',
    ],
    [
      'check without a query',
      { 'checks.sql': '-- name: a\n-- name: b\nselect 1' },
      'checks.sql:1: check a has no query',
    ],
    [
      'check with a weight',
      { 'checks.sql': '-- name: a; weight: 2\nselect 1' },
      'checks.sql:1: a check has a name and nothing else',
    ],
    [
      'two checks of a name',
      { 'checks.sql': '-- name: a\nselect 1;\n-- name: a\nselect 1' },
      'checks.sql:3: a second check named a',
    ],
    ['check without a name', { 'checks.sql': '\nselect 1' }, 'checks.sql:2: a query before the first "-- name: ..."'],
    ['no check', { 'checks.sql': '' }, 'checks.sql:1: no check: each begins'],
    ['check syntax', { 'checks.sql': '-- name: a\n\nselec 1' }, 'checks.sql:3: cannot read this SQL'],
    [
      'unknown \\set function',
      { 'old.sql': '-- name: a\n\\set x rnd(1)\nselect :x' },
      'old.sql:2: \\set x: unknown function rnd()',
    ],
    [':name never set', { 'new.sql': '-- name: a\nselect 1;\nselect :ghost' }, 'new.sql:3: :ghost is never set'],
    ['empty traffic', { 'old.sql': '' }, 'old.sql: no operation'],
    [
      'no traffic where files are asked for',
      { 'old.sql': null, 'new.sql': null, ...settings("{ traffic: { source: 'files' } }") },
      'no traffic: add old.sql (or old.ts)',
    ],
    [
      'derived traffic beside a file',
      settings("{ traffic: { source: 'schema', old: 'old.sql' } }"),
      'scenario.ts: traffic.source is schema, so traffic.old, traffic.new and traffic.module have no place beside it',
    ],
    [
      'statements of production without a profile',
      settings("{ traffic: { source: 'production' } }"),
      'scenario.ts: traffic.source is production, but there is no profile with statements',
    ],
    [
      'a module beside a file',
      settings("{ traffic: { module: 'old.sql', new: 'new.sql' } }"),
      'scenario.ts: traffic.module is the file of both releases',
    ],
    [
      'a ref without a file',
      { 'old.sql': null, ...settings("{ traffic: { oldRef: 'main' } }") },
      'scenario.ts: traffic.oldRef needs traffic.module or traffic.old',
    ],
    [
      'a ref that git does not know',
      settings("{ traffic: { oldRef: 'no-such-ref' } }"),
      'scenario.ts: traffic.oldRef: git does not know no-such-ref here',
    ],
    [
      'a ref that git does not know, for derived traffic',
      { 'old.sql': null, 'new.sql': null, ...settings("{ traffic: { oldRef: 'no-such-ref' } }") },
      'scenario.ts: traffic.oldRef: git does not know no-such-ref here',
    ],
    [
      'a program of the new release alone',
      { 'old.sql': null, 'new.sql': null, ...settings("{ traffic: { new: { command: 'npm start' } } }") },
      'traffic.new is the new release only: add old.sql',
    ],
    ['a program without a command', settings('{ traffic: { old: {} } }'), 'scenario.ts: traffic.old'],
    ['retries', settings("{ traffic: { retries: { tries: 1, on: ['x'] } } }"), 'scenario.ts: traffic.retries'],
    ['a ramp without an end', settings('{ traffic: { rate: { from: 1 } } }'), 'scenario.ts: traffic.rate'],
    ['a disturbance', settings("{ disturbances: ['earthquake'] }"), 'scenario.ts: disturbances'],
    ['a profile that is not JSON', { ...settings("{ profile: 'p.json' }"), 'p.json': '{' }, 'p.json'],
    ['only new traffic', { 'old.sql': null }, 'new.sql is the new release only: add old.sql'],
    ['two kinds of traffic', { 'old.ts': 'export default {}' }, 'both old.sql and old.ts: keep one'],
    [
      'traffic without a default',
      { 'old.sql': null, 'old.ts': 'export const a = 1' },
      'old.ts: the default export must be defineTraffic',
    ],
    [
      'traffic that does not load',
      { 'old.sql': null, 'old.ts': '\nexport default {\n  a: = 1 }' },
      'old.ts:3: the file cannot be loaded: ParseError',
    ],
    [
      'traffic that throws',
      { 'old.sql': null, 'old.ts': "\n\nthrow new Error('boom')" },
      'old.ts:3: the file cannot be loaded: boom',
    ],
    ['scenario.ts syntax', settings('{\n  name: = 1 }'), 'scenario.ts:2: the file cannot be loaded: ParseError'],
    [
      'scenario.ts import',
      { 'scenario.ts': "import x from 'nosuch'\nexport default x" },
      "scenario.ts:1: the file cannot be loaded: Cannot find module 'nosuch'",
    ],
    ['scenario.ts without a default', { 'scenario.ts': 'export const a = 1' }, 'scenario.ts: needs a default export'],
    ['no object', settings('5'), 'scenario.ts: default export: '],
    ['unknown field', settings('{ migration: 1 }'), 'scenario.ts: migration: unknown field'],
    ['unknown inner field', settings('{ traffic: { speed: 1 } }'), 'scenario.ts: traffic.speed: unknown field'],
    ['wrong type', settings("{ rows: 'many' }"), 'scenario.ts: rows: '],
    ['rows zero', settings('{ rows: 0 }'), 'scenario.ts: rows: '],
    ['rows broken', settings('{ rows: 1.5 }'), 'scenario.ts: rows: '],
    ['production rows negative', settings('{ production: { rows: { t: -1 } } }'), 'scenario.ts: production.rows.t: '],
    ['postgres', settings('{ postgres: 15 }'), 'scenario.ts: postgres: expected 16, 17 or 18'],
    [
      'duration',
      settings("{ phases: { baseline: '10 seconds' } }"),
      'scenario.ts: phases.baseline: expected a duration such as "500ms", "30s" or "5m", not "10 seconds"',
    ],
    ['duration as a number', settings('{ maxDuration: 5 }'), 'scenario.ts: maxDuration: expected a duration'],
    [
      'no baseline',
      settings("{ phases: { baseline: '0s' } }"),
      'scenario.ts: phases.baseline: must be longer than zero',
    ],
    ['transaction', settings("{ migrations: { transaction: 'none' } }"), 'scenario.ts: migrations'],
    [
      'tool',
      settings("{ migrations: { tool: 'knex' } }"),
      'scenario.ts: migrations.tool: expected one of sql, drizzle, node-pg-migrate,',
    ],
    [
      'unknown field of migrations',
      settings("{ migrations: { comand: 'x' } }"),
      'scenario.ts: migrations.comand: unknown field',
    ],
    [
      'pending in no known form',
      settings("{ pending: { form: 'x' } }"),
      'scenario.ts: pending: expected names, { from }',
    ],
    ['rate', settings('{ traffic: { rate: 0 } }'), 'scenario.ts: traffic.rate: '],
    [
      'metric',
      settings("{ budgets: { 'lock.hold': 1 } }"),
      'scenario.ts: budgets.lock.hold: unknown metric (known: lock.held, ',
    ],
    ['budget', settings("{ budgets: { 'lock.held': { warm: 1 } } }"), 'scenario.ts: budgets.lock.held'],
    ['setting', settings("{ settings: { 'a b': 1 } }"), 'scenario.ts: settings.a b: is not the name of a setting'],
    ['role', settings("{ roles: { app: 'pg_monitor' } }"), 'scenario.ts: roles.app: is reserved by PostgreSQL'],
    ['name', settings("{ name: '../x' }"), 'scenario.ts: name: expected letters'],
    ['schema file', settings("{ schema: 'nosuch.sql' }"), 'scenario.ts: schema: no file nosuch.sql'],
    ['seed file', settings("{ seed: ['nosuch.ts'] }"), 'scenario.ts: seed: no file nosuch.ts'],
    ['traffic file', settings("{ traffic: { new: 'x.sql' } }"), 'scenario.ts: traffic.new: no file x.sql'],
    [
      'pending file',
      settings("{ migrations: { pending: ['009.sql'] } }"),
      'scenario.ts: pending: no migration 009.sql (the last ones are 001.sql',
    ],
    [
      'pending from',
      settings("{ migrations: { pending: { from: '009.sql' } } }"),
      'scenario.ts: pending: no migration 009.sql (the last ones are 001.sql',
    ],
  ])('%s', async (_, files, message) => {
    const error = await failure(files)
    // Messages about the folder as a whole begin with it: it is `.` here.
    expect(error.message.replace(/^\.: /, '').slice(0, message.length)).toBe(message)
    expect(error.message).not.toContain(dirname(folder))
    expect(error.message).not.toContain('\n')
    expect(error.exitCode).toBe(2)
  })

  it.each<[string, Files, RegExp]>([
    ['no migration folder', { ...GOOD, 'migrations/001.sql': null }, /no scenario here \(no folder migrations\)/],
    [
      'a migration folder without files',
      { ...GOOD, 'migrations/001.sql': null, 'migrations/readme.md': 'x' },
      /no \*\.sql file in migrations\)/,
    ],
    [
      'another folder without files',
      { ...GOOD, ...settings("{ migrations: 'db' }"), 'db/x.txt': '' },
      /no \*\.sql file in db\)/,
    ],
    ['an empty folder', { '../x': '' }, /no scenario here/],
  ])('%s is NO_SCENARIO', async (_, files, message) => {
    mkdirSync(folder, { recursive: true })
    write(files)
    const error: unknown = await loadScenario(folder).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'NO_SCENARIO', exitCode: 2 })
    expect(String(error)).toMatch(message)
  })

  it('a path that is no folder is NO_SCENARIO', async () => {
    write(GOOD)
    await expect(loadScenario(join(folder, 'nosuch'))).rejects.toThrow(/nosuch: no scenario here \(no such folder\)/)
    await expect(loadScenario(join(folder, 'old.sql'))).rejects.toThrow(/it is a file, not a folder/)
  })
})

describe('where traffic comes from', () => {
  const traffic = async (files: Files) => (await load(files)).traffic

  it('from the schema when nothing is declared', async () => {
    expect(await traffic({ 'old.sql': null, 'new.sql': null })).toMatchObject({
      old: { kind: 'schema' },
      new: { kind: 'schema' },
      exclude: [],
      ramp: null,
      manners: { queueTimeoutMs: null, pooling: 'session', retries: { tries: 0 }, settings: {} },
    })
  })

  it("from production's statements when the profile has any", async () => {
    const entries = [{ query: 'select 1', calls: 2, rows: 2, meanMs: 0.1 }]
    const profile = (list: unknown[]): Files => ({
      'old.sql': null,
      'new.sql': null,
      ...settings("{ profile: 'p.json', traffic: { factor: 0.5 } }"),
      'p.json': JSON.stringify({ appliedMigrations: [], statements: { since: null, takenAt: null, entries: list } }),
    })
    expect(await traffic(profile(entries))).toMatchObject({ old: { kind: 'production' }, factor: 0.5 })
    expect(await traffic(profile([]))).toMatchObject({ old: { kind: 'schema' } })
  })

  it('from a program, which is the new release too unless another is named', async () => {
    const plan = await traffic({
      'old.sql': null,
      'new.sql': null,
      ...settings("{ traffic: { old: { command: 'npm start', ref: 'main', readyWithin: '5s' } } }"),
    })
    expect(plan.old).toMatchObject({ kind: 'program', program: { ref: 'main', readyWithin: 5_000 } })
    expect(plan.new).toMatchObject({ kind: 'program', program: { command: 'npm start' } })
    expect(plan.new).not.toHaveProperty('program.ref')
    expect(plan.assumptions.join()).toContain('the same program as of the working tree')
  })

  it('with the manners and the ramp that are declared', async () => {
    const loaded = await load(
      settings(`{
          traffic: { rate: { from: 5, to: 50, over: '20s' }, queueTimeout: '2s', pooling: 'transaction', retries: 3,
                     settings: { statement_timeout: '5s' } },
          disturbances: ['vacuum'], disturbFor: '3s',
        }`),
    )
    expect(loaded.rate).toBe(50)
    expect(loaded.traffic).toMatchObject({
      ramp: { fromPerSecond: 5, toPerSecond: 50, overMs: 20_000 },
      manners: {
        queueTimeoutMs: 2_000,
        pooling: 'transaction',
        retries: { tries: 3, on: ['40001', '40P01'] },
        settings: { statement_timeout: '5s' },
      },
    })
    expect(loaded.disturbances).toEqual({ kinds: ['vacuum'], lastsMs: 3_000 })
  })
})
