/** Which statement of which file a message of the tool's is; by text, by order, by the journal. */
import { describe, expect, it } from 'vitest'
import { attribute, type Attributed } from '../../../src/migrations/wire-trace/attribute.js'
import { stepsOf } from '../../../src/migrations/wire-trace/steps.js'
import { JOURNALS, ledgerOf } from '../../../src/migrations/tools/journals.js'
import type { Ledger, MigrationSource } from '../../../src/migrations/tools/types.js'
import type { MigrationFile } from '../../../src/recording.js'
import { migrationFiles } from '../../../src/scenario.js'
import type { WireSession } from '../../../src/wire/types.js'
import { conversation, source, type Talk } from './build.js'

const [knex] = [JOURNALS.knex]
if (!knex) throw new Error('there is a journal of Knex')
/** Rows after the statements. */
const after = ledgerOf(knex)
/** Rows before the statements, as Prisma writes them. */
const before: Ledger = { ...after, written: 'before' }

const row = (name: string): string => `insert into knex_migrations (name, batch) values ('${name}', 1)`

interface Given {
  sources: MigrationSource[]
  ledger?: Ledger | null
  /** What an earlier pass has learnt. */
  files?: MigrationFile[]
  talk: (tool: Talk) => void
}

async function attributed({ sources, ledger = after, files, talk }: Given): Promise<Attributed & { told: string[] }> {
  const [tool] = conversation()
  if (!tool) throw new Error('no session')
  talk(tool)
  return toldOf(tool.session, sources, ledger, files ?? (await filesOf(sources)))
}

const filesOf = (sources: readonly MigrationSource[]): Promise<MigrationFile[]> =>
  migrationFiles(
    sources,
    sources.map(({ name }) => name),
  )

function toldOf(
  session: WireSession,
  sources: readonly MigrationSource[],
  ledger: Ledger | null,
  files: readonly MigrationFile[],
): Attributed & { told: string[] } {
  const steps = stepsOf(session.exchanges)
  const found = attribute({ steps, files, sources, ledger, elsewhere: 'make migrate' })
  return {
    ...found,
    told: steps.map((step, i) => found.statements[i] ?? `(${found.roles[i] ?? ''}) ${step.piece.sql}`),
  }
}

const say = (tool: Talk, ...texts: string[]): void => {
  for (const text of texts) tool.says(text, ['OK'])
}

describe('SQL files', () => {
  const sources = [
    source('1_a.sql', 'alter table t add a int;\nupdate t set a = 0;\n'),
    source('2_b.sql', '-- b\nalter table t add b int;\nupdate t set a = 0;\n'),
  ]

  it('each statement by its text, however it is laid out, and the tool’s own apart', async () => {
    const { told, roles, sent } = await attributed({
      sources,
      talk: (tool) => {
        say(tool, 'select * from knex_migrations', 'begin', 'ALTER TABLE t ADD a int'.toLowerCase())
        say(tool, 'update  t\n set a = /* none */ 0', row('1_a.sql'), 'alter table t add b int;')
        say(tool, 'update t set a = 0', row('2_b.sql'), 'commit', "set lock_timeout = '1s'")
        say(tool, 'select pg_advisory_unlock(1)')
      },
    })
    expect(told).toEqual([
      '(journal) select * from knex_migrations',
      '(transaction) begin',
      'migrations/1_a.sql#1',
      'migrations/1_a.sql#2',
      `(journal) ${row('1_a.sql')}`,
      'migrations/2_b.sql#1',
      'migrations/2_b.sql#2',
      `(journal) ${row('2_b.sql')}`,
      '(transaction) commit',
      "(other) set lock_timeout = '1s'",
      '(lock) select pg_advisory_unlock(1)',
    ])
    expect(roles.filter((role) => role === 'migration')).toHaveLength(4)
    expect(sent.get('migrations/1_a.sql#2')).toBe('update  t\n set a = /* none */ 0')
  })

  it('a whole file as one message', async () => {
    const { told } = await attributed({
      sources,
      talk: (tool) => {
        for (const { text } of sources) tool.says(text, ['ALTER TABLE', 'UPDATE 1'])
      },
    })
    expect(told).toEqual(
      [1, 2].map((n) => `migrations/1_a.sql#${n}`).concat([1, 2].map((n) => `migrations/2_b.sql#${n}`)),
    )
  })

  it('equal statements of one file, one after the other', async () => {
    const twice = [source('1.sql', 'select f();\nselect f();\nselect f();')]
    const { told } = await attributed({
      sources: twice,
      talk: (tool) => say(tool, 'select f()', 'select f()', 'select f()'),
    })
    expect(told).toEqual(['migrations/1.sql#1', 'migrations/1.sql#2', 'migrations/1.sql#3'])
  })

  it('the second file alone: of equal statements, those behind what was seen', async () => {
    const { told } = await attributed({
      sources,
      talk: (tool) => say(tool, 'alter table t add b int', 'update t set a = 0'),
    })
    expect(told).toEqual(['migrations/2_b.sql#1', 'migrations/2_b.sql#2'])
  })

  it('a statement that is tried again', async () => {
    const { told } = await attributed({
      sources: sources.slice(0, 1),
      talk: (tool) => {
        tool.says('alter table t add a int', [], { fails: '55P03' })
        say(tool, 'alter table t add a int', 'update t set a = 0')
      },
    })
    expect(told).toEqual(['migrations/1_a.sql#1', 'migrations/1_a.sql#1', 'migrations/1_a.sql#2'])
  })
})

describe('COMMIT: of a file or of the tool', () => {
  const sources = [
    source('1.sql', 'alter table t add a int;\ncommit;\ncreate index concurrently i on t (a);'),
    source('2.sql', 'alter table t add b int;'),
  ]
  it('of the file where its turn has come', async () => {
    const { told } = await attributed({
      sources,
      talk: (tool) =>
        say(
          tool,
          ...['begin', 'alter table t add a int', 'commit', 'create index concurrently i on t (a)', row('1.sql')],
          ...['alter table t add b int', row('2.sql'), 'commit'],
        ),
    })
    expect(told).toEqual([
      '(transaction) begin',
      'migrations/1.sql#1',
      'migrations/1.sql#2',
      'migrations/1.sql#3',
      `(journal) ${row('1.sql')}`,
      'migrations/2.sql#1',
      `(journal) ${row('2.sql')}`,
      '(transaction) commit',
    ])
  })
  it('of the tool before and after it', async () => {
    const { told } = await attributed({
      sources: sources.slice().reverse(),
      talk: (tool) =>
        say(
          tool,
          ...['begin', 'alter table t add b int', row('2.sql'), 'commit', 'begin', 'alter table t add a int'],
          ...['commit', 'create index concurrently i on t (a)', row('1.sql'), 'commit'],
        ),
    })
    expect(told.filter((one) => one.includes('commit'))).toEqual(['(transaction) commit', '(transaction) commit'])
    expect(told[6]).toBe('migrations/1.sql#2')
  })
  it('a file that begins with COMMIT, after the tool’s own', async () => {
    const split = [
      source('1.sql', 'alter table t add a int;'),
      source('2.sql', 'commit;\ncreate index concurrently i on t (a);'),
    ]
    const { told } = await attributed({
      sources: split,
      talk: (tool) => {
        say(tool, 'begin', 'alter table t add a int', row('1.sql'), 'commit', 'begin')
        tool.says(split[1]?.text ?? '', ['COMMIT', 'CREATE INDEX'])
      },
    })
    expect(told.slice(2)).toEqual([
      `(journal) ${row('1.sql')}`,
      '(transaction) commit',
      '(transaction) begin',
      'migrations/2.sql#1',
      'migrations/2.sql#2',
    ])
  })
})

describe('programs', () => {
  const sources = [
    source('1_a.js', "exports.up = (k) =>\n  k.raw('alter table t add a int')\n", 'code'),
    source('2_b.js', "exports.up = (k) =>\n  k.schema.table('t', (t) => t.integer('b'))\n", 'code'),
  ]
  const run = (tool: Talk): void => {
    say(tool, 'begin', 'alter table t add a int', row('1_a.js'), "set local lock_timeout = '1s'")
    say(tool, `alter table "t" add column "b" int default 17`, row('2_b.js'), 'commit')
  }

  it('by the journal row that comes next', async () => {
    // Inside the transaction a program sets its own timeouts.
    const [tool] = conversation()
    tool?.says('begin', ['BEGIN'], { after: 'T' })
    if (tool) run(tool)
    if (!tool) throw new Error('no session')
    const found = toldOf(tool.session, sources, after, await filesOf(sources))
    expect(found.told.filter((one) => !one.startsWith('('))).toEqual([
      'migrations/1_a.js#1',
      'migrations/2_b.js#1',
      'migrations/2_b.js#2',
    ])
    expect(
      found.files.map(({ statements }) => statements.map(({ line, exactLine, sql }) => [line, exactLine, sql])),
    ).toEqual([
      [[2, true, 'alter table t add a int']],
      [
        [1, false, 'set local lock_timeout = $1'],
        [2, false, 'alter table "t" add column "b" int default $1'],
      ],
    ])
    // What is recorded holds no literal; what is run again does.
    expect(found.sent.get('migrations/2_b.js#2')).toContain('17')
  })

  it('the second pass knows them again, whatever the literals', async () => {
    const first = await attributed({ sources, talk: run })
    const second = await attributed({
      sources,
      files: first.files,
      talk: (tool) => {
        say(tool, 'begin', 'alter table t add a int', row('1_a.js'))
        say(tool, `alter table "t" add column "b" int default 99`, row('2_b.js'), 'commit')
      },
    })
    expect(second.told.filter((one) => !one.startsWith('('))).toEqual(['migrations/1_a.js#1', 'migrations/2_b.js#1'])
    expect(second.files).toEqual(first.files)
  })

  it('a row whose name is not known: in the order of the files', async () => {
    const { told } = await attributed({
      sources,
      talk: (tool) => {
        tool.says('alter table t add x int', ['ALTER TABLE'])
        tool.pipes([{ sql: 'insert into knex_migrations (name) values ($1)', tags: ['INSERT 0 1'] }])
        tool.says('alter table t add y int', ['ALTER TABLE'])
        tool.pipes([{ sql: 'insert into knex_migrations (name) values ($1)', tags: ['INSERT 0 1'] }])
      },
    })
    expect(told[0]).toBe('migrations/1_a.js#1')
    expect(told[2]).toBe('migrations/2_b.js#1')
  })

  it('a row by its parameters', async () => {
    const { told } = await attributed({
      sources,
      talk: (tool) => {
        tool.says('alter table t add y int', ['ALTER TABLE'])
        tool.pipes([
          { sql: 'insert into knex_migrations (name) values ($1)', tags: ['INSERT 0 1'], parameters: ['2_b.js'] },
        ])
      },
    })
    expect(told[0]).toBe('migrations/2_b.js#1')
  })

  it('failed before the first row: the first; after one: the one behind it', async () => {
    const first = await attributed({
      sources,
      talk: (tool) => tool.says('alter table t add x int', [], { fails: '42701' }),
    })
    expect(first.told).toEqual(['migrations/1_a.js#1'])
    const second = await attributed({
      sources,
      talk: (tool) => {
        say(tool, 'alter table t add a int', row('1_a.js'))
        tool.says('alter table t add y int', [], { fails: '42701' })
      },
    })
    expect(second.told.at(-1)).toBe('migrations/2_b.js#1')
  })

  it('a row that could not be written says nothing', async () => {
    const { told } = await attributed({
      sources,
      talk: (tool) => {
        say(tool, 'alter table t add a int', row('1_a.js'), 'alter table t add y int')
        tool.says(row('1_a.js'), [], { fails: '23505' })
      },
    })
    expect(told[2]).toBe('migrations/2_b.js#1')
  })

  it('a journal that is written first', async () => {
    const { told } = await attributed({
      sources,
      ledger: before,
      talk: (tool) =>
        say(tool, row('1_a.js'), 'create table x ()', row('2_b.js'), 'create table y ()', 'create table z ()'),
    })
    expect(told.filter((one) => !one.startsWith('('))).toEqual([
      'migrations/1_a.js#1',
      'migrations/2_b.js#1',
      'migrations/2_b.js#2',
    ])
  })

  it('without a journal that we know: the file of the statement before, or the first', async () => {
    const mixed = [source('1.sql', 'create table a ();'), source('2.sql', 'create table b ();')]
    const { told } = await attributed({
      sources: mixed,
      ledger: null,
      talk: (tool) => say(tool, 'create table b ()', 'create table c ()'),
    })
    expect(told).toEqual(['migrations/2.sql#1', 'migrations/2.sql#2'])
  })

  it('no file at all: what was run stands for it', async () => {
    const { told, files } = await attributed({
      sources: [],
      ledger: null,
      talk: (tool) => say(tool, 'create table a ()', "insert into a values ('secret')"),
    })
    expect(told).toEqual(['make migrate#1', 'make migrate#2'])
    expect(files).toMatchObject([{ file: 'make migrate', name: null, kind: 'code' }])
    expect(JSON.stringify(files)).not.toContain('secret')
  })
})
