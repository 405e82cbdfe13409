/** What is said of a tool's run: exit code, errors on the wire and journal put together. */
import { describe, expect, it } from 'vitest'
import { traceOf, type ToolEnd, type WireTrace } from '../../../src/migrations/wire-trace/trace.js'
import { MigrationRun, type ToolRun } from '../../../src/recording.js'
import { migrationFiles } from '../../../src/scenario.js'
import { JOURNALS, ledgerOf } from '../../../src/migrations/tools/journals.js'
import type { MigrationSource } from '../../../src/migrations/tools/types.js'
import { conversation, source, type Talk } from './build.js'

const files = [
  source('1.sql', 'alter table t add a int;\nalter table t add b int;'),
  source('2.sql', "update t set a = 'secret';"),
]
const ledger = JOURNALS.dbmate ? ledgerOf(JOURNALS.dbmate) : null

const ALL: ToolRun['journal'] = { added: ['1.sql', '2.sql'], missing: [], refuses: null }
const NONE: ToolRun['journal'] = { added: [], missing: ['1.sql', '2.sql'], refuses: null }

const good = (tool: Talk): void => {
  tool.says('begin', ['BEGIN'], { after: 'T' })
  tool.says(files[0]?.text ?? '', ['ALTER TABLE', 'ALTER TABLE'], { marked: true })
  tool.says(files[1]?.text ?? '', ['UPDATE 1'])
  tool.says('commit', ['COMMIT'], { after: 'I' })
}
/** The second statement fails. */
const bad = (tool: Talk): void => {
  tool.says('begin', ['BEGIN'], { after: 'T' })
  tool.says(files[0]?.text ?? '', ['ALTER TABLE'], { fails: '42701', after: 'E' })
  tool.says('rollback', ['ROLLBACK'], { after: 'I' })
}
const goesOn = (tool: Talk): void => {
  tool.says('alter table t add a int', [], { fails: '42701' })
  tool.says('alter table t add b int', ['ALTER TABLE'])
  tool.says(files[1]?.text ?? '', ['UPDATE 1'])
}
const nothing = (tool: Talk): void => {
  tool.says('select 1', ['SELECT 1'])
}

async function trace(
  talk: (tool: Talk) => void,
  end: Partial<ToolEnd> = {},
  sources: readonly MigrationSource[] = files,
): Promise<WireTrace> {
  const [tool] = conversation()
  if (!tool) throw new Error('no session')
  talk(tool)
  tool.ends()
  const names = sources.map(({ name }) => name)
  const found = traceOf({
    sessions: [tool.session],
    files: await migrationFiles(sources, names),
    sources,
    ledger,
    elsewhere: 'make migrate',
    end: { exitCode: 0, signal: null, output: '', stopped: false, journal: null, ...end },
  })
  MigrationRun.parse(JSON.parse(JSON.stringify(found.run)))
  return found
}

const outcome = async (talk: (tool: Talk) => void, end: Partial<ToolEnd> = {}): Promise<string> => {
  const { run } = await trace(talk, end)
  const at = run.failedStatement === null ? '' : ` at ${run.failedStatement}`
  return run.outcome.ok ? 'ok' : `${run.outcome.error.sqlstate}${at}`
}

describe('the outcome', () => {
  const killed = { exitCode: null, signal: 'SIGKILL' }
  const second = 'migrations/1.sql#2'
  it.each<[string, (tool: Talk) => void, Partial<ToolEnd>, string]>([
    ['all went well', good, {}, 'ok'],
    ['all went well, says the journal too', good, { journal: ALL }, 'ok'],
    ['an error that the exit code shows', bad, { exitCode: 1, journal: NONE }, `42701 at ${second}`],
    ['an error that the tool swallows', bad, {}, `42701 at ${second}`],
    ['an error that the tool swallows, says the journal', bad, { journal: NONE }, `42701 at ${second}`],
    [
      'an error that was tried again, with a complete journal',
      (tool) => {
        bad(tool)
        good(tool)
      },
      { journal: ALL },
      'ok',
    ],
    [
      'an error that was tried again, without a journal',
      (tool) => {
        bad(tool)
        good(tool)
      },
      {},
      'ok',
    ],
    [
      'an error of the tool’s own that does not matter',
      (tool) => {
        tool.says('create table schema_migrations (version text)', [], { fails: '42P07' })
        good(tool)
      },
      { journal: ALL },
      'ok',
    ],
    [
      'an error of the tool’s own, and nothing done',
      (tool) => tool.says('create table schema_migrations (version text)', [], { fails: '42501' }),
      { journal: NONE },
      '42501',
    ],
    [
      'an error of the tool’s own that the exit code shows',
      (tool) => tool.says('select * from schema_migrations', [], { fails: '42501' }),
      { exitCode: 1 },
      '42501',
    ],
    ['exit code 1, although the server refused nothing', good, { exitCode: 1 }, 'TOOL'],
    ['exit code 1 before anything was done', nothing, { exitCode: 2, journal: NONE }, 'TOOL'],
    ['a signal', good, killed, 'TOOL'],
    ['a signal, with a complete journal', good, { ...killed, journal: ALL }, 'TOOL'],
    ['a signal after an error', bad, killed, `42701 at ${second}`],
    ['stopped by the harness', nothing, { exitCode: 1, stopped: true }, '57014'],
    ['stopped by the harness, exit code 0', good, { stopped: true, journal: ALL }, '57014'],
    [
      'an error in the failed transaction does not count, the one before it does',
      (tool) => {
        tool.says('begin', ['BEGIN'], { after: 'T' })
        tool.says('alter table t add a int', [], { fails: '42701', after: 'E' })
        tool.says('alter table t add b int', [], { fails: '25P02' })
        tool.says('rollback', ['ROLLBACK'], { after: 'I' })
      },
      { exitCode: 1 },
      '42701 at migrations/1.sql#1',
    ],
    [
      'a failure at COMMIT, which is the tool’s',
      (tool) => {
        tool.says('begin', ['BEGIN'], { after: 'T' })
        tool.says(files[1]?.text ?? '', ['UPDATE 1'])
        tool.says('commit', [], { fails: '23505', after: 'I' })
      },
      { exitCode: 1, journal: NONE },
      '23505',
    ],
    [
      'a failure at COMMIT that the tool swallows',
      (tool) => {
        tool.says('begin', ['BEGIN'], { after: 'T' })
        tool.says(files[1]?.text ?? '', ['UPDATE 1'])
        tool.says('commit', [], { fails: '23505', after: 'I' })
      },
      {},
      '23505',
    ],
    [
      'a failure at the end of a pipeline that the tool swallows',
      (tool) => tool.pipes([{ sql: files[1]?.text ?? '', tags: ['UPDATE 1'] }], { error: '23505' }),
      {},
      '23505',
    ],
    [
      'a connection that was lost',
      (tool) => tool.says(files[0]?.text ?? '', ['ALTER TABLE'], { after: null, error: '57P01' }),
      { exitCode: 1 },
      `57P01 at ${second}`,
    ],
    ['a script of psql that goes on after an error', goesOn, {}, '42701 at migrations/1.sql#1'],
    ['the same, and the journal takes it for done', goesOn, { journal: ALL }, '42701 at migrations/1.sql#1'],
    [
      'what succeeded was rolled back and tried again',
      (tool) => {
        tool.says('begin', ['BEGIN'], { after: 'T' })
        tool.says(files[1]?.text ?? '', ['UPDATE 1'])
        tool.says('commit', [], { fails: '40001', after: 'I' })
        good(tool)
      },
      {},
      'ok',
    ],
    ['nothing was run, says the journal', nothing, { journal: NONE }, 'ok'],
  ])('%s', async (_, talk, end, expected) => {
    expect(await outcome(talk, end)).toBe(expected)
  })
})

describe('a program may do without a statement', () => {
  const program = [source('1.js', 'export const up = async (k) => {}', 'code')]
  const tries = (tool: Talk): void => {
    tool.says('begin', ['BEGIN'], { after: 'T' })
    tool.says('savepoint s', ['SAVEPOINT'])
    tool.says('create extension vector', [], { fails: '0A000', after: 'E' })
    tool.says('rollback to s', ['ROLLBACK'], { after: 'T' })
  }
  it('and goes on', async () => {
    const { run } = await trace(
      (tool) => {
        tries(tool)
        tool.says('create table plain ()', ['CREATE TABLE'])
        tool.says('commit', ['COMMIT'], { after: 'I' })
      },
      {},
      program,
    )
    expect(run.outcome.ok).toBe(true)
  })
  it('and ends, which nobody can tell from a failure', async () => {
    const commits = (tool: Talk): void => {
      tries(tool)
      tool.says('commit', ['COMMIT'], { after: 'I' })
    }
    expect((await trace(commits, {}, program)).run).toMatchObject({
      outcome: { ok: false, error: { sqlstate: '0A000' } },
      failedStatement: 'migrations/1.js#1',
    })
    const journal = { added: ['1.js'], missing: [], refuses: null }
    expect((await trace(commits, { journal }, program)).run.outcome.ok).toBe(true)
  })
})

describe('what it says of the tool', () => {
  it.each<[string, string, boolean | null]>([
    ['nothing', '', false],
    ['the server’s sentence', 'Error: it was 42701\n', true],
    ['the SQLSTATE', 'failed (42701)', true],
    ['a number that only holds it', 'hash 1427010', false],
    ['another error', 'Error: something else', false],
  ])('told the error: %s', async (_, output, told) => {
    const { run } = await trace(bad, { exitCode: 1, output })
    expect(run.tool).toMatchObject({ toldError: told, lastError: { sqlstate: '42701' }, exitCode: 1 })
  })

  it('without an error there is nothing to tell', async () => {
    const { run } = await trace(good, { output: '42701' })
    expect(run.tool).toMatchObject({ toldError: null, lastError: null })
  })

  it('messages: role, statements, answers, no literal', async () => {
    const { run } = await trace(good)
    expect(
      run.tool?.messages.map(({ role, text, statements, tags, after }) => [role, text, statements, tags, after]),
    ).toEqual([
      ['transaction', 'begin', [], ['BEGIN'], 'in a transaction'],
      [
        'migration',
        'alter table t add a int; alter table t add b int;',
        ['migrations/1.sql#1', 'migrations/1.sql#2'],
        ['ALTER TABLE', 'ALTER TABLE'],
        'in a transaction',
      ],
      ['migration', 'update t set a = $1;', ['migrations/2.sql#1'], ['UPDATE'], 'in a transaction'],
      ['transaction', 'commit', [], ['COMMIT'], 'idle'],
    ])
    expect(JSON.stringify(run)).not.toContain('secret')
  })

  it('at most 2,000 messages', async () => {
    const { run } = await trace((tool) => {
      for (let i = 0; i < 2_005; i++) tool.says('select 1', ['SELECT 1'])
    })
    expect(run.tool?.messages).toHaveLength(2_000)
    expect(run.tool?.messagesNotListed).toBe(5)
  })

  it('statements that came with others are no earlier than their message', async () => {
    const { run, earliest, runs, transactions } = await trace(good)
    expect(run.statements.map(({ boundary }) => boundary)).toEqual(['server', 'server', 'client'])
    const second = run.statements[1]
    expect(second && earliest.get(second)).toBeLessThan(second?.startMs ?? 0)
    expect([...runs.values()]).toEqual(run.statements)
    expect(transactions.map(({ kind, committed }) => [kind, committed])).toEqual([['explicit', true]])
    expect(run.transactions).toMatchObject([
      { kind: 'explicit', end: 'committed', statements: run.statements.map((one) => one.statement) },
    ])
  })

  it('where the server did not tell statements apart, it says so once a file', async () => {
    const { warnings } = await trace((tool) => tool.says(files[0]?.text ?? '', ['ALTER TABLE', 'ALTER TABLE']))
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/^migrations\/1\.sql: .*times are those of the message/)
  })

  it('a run that sent nothing', async () => {
    const { run } = await trace(() => undefined, { exitCode: 1 })
    expect(run).toMatchObject({ startMs: 0, endMs: 0, statements: [], transactions: [], outcome: { ok: false } })
  })
})
