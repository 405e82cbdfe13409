/** The quiet pass on a real server: what each statement did, the states in between, the way back. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { PassInput } from '../../src/pass/context.js'
import { quietPass } from '../../src/pass/quiet.js'
import { QuietPass, type StatementRun, type TransactionMode, type Work } from '../../src/recording.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { migrationFiles, newTraffic, oldTraffic, passInput } from './build.js'

let server: TestServer
let owner: ReturnType<typeof connect>

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
    drop table if exists child, users, fresh cascade; drop procedure if exists fill;
    create table users (id int primary key, name text, age int);
    insert into users select g, 'u' || g, g % 90 from generate_series(1, 20000) g;
    create table child (id int primary key, user_id int); insert into child select g, g from generate_series(1, 5000) g;
    grant all on users, child to app;
    analyze users; analyze child;`)
})

const NONE = '-- rehearse: no-transaction\n'

const pass = async (
  texts: string[],
  over: Partial<PassInput> = {},
  mode: TransactionMode = 'file',
): Promise<QuietPass> => {
  const { pass: found } = await quietPass(
    passInput(server, { migrations: await migrationFiles(texts, mode), transaction: mode, ...over }),
  )
  return QuietPass.parse(JSON.parse(JSON.stringify(found)))
}
const workOf = async (sql: string, mode: TransactionMode = 'file'): Promise<Work> => {
  const { migration } = await pass([sql], {}, mode)
  expect(migration.outcome).toEqual({ ok: true })
  const work = migration.statements.at(-1)?.work
  if (!work) throw new Error('no work')
  return work
}
const locks = (work: Work | null | undefined): string[] =>
  (work?.locks ?? [])
    .filter((l) => l.existedBefore && l.kind !== 'toast')
    .map((l) => `${l.mode} ${l.relation}`)
    .sort()

describe('the work of a statement', () => {
  it.each<[string, string, { locks: string[]; rewrites?: string[]; scans?: string[]; builds?: string[] }]>([
    ['ADD COLUMN', 'alter table users add column x text', { locks: ['ACCESS EXCLUSIVE users'] }],
    [
      'ADD COLUMN with a volatile default',
      'alter table users add column x float default random()',
      {
        locks: ['ACCESS EXCLUSIVE users', 'SHARE users'],
        rewrites: ['users'],
        scans: ['users'],
        builds: ['users_pkey'],
      },
    ],
    [
      'SET NOT NULL',
      'alter table users alter column age set not null',
      { locks: ['ACCESS EXCLUSIVE users'], scans: ['users'] },
    ],
    [
      'CREATE INDEX',
      'create index users_age_idx on users (age)',
      { locks: ['SHARE users'], scans: ['users'], builds: ['users_age_idx'] },
    ],
    [
      'a foreign key',
      'alter table child add foreign key (user_id) references users (id)',
      { locks: ['SHARE ROW EXCLUSIVE child', 'SHARE ROW EXCLUSIVE users'], scans: ['child'] },
    ],
  ])('%s', async (_, sql, expected) => {
    const work = await workOf(sql)
    expect(work.locksFrom).toBe('transaction')
    expect(locks(work)).toEqual(expect.arrayContaining(expected.locks))
    expect(
      locks(work).filter((l) => !/_pkey$/.test(l) && !l.startsWith('ACCESS SHARE') && !l.startsWith('ROW SHARE')),
    ).toEqual(expected.locks)
    expect(work.rewrites.map((r) => r.relation)).toEqual(expected.rewrites ?? [])
    expect(work.scans.map((s) => s.relation)).toEqual(expect.arrayContaining(expected.scans ?? []))
    if (!expected.scans) expect(work.scans).toEqual([])
    expect(work.indexBuilds.map((b) => b.relation)).toEqual(expected.builds ?? [])
    expect(work.rowsWritten).toEqual([])
    expect(work).toMatchObject({ lockTimeoutMs: 0, transactions: 1, truncated: [] })
  })

  it('rows written, counted exactly, and the settings in force', async () => {
    const work = await workOf("set local lock_timeout = '3s';\nupdate users set age = 1 where id <= 7;")
    expect(work.rowsWritten).toEqual([{ relation: 'users', inserted: 0, updated: 7, deleted: 0, existedBefore: true }])
    expect(work).toMatchObject({ lockTimeoutMs: 3_000, statementTimeoutMs: 0, scans: [] })
    expect(work.walBytes).toBeGreaterThan(100)
  })

  it('TRUNCATE is no rewrite', async () => {
    const work = await workOf('truncate child')
    expect(work.truncated).toEqual(['child'])
    expect(work.rewrites).toEqual([])
    expect(work.indexBuilds).toEqual([])
  })

  it('a new table is not one that traffic can meet', async () => {
    const work = await workOf('create table fresh as select * from users')
    expect(work.locks.filter((l) => l.relation === 'fresh').map((l) => l.existedBefore)).not.toContain(true)
    expect(work.rowsWritten).toMatchObject([{ relation: 'fresh', inserted: 20_000, existedBefore: false }])
  })

  it('CREATE INDEX CONCURRENTLY: locks from outside, several transactions', async () => {
    const work = await workOf(`${NONE}create index concurrently users_age_idx on users (age)`)
    expect(work.locksFrom).toBe('sampled')
    expect(locks(work)).toEqual(['SHARE UPDATE EXCLUSIVE users'])
    expect(work.transactions).toBeGreaterThan(1)
    expect(work.indexBuilds).toMatchObject([{ relation: 'users_age_idx', table: 'users' }])
  })

  it('a procedure that commits in between', async () => {
    await owner.unsafe(`create procedure fill() language plpgsql as $$ begin
      for i in 0..3 loop update users set age = 0 where id > i * 100 and id <= (i + 1) * 100; commit; end loop; end $$`)
    const work = await workOf(`${NONE}call fill()`)
    expect(work.rowsWritten).toMatchObject([{ relation: 'users', updated: 400 }])
    expect(work.transactions).toBeGreaterThanOrEqual(4)
    expect(work.transactions).toBeLessThanOrEqual(6)
  })

  it.each<TransactionMode>(['file', 'all', 'statement', 'batch'])(
    'is told statement by statement, whatever the mode (%s)',
    async (mode) => {
      const { migration } = await pass(
        ['alter table users add column x int;\ncreate index i on child (user_id);'],
        {},
        mode,
      )
      const [first, second] = migration.statements.map((s: StatementRun) => s.work)
      expect(locks(first)).toEqual(['ACCESS EXCLUSIVE users'])
      expect(locks(second)).toEqual(['SHARE child'])
      expect(second?.indexBuilds.map((b) => b.relation)).toEqual(['i'])
      expect(first?.indexBuilds).toEqual([])
    },
  )
})

describe('states', () => {
  const operations = [
    ...oldTraffic('-- name: by_name\nselect name from users where id = 1;\n'),
    ...newTraffic('-- name: by_title\nselect title from users where id = 1;\n'),
  ]
  const matrix = (one: QuietPass): string[] =>
    one.states.map(
      (s) =>
        `${s.kind}: ${one.compat
          .filter((c) => c.state === s.id)
          .map((c) => (c.fresh.ok ? 'ok' : c.fresh.error.sqlstate))
          .join(' ')}`,
    )

  it('before, after every commit that changed something, after, after the way back', async () => {
    const [rollback] = await migrationFiles(['alter table users rename column title to name;'])
    const one = await pass(
      [
        'alter table users add column x int;',
        "set lock_timeout = '1s';\nselect 1;",
        'alter table users rename column name to title;',
      ],
      {
        operations,
        rollback: rollback ?? null,
        checks: [
          {
            name: 'all there',
            line: 1,
            file: 'checks.sql',
            sql: 'select 1 where (select count(*) from users) <> 20000',
          },
        ],
      },
    )
    expect(matrix(one)).toEqual(['before: ok 42703', 'during: ok 42703', 'after: 42703 ok', 'rolled-back: ok 42703'])
    expect(one.states.map((s) => s.statement)).toEqual([null, '1.sql#1', '3.sql#1', null])
    expect(one.rollback?.run.outcome).toEqual({ ok: true })
    expect(one.dataChecks).toMatchObject([{ rowsBefore: 0, rowsAfter: 0 }])
    expect(one.rollback?.dataChecks).toMatchObject([{ rowsAfter: 0 }])
    expect(one.operationLocks.map((l) => `${l.release} ${l.operation} ${l.mode} ${l.relation}`)).toContain(
      'old by_name ACCESS SHARE users',
    )
  })

  it('one transaction is one state', async () => {
    const one = await pass(
      ['alter table users add column x int;', 'alter table users rename column name to title;'],
      { operations },
      'all',
    )
    expect(matrix(one)).toEqual(['before: ok 42703', 'after: 42703 ok'])
  })

  it('a failed migration: the states that it came to, what stays, and no way back', async () => {
    const [rollback] = await migrationFiles(['select 1;'])
    const one = await pass(['alter table users add column x int;', 'alter table users alter column x set not null;'], {
      operations,
      rollback: rollback ?? null,
    })
    expect(one.migration).toMatchObject({
      failedStatement: '2.sql#1',
      outcome: { ok: false, error: { sqlstate: '23502', objects: ['users', 'x'] } },
    })
    expect(one.states.map((s) => s.kind)).toEqual(['before', 'during'])
    expect(one.leftovers.halfApplied).toEqual(['1.sql#1'])
    expect(one.rollback).toBeNull()
    expect(one.warnings.join()).toMatch(/was not tried/)
  })

  it('an INVALID index stays behind', async () => {
    const one = await pass([`${NONE}create unique index concurrently users_age_idx on users (age);`])
    expect(one.migration.outcome).toMatchObject({ ok: false, error: { sqlstate: '23505' } })
    expect(one.leftovers.invalidIndexes).toEqual([{ index: 'users_age_idx', table: 'users' }])
  })
})

describe('ends', () => {
  const never = ['alter table users add column x int;', 'select pg_sleep(300);', 'select 1;']
  it('when it is interrupted', async () => {
    const interrupt = new AbortController()
    const one = await pass(never, {
      signal: interrupt.signal,
      emit: (event) => {
        if (event.type === 'statement' && event.state === 'started' && event.file === '2.sql')
          setTimeout(() => interrupt.abort(), 100)
      },
    })
    expect(one.migration).toMatchObject({ timedOut: true, outcome: { ok: false, error: { sqlstate: '57014' } } })
    expect(one.migration.statements.map((s) => s.statement)).toEqual(['1.sql#1', '2.sql#1'])
  })
  it('when the longest permitted time is over', async () => {
    const one = await pass(never, { maxDurationMs: 1_500 })
    expect(one.migration.timedOut).toBe(true)
    expect(one.migration.outcome.ok).toBe(false)
  })
})
