/** The disturbance pass on a real server: an ALTER TABLE behind a report, with lock_timeout and without. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import type { RehearsalEvent } from '../../src/events.js'
import { disturbanceSettings, disturbedPass, triesOf, type DisturbedInput } from '../../src/pass/disturbed.js'
import { DisturbancePass, type LockTaken } from '../../src/recording.js'
import * as p from '../fixtures/parts.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { migrationFiles, oldTraffic, timedInput } from './build.js'

let server: TestServer
let admin: ReturnType<typeof connect>

beforeAll(async () => {
  server = await startServer()
  admin = connect(server.admin)
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})
beforeEach(async () => {
  await admin.unsafe('alter role app reset all')
  const owner = connect(server.migrate)
  await owner.unsafe(
    'drop table if exists a; create table a (id int primary key, v int); insert into a select g, g from generate_series(1, 100) g; grant all on a to app',
  )
  await owner.end()
})

const ADD = 'alter table a add column w int;'
const operations = oldTraffic('-- name: read\n\\set id random(1, 100)\nselect v from a where id = :id;\n')
const takes = (statement: string): ReadonlyMap<string, LockTaken[]> =>
  new Map([[statement, [{ relation: 'a', kind: 'table', table: 'a', mode: 'ACCESS EXCLUSIVE', existedBefore: true }]]])

const pass = async (text: string, over: Partial<DisturbedInput> = {}): Promise<DisturbancePass> => {
  const input = timedInput(server, {
    migrations: await migrationFiles([text]),
    operations,
    taken: takes('1.sql#1'),
    phases: { warmupMs: 50, baselineMs: 300, rolloutMs: 0, settleMs: 50 },
  })
  const found = await disturbedPass({ ...input, disturbance: 'long-read', lastsMs: 900, ...over })
  expect(await admin`select 1 from pg_stat_activity where application_name like 'rehearse disturbance%'`).toEqual([])
  return DisturbancePass.parse(JSON.parse(JSON.stringify(found)))
}

it('ADD COLUMN queues behind a report, and everybody behind it', async () => {
  const events: RehearsalEvent[] = []
  const one = await pass(ADD, { emit: (event) => events.push(event) })
  expect(one.disturbance).toMatchObject({
    kind: 'long-read',
    locks: [{ relation: 'a', mode: 'ACCESS SHARE' }],
    lastsMs: 900,
    ended: 'by itself',
    error: null,
  })
  expect(one.migration.outcome).toEqual({ ok: true })
  const { endMs } = one.disturbance
  expect(endMs - one.migration.startMs).toBeGreaterThanOrEqual(890)
  const [wait] = one.migrationWaits
  expect(wait).toMatchObject({ statement: '1.sql#1', lockType: 'relation', relation: 'a', mode: 'ACCESS EXCLUSIVE' })
  expect(wait?.waitedFor).toContain('rehearse disturbance long-read')
  expect(wait?.waitedMs.highMs).toBeGreaterThan(800)
  const [group] = one.blocked
  expect(group?.by).toMatchObject([{ release: 'old', operation: 'read', relation: 'a', mode: 'ACCESS SHARE' }])
  expect(group?.longestMs.highMs).toBeGreaterThan(400)
  const [first, second] = group?.worst.sessions ?? []
  expect(first).toMatchObject({ name: 'rehearse disturbance long-read', relation: 'a', mode: 'ACCESS SHARE' })
  expect(second).toMatchObject({ name: 'migration', mode: 'ACCESS EXCLUSIVE', blockedBy: [0] })
  expect(one.tries).toEqual([expect.objectContaining({ outcome: { ok: true }, statement: null })])
  // Only the old release, and nothing is rolled out.
  expect(one.phases.map(({ name }) => name)).toEqual(['warmup', 'baseline', 'migrate', 'settled'])
  expect(new Set(one.traffic.map(({ release }) => release))).toEqual(new Set(['old']))
  expect(events[0]).toEqual({ type: 'pass', pass: 'disturbance', disturbance: 'long-read' })
  expect(new Set(events.flatMap((event) => (event.type === 'phase' ? [event.pass] : [])))).toEqual(
    new Set(['disturbance']),
  )
})

it('lock_timeout and retries: seen try by try, and nobody waits longer', async () => {
  const one = await pass(`set local lock_timeout = '100ms';\n${ADD}`, {
    taken: takes('1.sql#2'),
    retries: { tries: 20, delayMs: 200 },
  })
  expect(one.migration.outcome).toEqual({ ok: true })
  expect(one.tries.length).toBeGreaterThan(1)
  for (const failed of one.tries.slice(0, -1))
    expect(failed).toMatchObject({ statement: '1.sql#2', outcome: { ok: false, error: { sqlstate: '55P03' } } })
  expect(one.tries.at(-1)?.outcome).toEqual({ ok: true })
  for (const [i, one_] of one.tries.entries()) expect(one_.startMs).toBeGreaterThanOrEqual(one.tries[i - 1]?.endMs ?? 0)
  // Every try has a transaction of its own, and every failed one a wait.
  expect(one.migration.statements.length).toBe(one.tries.length * 2)
  expect(one.migrationWaits.length).toBeGreaterThanOrEqual(one.tries.length - 1)
  expect(one.locks.filter((span) => span.grantedMs === null).length).toBe(one.tries.length - 1)
})

it('lock_timeout alone: it gives up, and the disturbance ends with the pass', async () => {
  const one = await pass(`set local lock_timeout = '60ms';\n${ADD}`, { taken: takes('1.sql#2'), lastsMs: 60_000 })
  expect(one.migration).toMatchObject({
    failedStatement: '1.sql#2',
    outcome: { ok: false, error: { sqlstate: '55P03' } },
  })
  expect(one.tries).toHaveLength(1)
  expect(one.disturbance).toMatchObject({ ended: 'end of pass', error: null })
  expect(one.leftovers.halfApplied).toEqual([])
})

it('CREATE INDEX CONCURRENTLY that gives up leaves an INVALID index, over which the next try falls', async () => {
  const text = "-- rehearse: no-transaction\nset lock_timeout = '60ms';\ncreate index concurrently i on a (v);"
  const one = await pass(text, {
    disturbance: 'idle-in-transaction',
    lastsMs: 60_000,
    retries: { tries: 1, delayMs: 1 },
  })
  expect(one.leftovers.invalidIndexes).toEqual([{ index: 'i', table: 'a' }])
  expect(one.tries.map(({ outcome }) => !outcome.ok && outcome.error.sqlstate)).toEqual(['55P03', '42P07'])
  expect(one.migrationWaits[0]).toMatchObject({ waitedFor: ['rehearse disturbance idle-in-transaction'] })
  expect(one.migrationWaits[0]?.lockType).not.toBe('relation')
})

it('a limit of the application ends it before its time: said', async () => {
  await admin.unsafe("alter role app set idle_in_transaction_session_timeout = '300ms'")
  const one = await pass(ADD, { disturbance: 'idle-in-transaction', lastsMs: 20_000 })
  expect(one.disturbance).toMatchObject({ ended: 'canceled', error: { sqlstate: '25P03' } })
  expect(one.migration.outcome).toEqual({ ok: true })
  expect(one.warnings.join()).toMatch(/before its time \(25P03\)/)
})

it('cannot be made: the migration is not run, and it says so', async () => {
  // This server has no room for one.
  const one = await pass(ADD, { disturbance: 'prepared-transaction' })
  expect(disturbanceSettings('prepared-transaction')).toEqual({ max_prepared_transactions: '10' })
  expect(one.disturbance).toMatchObject({ ended: 'canceled', locks: [], error: { sqlstate: '55000' } })
  expect(one.tries).toEqual([])
  expect(one.migration.statements).toEqual([])
  expect(one.warnings.join(' ')).toContain('could not be made')
})

it('interrupted: what it did is undone', async () => {
  const stop = new AbortController()
  const one = await pass(ADD, {
    lastsMs: 60_000,
    signal: stop.signal,
    emit: (event) => {
      if (event.type === 'statement') setTimeout(() => stop.abort(), 100)
    },
  })
  expect(one.migration.timedOut).toBe(true)
  expect(one.disturbance.ended).toBe('end of pass')
})

it('tries, from the statements', () => {
  const alter = p.statement('1.sql', 1, 1, 'AlterTableStmt', ADD)
  const refused = { ...p.cachedPlan, sqlstate: '55P03' }
  const first = p.ran(alter, 1, 10, 20, { outcome: p.failed(refused) })
  const again = p.ran(alter, 2, 30, 40)
  expect(triesOf(p.migration([first, again], { outcome: p.ok })).map((one) => [one.endMs, one.outcome.ok])).toEqual([
    [20, false],
    [42, true],
  ])
  const other = p.ran(alter, 1, 10, 20, { outcome: p.failed(p.cachedPlan) })
  expect(triesOf(p.migration([other], { failedStatement: alter.id }))).toMatchObject([{ statement: alter.id }])
  expect(triesOf(p.migration([first], { failedStatement: alter.id }))).toHaveLength(1)
})
