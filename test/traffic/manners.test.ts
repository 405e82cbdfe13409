/** How the application treats its connections: on a real server, through the whole engine. */
import type postgres from 'postgres'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { sleep, startClock } from '../../src/clock.js'
import { startTraffic, type DeadlockReport, type Settled, type Traffic } from '../../src/traffic/engine.js'
import type { Operation } from '../../src/traffic/operation.js'
import { Random } from '../../src/traffic/random.js'
import { trafficErrors, trafficRows } from '../../src/traffic/summary.js'
import type { WorkloadOptions } from '../../src/traffic/workload.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { code, script } from './operations.js'

let server: TestServer
let admin: postgres.Sql
let holder: postgres.Sql

beforeAll(async () => {
  server = await startServer()
  admin = connect(server.admin)
  holder = connect(server.admin)
})
afterAll(async () => {
  await holder.end()
  await admin.end()
  await server.stop()
})
beforeEach(async () => {
  await admin.unsafe(`
    drop table if exists busy, seen;
    drop sequence if exists tries;
    create table busy (id int primary key, name text);
    insert into busy select i, 'x' from generate_series(1, 10) i;
    create table seen (n serial, pid int default pg_backend_pid(), note text);
    create sequence tries;
    -- Every second call fails: a sequence does not take part in the rollback.
    create or replace function flaky() returns int language plpgsql as $$
    begin
      if nextval('tries') % 2 = 1 then raise 'again' using errcode = '40001'; end if;
      return 1;
    end $$;
    grant all on all tables in schema public to app;
    grant all on all sequences in schema public to app`)
})

async function start(
  operations: readonly Operation[],
  rest: Partial<WorkloadOptions> = {},
): Promise<{ traffic: Traffic; settled: Settled[]; deadlocks: DeadlockReport[] }> {
  const settled: Settled[] = []
  const deadlocks: DeadlockReport[] = []
  const traffic = await startTraffic({
    workloads: [
      {
        release: 'old',
        operations,
        address: server.app,
        connections: 2,
        variables: { rows: 100, seed: 1 },
        random: new Random(1),
        ...rest,
      },
    ],
    clock: startClock(),
    onOperation: (one) => settled.push(one),
    onDeadlock: (report) => deadlocks.push(report),
  })
  traffic.phase('baseline')
  return { traffic, settled, deadlocks }
}

/** Lets at least so many operations begin, waits for them, and stops. */
async function finish(traffic: Traffic, operations: number, rate = 500) {
  traffic.setRate('old', rate, rate, 0)
  while (traffic.counts('old').scheduled < operations) await sleep(1)
  traffic.setRate('old', 0, 0, 0)
  while (traffic.counts('old').running + traffic.counts('old').queued > 0) await sleep(2)
  const { samples, phases } = await traffic.stop(10_000)
  return { samples, phases, rows: trafficRows(samples, phases), errors: trafficErrors(samples, phases) }
}

describe('a request that waits for a connection', () => {
  it('gives up in time, is counted as such, and those after it are served when one is free', async () => {
    const read = script('read', () => ['select * from busy'])
    const { traffic, settled } = await start([read], { queueTimeoutMs: 150 })
    await holder.unsafe('begin; lock table busy in access exclusive mode')
    traffic.setRate('old', 100, 100, 0)
    while (traffic.counts('old').failed < 20) await sleep(5)
    expect(traffic.counts('old')).toMatchObject({ completed: 0, running: 2 })
    await holder.unsafe('rollback')
    const before = traffic.counts('old').completed
    while (traffic.counts('old').completed < before + 10) await sleep(5)
    const { samples, phases, rows, errors } = await finish(traffic, 0)
    expect(errors.map(({ error, count }) => [error, count])).toEqual([
      [
        {
          sqlstate: 'POOL',
          condition: 'connection_pool_timeout',
          message: 'no connection of the pool was free in time',
          objects: [],
        },
        rows[0]?.failed,
      ],
    ])
    const gaveUp = settled.filter(({ sqlstate }) => sqlstate === 'POOL')
    expect(rows[0]).toMatchObject({ gaveUp: gaveUp.length, failed: gaveUp.length, retried: 0 })
    for (const one of gaveUp) {
      expect(one).toMatchObject({ connection: 0, pid: null })
      expect(one.endMs - one.intendedMs).toBeGreaterThanOrEqual(150)
      expect(samples.latencyMs[one.sampleIndex]).toBeCloseTo(one.endMs - one.intendedMs, 1)
    }
    // In the order of arrival, and none that was served had waited for longer.
    expect(gaveUp.map(({ sampleIndex }) => sampleIndex)).toEqual(
      gaveUp.map(({ sampleIndex }) => sampleIndex).toSorted((a, b) => a - b),
    )
    for (const one of settled.filter(({ sqlstate }) => sqlstate === null))
      expect(one.startMs - one.intendedMs).toBeLessThan(151)
    // Their waiting is latency, but nobody's service.
    expect(rows[0]?.latency?.samples).toBe(samples.length)
    expect(rows[0]?.service?.samples).toBe(samples.length - gaveUp.length)
    expect(phases[0]?.maxQueue).toBeGreaterThan(0)
  })

  it('never hurries another: 14 of 16 connections behind a lock, and 1,000 operations elsewhere all go on', async () => {
    const binds = { count: 0 }
    const read = script('read', () => [binds.count++ < 14 ? 'select * from busy' : 'select count(*) from seen'])
    const { traffic } = await start([read], { connections: 16, warm: false })
    await holder.unsafe('begin; lock table busy in access exclusive mode')
    traffic.setRate('old', 1_000, 1_000, 0)
    while (traffic.counts('old').scheduled < 1_014) await sleep(5)
    traffic.setRate('old', 0, 0, 0)
    const blocked = async (): Promise<number> =>
      (await admin`select 1 from pg_locks where relation = 'busy'::regclass and not granted`).length
    await expect.poll(() => traffic.counts('old').running, { timeout: 20_000 }).toBe(14)
    expect(await blocked()).toBe(14)
    const { scheduled, completed, queued } = traffic.counts('old')
    expect({ stuck: scheduled - completed - 14, queued }).toEqual({ stuck: 0, queued: 0 })
    await holder.unsafe('rollback')
    await traffic.stop(5_000)
  })
})

describe('what the application tries again', () => {
  const retries = { tries: 3, delayMs: 1, on: ['40001', '40P01'] }

  it('runs once more with the same values, and counts once', async () => {
    const bound: string[] = []
    const flaky = script('flaky', (random) => {
      const note = String(random.next())
      bound.push(note)
      return ['begin', { text: 'insert into seen (note) values ($1)', params: [note] }, 'select flaky()', 'commit']
    })
    const { traffic } = await start([flaky], { retries: { ...retries, tries: 100 }, warm: false })
    const { rows, samples } = await finish(traffic, 10)
    expect(rows[0]).toMatchObject({ scheduled: samples.length, completed: samples.length, failed: 0 })
    expect(rows[0]?.retried).toBeGreaterThan(0)
    expect(new Set(bound).size).toBe(samples.length)
    const seen = await admin<{ note: string }[]>`select note from seen`
    expect(seen.map(({ note }) => note).sort()).toEqual(bound.toSorted())
  })

  it('draws the same for code, and ends with the last error when no try helps', async () => {
    const drawn: number[] = []
    const failure = Object.assign(new Error('x'), { code: '40001', severity: 'ERROR' })
    const never = code('never', (_, random) => {
      drawn.push(random.next())
      return Promise.reject(failure)
    })
    const { traffic } = await start([never], { retries })
    const { rows, errors, samples } = await finish(traffic, 3)
    expect(rows[0]).toMatchObject({ failed: samples.length, retried: samples.length })
    expect(errors).toMatchObject([{ count: samples.length, error: { sqlstate: '40001' } }])
    expect(drawn).toHaveLength(4 * samples.length)
    expect(new Set(drawn).size).toBe(samples.length)
  })

  it('is nothing else: other errors fail at once, and without retries all do', async () => {
    const divide = script('divide', () => ['select 1/0'])
    const flaky = script('flaky', () => ['select flaky()'])
    const one = await finish((await start([divide], { retries })).traffic, 5)
    expect(one.rows[0]).toMatchObject({ completed: 0, retried: 0 })
    const none = await finish((await start([flaky])).traffic, 10)
    expect(none.rows[0]).toMatchObject({ retried: 0 })
    expect(none.rows[0]?.failed).toBeGreaterThan(0)
  })

  it('tells each deadlock, the one that was tried again too', async () => {
    const pair = script('pair', () => [
      'begin',
      'update busy set name = name where id = 1',
      'update busy set name = name where id = 2',
      'commit',
    ])
    const { traffic, deadlocks } = await start([pair], { connections: 1, retries })
    await holder.unsafe("begin; set local deadlock_timeout = '1h'; update busy set name = name where id = 2")
    traffic.setRate('old', 1_000, 1_000, 0)
    while ((await admin`select 1 from pg_locks where not granted`).length === 0) await sleep(5)
    traffic.setRate('old', 0, 0, 0)
    await holder.unsafe('update busy set name = name where id = 1')
    await holder.unsafe('rollback')
    const { rows } = await finish(traffic, 0, 0)
    // On a busy machine the next try can be quicker than the holder, and meets it in the same way.
    expect(deadlocks.length).toBeGreaterThan(0)
    expect(deadlocks[0]?.detail).toContain(`Process ${deadlocks[0]?.pid} waits for`)
    expect(rows[0]?.retried).toBeGreaterThan(0)
  })
})

describe('behind a pooler in transaction mode', () => {
  const pooled = { pooling: 'transaction' } as const
  const note = (text: string) => ({ text: 'insert into seen (note) values ($1)', params: [text] })

  it('a transaction has one session, and the next statement another', async () => {
    const moved = script('moved', () => ['begin', note('a'), note('b'), 'commit', note('c')])
    const { traffic } = await start([moved], { ...pooled, connections: 3 })
    const { samples, rows } = await finish(traffic, 1, 50)
    expect(rows[0]?.failed).toBe(0)
    const seen = await admin<{ pid: number; note: string }[]>`select pid, note from seen order by n`
    expect(seen).toHaveLength(3 * samples.length)
    const pids = (which: string): number[] => seen.filter((row) => row.note === which).map(({ pid }) => pid)
    if (samples.length === 1) {
      expect(pids('b')).toEqual(pids('a'))
      expect(pids('c')).not.toEqual(pids('a'))
    }
    expect(pids('a').toSorted()).toEqual(pids('b').toSorted())
  })

  it.each([
    ["SQL's PREPARE", () => ['prepare p as select 1', 'execute p'], '26000'],
    ['a temporary table', () => ['create temp table mine (id int)', 'select * from mine'], '42P01'],
    [
      'SET',
      () => ["set statement_timeout = '1s'", "set app.mine = '1'", "select current_setting('app.mine')"],
      '42704',
    ],
  ])('%s does not follow, as it does on a session of its own', async (_, steps, sqlstate) => {
    // A busy machine lets several arrive at once: only the first one changes its session.
    const binds = { count: 0 }
    const state = script('state', () => (binds.count++ === 0 ? steps() : ['select 1']), { prepared: false })
    await admin.unsafe('grant temporary on database rehearsal to app')
    const one = async (rest: Partial<WorkloadOptions>) => {
      binds.count = 0
      const { traffic, settled } = await start([state], { connections: 8, ...rest })
      await finish(traffic, 1, 50)
      return settled.find(({ sampleIndex }) => sampleIndex === 0)?.sqlstate
    }
    expect(await one(pooled)).toBe(sqlstate)
    expect(await one({})).toBeNull()
  })

  it('a pause outside a transaction leaves the session to others, one inside does not', async () => {
    const outside = script('outside', () => ['select 1', 400, 'select 1'])
    const { traffic, settled } = await start([outside], { ...pooled, connections: 1 })
    traffic.setRate('old', 200, 200, 0)
    while (traffic.counts('old').running < 3) await sleep(2)
    await finish(traffic, 3, 0)
    expect(settled.every(({ sqlstate }) => sqlstate === null)).toBe(true)
    for (const one of settled) expect(one.takenMs).toBeGreaterThan(one.startMs)

    const inside = script('inside', () => ['begin', 'select 1', 100, 'commit'])
    const second = await start([inside], { ...pooled, connections: 1 })
    second.traffic.setRate('old', 200, 200, 0)
    while (second.traffic.counts('old').queued < 5) await sleep(2)
    expect(second.traffic.counts('old').running).toBe(1)
    await second.traffic.stop(5_000)
  })

  it('an operation under way can give up waiting too', async () => {
    const twice = script('twice', () => [note('first'), 60, note('second')])
    const { traffic } = await start([twice], { ...pooled, connections: 1, queueTimeoutMs: 100 })
    traffic.setRate('old', 1_000, 1_000, 0)
    while (traffic.counts('old').running < 1) await sleep(1)
    traffic.setRate('old', 0, 0, 0)
    await expect.poll(async () => (await admin`select 1 from seen`).length).toBeGreaterThan(0)
    await holder.unsafe('begin; lock table seen in access exclusive mode')
    // One operation has the only session and waits for the lock; whoever wants its second statement waits for the session.
    traffic.setRate('old', 200, 200, 0)
    await expect.poll(() => traffic.counts('old').failed, { timeout: 10_000 }).toBeGreaterThan(2)
    traffic.setRate('old', 0, 0, 0)
    await holder.unsafe('rollback')
    const { rows, errors } = await finish(traffic, 0, 0)
    expect(errors.map(({ error }) => error.sqlstate)).toEqual(['POOL'])
    expect(rows[0]?.gaveUp).toBe(rows[0]?.failed)
  })

  it('code keeps its session to the end', async () => {
    const pids: number[][] = []
    const look = code('look', async (sql) => {
      const read = async (): Promise<number> =>
        (await sql<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]?.pid ?? 0
      pids.push([await read(), await read()])
    })
    const { traffic } = await start([look], { ...pooled, connections: 3 })
    await finish(traffic, 10)
    for (const [a, b] of pids) expect(a).toBe(b)
  })

  it('what still waits for its next session when the pass ends is unfinished', async () => {
    const twice = script('twice', () => [note('first'), 20, note('second')])
    const { traffic } = await start([twice], { ...pooled, connections: 1 })
    traffic.setRate('old', 500, 500, 0)
    while (traffic.counts('old').running < 3) await sleep(1)
    await holder.unsafe('begin; lock table seen in access exclusive mode')
    while (traffic.counts('old').queued < 5) await sleep(1)
    const { samples, phases } = await traffic.stop(50)
    await holder.unsafe('rollback')
    const errors = trafficErrors(samples, phases)
    expect(errors.map(({ error }) => error.sqlstate)).toEqual(['57014'])
    expect(errors[0]?.count).toBeGreaterThan(0)
  })
})

describe('the sessions', () => {
  it('have the settings of the application', async () => {
    const slow = script('slow', () => ['select pg_sleep(20)'])
    const { traffic } = await start([slow], { settings: { statement_timeout: '50ms' } })
    const { errors } = await finish(traffic, 3)
    expect(errors).toMatchObject([
      { error: { sqlstate: '57014', message: 'canceling statement due to statement timeout' } },
    ])
  })
})

describe('thinking', () => {
  it('lies between two statements, and is part of what the user waits for', async () => {
    const two = script('two', () => ['select 1', 'select 2', 'select 3'], { thinkMs: 40 })
    const one = script('one', () => ['select 1'], { thinkMs: 10_000 })
    const { rows } = await finish((await start([two, one], { connections: 8 })).traffic, 20, 100)
    expect(rows.find(({ operation }) => operation === 'two')?.service?.p50Ms).toBeGreaterThanOrEqual(80)
    expect(rows.find(({ operation }) => operation === 'one')?.latency?.maxMs).toBeLessThan(10_000)
  })

  it('holds back the statements of code as well, in a transaction too', async () => {
    const plain = code('plain', async (sql) => {
      await sql`select 1`
      await sql.unsafe('select 2')
    })
    const begun = code('begun', (sql) =>
      sql.begin(async (tx) => {
        await tx`select 1`
        await tx.savepoint((inner) => inner`select 2`)
        await tx`select 3`
      }),
    )
    const thinking = [plain, begun].map((operation) => ({ ...operation, thinkMs: 40 }))
    const { rows } = await finish((await start(thinking, { connections: 8 })).traffic, 20, 100)
    const least = (name: string): number => rows.find(({ operation }) => operation === name)?.service?.p50Ms ?? 0
    expect(rows.every(({ failed }) => failed === 0)).toBe(true)
    expect(least('plain')).toBeGreaterThanOrEqual(39)
    expect(least('begun')).toBeGreaterThanOrEqual(79)
  })
})
