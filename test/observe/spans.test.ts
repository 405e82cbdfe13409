/**
 * Brackets of lock spans. The last test makes thousands of lock histories, lets a sampler look at them at random and
 * asserts that no bracket is ever on the wrong side of the truth.
 */
import { describe, expect, it } from 'vitest'
import type { Look } from '../../src/observe/sampler.js'
import { lockSpans, minus, plus, type SpanInput } from '../../src/observe/spans.js'
import type { Bracket, LockSpan } from '../../src/recording.js'
import { failed, granted, look, MIGRATION, OFFSET_MS, run, spanInput, taken, waiting } from './build.js'

const AX = 'ACCESS EXCLUSIVE'
const takes = new Map([['a#1', [taken('orders', AX)]]])

const only = (input: Partial<SpanInput>): LockSpan => {
  const spans = lockSpans(spanInput(input))
  expect(spans).toHaveLength(1)
  const [span] = spans
  if (!span) throw new Error('no span')
  return span
}

/** Statement from 100 to 110, COMMIT sent at 200 and answered at 202. */
const explicit = {
  statements: [run('a#1', 100, 110)],
  transactions: [{ ordinal: 1, end: { sentMs: 200, readyMs: 202 } }],
  taken: takes,
}

describe('from client stamps alone', () => {
  it('an explicit transaction holds from within the statement until within COMMIT', () => {
    expect(only(explicit)).toMatchObject({
      relation: 'orders',
      kind: 'table',
      table: 'orders',
      mode: AX,
      existedBefore: true,
      statement: 'a#1',
      transaction: 1,
      askedMs: { lowMs: 100, highMs: 110 },
      grantedMs: { lowMs: 100, highMs: 110 },
      releasedMs: { lowMs: 200, highMs: 202 },
      heldMs: { lowMs: 90, highMs: 102 },
      waitedMs: { lowMs: 0, highMs: 10 },
      how: 'client stamps',
      blocksReads: true,
      blocksWrites: true,
    })
  })

  it('an autocommitted statement holds for anything between nothing and its whole duration', () => {
    const span = only({ ...explicit, transactions: [{ ordinal: 1, end: { sentMs: 100, readyMs: 110 } }] })
    expect(span).toMatchObject({
      grantedMs: { lowMs: 100, highMs: 110 },
      releasedMs: { lowMs: 100, highMs: 110 },
      heldMs: { lowMs: 0, highMs: 10 },
    })
  })

  it('a failing statement releases at the error what statements before it took', () => {
    const spans = lockSpans(
      spanInput({
        statements: [run('a#1', 100, 110), run('a#2', 150, 160, 1, failed('23502'))],
        // The runner's stamps of the failing statement, not those of the ROLLBACK at 500.
        transactions: [{ ordinal: 1, end: { sentMs: 150, readyMs: 160 } }],
        taken: takes,
      }),
    )
    expect(spans).toHaveLength(1)
    expect(spans[0]).toMatchObject({ releasedMs: { lowMs: 150, highMs: 160 }, heldMs: { lowMs: 40, highMs: 60 } })
  })

  it('knows what each mode blocks', () => {
    const modes = ['SHARE UPDATE EXCLUSIVE', 'SHARE', AX] as const
    const span = (mode: (typeof modes)[number]) =>
      only({ ...explicit, taken: new Map([['a#1', [taken('orders', mode)]]]) })
    expect(modes.map((mode) => [span(mode).blocksReads, span(mode).blocksWrites])).toEqual([
      [false, false],
      [false, true],
      [true, true],
    ])
  })

  it('one span for a lock that two statements of a transaction take, two in two transactions', () => {
    const twice = new Map([
      ['a#1', [taken('orders', AX)]],
      ['a#2', [taken('orders', AX), taken('users', 'SHARE')]],
    ])
    const statements = (second: number) => [run('a#1', 100, 110), run('a#2', 120, 130, second)]
    const transactions = [
      { ordinal: 1, end: { sentMs: 200, readyMs: 202 } },
      { ordinal: 2, end: { sentMs: 300, readyMs: 302 } },
    ]
    const list = (second: number) =>
      lockSpans(spanInput({ statements: statements(second), transactions, taken: twice })).map(
        (s) => `${s.id} ${s.statement} ${s.relation} ${s.transaction}`,
      )
    expect(list(1)).toEqual(['L1 a#1 orders 1', 'L2 a#2 users 1'])
    expect(list(2)).toEqual(['L1 a#1 orders 1', 'L2 a#2 orders 2', 'L3 a#2 users 2'])
  })

  it('a stronger mode of the same relation is a span of its own', () => {
    const both = new Map([['a#1', [taken('orders', 'SHARE'), taken('orders', AX)]]])
    expect(lockSpans(spanInput({ ...explicit, taken: both })).map((s) => s.mode)).toEqual(['SHARE', AX])
  })

  it('leaves TOAST relations out', () => {
    expect(lockSpans(spanInput({ ...explicit, taken: new Map([['a#1', [taken('toast', AX)]]]) }))).toEqual([])
  })
})

describe('with looks', () => {
  it('a look that shows it granted narrows the grant from above', () => {
    const span = only({ ...explicit, looks: [look(99), look(104, [granted(MIGRATION, 'orders', AX)])] })
    // The look from before the statement left proves nothing about it.
    expect(span.grantedMs).toEqual({ lowMs: 100, highMs: 105 })
    expect(span.how).toBe('client stamps and sampler')
  })

  it('a look within the statement without it narrows the grant from below', () => {
    const span = only({ ...explicit, looks: [look(102), look(106, [granted(MIGRATION, 'orders', AX)])] })
    expect(span).toMatchObject({ askedMs: { lowMs: 102, highMs: 107 }, grantedMs: { lowMs: 102, highMs: 107 } })
  })

  it('absence proves nothing about a lock that no look ever showed', () => {
    const span = only({
      ...explicit,
      transactions: [{ ordinal: 1, end: { sentMs: 100, readyMs: 110 } }],
      looks: [look(101), look(103), look(107)],
    })
    expect(span).toMatchObject({ grantedMs: { lowMs: 100, highMs: 110 }, releasedMs: { lowMs: 100, highMs: 110 } })
    expect(span.how).toBe('client stamps')
  })

  it('the release lies after the last look that showed it and before the first one that no longer did', () => {
    const mine = [granted(MIGRATION, 'orders', AX)]
    const span = only({
      ...explicit,
      transactions: [{ ordinal: 1, end: { sentMs: 100, readyMs: 160 } }],
      statements: [run('a#1', 100, 160)],
      looks: [look(103, mine), look(140, mine), look(150), look(155)],
    })
    expect(span.releasedMs).toEqual({ lowMs: 140, highMs: 151 })
    expect(span.heldMs).toEqual({ lowMs: 140 - 104, highMs: 151 - 100 })
  })

  it('granted after a wait: asked at the time of the server, granted after the last look that showed it waiting', () => {
    const span = only({
      ...explicit,
      statements: [run('a#1', 100, 400)],
      transactions: [{ ordinal: 1, end: { sentMs: 500, readyMs: 503 } }],
      looks: [
        look(101),
        look(110, [waiting(MIGRATION, 'orders', AX, [2], 102.5)]),
        look(380, [waiting(MIGRATION, 'orders', AX, [2], 102.5)]),
        look(390, [granted(MIGRATION, 'orders', AX)]),
      ],
      offset: { lowMs: OFFSET_MS - 0.25, highMs: OFFSET_MS + 0.25 },
    })
    expect(span).toMatchObject({
      askedMs: { lowMs: 102.25, highMs: 102.75 },
      grantedMs: { lowMs: 380, highMs: 391 },
      releasedMs: { lowMs: 500, highMs: 503 },
      waitedMs: { lowMs: 380 - 102.75, highMs: 391 - 102.25 },
    })
  })

  it('without a clock offset the start of a wait is known by looks alone', () => {
    const span = only({
      ...explicit,
      statements: [run('a#1', 100, 400)],
      looks: [look(101), look(110, [waiting(MIGRATION, 'orders', AX, [2], 102.5)])],
      offset: null,
    })
    expect(span.askedMs).toEqual({ lowMs: 101, highMs: 400 })
  })

  it('never granted (55P03): no grant, no hold, waited until within the error', () => {
    const span = only({
      ...explicit,
      statements: [run('a#1', 100, 2_105, 1, failed('55P03'))],
      transactions: [{ ordinal: 1, end: { sentMs: 100, readyMs: 2_105 } }],
      looks: [
        look(110, [waiting(MIGRATION, 'orders', AX, [2], 102)]),
        look(2_090, [waiting(MIGRATION, 'orders', AX, [2], 102)]),
      ],
    })
    expect(span).toMatchObject({
      grantedMs: null,
      heldMs: null,
      askedMs: { lowMs: 102, highMs: 102 },
      releasedMs: { lowMs: 2_090, highMs: 2_105 },
      waitedMs: { lowMs: 1_988, highMs: 2_003 },
    })
  })

  it.each(['55P03', '40P01', '57014'])(
    'a lock behind the one that was waited for in vain (%s) was never asked for',
    (sqlstate) => {
      const input = {
        ...explicit,
        statements: [run('a#1', 100, 2_105, 1, failed(sqlstate))],
        transactions: [{ ordinal: 1, end: { sentMs: 100, readyMs: 2_105 } }],
        taken: new Map([['a#1', [taken('users', 'SHARE'), taken('orders', AX), taken('orders_idx', AX)]]]),
      }
      const looks = [110, 1_000, 2_090].map((ms) =>
        look(ms, [granted(MIGRATION, 'users', 'SHARE'), waiting(MIGRATION, 'orders', AX, [2], 102)]),
      )
      const spans = lockSpans(spanInput({ ...input, looks }))
      expect(spans.map((s) => [s.relation, s.grantedMs !== null])).toEqual([
        ['users', true],
        ['orders', false],
      ])
      // When nobody saw the waiting, nothing is known about the order.
      expect(lockSpans(spanInput(input))).toHaveLength(3)
    },
  )

  it('a statement that waited, got its lock and failed later did hold it', () => {
    const span = only({
      ...explicit,
      statements: [run('a#1', 100, 300, 1, failed('23505'))],
      transactions: [{ ordinal: 1, end: { sentMs: 100, readyMs: 300 } }],
      looks: [
        look(110, [waiting(MIGRATION, 'orders', AX, [2], 102)]),
        look(120, [granted(MIGRATION, 'orders', AX)]),
        look(290, [granted(MIGRATION, 'orders', AX)]),
      ],
    })
    expect(span).toMatchObject({ grantedMs: { lowMs: 110, highMs: 121 }, releasedMs: { lowMs: 290, highMs: 300 } })
  })

  it('a lock that only the sampler knows belongs to the statement in whose time it was seen', () => {
    const spans = lockSpans(
      spanInput({
        statements: [run('a#1', 100, 110), run('a#2', 120, 150)],
        transactions: [{ ordinal: 1, end: { sentMs: 200, readyMs: 202 } }],
        looks: [
          look(108, [], 4),
          // Begun before the second statement left: it could be the first one's.
          look(119, [granted(MIGRATION, 'items', 'SHARE')], 3),
          look(130, [granted(MIGRATION, 'users', 'SHARE'), granted(2, 'orders', 'ROW EXCLUSIVE')]),
        ],
      }),
    )
    expect(spans).toHaveLength(1)
    expect(spans[0]).toMatchObject({ relation: 'users', statement: 'a#2', how: 'sampler', existedBefore: true })
    expect(spans[0]?.grantedMs).toEqual({ lowMs: 120, highMs: 131 })
  })

  it("other sessions' locks, other modes and rows that are no relation locks are not taken for it", () => {
    const span = only({
      ...explicit,
      looks: [
        look(103, [
          granted(2, 'orders', AX),
          granted(MIGRATION, 'orders', 'SHARE'),
          { ...granted(MIGRATION, 'orders', AX), lockType: 'tuple' },
        ]),
      ],
      taken: new Map([['a#1', [taken('orders', AX), taken('orders', 'SHARE')].slice(0, 1)]]),
      pids: [MIGRATION, 77].slice(0, 1),
      relationOf: (oid) =>
        oid === 100 ? null : { relation: 'orders', kind: 'table', table: 'orders', existedBefore: true },
    })
    expect(span.how).toBe('client stamps')
    expect(span.grantedMs).toEqual({ lowMs: 100, highMs: 110 })
  })

  it('CONCURRENTLY lets go and takes again: one span over both, never shorter than the truth', () => {
    const mine = [granted(MIGRATION, 'orders', 'SHARE UPDATE EXCLUSIVE')]
    const span = only({
      statements: [run('a#1', 100, 900)],
      transactions: [{ ordinal: 1, end: { sentMs: 100, readyMs: 900 } }],
      taken: new Map([['a#1', [taken('orders', 'SHARE UPDATE EXCLUSIVE')]]]),
      looks: [look(105, mine), look(300, mine), look(310), look(320, mine), look(880, mine), look(890)],
    })
    expect(span).toMatchObject({ grantedMs: { lowMs: 100, highMs: 106 }, releasedMs: { lowMs: 880, highMs: 891 } })
  })
})

describe('announcements', () => {
  it('work on a table is announced when its lock is held', () => {
    const span = only({
      ...explicit,
      announced: (statement, table) => (statement === 'a#1' && table === 'orders' ? 103 : null),
    })
    expect(span).toMatchObject({ askedMs: { lowMs: 100, highMs: 103 }, grantedMs: { lowMs: 100, highMs: 103 } })
  })

  it("says nothing about the table's indexes", () => {
    const spans = lockSpans(
      spanInput({
        ...explicit,
        taken: new Map([['a#1', [taken('orders', AX), taken('orders_idx', AX)]]]),
        announced: () => 103,
      }),
    )
    expect(spans.map((s) => [s.relation, s.grantedMs?.highMs])).toEqual([
      ['orders', 103],
      ['orders_idx', 110],
    ])
  })
})

it('minus and plus of brackets', () => {
  expect(minus({ lowMs: 10, highMs: 12 }, { lowMs: 4, highMs: 5 })).toEqual({ lowMs: 5, highMs: 8 })
  expect(minus({ lowMs: 10, highMs: 12 }, { lowMs: 11, highMs: 13 })).toEqual({ lowMs: 0, highMs: 1 })
  expect(plus({ lowMs: 10, highMs: 12 }, { lowMs: 4, highMs: 5 })).toEqual({ lowMs: 14, highMs: 17 })
})

describe('never on the wrong side', () => {
  /** Park and Miller's generator. */
  const random = (seed: number) => {
    let state = seed
    return (low: number, high: number) =>
      low + ((state = (state * 48_271) % 2_147_483_647) / 2_147_483_647) * (high - low)
  }
  const inside = (what: string, truth: number, bracket: Bracket | null): void => {
    if (!bracket) throw new Error(`${what}: no bracket`)
    expect(bracket.lowMs, what).toBeLessThanOrEqual(truth + 1e-6)
    expect(bracket.highMs, what).toBeGreaterThanOrEqual(truth - 1e-6)
  }

  it.each([1, 2, 3, 4])('whatever the sampler saw (series %i)', (series) => {
    const between = random(series * 7_919)
    for (let i = 0; i < 1_500; i++) {
      const start = 100
      const asked = start + between(0, 3)
      const waits = between(0, 1) < 0.5
      const grantedAt = asked + (waits ? between(0, 120) : 0)
      const autocommit = between(0, 1) < 0.4
      const known = between(0, 1) < 0.7
      const gaveUp = waits && between(0, 1) < 0.2
      const end = grantedAt + between(0.1, 100)
      const commit =
        autocommit || gaveUp ? { sentMs: start, readyMs: end } : { sentMs: end + between(0, 100), readyMs: 0 }
      const released =
        autocommit || gaveUp ? end - between(0, Math.min(0.1, end - grantedAt)) : commit.sentMs + between(0, 2)
      if (commit.readyMs === 0) commit.readyMs = released + between(0, 1)
      const looks: Look[] = []
      for (let t = 90 + between(0, 15); t < commit.readyMs + 30;) {
        const width = between(0.2, 6)
        // The lock table was read at one instant in here.
        const at = t + between(0, width)
        const mine =
          at < asked || at >= released
            ? []
            : at < grantedAt || gaveUp
              ? [waiting(MIGRATION, 'orders', AX, [2], between(0, 1) < 0.8 ? asked : null)]
              : [granted(MIGRATION, 'orders', AX)]
        looks.push({ ...look(t, mine, width) })
        t += width + between(0, 25)
      }
      const error = between(0.05, 2)
      const spans = lockSpans(
        spanInput({
          statements: [
            run('a#1', start, autocommit || gaveUp ? commit.readyMs : end, 1, gaveUp ? failed('55P03') : { ok: true }),
          ],
          transactions: [{ ordinal: 1, end: commit }],
          taken: known ? takes : new Map(),
          looks,
          offset: { lowMs: OFFSET_MS - error * between(0, 1), highMs: OFFSET_MS + error * between(0, 1) },
        }),
      )
      if (!known && spans.length === 0) continue
      expect(spans).toHaveLength(1)
      const [span] = spans
      if (!span) continue
      const what = JSON.stringify({
        i,
        asked,
        grantedAt,
        released,
        gaveUp,
        autocommit,
        span,
        looks: looks.map((l) => [l.fromMs, l.toMs, l.locks.map((x) => x.granted)]),
      })
      inside(`asked ${what}`, asked, span.askedMs)
      inside(`released ${what}`, released, span.releasedMs)
      // Nobody can tell a lock that was never granted when no look saw the wait.
      const seen = looks.some((l) => l.locks.length > 0)
      if (gaveUp && seen) {
        expect(span.grantedMs).toBeNull()
        inside(`waited ${what}`, released - asked, span.waitedMs)
      } else if (!gaveUp) {
        inside(`granted ${what}`, grantedAt, span.grantedMs)
        inside(`held ${what}`, released - grantedAt, span.heldMs)
        inside(`waited ${what}`, grantedAt - asked, span.waitedMs)
      }
    }
  })
})
