import { judge } from '../../src/judge/index.js'
/** Rules about locks, work under them, bulk writes, and the summary by relation. */
import { describe, expect, it } from 'vitest'
import type { BlockedGroup, LockMode, Recording, Work } from '../../src/recording.js'
import * as p from '../fixtures/parts.js'
import { found, judged, plain, severities, span, takenOn, uses, work } from './build.js'

const AX = 'ACCESS EXCLUSIVE'
const ran = (over: Partial<Work>, ms = 10) =>
  p.migration([p.ran(plain, 1, 100, 100 + ms, { work: work({ locks: [takenOn('orders', AX)], ...over }) })])

describe('lock held', () => {
  const held = (low: number, high: number, budgets?: Recording['budgets']) =>
    judged({ timed: { locks: [span('orders', AX, low, high)] } }, budgets)

  it.each<[number, number, string[]]>([
    [100, 100, []],
    [100.1, 100.2, ['warn']],
    [1_000, 1_000, ['warn']],
    [1_000.1, 1_000.2, ['fail']],
    [0, 1_001, ['warn']],
    [0, 1_000, []],
  ])('for [%d, %d] ms', (low, high, expected) => {
    expect(severities(held(low, high), 'lock-held')).toEqual(expected)
    expect(held(low, high).budgets.find((b) => b.metric === 'lock.held')?.status).toBe(expected[0] ?? 'ok')
  })
  it("other limits win, the caller's over the recording's", () => {
    expect(severities(held(500, 500, { 'lock.held': { warn: null, fail: 400 } }), 'lock-held')).toEqual(['fail'])
    const own = {
      recording: { budgets: { 'lock.held': { warn: 1, fail: null } } },
      timed: { locks: [span('orders', AX, 5_000, 5_000)] },
    }
    expect(severities(judged(own), 'lock-held')).toEqual(['warn'])
    expect(severities(judged(own, { 'lock.held': { warn: null, fail: null } }), 'lock-held')).toEqual([])
    expect(judged(own, { 'lock.held': { warn: null, fail: null } }).recording.budgets).toEqual({
      'lock.held': { warn: null, fail: null },
    })
  })
  it.each<[string, Parameters<typeof judged>[0]]>([
    ['traffic does not use the relation', { timed: { locks: [span('users', AX, 5_000, 5_000)] } }],
    [
      'nothing that traffic does conflicts with the mode',
      { timed: { locks: [span('orders', 'SHARE UPDATE EXCLUSIVE', 5_000, 5_000)] } },
    ],
    ['the relation is new', { timed: { locks: [span('orders', AX, 5_000, 5_000, { existedBefore: false })] } }],
    [
      'it was never granted',
      { timed: { locks: [span('orders', AX, 5_000, 5_000, { heldMs: null, grantedMs: null })] } },
    ],
  ])('says nothing when %s', (_, parts) => {
    expect(found(judged(parts), 'lock-held')).toEqual([])
  })
  it('SHARE hurts writers, not readers', () => {
    const share = { locks: [span('orders', 'SHARE', 5_000, 5_000)] }
    expect(severities(judged({ timed: share }), 'lock-held')).toEqual(['fail'])
    const readers = judged({ timed: share, quiet: { operationLocks: [uses('get', 'orders', 'ACCESS SHARE')] } })
    expect(severities(readers, 'lock-held')).toEqual([])
  })
  it('the longest of one transaction on one table speaks for it', () => {
    const locks = [
      span('orders', 'SHARE', 2_000, 2_000),
      span('orders', AX, 3_000, 3_000),
      span('orders_idx', AX, 1_500, 1_500, { kind: 'index', table: 'orders' }),
    ]
    const operationLocks = [
      uses('put', 'orders', 'ROW EXCLUSIVE'),
      uses('get', 'orders_idx', 'ACCESS SHARE', { kind: 'index', table: 'orders' }),
    ]
    const all = found(judged({ timed: { locks }, quiet: { operationLocks } }), 'lock-held')
    expect(all).toHaveLength(1)
    expect(all[0]?.title).toContain(AX)
    const two = [span('orders', AX, 2_000, 2_000), span('orders', AX, 2_000, 2_000, { transaction: 2 })]
    expect(found(judged({ timed: { locks: two } }), 'lock-held')).toHaveLength(2)
  })
})

describe('an operation that is blocked', () => {
  const group = (low: number, high: number, over: Partial<BlockedGroup> = {}): BlockedGroup => ({
    statement: plain.id,
    sessions: 2,
    waits: 2,
    longestMs: { lowMs: low, highMs: high },
    totalMs: { lowMs: low, highMs: 2 * high },
    by: [],
    worst: { atMs: 1, sessions: [] },
    ...over,
  })
  it.each<[number, number, string[]]>([
    [200, 200, []],
    [200.1, 201, ['warn']],
    [2_000, 2_000, ['warn']],
    [2_000.1, 2_001, ['fail']],
    [10, 2_001, ['warn']],
  ])('for [%d, %d] ms', (low, high, expected) => {
    const report = judged({ timed: { blocked: [group(low, high)] } })
    expect(severities(report, 'operation-blocked')).toEqual(expected)
    expect(report.budgets.find((b) => b.metric === 'operation.blocked')).toMatchObject({
      status: expected[0] ?? 'ok',
      low,
      high,
      worstAt: '1.sql:1',
    })
  })
  it('names the lock in front, or row locks', () => {
    const text = (locks: Parameters<typeof judged>[0]) => found(judged(locks), 'operation-blocked')[0]
    expect(text({ timed: { blocked: [group(300, 300)] } })).toMatchObject({
      relation: 'orders',
      at: { statement: plain.id },
    })
    expect(text({ timed: { blocked: [group(300, 300)], locks: [] } })).toMatchObject({ relation: null })
    expect(text({ timed: { blocked: [group(300, 300)], locks: [] } })?.evidence.join(' ')).toMatch(/row locks/i)
  })
})

describe('lock_timeout', () => {
  const asks = (lockTimeoutMs: number | null, mode: LockMode, relation = 'orders', existedBefore = true) =>
    severities(
      judged({ quiet: { migration: ran({ lockTimeoutMs, locks: [takenOn(relation, mode, { existedBefore })] }) } }),
      'no-lock-timeout',
    )
  it('missing is a warning only where traffic conflicts', () => {
    expect(asks(0, AX)).toEqual(['warn'])
    expect(asks(0, 'SHARE')).toEqual(['warn'])
    expect(asks(2_000, AX)).toEqual([])
    expect(asks(null, AX)).toEqual([])
    expect(asks(0, 'SHARE UPDATE EXCLUSIVE')).toEqual([])
    expect(asks(0, AX, 'users')).toEqual([])
    expect(asks(0, AX, 'orders', false)).toEqual([])
  })
  it('is told once for the whole migration', () => {
    const second = p.statement('1.sql', 2, 4, 'AlterTableStmt', 'alter table orders drop column note')
    const runs = [plain, second].map((s, i) =>
      p.ran(s, i + 1, 100, 110, { work: work({ lockTimeoutMs: 0, locks: [takenOn('orders', AX)] }) }),
    )
    const report = judged({ statements: [plain, second], quiet: { migration: p.migration(runs) } })
    expect(severities(report, 'no-lock-timeout')).toEqual(['warn'])
  })
})

describe('work under a lock', () => {
  const scans = { scans: [{ relation: 'orders', rows: 200_000, passes: 1, existedBefore: true }] }
  const production = (orders: number) => ({ productionRows: { orders } })
  const report = (over: Partial<Work>, ms: number, rows?: number, timedMs = ms) =>
    judged({
      recording: rows === undefined ? {} : production(rows),
      quiet: { migration: ran(over, ms) },
      timed: { migration: p.migration([p.ran(plain, 1, 13_000, 13_000 + timedMs)]) },
    })

  it('that grows, with an unknown production, warns', () => {
    expect(severities(report(scans, 10), 'grows-under-lock')).toEqual(['warn'])
    expect(found(report(scans, 10), 'grows-under-lock')[0]?.projection).toBeNull()
  })
  it.each<[string, Partial<Work>, string]>([
    ['a scan', scans, 'scan'],
    ['a rewrite', { rewrites: [{ relation: 'orders', rows: 200_000, bytes: 1 }], ...scans }, 'rewrite'],
    ['an index build', { indexBuilds: [{ relation: 'i', table: 'orders', bytes: 1 }], ...scans }, 'index build'],
    [
      'bulk writes',
      { rowsWritten: [{ relation: 'orders', inserted: 0, updated: 1_000, deleted: 0, existedBefore: true }] },
      'rows written',
    ],
  ])('%s is projected to production', (_, over, kind) => {
    const found_ = found(report(over, 100, 2_000_000), 'work-under-lock')
    expect(found_.map((f) => f.projection?.work)).toEqual([kind])
    expect(found_[0]?.projection).toMatchObject({ rowsHere: 200_000, rowsInProduction: 2_000_000 })
  })
  it.each<[string, Partial<Work>]>([
    [
      'fewer than 1,000 rows written',
      { rowsWritten: [{ relation: 'orders', inserted: 999, updated: 0, deleted: 0, existedBefore: true }] },
    ],
    [
      'rows of a new table',
      { rowsWritten: [{ relation: 'orders', inserted: 9_999, updated: 0, deleted: 0, existedBefore: false }] },
    ],
    ['a scan of a new table', { scans: [{ relation: 'fresh', rows: 200_000, passes: 1, existedBefore: false }] }],
    ['no lock that traffic meets', { ...scans, locks: [takenOn('orders', 'SHARE UPDATE EXCLUSIVE')] }],
    ['no work', {}],
  ])('%s is no such work', (_, over) => {
    const all = report(over, 100, 2_000_000).findings.map((f) => f.rule)
    expect(all.filter((rule) => /under-lock/.test(rule))).toEqual([])
  })

  // roundTripMs is 0.21: 0.42 ms are constant. low = (ms - 0.42) * ratio * 0.5
  it.each<[number, number, string]>([
    [20.42, 2_000_000, 'info'],
    [20.43, 2_000_000, 'warn'],
    [200.42, 2_000_000, 'warn'],
    [200.43, 2_000_000, 'fail'],
    [5, 200_000_000, 'fail'],
  ])('%d ms here, %d rows in production: %s', (ms, rows, severity) => {
    const all = found(report(scans, ms, rows), 'work-under-lock')
    expect(all.map((f) => f.severity)).toEqual([severity])
    expect(all[0]?.projection?.lowMs).toBeCloseTo((ms - 0.42) * (rows / 200_000) * 0.5, 6)
    expect(all[0]?.projection?.highMs).toBeCloseTo(ms * (rows / 200_000) * 3, 6)
  })
  it('takes the shorter of both passes for the low end, less what it waited', () => {
    const quick = found(report(scans, 400, 2_000_000, 40.42), 'work-under-lock')[0]?.projection
    expect(quick?.lowMs).toBeCloseTo(200, 6)
    expect(quick?.measuredMs).toBeCloseTo(400, 6)
    const waited = judged({
      recording: production(2_000_000),
      quiet: { migration: ran(scans, 400) },
      timed: {
        migration: p.migration([p.ran(plain, 1, 13_000, 13_240.42)]),
        locks: [span('orders', AX, 20, 20, { waitedMs: { lowMs: 200, highMs: 210 } })],
      },
    })
    expect(found(waited, 'work-under-lock')[0]?.projection?.lowMs).toBeCloseTo(200, 6)
  })
  it('is the business of later statements of the transaction too, and blamed on them', () => {
    const second = p.statement('1.sql', 2, 4, 'UpdateStmt', 'update orders set note = 1')
    const runs = (transaction: number) => [
      p.ran(plain, 1, 100, 101, { work: work({ locks: [takenOn('orders', AX)] }) }),
      p.ran(second, transaction, 102, 602, { work: work({ ...scans }) }),
    ]
    const of = (transaction: number) =>
      judged({
        statements: [plain, second],
        recording: production(2_000_000),
        quiet: { migration: p.migration(runs(transaction)) },
      })
    expect(found(of(1), 'work-under-lock')[0]).toMatchObject({
      severity: 'fail',
      at: { statement: second.id },
      relation: 'orders',
    })
    expect(found(of(2), 'work-under-lock')).toEqual([])
  })
  it('a long statement without growing work warns by its own limit', () => {
    expect(severities(report({}, 5_000), 'long-under-lock')).toEqual([])
    expect(severities(report({}, 5_001), 'long-under-lock')).toEqual(['warn'])
    expect(severities(report({ locks: [] }, 9_000), 'long-under-lock')).toEqual([])
    expect(
      severities(
        judge(report({}, 900).recording, { 'statement.underLock': { warn: 100, fail: 500 } }),
        'long-under-lock',
      ),
    ).toEqual(['fail'])
  })
  it('a long statement with growing work warns by that limit, too', () => {
    expect(severities(report(scans, 5_001, 20_000), 'long-under-lock')).toEqual(['warn'])
  })
  it('the budget shows the projection beside what was measured', () => {
    const budget = report(scans, 500, 2_000_000).budgets.find((b) => b.metric === 'lock.held')
    expect(budget).toMatchObject({ status: 'fail', measured: 20, worstAt: '1.sql:1' })
    expect(budget?.projected?.rowsInProduction).toBe(2_000_000)
  })
})

describe('bulk writes', () => {
  const writes = (updated: number, over: Partial<Work> = {}) => ({
    rowsWritten: [{ relation: 'users', inserted: 0, updated, deleted: 0, existedBefore: true }],
    locks: [],
    ...over,
  })
  const rule = (over: Partial<Work>, parts: Parameters<typeof judged>[0] = {}) =>
    severities(judged({ quiet: { migration: ran(over) }, ...parts }), 'bulk-write')

  it('above 5,000 rows in one transaction warn', () => {
    expect(rule(writes(5_000))).toEqual([])
    expect(rule(writes(5_001))).toEqual(['warn'])
    expect(
      rule({
        ...writes(0),
        rowsWritten: [{ relation: 'users', inserted: 3_000, updated: 1_000, deleted: 1_001, existedBefore: true }],
      }),
    ).toEqual(['warn'])
  })
  it('of new tables do not count', () => {
    expect(
      rule({
        ...writes(0),
        rowsWritten: [{ relation: 'new', inserted: 90_000, updated: 0, deleted: 0, existedBefore: false }],
      }),
    ).toEqual([])
  })
  it('a CALL that commits in between is judged by its average', () => {
    expect(rule(writes(200_000, { transactions: 40 }))).toEqual([])
    expect(rule(writes(200_000, { transactions: 39 }))).toEqual(['warn'])
  })
  it('of several statements of one transaction add up, of two transactions they do not', () => {
    const second = p.statement('1.sql', 2, 2, 'UpdateStmt', 'update users set x = 1')
    const runs = (transaction: number) =>
      p.migration(
        [plain, second].map((s, i) =>
          p.ran(s, i === 0 ? 1 : transaction, 100 + i, 101 + i, { work: work(writes(3_000)) }),
        ),
      )
    const of = (transaction: number) =>
      severities(judged({ statements: [plain, second], quiet: { migration: runs(transaction) } }), 'bulk-write')
    expect(of(1)).toEqual(['warn'])
    expect(of(2)).toEqual([])
  })
  it('that read the whole table grow with it, batches and single rows do not', () => {
    const scanned = {
      scans: [{ relation: 'orders', rows: 200_000, passes: 1, existedBefore: true }],
      rowsWritten: [{ relation: 'orders', inserted: 0, updated: 4_000, deleted: 0, existedBefore: true }],
    }
    const bigger = { recording: { productionRows: { orders: 400_000 } } }
    expect(rule(scanned, bigger)).toEqual(['warn'])
    expect(rule(scanned)).toEqual([])
    const huge = { recording: { productionRows: { orders: 200_000_000 } } }
    expect(rule({ ...scanned, transactions: 2 }, huge)).toEqual([])
    expect(
      rule(
        {
          ...scanned,
          scans: [],
          rowsWritten: [{ relation: 'orders', inserted: 0, updated: 400, deleted: 0, existedBefore: true }],
        },
        { recording: { productionRows: { orders: 200_000_000 } } },
      ),
    ).toEqual([])
    expect(found(judged({ ...bigger, quiet: { migration: ran(scanned) } }), 'bulk-write')[0]?.title).toMatch(
      /8,000.*projected/,
    )
  })
})

describe('summary by relation', () => {
  const summary = (locks: Work['locks'], timed: Parameters<typeof judged>[0] = { timed: { locks: [] } }) =>
    judged({ ...timed, quiet: { migration: ran({ locks }) } }).relations
  const idx = (mode: LockMode) => takenOn('orders_idx', mode, { kind: 'index', table: 'orders' })

  it('the strongest mode, new relations and TOAST left out, worst first', () => {
    const rows = summary([
      takenOn('orders', 'SHARE'),
      takenOn('orders', AX),
      takenOn('orders', 'ROW EXCLUSIVE'),
      takenOn('users', 'SHARE ROW EXCLUSIVE'),
      takenOn('fresh', AX, { existedBefore: false }),
      takenOn('pg_toast_1', AX, { kind: 'toast', table: 'orders' }),
      takenOn('orders_id_seq', AX, { kind: 'sequence', table: 'orders_id_seq' }),
    ])
    expect(rows.map((r) => `${r.relation} ${r.kind} ${r.strongest} ${r.blocksReads} ${r.blocksWrites}`)).toEqual([
      'orders table ACCESS EXCLUSIVE true true',
      'orders_id_seq sequence ACCESS EXCLUSIVE true true',
      'users table SHARE ROW EXCLUSIVE false true',
    ])
  })
  it('an ACCESS EXCLUSIVE lock on an index blocks reads and writes of its table, whose own mode stays', () => {
    expect(summary([takenOn('orders', 'SHARE'), idx(AX)])).toMatchObject([
      { relation: 'orders', strongest: 'SHARE', blocksReads: true, blocksWrites: true },
    ])
    expect(summary([idx(AX)])).toMatchObject([
      { relation: 'orders', kind: 'table', blocksReads: true, blocksWrites: true },
    ])
    expect(summary([takenOn('orders', 'SHARE'), idx('SHARE UPDATE EXCLUSIVE')])).toMatchObject([
      { blocksReads: false, blocksWrites: true },
    ])
  })
  it('locks that only the timed pass met count', () => {
    expect(summary([], { timed: { locks: [span('users', 'SHARE', 5, 6)] } })).toMatchObject([
      { relation: 'users', strongest: 'SHARE', heldMs: { lowMs: 5, highMs: 6 } },
    ])
  })
  it('has the holds and waits that were measured', () => {
    const waits = [
      p.wait({ release: 'old', operation: 'put', connection: 1 }, 'orders', 100, 150, plain),
      p.wait({ release: 'old', operation: 'put', connection: 1 }, 'orders', 200, 230, plain),
      p.wait({ release: 'new', operation: 'put', connection: 1 }, 'orders', 100, 200, plain),
      { ...p.wait({ release: 'new', operation: 'put', connection: 3 }, 'users', 100, 900, plain), behind: null },
    ]
    const [row] = summary([takenOn('orders', AX)], {
      timed: { locks: [span('orders', AX, 20, 22), span('orders', AX, 50, 52, { transaction: 2 })], waits },
    })
    expect(row).toMatchObject({ heldMs: { lowMs: 50, highMs: 52 }, sessionsBlocked: 2 })
    expect(row?.longestWaitMs?.highMs).toBeCloseTo(101.2)
    expect(row?.blockedTotalMs?.lowMs).toBeCloseTo(180 - 3.6)
  })
  it('without a timed pass nothing of it is measured', () => {
    const only = judged({ recording: { passes: [] } })
    expect(only.relations).toEqual([])
    const [row] = summary([takenOn('orders', AX)], { timed: { locks: [], waits: [] } })
    expect(row).toMatchObject({ heldMs: null, sessionsBlocked: 0 })
  })
})
