import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sleep, startClock } from '../../src/clock.js'
import { clockOffset, refine, startSampler, type Look } from '../../src/observe/sampler.js'
import { connect, disconnect, type Sql } from '../../src/pg/connect.js'
import { startServer, type TestServer } from '../support/postgres.js'

const at = (fromMs: number, toMs: number, serverStartMs: number, serverEndMs: number): Look => ({
  fromMs,
  toMs,
  serverStartMs,
  serverEndMs,
  locks: [],
})

describe('clockOffset', () => {
  it.each<[string, Look[], { lowMs: number; highMs: number } | null]>([
    ['nothing without a look', [], null],
    ['nothing from a look without stamps', [at(0, 5, 0, 0)], null],
    // Sent at 10 and received by the server at 1012; read at 1013, received here at 15.
    ['one look bounds it on both sides', [at(10, 15, 1_012, 1_013)], { lowMs: 998, highMs: 1_002 }],
    [
      'each look narrows it, each end by the look that is best there',
      [at(10, 15, 1_012, 1_013), at(20, 23, 1_020.5, 1_021), at(30, 38, 1_031, 1_037.75)],
      { lowMs: 999.75, highMs: 1_000.5 },
    ],
    [
      'clocks that drift apart give a bracket in order',
      [at(10, 11, 1_010.2, 1_010.4), at(5_000, 5_001, 6_003, 6_003.2)],
      { lowMs: 1_000.2, highMs: 1_002.2 },
    ],
  ])('%s', (_, looks, expected) => {
    const offset = clockOffset(looks)
    if (expected === null) {
      expect(offset).toBeNull()
      return
    }
    expect(offset?.lowMs).toBeCloseTo(expected.lowMs, 6)
    expect(offset?.highMs).toBeCloseTo(expected.highMs, 6)
  })
})

describe('refine', () => {
  it('narrows a look to the time in which the server answered', () => {
    const [look] = refine([at(10, 30, 1_020, 1_022)], { lowMs: 999, highMs: 1_001 })
    expect(look).toMatchObject({ fromMs: 19, toMs: 23 })
  })
  it('never widens one', () => {
    const [look] = refine([at(10, 11, 1_010.2, 1_010.8)], { lowMs: 990, highMs: 1_010 })
    expect(look).toMatchObject({ fromMs: 10, toMs: 11 })
  })
  it('leaves a look that contradicts the offset, or has no stamps, and everything without an offset', () => {
    const looks = [at(10, 11, 5_000, 5_001), at(20, 21, 0, 0)]
    expect(refine(looks, { lowMs: 999, highMs: 1_001 })).toEqual(looks)
    expect(refine(looks, null)).toEqual(looks)
  })
})

describe('on a server', () => {
  let server: TestServer
  let observer: Sql
  let holder: Sql
  let waiter: Sql
  const clock = startClock()
  const pidOf = async (sql: Sql): Promise<number> =>
    (await sql.unsafe<{ pid: number }[]>('select pg_backend_pid() as pid'))[0]?.pid ?? 0

  beforeAll(async () => {
    server = await startServer()
    observer = connect(server.admin, { applicationName: 'sampler' })
    holder = connect(server.migrate, { applicationName: 'holder' })
    waiter = connect(server.migrate, { applicationName: 'waiter' })
    await holder.unsafe('create table t (id int); create table u (id int)').simple()
  })
  afterAll(async () => {
    await Promise.all([observer, holder, waiter].map(disconnect))
    await server.stop()
  })

  it("shows the migration's granted locks, everybody's waits, who blocks whom, and since when", async () => {
    const pids = { holder: await pidOf(holder), waiter: await pidOf(waiter) }
    const [oid] = await holder.unsafe<{ t: number }[]>("select 't'::regclass::oid::int as t")
    const sampler = startSampler({ sql: observer, clock, periodMs: 5, pids: () => [pids.holder] })
    await holder.unsafe('begin; lock table t in share mode').simple()
    const asked = clock.nowMs()
    const waiting = waiter.unsafe('insert into t values (1)').simple().execute()
    await sleep(80)
    await holder.unsafe('commit').simple()
    const over = clock.nowMs()
    await waiting
    await sleep(40)
    await sampler.stop()
    const count = sampler.looks.length
    await sleep(30)
    expect(sampler.looks).toHaveLength(count)
    expect(sampler.failed).toBe(false)

    const during = sampler.looks.filter((look) => look.fromMs > asked && look.toMs < over)
    const seen = during.flatMap((look) => look.locks.filter((lock) => !lock.granted))
    expect(seen.length).toBeGreaterThan(0)
    expect(seen.at(-1)).toMatchObject({
      pid: pids.waiter,
      lockType: 'relation',
      relation: oid?.t,
      mode: 'ROW EXCLUSIVE',
      blockedBy: [pids.holder],
    })
    const held = during.flatMap((look) => look.locks.filter((lock) => lock.granted))
    expect(held.length).toBeGreaterThan(0)
    for (const lock of held) expect(lock).toMatchObject({ pid: pids.holder, relation: oid?.t, mode: 'SHARE' })
    for (const look of sampler.looks.filter((l) => l.fromMs > over + 5)) expect(look.locks).toEqual([])

    const offset = clockOffset(sampler.looks)
    if (!offset) throw new Error('no offset')
    // The same machine, the same clock: the bracket must contain the offset between the two.
    const truth = Date.now() - clock.nowMs()
    expect(offset.lowMs).toBeLessThanOrEqual(truth + 2)
    expect(offset.highMs).toBeGreaterThanOrEqual(truth - 2)
    const stamped = seen.find((lock) => lock.waitStart !== null)
    expect((stamped?.waitStart ?? 0) - offset.lowMs).toBeGreaterThanOrEqual(asked)
    for (const look of sampler.looks) expect(look.serverEndMs).toBeGreaterThanOrEqual(look.serverStartMs)
  })

  it('looks at once when nudged, and in quick succession while it has to hurry', async () => {
    let hurry = false
    const sampler = startSampler({ sql: observer, clock, periodMs: 60_000, pids: () => [], hurry: () => hurry })
    await sleep(60)
    expect(sampler.looks).toHaveLength(1)
    sampler.nudge()
    await sleep(150)
    const burst = sampler.looks.length
    expect(burst).toBeGreaterThanOrEqual(3)
    // At most one for each of the burst, the first one and the nudge.
    expect(burst).toBeLessThanOrEqual(11)
    hurry = true
    sampler.nudge()
    await sleep(300)
    expect(sampler.looks.length).toBeGreaterThan(burst + 20)
    await sampler.stop()
  })

  it('has an account for hurrying', async () => {
    const sampler = startSampler({ sql: observer, clock, periodMs: 10_000, pids: () => [], hurry: () => true })
    await sleep(1_500)
    await sampler.stop()
    // 200 at once and 200 more a second.
    expect(sampler.looks.length).toBeLessThan(550)
  })

  it('says that it failed when its session is gone, and does not throw', async () => {
    const lost = connect(server.admin, { applicationName: 'lost' })
    const sampler = startSampler({ sql: lost, clock, periodMs: 1, pids: () => [] })
    await sleep(50)
    expect(sampler.failed).toBe(false)
    await disconnect(lost)
    await sleep(50)
    await sampler.stop()
    expect(sampler.failed).toBe(true)
  })
})
