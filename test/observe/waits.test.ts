import { describe, expect, it } from 'vitest'
import type { Look } from '../../src/observe/sampler.js'
import { blockedGroups } from '../../src/observe/groups.js'
import { migrationWaits, trafficWaits, type Settled, type WaitInput } from '../../src/observe/waits.js'
import type { Bracket, LockMode, LockSpan, Wait } from '../../src/recording.js'
import { granted, look, MIGRATION, nameOf, OFFSET_MS, run, waiting, waitInput } from './build.js'

const span = (
  relation: string,
  mode: LockMode,
  statement: string,
  [asked, granted, released]: [number, number | null, number],
): LockSpan => ({
  id: `${statement} ${relation}`,
  relation,
  kind: 'table',
  table: relation,
  mode,
  existedBefore: true,
  statement,
  transaction: 1,
  askedMs: { lowMs: asked, highMs: asked + 1 },
  grantedMs: granted === null ? null : { lowMs: granted, highMs: granted + 1 },
  releasedMs: { lowMs: released, highMs: released + 2 },
  heldMs: null,
  waitedMs: { lowMs: 0, highMs: 0 },
  how: 'client stamps',
  blocksReads: true,
  blocksWrites: true,
})

const holds = granted(MIGRATION, 'orders', 'SHARE')
const put = (since: number | null, by = [MIGRATION], pid = 3) => waiting(pid, 'orders', 'ROW EXCLUSIVE', by, since)
const settled = (pid: number, startMs: number, endMs: number, isFailed = false): Settled => ({
  pid,
  startMs,
  endMs,
  failed: isFailed,
})

/** SHARE on orders from 100 to within [500, 502], taken by a#1, while a#2 runs. */
const held = {
  statements: [run('a#1', 100, 120), run('a#2', 130, 499)],
  spans: [span('orders', 'SHARE', 'a#1', [100, 100, 500])],
}
const waits = (over: Partial<WaitInput>): Wait[] => trafficWaits(waitInput({ ...held, ...over }))
const one = (over: Partial<WaitInput>): Wait => {
  const found = waits(over)
  expect(found).toHaveLength(1)
  const [wait] = found
  if (!wait) throw new Error('no wait')
  return wait
}

describe('one wait', () => {
  const looks = [look(190, [holds]), look(210, [holds, put(200)]), look(490, [holds, put(200)]), look(503)]

  it('begins at the time of the server and ends between the release and the end of its operation', () => {
    expect(one({ looks, settled: [settled(3, 199, 501)] })).toEqual({
      release: 'old',
      operation: 'put',
      connection: 2,
      lockType: 'relation',
      relation: 'orders',
      mode: 'ROW EXCLUSIVE',
      startMs: { lowMs: 200, highMs: 200 },
      endMs: { lowMs: 500, highMs: 501 },
      waitedMs: { lowMs: 300, highMs: 301 },
      behind: 'a#1',
      depth: 1,
      end: 'granted',
    })
  })

  it('the offset of the clocks is its uncertainty', () => {
    const wait = one({
      looks,
      settled: [settled(3, 199, 501)],
      offset: { lowMs: OFFSET_MS - 3, highMs: OFFSET_MS + 2 },
    })
    expect(wait.startMs).toEqual({ lowMs: 198, highMs: 203 })
    expect(wait.waitedMs).toEqual({ lowMs: 297, highMs: 303 })
  })

  it('without a stamp of the server it begins between two looks, but not before its operation', () => {
    const unstamped = [look(190, [holds]), look(210, [holds, put(null)]), look(490, [holds, put(null)]), look(503)]
    expect(one({ looks: unstamped, settled: [settled(3, 185, 501)] }).startMs).toEqual({ lowMs: 190, highMs: 211 })
    expect(one({ looks: unstamped, settled: [settled(3, 199, 501)] }).startMs).toEqual({ lowMs: 199, highMs: 211 })
    expect(one({ looks, settled: [settled(3, 199, 501)], offset: null }).startMs).toEqual({ lowMs: 199, highMs: 211 })
  })

  it('may end a little after the look without it, because the waiter has to wake up', () => {
    const { endMs } = one({ looks, settled: [settled(3, 199, 5_000)] })
    expect(endMs.lowMs).toBe(500)
    expect(endMs.highMs).toBeGreaterThan(504 + 20)
    expect(endMs.highMs).toBeLessThan(1_000)
  })

  it('is not shorter than the looks that showed it when its operation ended in between', () => {
    const wait = one({ looks: looks.slice(0, 3), settled: [settled(3, 199, 490.5)] })
    expect(wait.endMs.lowMs).toBeGreaterThanOrEqual(490)
    expect(wait.endMs.highMs).toBe(490.5)
  })

  it('an operation that gave up did not wait for the release', () => {
    const wait = one({
      looks: [look(190, [holds]), look(210, [holds, put(200)]), look(290, [holds, put(200)]), look(303, [holds])],
      settled: [settled(3, 199, 301, true)],
    })
    expect(wait).toMatchObject({ end: 'error', endMs: { lowMs: 290, highMs: 301 } })
  })

  it('an operation that failed long after its wait was over had its lock', () => {
    expect(one({ looks, settled: [settled(3, 199, 2_000, true)] }).end).toBe('granted')
    expect(one({ looks, settled: [settled(3, 199, 504, true)] }).end).toBe('error')
  })

  it('goes on until the end of the pass when nothing ended it', () => {
    const wait = one({ looks: looks.slice(0, 3), settled: [], endMs: 600 })
    expect(wait).toMatchObject({ end: 'end of pass', endMs: { lowMs: 500, highMs: 600 } })
  })

  it('has the operation that the session was known to run', () => {
    const use = (operation: string | null) => new Map([[3, { release: 'new' as const, connection: 9, operation }]])
    const wait = one({ looks, uses: [new Map(), use(null), use('pay'), new Map()], settled: [settled(3, 199, 501)] })
    expect(wait).toMatchObject({ release: 'new', connection: 9, operation: 'pay' })
    expect(one({ looks, uses: [new Map(), use('pay'), use(null), new Map()] }).operation).toBe('pay')
    expect(one({ looks, uses: [new Map(), use(null), use(null), new Map()] }).operation).toBe('(unknown)')
  })
})

describe('which waits', () => {
  it('neither those of the migration nor those of strangers', () => {
    const looks = [
      look(210, [waiting(MIGRATION, 'orders', 'SHARE', [2], 200), waiting(99, 'orders', 'SHARE', [1], 200)]),
    ]
    expect(waits({ looks })).toEqual([])
  })

  it('two waits of one session for the same lock are told apart by the time of the server', () => {
    const looks = [
      look(210, [holds, put(200)]),
      look(220, [holds, put(200.3)]),
      look(230, [holds, put(226)]),
      look(240),
    ]
    expect(waits({ looks }).map((w) => Math.floor(w.startMs.lowMs))).toEqual([200, 226])
  })

  it('a wait without a stamp after one with a stamp is a new one', () => {
    const looks = [look(210, [holds, put(200)]), look(220, [holds, put(null)]), look(230, [holds, put(219)]), look(240)]
    const found = waits({ looks, settled: [settled(3, 199, 216), settled(3, 217, 239)] })
    expect(found.map((w) => [w.startMs.lowMs, w.endMs.highMs])).toEqual([
      [200, 216],
      [219, 239],
    ])
  })

  it('two episodes when a look in between did not show it', () => {
    const looks = [look(210, [put(200)]), look(220), look(230, [put(200)])]
    expect(waits({ looks })).toHaveLength(2)
  })

  it('one for each lock that a session waits for, one for each session', () => {
    const looks = [
      look(210, [holds, put(200), put(201, [MIGRATION], 5)]),
      look(220, [holds, put(200), put(201, [1], 5)]),
    ]
    expect(waits({ looks }).map((w) => `${w.release} ${w.connection}`)).toEqual(['old 2', 'new 2'])
    const moved = [look(210, [holds, put(200)]), look(220, [holds, waiting(3, 'users', 'ROW EXCLUSIVE', [1], 215)])]
    expect(waits({ looks: moved }).map((w) => w.relation)).toEqual(['orders', 'users'])
  })

  it('are in order of their start', () => {
    const looks = [look(210, [put(209, [1], 5)]), look(220, [put(209, [1], 5), put(150)])]
    expect(waits({ looks }).map((w) => w.startMs.lowMs)).toEqual([150, 209])
  })
})

describe('behind which statement', () => {
  it('depth 2: behind a session that stands behind the migration', () => {
    const rows = [holds, put(200), waiting(2, 'orders', 'ACCESS SHARE', [3], 210, 'relation')]
    const found = waits({ looks: [look(220, rows), look(230, rows), look(510)] })
    expect(found.map((w) => [w.operation, w.depth, w.behind])).toEqual([
      ['put', 1, 'a#1'],
      // ACCESS SHARE does not conflict with SHARE: only what runs now can be named.
      ['get', 2, 'a#2'],
    ])
  })

  it('behind nobody when the chain does not reach the migration, also in a circle', () => {
    const rows = [waiting(3, 'orders', 'ROW EXCLUSIVE', [4], 200), waiting(4, 'users', 'SHARE', [3], 200)]
    expect(waits({ looks: [look(220, rows)] }).map((w) => [w.behind, w.depth])).toEqual([
      [null, 1],
      [null, 1],
    ])
  })

  it('behind the statement whose lock conflicts, not the one that runs', () => {
    const spans = [
      span('orders', 'SHARE UPDATE EXCLUSIVE', 'a#0', [90, 90, 500]),
      span('users', 'ACCESS EXCLUSIVE', 'a#0', [90, 90, 500]),
      span('orders', 'SHARE', 'a#1', [100, 100, 500]),
    ]
    expect(one({ spans, looks: [look(220, [holds, put(200)])] }).behind).toBe('a#1')
  })

  it('behind the lock of its own time when the migration takes the same one twice', () => {
    const spans = [
      span('orders', 'ACCESS EXCLUSIVE', 'a#1', [100, 100, 150]),
      span('orders', 'ACCESS EXCLUSIVE', 'a#2', [200, 200, 300]),
    ]
    const found = waits({ spans, looks: [look(140, [put(120)]), look(160), look(250, [put(240)]), look(310)] })
    expect(found.map((w) => w.behind)).toEqual(['a#1', 'a#2'])
    expect(found.map((w) => w.endMs.lowMs)).toEqual([150, 300])
  })

  it('behind a lock that the migration itself still waits for', () => {
    const spans = [span('orders', 'SHARE', 'a#1', [100, null, 500])]
    const rows = [waiting(MIGRATION, 'orders', 'SHARE', [2], 100), put(200)]
    expect(one({ spans, looks: [look(220, rows)] })).toMatchObject({ behind: 'a#1', depth: 1 })
  })

  it('row locks: behind the statement that runs or ran last; the release of a table lock says nothing', () => {
    const rows = [waiting(3, '', 'SHARE', [MIGRATION], 300, 'transactionid')]
    const wait = one({ looks: [look(310, rows), look(320, rows), look(331)], settled: [settled(3, 299, 330)] })
    expect(wait).toMatchObject({
      lockType: 'transactionid',
      relation: null,
      behind: 'a#2',
      endMs: { lowMs: 320, highMs: 330 },
    })
    expect(one({ looks: [look(125, rows)] }).behind).toBe('a#1')
    expect(one({ looks: [look(50, rows)] }).behind).toBeNull()
  })

  it('what was found out once stays when a later look does not show the chain', () => {
    const looks = [look(210, [holds, put(200)]), look(220, [holds, put(200, [])]), look(510)]
    expect(one({ looks, settled: [settled(3, 199, 509)] })).toMatchObject({ behind: 'a#1', depth: 1 })
  })
})

describe('never on the wrong side', () => {
  const random = (seed: number) => {
    let state = seed
    return (low: number, high: number) =>
      low + ((state = (state * 48_271) % 2_147_483_647) / 2_147_483_647) * (high - low)
  }
  it('whatever the sampler saw', () => {
    const between = random(4_711)
    for (let i = 0; i < 3_000; i++) {
      const releasedAt = 300 + between(0, 300)
      const exchange = { sent: releasedAt - between(0, 1), ready: releasedAt + between(0, 1) }
      const start = 150 + between(0, 140)
      const gaveUpAt = between(0, 1) < 0.2 ? start + between(20, 150) : Infinity
      const end = Math.min(releasedAt, gaveUpAt)
      const error = gaveUpAt < releasedAt
      // The server wakes the waiter up, which runs on and answers.
      const answered = end + between(0, 40)
      const looks: Look[] = []
      // The server stamps a wait a moment after it began.
      const stampedAt = start + between(0, 12)
      for (let t = 140 + between(0, 12); t < answered + 30;) {
        const width = between(0.2, 4)
        const at = t + between(0, width)
        looks.push(look(t, at >= start && at < end ? [holds, put(at < stampedAt ? null : start)] : [holds], width))
        t += width + between(0, 20)
      }
      const slack = between(0.01, 1)
      const found = trafficWaits(
        waitInput({
          looks,
          statements: held.statements,
          spans: [
            {
              ...span('orders', 'SHARE', 'a#1', [100, 100, 0]),
              releasedMs: { lowMs: exchange.sent, highMs: exchange.ready },
            },
          ],
          settled: [settled(3, start - between(0, 1), answered, error)],
          offset: { lowMs: OFFSET_MS - slack, highMs: OFFSET_MS + slack },
        }),
      )
      expect(found).toHaveLength(looks.some((l) => l.locks.length > 1) ? 1 : 0)
      const [wait] = found
      if (!wait) continue
      const check = (what: string, truth: number, bracket: Bracket): void => {
        const story = `${what} ${JSON.stringify({ i, start, end, answered, releasedAt, error, wait })}`
        expect(bracket.lowMs, story).toBeLessThanOrEqual(truth + 1e-6)
        expect(bracket.highMs, story).toBeGreaterThanOrEqual(truth - 1e-6)
      }
      check('start', start, wait.startMs)
      check('end', end, wait.endMs)
      check('waited', end - start, wait.waitedMs)
    }
  })
})

describe('blocked groups', () => {
  const rows = (...extra: ReturnType<typeof put>[]) => [holds, ...extra]
  const looks = [
    look(210, rows(put(200))),
    look(220, rows(put(200), put(215, [MIGRATION, 3], 5))),
    look(230, rows(put(200), put(215, [MIGRATION, 3], 5), waiting(2, 'orders', 'ROW SHARE', [5], 225))),
    look(240, rows(put(215, [MIGRATION], 5))),
    look(250),
  ]
  const input = waitInput({
    ...held,
    looks,
    settled: [settled(3, 199, 236), settled(5, 214, 246), settled(2, 224, 237)],
  })
  const groups = blockedGroups(trafficWaits(input), input, nameOf)

  it('one group for a statement, with sums of brackets and distinct sessions', () => {
    // ROW SHARE does not conflict with SHARE: it stands behind what runs.
    expect(groups.map((g) => [g.statement, g.sessions, g.waits])).toEqual([
      ['a#1', 2, 2],
      ['a#2', 1, 1],
    ])
    const [group] = groups
    const list = trafficWaits(input).filter((w) => w.behind === 'a#1')
    expect(group?.totalMs.lowMs).toBeCloseTo(list.reduce((sum, w) => sum + w.waitedMs.lowMs, 0))
    expect(group?.totalMs.highMs).toBeCloseTo(list.reduce((sum, w) => sum + w.waitedMs.highMs, 0))
    expect(group?.longestMs.highMs).toBe(Math.max(...list.map((w) => w.waitedMs.highMs)))
    expect(group?.longestMs.lowMs).toBe(Math.max(...list.map((w) => w.waitedMs.lowMs)))
  })

  it('by release, operation, relation and mode', () => {
    expect(
      groups[0]?.by.map((b) => `${b.release} ${b.operation} ${b.relation} ${b.mode} ${b.sessions} ${b.waits}`).sort(),
    ).toEqual(['new put orders ROW EXCLUSIVE 1 1', 'old put orders ROW EXCLUSIVE 1 1'])
  })

  it('counts a session that waited twice once', () => {
    const twice = waitInput({
      ...held,
      looks: [look(210, rows(put(200))), look(220), look(230, rows(put(225))), look(240)],
    })
    expect(blockedGroups(trafficWaits(twice), twice, nameOf)[0]).toMatchObject({
      sessions: 1,
      waits: 2,
      by: [{ sessions: 1, waits: 2 }],
    })
  })

  it('shows the queue at its longest as a tree; the root shows the lock that the others wait for', () => {
    const [group] = groups
    expect(group?.worst.atMs).toBe(230)
    expect(group?.worst.sessions).toEqual([
      { name: 'migration', lockType: 'relation', relation: 'orders', mode: 'SHARE', waitingMs: null, blockedBy: [] },
      {
        name: 'old #2 put',
        lockType: 'relation',
        relation: 'orders',
        mode: 'ROW EXCLUSIVE',
        waitingMs: 30.75,
        blockedBy: [0],
      },
      {
        name: 'new #2 put',
        lockType: 'relation',
        relation: 'orders',
        mode: 'ROW EXCLUSIVE',
        waitingMs: 15.75,
        blockedBy: [0, 1],
      },
      {
        name: 'old #1 get',
        lockType: 'relation',
        relation: 'orders',
        mode: 'ROW SHARE',
        waitingMs: 5.75,
        blockedBy: [2],
      },
    ])
  })

  it('what the same sessions wait for afterwards is another queue', () => {
    const others = [99, 98].map((by, i) => waiting(i === 0 ? 3 : 5, '', 'SHARE', [by], 225, 'transactionid'))
    const after = waitInput({
      ...held,
      looks: [look(210, rows(put(200), put(205, [MIGRATION], 5))), look(230, others), look(240)],
      settled: [settled(3, 199, 260), settled(5, 204, 260)],
      spans: [span('orders', 'SHARE', 'a#1', [100, 100, 212])],
    })
    const [group] = blockedGroups(trafficWaits(after), after, nameOf)
    expect(group?.worst.atMs).toBe(210)
    expect(group?.worst.sessions[0]).toMatchObject({ name: 'migration', mode: 'SHARE' })
  })

  it('of several locks of the root, the one in the way is shown', () => {
    const many = [
      granted(MIGRATION, 'users', 'ACCESS EXCLUSIVE'),
      granted(MIGRATION, 'orders', 'ROW SHARE'),
      ...rows(put(200)),
    ]
    const simple = waitInput({ ...held, looks: [look(210, many), look(220)] })
    const [group] = blockedGroups(trafficWaits(simple), simple, nameOf)
    expect(group?.worst.sessions[0]).toMatchObject({ name: 'migration', relation: 'orders', mode: 'SHARE' })
  })

  it('a migration that waits stands in the queue behind the session that holds', () => {
    const queue = [waiting(MIGRATION, 'orders', 'SHARE', [2], 100), put(200)]
    const simple = waitInput({
      statements: held.statements,
      spans: [span('orders', 'SHARE', 'a#1', [100, null, 500])],
      looks: [look(210, queue), look(220)],
    })
    const [group] = blockedGroups(trafficWaits(simple), simple, nameOf)
    expect(group?.worst.sessions).toEqual([
      { name: 'old #1 get', lockType: 'relation', relation: null, mode: '', waitingMs: null, blockedBy: [] },
      { name: 'migration', lockType: 'relation', relation: 'orders', mode: 'SHARE', waitingMs: 110.75, blockedBy: [0] },
      {
        name: 'old #2 put',
        lockType: 'relation',
        relation: 'orders',
        mode: 'ROW EXCLUSIVE',
        waitingMs: 10.75,
        blockedBy: [1],
      },
    ])
  })

  it('waits behind nobody are in no group, and the worse group comes first', () => {
    expect(blockedGroups([], input, nameOf)).toEqual([])
    const spans = [...held.spans, span('users', 'ACCESS EXCLUSIVE', 'a#2', [130, 130, 500])]
    const both = waitInput({
      statements: held.statements,
      spans,
      looks: [
        look(210, [
          put(200),
          waiting(2, 'users', 'ACCESS SHARE', [MIGRATION], 140),
          waiting(5, 'items', 'SHARE', [99], 1),
        ]),
        look(220),
      ],
      settled: [settled(3, 199, 219), settled(2, 139, 219), settled(5, 0, 219)],
    })
    expect(blockedGroups(trafficWaits(both), both, nameOf).map((g) => [g.statement, g.waits])).toEqual([
      ['a#2', 1],
      ['a#1', 1],
    ])
  })
})

describe('waits of the migration', () => {
  const snapshot = (since: number | null, by: number[]) => waiting(MIGRATION, '', 'SHARE', by, since, 'virtualxid')
  const statements = [run('c#1', 100, 400), run('c#2', 500, 900)]

  it('for older snapshots, with whom it waited for', () => {
    const looks = [look(190), look(210, [snapshot(200, [2])]), look(300, [snapshot(200, [2, 99])]), look(310)]
    expect(migrationWaits(waitInput({ looks, statements }), nameOf)).toEqual([
      {
        statement: 'c#1',
        lockType: 'virtualxid',
        relation: null,
        mode: 'SHARE',
        startMs: { lowMs: 200, highMs: 200 },
        endMs: { lowMs: 300, highMs: 311 },
        waitedMs: { lowMs: 100, highMs: 111 },
        waitedFor: ['another session', 'old #1 get'],
      },
    ])
  })

  it('two of them are two, within a statement and across statements', () => {
    const looks = [
      look(150, [snapshot(140, [2])]),
      look(160, [snapshot(155, [3])]),
      look(200),
      look(300, [snapshot(290, [4])]),
      look(450),
      look(600, [snapshot(550, [5])]),
      look(890, [snapshot(550, [5])]),
      look(910),
    ]
    const found = migrationWaits(waitInput({ looks, statements }), nameOf)
    expect(found.map((w) => [w.statement, w.startMs.lowMs, w.endMs.highMs, w.waitedFor.join()])).toEqual([
      ['c#1', 140, 161, 'old #1 get'],
      ['c#1', 155, 201, 'old #2 put'],
      ['c#1', 290, 400, 'new #1 get'],
      ['c#2', 550, 900, 'new #2 put'],
    ])
  })

  it('not for relation locks, which its spans show, and not for other sessions', () => {
    const looks = [
      look(150, [waiting(MIGRATION, 'orders', 'SHARE', [2], 140), waiting(2, '', 'SHARE', [3], 140, 'transactionid')]),
    ]
    expect(migrationWaits(waitInput({ looks, statements }), nameOf)).toEqual([])
  })

  it('without a stamp they begin between two looks, within their statement', () => {
    const looks = [look(95), look(103, [snapshot(null, [2])]), look(110)]
    expect(migrationWaits(waitInput({ looks, statements }), nameOf)[0]?.startMs).toEqual({ lowMs: 100, highMs: 104 })
  })
})
