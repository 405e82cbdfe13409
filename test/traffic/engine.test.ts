import type postgres from 'postgres'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { sleep, startClock, type Clock } from '../../src/clock.js'
import { RehearsalError } from '../../src/errors.js'
import {
  startTraffic,
  type Counts,
  type DeadlockReport,
  type Settled,
  type Sink,
  type Traffic,
  type TrafficResult,
  type TrafficSource,
} from '../../src/traffic/engine.js'
import type { Operation } from '../../src/traffic/operation.js'
import { Random } from '../../src/traffic/random.js'
import { DROPPED } from '../../src/traffic/samples.js'
import { generatorHealth, trafficErrors, trafficRows, trafficSeries } from '../../src/traffic/summary.js'
import type { SourceSession } from '../../src/traffic/source.js'
import type { WorkloadOptions } from '../../src/traffic/workload.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { code, script } from './operations.js'

const CANARY = 'canary-4711'
let server: TestServer
let admin: postgres.Sql
/** Another session, e.g. a migration that holds a lock. */
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
    drop table if exists busy, other;
    create table busy (id int primary key, name text);
    create table other (id int primary key, name text);
    insert into busy select i, 'x' from generate_series(1, 100) i;
    insert into other select i, 'x' from generate_series(1, 100) i;
    grant all on busy, other to app`)
})

const byId = (table: string, weight = 1): Operation =>
  script(
    `read_${table}`,
    (random) => [{ text: `select name from ${table} where id = $1`, params: [String(random.int(1, 100))] }],
    { weight },
  )

interface Started {
  traffic: Traffic
  settled: Settled[]
  deadlocks: DeadlockReport[]
}
async function start(
  operations: readonly Operation[],
  rest: Partial<WorkloadOptions> = {},
  clock: Clock = startClock(),
): Promise<Started> {
  const settled: Settled[] = []
  const deadlocks: DeadlockReport[] = []
  const traffic = await startTraffic({
    workloads: [
      {
        release: 'old',
        operations,
        address: server.app,
        connections: 4,
        variables: { rows: 100, seed: 1 },
        random: new Random(1),
        ...rest,
      },
    ],
    clock,
    onOperation: (one) => settled.push(one),
    onDeadlock: (report) => deadlocks.push(report),
  })
  traffic.phase('baseline')
  return { traffic, settled, deadlocks }
}

/** The invariants that hold for every result. */
function check({ samples, phases }: TrafficResult): ReturnType<typeof trafficRows> {
  const rows = trafficRows(samples, phases)
  let scheduled = 0
  for (const row of rows) {
    expect(row.scheduled).toBe(row.completed + row.failed + row.dropped)
    scheduled += row.scheduled
  }
  expect(scheduled).toBe(samples.length)
  for (let i = 0; i < samples.length; i++) {
    if (samples.outcome[i] === DROPPED) continue
    expect(samples.lagMs[i]).toBeGreaterThanOrEqual(0)
    expect(samples.waitMs[i]).toBeGreaterThanOrEqual(samples.lagMs[i] ?? NaN)
    expect(samples.latencyMs[i]).toBeGreaterThanOrEqual(samples.waitMs[i] ?? NaN)
  }
  return rows
}

/** Everything that the recording keeps of a result. */
const exported = ({ samples, phases }: TrafficResult): string =>
  JSON.stringify([
    trafficRows(samples, phases),
    trafficErrors(samples, phases),
    trafficSeries(samples, 1_000),
    generatorHealth(samples, phases, { ratePerSecond: 1, connections: 1 }),
    samples.errors,
    samples.operations,
    phases,
  ])

describe('open loop', () => {
  it('runs what the schedule says, and reports each operation once', async () => {
    const { traffic, settled } = await start([byId('busy', 3), byId('other')])
    expect(new Set(traffic.sessions().map(({ pid }) => pid)).size).toBe(4)
    traffic.setRate('old', 300, 300, 0)
    traffic.setRate('new', 300, 300, 0)
    await sleep(1_000)
    const result = await traffic.stop(5_000)
    expect(await traffic.stop(0)).toBe(result)
    const rows = check(result)
    const { samples, phases } = result
    expect(settled.map(({ sampleIndex }) => sampleIndex).sort((a, b) => a - b)).toEqual([...samples.intendedMs.keys()])
    expect(rows.map(({ operation, failed, dropped }) => [operation, failed, dropped])).toEqual([
      ['read_busy', 0, 0],
      ['read_other', 0, 0],
    ])
    // 300/s for the second and whatever the machine made of it, within five standard deviations.
    const lengthMs = (phases[0]?.endMs ?? 0) - (phases[0]?.startMs ?? 0)
    expect(Math.abs(samples.length - 0.3 * lengthMs)).toBeLessThan(5 * Math.sqrt(0.3 * lengthMs) + 1)
    expect(phases[0]?.eventLoopUtilisation).toBeGreaterThan(0)
    expect(phases[0]?.eventLoopUtilisation).toBeLessThanOrEqual(1)
    expect(new Set(settled.map(({ connection }) => connection))).toEqual(new Set([1, 2, 3, 4]))
    expect(await admin`select 1 from pg_stat_activity where application_name like 'rehearse%'`).toHaveLength(0)
  })

  it('sends the same operations with the same parameters for the same seed, at another rate too', async () => {
    const sent = async (seed: number, rate: number): Promise<string[]> => {
      const seen: string[] = []
      const noted = (name: string): Operation =>
        code(name, (_, random) => Promise.resolve(seen.push(`${name} ${random.next()}`)))
      const { traffic } = await start([noted('a'), noted('b')], { random: new Random(seed), connections: 1 })
      traffic.setRate('old', rate, rate, 0)
      while (seen.length < 50) await sleep(5)
      await traffic.stop(1_000)
      return seen.slice(0, 50)
    }
    const first = await sent(1, 400)
    expect(await sent(1, 150)).toEqual(first)
    expect(await sent(2, 400)).not.toEqual(first)
  })

  it('puts arrivals into the phase of their intended start', async () => {
    const { traffic } = await start([byId('busy')])
    traffic.setRate('old', 200, 200, 0)
    await sleep(200)
    const startMs = traffic.phase('migrate')
    await sleep(200)
    const result = await traffic.stop(5_000)
    const rows = check(result)
    const before = result.samples.intendedMs.filter((ms) => ms < startMs).length
    expect(rows.map(({ phase, scheduled }) => [phase, scheduled])).toEqual([
      ['baseline', before],
      ['migrate', result.samples.length - before],
    ])
  })
})

describe('two runs with the same seed', () => {
  it('have identical arrivals, operations and parameters, however their phases differed before', async () => {
    const run = async (pauseMs: number) => {
      const bound: string[] = []
      const noted = (name: string, weight: number): Operation =>
        script(
          name,
          (random) => {
            const id = String(random.int(1, 100))
            bound.push(`${name} ${id}`)
            return [{ text: 'select name from busy where id = $1', params: [id] }]
          },
          { weight },
        )
      const { traffic } = await start([noted('a', 1), noted('b', 2)], { warm: false })
      const starts: number[] = []
      for (const lengthMs of [150, 250]) {
        starts.push(traffic.phase(lengthMs === 150 ? 'warmup' : 'baseline', lengthMs))
        traffic.setRate('old', 400, 600, lengthMs)
        await sleep(lengthMs + pauseMs)
      }
      traffic.setRate('old', 0, 0, 0)
      while (traffic.counts('old').running + traffic.counts('old').queued > 0) await sleep(2)
      const { samples } = await traffic.stop(1_000)
      const scheduled = [...samples.intendedMs].map((ms, i) => {
        const startMs = starts.findLast((one) => one <= ms) ?? NaN
        return { phase: starts.indexOf(startMs), operation: samples.operation[i], afterMs: (ms - startMs).toFixed(4) }
      })
      return { scheduled, bound }
    }
    const first = await run(20)
    expect(first.scheduled.length).toBeGreaterThan(100)
    expect(first.bound).toHaveLength(first.scheduled.length)
    expect(await run(45)).toEqual(first)
  })
})

describe('a program', () => {
  /** Does nothing but keep what it is told. */
  class Program implements TrafficSource {
    readonly release = 'new'
    readonly told: unknown[] = []
    readonly #sink: Sink
    readonly #failure: Error | null
    constructor(sink: Sink, failure: Error | null = null) {
      this.#sink = sink
      this.#failure = failure
    }
    open = (): Promise<void> => (this.#failure ? Promise.reject(this.#failure) : Promise.resolve())
    phase = (...told: unknown[]): unknown => this.told.push(told)
    setRate = (_: number, ...told: number[]): unknown => this.told.push(told)
    nextDueMs = (): number => Infinity
    dispatch = (): void => undefined
    counts = (): Counts => ({ scheduled: 1, completed: 1, failed: 0, dropped: 0, running: 0, queued: 0 })
    sessions = (): SourceSession[] => [{ connection: 1, pid: 7 }]
    running = (pid: number): ReturnType<TrafficSource['running']> =>
      pid === 7 ? { connection: 1, operation: 'select', sampleIndex: 0 } : null
    takeMaxQueue = (): number => 0
    stop = (): unknown => this.told.push('stop')
    idle = (): Promise<void> => Promise.resolve()
    abandon = (): Promise<void> => Promise.resolve()
    close = (): Promise<void> => {
      this.told.push('close')
      return Promise.resolve()
    }
    works(): void {
      const { clock, samples } = this.#sink
      const atMs = clock.nowMs()
      const sample = samples.arrive(atMs, samples.operation({ release: 'new', name: 'select', scheduled: false }), atMs)
      samples.settle(sample, { startMs: atMs, endMs: clock.nowMs(), error: null })
    }
  }

  it('is driven beside our own traffic, and its operations are counted as ours are', async () => {
    const programs: Program[] = []
    const traffic = await startTraffic({
      workloads: [],
      programs: [
        (sink) => {
          const program = new Program(sink)
          programs.push(program)
          return program
        },
      ],
      clock: startClock(),
    })
    const startMs = traffic.phase('baseline', 100)
    traffic.setRate('new', 0, 5, 10)
    traffic.setRate('old', 9, 9, 9)
    programs[0]?.works()
    expect(traffic.sessionOf(7)).toEqual({ release: 'new', connection: 1, operation: 'select', sampleIndex: 0 })
    expect(traffic.sessionOf(8)).toBeNull()
    expect(traffic.sessions()).toEqual([{ release: 'new', connection: 1, pid: 7 }])
    expect(traffic.counts('new')).toMatchObject({ completed: 1 })
    expect(traffic.counts('old')).toMatchObject({ completed: 0 })
    expect(check(await traffic.stop(0))).toMatchObject([{ release: 'new', operation: 'select', completed: 1 }])
    expect(programs[0]?.told).toEqual([['baseline', startMs, 100], [0, 5, 10], 'stop', 'close'])
  })

  it('that cannot be started says why in its own words', async () => {
    const failure = new RehearsalError('USAGE', { message: 'no such program' })
    const started = startTraffic({
      workloads: [],
      programs: [(sink) => new Program(sink, failure)],
      clock: startClock(),
    })
    await expect(started).rejects.toBe(failure)
  })
})

describe('behind a lock', () => {
  it('operations on another table go on while a connection is free', async () => {
    const { traffic, settled } = await start([byId('busy'), byId('other', 9)], { connections: 30 })
    const blocked = async (): Promise<number> =>
      (await admin`select 1 from pg_locks where relation = 'busy'::regclass and not granted`).length
    await holder.unsafe('begin; lock table busy in access exclusive mode')
    traffic.setRate('old', 200, 200, 0)
    while ((await blocked()) < 5) await sleep(10)
    traffic.setRate('old', 0, 0, 0)
    // Only those that wait for the lock remain: nothing stands behind them.
    const waiting = await blocked()
    while (traffic.counts('old').running > waiting) await sleep(10)
    const { scheduled, completed, queued } = traffic.counts('old')
    expect(queued).toBe(0)
    expect(completed).toBe(scheduled - waiting)
    expect(completed).toBeGreaterThan(0)
    expect(settled.every(({ operation }) => operation === 'read_other')).toBe(true)
    await holder.unsafe('rollback')
    check(await traffic.stop(5_000))
  })

  it('never more than one operation is on a connection, and the queue is first in, first out', async () => {
    const { traffic, settled } = await start([byId('busy')], { connections: 3 })
    await holder.unsafe('begin; lock table busy in access exclusive mode')
    traffic.setRate('old', 200, 200, 0)
    await sleep(500)
    const { running, queued } = traffic.counts('old')
    expect(running).toBe(3)
    expect(queued).toBeGreaterThan(20)
    const waiting = await admin`select pid from pg_locks where relation = 'busy'::regclass and not granted`
    expect(waiting).toHaveLength(3)
    for (const { pid } of waiting) {
      const session = traffic.sessionOf(Number(pid))
      expect(session).toMatchObject({ release: 'old', operation: 'read_busy' })
      expect(session?.sampleIndex).toBeGreaterThanOrEqual(0)
    }
    expect(traffic.sessionOf(1)).toBeNull()
    await holder.unsafe('rollback')
    while (traffic.counts('old').queued > 0) await sleep(5)
    const result = await traffic.stop(5_000)
    check(result)
    const starts = settled.toSorted((a, b) => a.sampleIndex - b.sampleIndex).map(({ startMs }) => startMs)
    expect(starts).toEqual(starts.toSorted((a, b) => a - b))
    for (const connection of [1, 2, 3]) {
      const mine = settled.filter((one) => one.connection === connection).sort((a, b) => a.startMs - b.startMs)
      mine.forEach((one, i) => expect(one.startMs).toBeGreaterThanOrEqual(mine[i - 1]?.endMs ?? 0))
    }
    expect(result.phases[0]?.maxQueue).toBeGreaterThanOrEqual(queued)
  })

  it('latency counts from the intended start: arrivals during a lock of 1 s have waited up to 1 s', async () => {
    const { traffic } = await start([byId('busy')], { connections: 2 })
    const clock = startClock()
    traffic.setRate('old', 100, 100, 0)
    await holder.unsafe('begin; lock table busy in access exclusive mode')
    const lockedMs = clock.nowMs()
    await sleep(1_000)
    const heldMs = clock.nowMs() - lockedMs
    await holder.unsafe('rollback')
    while (traffic.counts('old').queued > 0) await sleep(5)
    const result = await traffic.stop(5_000)
    const [row] = check(result)
    // A closed loop of two connections would have seen two slow queries in all.
    const slow = result.samples.latencyMs.filter((ms) => ms > heldMs / 2).length
    expect(slow).toBeGreaterThan(20)
    expect(row?.latency?.maxMs).toBeGreaterThan(heldMs * 0.8)
    // Most of them waited in the queue, not on the server.
    expect(row?.service?.p50Ms).toBeLessThan(row?.latency?.p50Ms ?? 0)
  })

  it('drops what does not fit into ten seconds of queue, with its intended time', async () => {
    const origin = performance.now()
    // Ten seconds of arrivals in half a second.
    const clock = { nowMs: () => 20 * (performance.now() - origin) }
    const { traffic } = await start([byId('busy')], { connections: 1 }, clock)
    await holder.unsafe('begin; lock table busy in access exclusive mode')
    traffic.setRate('old', 20, 20, 0)
    while (traffic.counts('old').dropped === 0) await sleep(5)
    expect(traffic.counts('old').queued).toBe(200)
    traffic.setRate('old', 0, 0, 0)
    const result = await traffic.stop(0)
    await holder.unsafe('rollback')
    const [row] = check(result)
    // The queue is dropped too when the pass ends, and the one that ran is canceled.
    const { intendedMs, length } = result.samples
    expect(length).toBeGreaterThan(201)
    expect(row).toMatchObject({ dropped: length - 1, failed: 1, completed: 0, latency: { samples: 1 } })
    expect([...intendedMs]).toEqual([...intendedMs.toSorted()])
    expect(intendedMs.at(-1)).toBeGreaterThan(5_000)
  })
})

describe('stop', () => {
  it('lets what runs end within the grace', async () => {
    const { traffic } = await start([script('slow', () => ['select pg_sleep(0.3)'])], { connections: 2 })
    traffic.setRate('old', 100, 100, 0)
    while (traffic.counts('old').running < 2) await sleep(5)
    traffic.setRate('old', 0, 0, 0)
    const [row] = check(await traffic.stop(10_000))
    expect(row?.failed).toBe(0)
    expect(row?.completed).toBeGreaterThanOrEqual(2)
  })

  it.each([
    ['a statement', script('slow', () => ['select pg_sleep(60)'])],
    ['a sleep', script('slow', () => [60_000])],
    ['a transaction in code', code('slow', (sql) => sql.begin((tx) => tx`select pg_sleep(60)`))],
    ['code that waits for nothing', code('slow', () => new Promise(() => undefined))],
  ])('cancels %s and counts it as failed with 57014', async (_, operation) => {
    const { traffic } = await start([operation], { connections: 2 })
    traffic.setRate('old', 100, 100, 0)
    while (traffic.counts('old').running < 2) await sleep(5)
    const result = await traffic.stop(50)
    const [row] = check(result)
    expect(row).toMatchObject({ completed: 0, failed: 2 })
    expect(trafficErrors(result.samples, result.phases)).toMatchObject([
      {
        count: 2,
        hidden: false,
        error: { sqlstate: '57014', message: 'still running when the pass ended, and canceled then' },
      },
    ])
    // A backend whose client is gone needs a moment to notice.
    await expect
      .poll(() => admin`select 1 from pg_stat_activity where application_name like 'rehearse%'`, { timeout: 10_000 })
      .toHaveLength(0)
  })

  it('works before anything has started', async () => {
    const { traffic } = await start([byId('busy')])
    expect(check(await traffic.stop(0))).toEqual([])
  })
})

describe('errors', () => {
  const insert = script('insert', () => [
    { text: 'insert into busy (id, name) values (1, $1)', params: [CANARY] },
    { text: 'select $1::int', params: [CANARY] },
  ])
  const inline = script('inline', () => [`insert into other select 1, '${CANARY}'`], { prepared: false })
  const missing = script('missing', () => [`select gone, '${CANARY}' from busy`], { prepared: false })
  const regclass = script('regclass', () => [`select '${CANARY}'::regclass`], { prepared: false })
  const raise = script('raise', () => [`do $$ begin raise '${CANARY}'; end $$`], { prepared: false })
  const own = code('own', () => Promise.reject(new TypeError(CANARY)))

  it('are counted by operation and SQLSTATE, and no value is in anything exported', async () => {
    const { traffic, settled } = await start([insert, inline, missing, regclass, raise, own, byId('busy')])
    traffic.setRate('old', 300, 300, 0)
    while (traffic.counts('old').failed < 150) await sleep(10)
    const result = await traffic.stop(5_000)
    check(result)
    const errors = trafficErrors(result.samples, result.phases)
    expect(
      errors.map(({ operation, error }) => `${operation} ${error.sqlstate} ${error.objects.join()}`).sort(),
    ).toEqual([
      'inline 23505 other,other_pkey',
      'insert 23505 busy,busy_pkey',
      'missing 42703 gone',
      'own CLIENT ',
      'raise P0001 ',
      'regclass 42P01 ',
    ])
    expect(settled.some(({ sqlstate }) => sqlstate === '23505')).toBe(true)
    expect(exported(result)).toContain('read_busy')
    expect(exported(result)).not.toContain(CANARY)
    expect(JSON.stringify(settled)).not.toContain(CANARY)
  })

  it('0A000 that the driver retries is reported although the operation succeeded', async () => {
    const all = script('all', () => ['select * from busy'])
    const { traffic } = await start([all], { connections: 2 })
    traffic.setRate('old', 100, 100, 0)
    while (traffic.counts('old').completed < 10) await sleep(5)
    traffic.phase('migrate')
    await admin`alter table busy add column more int`
    const { completed } = traffic.counts('old')
    while (traffic.counts('old').completed < completed + 20) await sleep(5)
    const result = await traffic.stop(5_000)
    const rows = check(result)
    expect(rows.map(({ failed }) => failed)).toEqual([0, 0])
    // Once on each connection.
    expect(rows.reduce((sum, { reprepared }) => sum + reprepared, 0)).toBe(2)
    expect(trafficErrors(result.samples, result.phases)).toMatchObject([
      {
        operation: 'all',
        count: 2,
        hidden: true,
        error: { sqlstate: '0A000', message: 'cached plan must not change result type' },
      },
    ])
  })

  it('a deadlock is passed on with the text that names the processes, which stays out of the summary', async () => {
    const { traffic, deadlocks } = await start(
      [
        script('pair', () => [
          'begin',
          'update busy set name = name where id = 1',
          0,
          'update busy set name = name where id = 2',
          'commit',
        ]),
      ],
      { connections: 1 },
    )
    await holder.unsafe("begin; set local deadlock_timeout = '1h'; update busy set name = name where id = 2")
    traffic.setRate('old', 1000, 1000, 0)
    while ((await admin`select 1 from pg_locks where not granted`).length === 0) await sleep(5)
    traffic.setRate('old', 0, 0, 0)
    await holder.unsafe('update busy set name = name where id = 1')
    await holder.unsafe('rollback')
    const result = await traffic.stop(5_000)
    // On a busy machine the next operation can be quicker than the holder, and meets it in the same way.
    expect(deadlocks.length).toBeGreaterThan(0)
    const [report] = deadlocks
    expect(report).toMatchObject({ release: 'old', operation: 'pair' })
    expect(report?.detail).toContain(`Process ${report?.pid} waits for`)
    expect(trafficErrors(result.samples, result.phases)[0]).toMatchObject({
      error: { sqlstate: '40P01', message: 'deadlock detected' },
    })
    expect(exported(result)).not.toContain('Process')
  })

  it('lost connections are 08006, and the traffic goes on', async () => {
    const { traffic, settled } = await start([script('nap', () => ['select pg_sleep(0.05)'])], { connections: 2 })
    traffic.setRate('old', 100, 100, 0)
    while (traffic.counts('old').running < 2) await sleep(1)
    await admin`select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name like 'rehearse old%'`
    const { completed } = traffic.counts('old')
    while (traffic.counts('old').completed < completed + 10) await sleep(5)
    const pids = new Set(traffic.sessions().map(({ pid }) => pid))
    traffic.setRate('old', 0, 0, 0)
    const result = await traffic.stop(5_000)
    check(result)
    for (const { error } of trafficErrors(result.samples, result.phases)) expect(error.sqlstate).toBe('08006')
    expect(pids.size).toBe(2)
    expect(settled.some(({ sqlstate }) => sqlstate === '08006')).toBe(true)
  })

  it('a script that cannot be computed is kept for the conductor', async () => {
    const wrong = script('wrong', () => {
      throw new RehearsalError('SCRIPT_INVALID', { file: 'old.sql', line: 3, message: 'division by zero' })
    })
    const { traffic } = await start([wrong])
    traffic.setRate('old', 200, 200, 0)
    while (traffic.counts('old').failed < 2) await sleep(5)
    const result = await traffic.stop(1_000)
    expect(result.scriptError?.message).toBe('old.sql:3: division by zero')
    check(result)
  })

  it('a server that cannot be reached is one clear failure', async () => {
    const address = { ...server.app, port: 1, password: CANARY }
    const started = start([byId('busy')], { address })
    await expect(started).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    await expect(started).rejects.not.toThrow(CANARY)
  })
})
