/** The timed pass on a real server, with a migration and traffic that are made to meet. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { RehearsalEvent } from '../../src/events.js'
import { timedPass, type TimedInput } from '../../src/pass/timed.js'
import { TimedPass, type LockMode, type LockTaken } from '../../src/recording.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { migrationFiles, newTraffic, oldTraffic, timedInput } from './build.js'

let server: TestServer
let owner: ReturnType<typeof connect>
let admin: ReturnType<typeof connect>

beforeAll(async () => {
  server = await startServer()
  owner = connect(server.migrate)
  admin = connect(server.admin)
})
afterAll(async () => {
  await owner.end()
  await admin.end()
  await server.stop()
})
beforeEach(async () => {
  await owner.unsafe(`
    drop table if exists a, b;
    create table a (id int primary key, v int not null default 0); insert into a select g from generate_series(1, 100) g;
    create table b (id int primary key, v int not null default 0); insert into b select g from generate_series(1, 100) g;
    grant all on a, b to app;`)
  await admin.unsafe('alter role owner reset all; alter role app reset all')
})

const takes = (statement: string, ...locks: [string, LockMode][]): ReadonlyMap<string, LockTaken[]> =>
  new Map([
    [
      statement,
      locks.map(([relation, mode]) => ({ relation, kind: 'table', table: relation, mode, existedBefore: true })),
    ],
  ])

const pass = async (texts: string[], over: Partial<TimedInput>): Promise<TimedPass> => {
  const found = await timedPass(timedInput(server, { migrations: await migrationFiles(texts), ...over }))
  // What comes out is what a recording can hold.
  return TimedPass.parse(JSON.parse(JSON.stringify(found)))
}

const phases = (one: TimedPass): string[] => one.phases.map((p) => p.name)

/** What must hold for every pass, however it ended. */
function consistent(one: TimedPass): void {
  for (const [i, phase] of one.phases.entries()) {
    expect(phase.endMs).toBeGreaterThanOrEqual(phase.startMs)
    expect(phase.startMs).toBeGreaterThanOrEqual(one.phases[i - 1]?.endMs ?? 0)
  }
  for (const row of one.traffic) expect(row.completed + row.failed + row.dropped).toBe(row.scheduled)
  for (const wait of one.waits) {
    expect(wait.waitedMs.lowMs).toBeLessThanOrEqual(wait.waitedMs.highMs)
    expect(wait.startMs.lowMs).toBeLessThanOrEqual(wait.endMs.highMs)
  }
  const lengths = one.series.map(
    (s) => new Set(Object.values(s).flatMap((c) => (Array.isArray(c) ? [c.length] : []))).size,
  )
  expect(lengths.every((n) => n === 1)).toBe(true)
}

describe('a lock that is held while traffic runs', () => {
  let one: TimedPass
  const events: RehearsalEvent[] = []
  beforeAll(async () => {
    await owner.unsafe(
      'drop table if exists a, b; create table a (id int primary key, v int not null default 0); insert into a select g from generate_series(1, 100) g; create table b as table a; grant all on a, b to app',
    )
    one = await pass(['lock table a in share mode;\nselect pg_sleep(0.6);\n', 'alter table b add column w int;'], {
      taken: takes('1.sql#1', ['a', 'SHARE']),
      operations: [
        ...oldTraffic(`
-- name: write_a; weight: 3
-- Every connection has a row of its own: nobody waits for a row.
\\set id :client_id + 1
update a set v = v + 1 where id = :id;
-- name: read_a
\\set id random(1, 100)
select v from a where id = :id;
-- name: write_b
\\set id :client_id + 1
update b set v = v + 1 where id = :id;
`),
        ...newTraffic('-- name: read_w\nselect w from b limit 1;\n'),
      ],
      checks: [
        { name: 'all there', line: 1, file: 'checks.sql', sql: 'select 1 where (select count(*) from a) <> 100' },
      ],
      emit: (event) => events.push(event),
    })
  })

  it('runs through all phases, the new release at a tenth until it is rolled out', () => {
    consistent(one)
    expect(one.migration.outcome).toEqual({ ok: true })
    expect(phases(one)).toEqual(['warmup', 'baseline', 'migrate', 'rollout', 'settled'])
    const scheduled = (release: string, phase: string) =>
      one.traffic.filter((r) => r.release === release && r.phase === phase).reduce((sum, r) => sum + r.scheduled, 0)
    expect(scheduled('new', 'baseline')).toBe(0)
    expect(scheduled('old', 'baseline')).toBeGreaterThan(10)
    expect(scheduled('old', 'migrate')).toBeGreaterThan(scheduled('new', 'migrate') * 3)
    expect(scheduled('old', 'settled')).toBe(0)
    expect(scheduled('new', 'rollout')).toBeGreaterThan(0)
    expect(events.filter((e) => e.type === 'phase').map((e) => e.phase)).toEqual(phases(one))
    expect(events.flatMap((e) => (e.type === 'statement' ? [`${e.state} ${e.file}:${e.line}`] : []))).toEqual([
      ...['started 1.sql:1', 'ok 1.sql:1', 'started 1.sql:2', 'ok 1.sql:2', 'started 2.sql:1', 'ok 2.sql:1'],
    ])
  })

  it('knows when the lock was held', () => {
    const span = one.locks.find((l) => l.relation === 'a')
    expect(span).toMatchObject({
      mode: 'SHARE',
      statement: '1.sql#1',
      existedBefore: true,
      blocksWrites: true,
      blocksReads: false,
    })
    expect(span?.heldMs?.highMs).toBeGreaterThanOrEqual(600)
    const sleeper = one.migration.statements[1]
    expect(span?.grantedMs?.highMs).toBeLessThanOrEqual(sleeper?.startMs ?? 0)
    expect(span?.releasedMs.lowMs).toBeGreaterThanOrEqual(sleeper?.endMs ?? Infinity)
    // Nobody told of this one: the sampler may see it, and must call it what it is.
    for (const other of one.locks.filter((l) => l.relation === 'b')) expect(other.how).toBe('sampler')
  })

  it('knows who waited, for what, behind which statement', () => {
    const behind = one.waits.filter((w) => w.behind === '1.sql#1' && w.lockType === 'relation')
    expect(behind.length).toBeGreaterThanOrEqual(2)
    for (const wait of behind)
      expect(wait).toMatchObject({
        release: 'old',
        operation: 'write_a',
        relation: 'a',
        mode: 'ROW EXCLUSIVE',
        depth: 1,
        end: 'granted',
      })
    // At 36 writes a second, one arrived in the first half of the 600 ms.
    expect(Math.max(...behind.map((w) => w.waitedMs.highMs))).toBeGreaterThan(200)
    expect(
      one.waits.filter((w) => w.operation === 'read_a' || (w.operation === 'write_b' && w.behind === '1.sql#1')),
    ).toEqual([])
    for (const wait of behind)
      expect(wait.endMs.highMs).toBeGreaterThanOrEqual(one.locks[0]?.releasedMs.lowMs ?? Infinity)
  })

  it('shows the group and its worst moment', () => {
    const group = one.blocked.find((b) => b.statement === '1.sql#1')
    expect(group?.by).toMatchObject([{ release: 'old', operation: 'write_a', relation: 'a', mode: 'ROW EXCLUSIVE' }])
    expect(group?.worst.sessions[0]).toMatchObject({
      name: 'migration',
      relation: 'a',
      mode: 'SHARE',
      waitingMs: null,
      blockedBy: [],
    })
    const waiters = group?.worst.sessions.slice(1) ?? []
    expect(waiters.length).toBe(group?.sessions)
    for (const waiter of waiters) expect(waiter).toMatchObject({ relation: 'a', mode: 'ROW EXCLUSIVE', blockedBy: [0] })
    expect(waiters[0]?.name).toMatch(/^old #\d write_a$/)
    expect(Math.max(...one.series.flatMap((s) => (s.release === 'old' ? s.blocked.map((n) => n ?? 0) : [])))).toBe(
      waiters.length,
    )
  })

  it('has checks, and a sampler and a clock that can be believed', () => {
    expect(one.dataChecks).toMatchObject([{ name: 'all there', rowsBefore: 0, rowsAfter: 0 }])
    expect(one.sampler.polls).toBeGreaterThan(10)
    expect(one.sampler.clockErrorMs).toBeLessThan(20)
    expect(one.deadlocks).toEqual([])
    expect(one.leftovers.halfApplied).toEqual([])
    // It needs the new column: it fails until the migration is through, and never after.
    for (const error of one.errors) {
      expect(error).toMatchObject({ release: 'new', operation: 'read_w', error: { sqlstate: '42703' } })
      expect(error.phases.settled).toBeUndefined()
    }
  })
})

describe('a deadlock between migration and traffic', () => {
  const migration = [
    'lock table b in access exclusive mode;\nselect pg_sleep(0.5);\nlock table a in access exclusive mode;',
  ]
  const operations = oldTraffic(`
-- name: both
\\set id random(1, 100)
begin;
update a set v = v + 1 where id = :id;
\\sleep 200 ms
update b set v = v + 1 where id = :id;
commit;
`)
  // Whoever waits for deadlock_timeout looks for a cycle: only one side does.
  const patient = (role: string, other: string) =>
    admin.unsafe(`alter role ${role} set deadlock_timeout = '60s'; alter role ${other} set deadlock_timeout = '150ms'`)
  const taken = new Map([
    ...takes('1.sql#1', ['b', 'ACCESS EXCLUSIVE']),
    ...takes('1.sql#3', ['a', 'ACCESS EXCLUSIVE']),
  ])

  it('the migration is the victim: it fails under traffic, nothing is rolled out', async () => {
    await patient('app', 'owner')
    const one = await pass(migration, { operations, taken })
    consistent(one)
    expect(one.migration).toMatchObject({
      outcome: { ok: false, error: { sqlstate: '40P01' } },
      failedStatement: '1.sql#3',
      timedOut: false,
    })
    expect(phases(one)).toEqual(['warmup', 'baseline', 'migrate', 'settled'])
    expect(one.deadlocks).toHaveLength(1)
    expect(one.deadlocks[0]).toMatchObject({ victim: 'migration', involvesMigration: true, statement: '1.sql#3' })
    expect(one.deadlocks[0]?.participants).toEqual(expect.arrayContaining(['migration', 'old both']))
    // It never had the second lock, and let go of the first one at the error.
    expect(one.locks.map((l) => [l.relation, l.grantedMs !== null])).toEqual([
      ['b', true],
      ['a', false],
    ])
    expect(one.waits.filter((w) => w.relation === 'b' && w.behind === '1.sql#1').length).toBeGreaterThan(0)
    expect(one.traffic.filter((r) => r.phase === 'settled' && r.release === 'new')).toEqual([])
  })

  it('an operation is the victim: it gets 40P01, the migration goes on', async () => {
    await patient('owner', 'app')
    // It asks for both at once, while operations sleep between their two tables: theirs is the lock that closes the cycle.
    const both = ['lock table b in access exclusive mode;\nlock table a in access exclusive mode;\nselect 1;']
    const one = await pass(both, { operations })
    consistent(one)
    expect(one.migration.outcome).toEqual({ ok: true })
    expect(one.deadlocks.length).toBeGreaterThan(0)
    for (const deadlock of one.deadlocks) {
      expect(deadlock).toMatchObject({ victim: 'old both', involvesMigration: true, statement: '1.sql#2' })
      expect(deadlock.participants).toContain('migration')
    }
    const error = one.errors.find((e) => e.error.sqlstate === '40P01')
    expect(error?.count).toBe(one.deadlocks.length)
    expect(one.waits.some((w) => w.relation === 'b' && w.end === 'error')).toBe(true)
  })
})

it('lock_timeout: fails only under traffic, and the lock was never granted', async () => {
  const texts = ["set local lock_timeout = '60ms';\nalter table a add column w int;\nalter table b add column w int;"]
  const report = connect(server.admin)
  await report.unsafe('begin; select from a limit 1')
  const one = await pass(texts, {
    operations: oldTraffic('-- name: read_a\nselect count(*) from a;\n-- name: read_b\nselect count(*) from b;\n'),
    taken: new Map([...takes('1.sql#2', ['a', 'ACCESS EXCLUSIVE']), ...takes('1.sql#3', ['b', 'ACCESS EXCLUSIVE'])]),
  })
  await report.end()
  consistent(one)
  expect(one.migration).toMatchObject({
    failedStatement: '1.sql#2',
    outcome: { ok: false, error: { sqlstate: '55P03' } },
  })
  expect(one.locks).toHaveLength(1)
  expect(one.locks[0]).toMatchObject({ relation: 'a', grantedMs: null, heldMs: null })
  expect(one.locks[0]?.waitedMs.highMs).toBeGreaterThanOrEqual(60)
  expect(one.leftovers.halfApplied).toEqual([])
  expect(phases(one)).toEqual(['warmup', 'baseline', 'migrate', 'settled'])
})

it('half applied: what was committed before the failure is named', async () => {
  const one = await pass(['alter table a add column w int;', 'alter table b add column w int;\nselect 1 / 0;'], {
    operations: oldTraffic('-- name: read\nselect id from a limit 1;\n'),
  })
  expect(one.leftovers.halfApplied).toEqual(['1.sql#1'])
  expect(one.migration.failedStatement).toBe('2.sql#2')
})

it('is stopped when the longest permitted time is over', async () => {
  const one = await pass(['lock table a in access exclusive mode;\nselect pg_sleep(60);', 'select 1;'], {
    operations: oldTraffic('-- name: read\nselect id from a limit 1;\n'),
    taken: takes('1.sql#1', ['a', 'ACCESS EXCLUSIVE']),
    maxDurationMs: 400,
  })
  consistent(one)
  expect(one.migration).toMatchObject({
    timedOut: true,
    failedStatement: '1.sql#2',
    outcome: { ok: false, error: { sqlstate: '57014' } },
  })
  expect(one.migration.statements).toHaveLength(2)
  expect(phases(one)).toEqual(['warmup', 'baseline', 'migrate', 'settled'])
  const [, sleeping] = one.migration.statements
  expect(one.locks[0]?.heldMs?.highMs).toBeGreaterThanOrEqual(
    (sleeping?.endMs ?? Infinity) - (sleeping?.startMs ?? 0) - 1,
  )
})

describe('interrupted', () => {
  it('while the migration runs: the pass as far as it came', async () => {
    const interrupt = new AbortController()
    const one = await pass(['select pg_sleep(60);', 'select 1;'], {
      operations: oldTraffic('-- name: read\nselect id from a limit 1;\n'),
      signal: interrupt.signal,
      emit: (event) => {
        if (event.type === 'statement' && event.state === 'started') setTimeout(() => interrupt.abort(), 200)
      },
    })
    consistent(one)
    expect(phases(one)).toEqual(['warmup', 'baseline', 'migrate'])
    expect(one.migration).toMatchObject({ timedOut: true, outcome: { ok: false, error: { sqlstate: '57014' } } })
    expect(one.traffic.filter((r) => r.phase === 'baseline')[0]?.completed).toBeGreaterThan(0)
    expect(one.sampler.polls).toBeGreaterThan(0)
  })

  it('before it: there is no migration in the pass', async () => {
    const interrupt = new AbortController()
    const one = await pass(['select pg_sleep(60);'], {
      operations: oldTraffic('-- name: read\nselect id from a limit 1;\n'),
      signal: interrupt.signal,
      emit: (event) => {
        if (event.type === 'phase' && event.phase === 'baseline') setTimeout(() => interrupt.abort(), 100)
      },
    })
    consistent(one)
    expect(phases(one)).toEqual(['warmup', 'baseline'])
    expect(one.migration.statements).toEqual([])
    expect(one.warnings.join()).toMatch(/never started/)
  })

  it('leaves no session behind', async () => {
    const rows = await admin`select application_name from pg_stat_activity where application_name like 'rehearse%'`
    expect(rows).toEqual([])
  })
})
