import { describe, expect, it } from 'vitest'
import type { Plan, PlanChange, PlanComparison, QueryTiming, Recording, TimingRatio } from '../../src/recording.js'
import { found, judged, plain, severities, takenOn, work } from './build.js'
import * as p from '../fixtures/parts.js'

type Timing = NonNullable<QueryTiming['before']>
const at = (medianMs: number, madMs = 0): Timing => ({ medianMs, madMs, samples: 30 })
const timing = (before: number | null, after: number | null, over: Partial<QueryTiming> = {}): QueryTiming => ({
  release: 'old',
  operation: 'get',
  before: before === null ? null : at(before),
  after: after === null ? null : at(after),
  settled: null,
  planChanged: false,
  ratio: null,
  settledRatio: null,
  plans: [],
  reason: null,
  ...over,
})
const between = (low: number, value: number, high: number): TimingRatio => ({ low, value, high, rounds: 10 })
const report = (timings: QueryTiming[], budgets = {}, recording: Partial<Recording> = {}) =>
  judged({ quiet: { timings }, recording }, budgets)
const rule = (...timings: QueryTiming[]) => severities(report(timings), 'query-slower')

describe('a query that is slower afterwards', () => {
  it('warns beyond 1.5 times', () => {
    expect(rule(timing(10, 15))).toEqual([])
    expect(rule(timing(10, 15.1))).toEqual(['warn'])
    expect(rule(timing(10, 5))).toEqual([])
  })
  it('not for what is less than a millisecond, nor within the spread', () => {
    expect(rule(timing(0.1, 1))).toEqual([])
    expect(rule(timing(10, 16, { after: at(16, 1) }))).toEqual([])
    expect(rule(timing(10, 16, { before: at(10, 1) }))).toEqual([])
  })
  it('with alternating rounds only when the low end is beyond the limit', () => {
    expect(rule(timing(10, 30, { ratio: between(1.4, 3, 6) }))).toEqual([])
    expect(rule(timing(10, 30, { ratio: between(1.6, 3, 6) }))).toEqual(['warn'])
    // The spread of single runs does not count then: it is the same on both sides.
    expect(rule(timing(10, 30, { before: at(10, 9), ratio: between(1.6, 3, 6) }))).toEqual(['warn'])
    expect(rule(timing(0.2, 1, { ratio: between(4, 5, 6) }))).toEqual([])
  })
  it('nor when one side does not work', () => {
    expect(rule(timing(10, null))).toEqual([])
    expect(rule(timing(null, 10))).toEqual([])
  })
  it('by the limits that are set', () => {
    const strict = { 'query.slowdown': { warn: null, fail: 1.1 } }
    expect(severities(report([timing(10, 12)], strict), 'query-slower')).toEqual(['fail'])
  })
  it('says whether it lasts', () => {
    const of = (over: Partial<QueryTiming>) => found(report([timing(10, 30, over)]), 'query-slower')[0]
    const text = (over: Partial<QueryTiming>): string => of(over)?.evidence.join(' ') ?? ''
    expect(text({ settled: at(29) })).toMatch(/It lasts: /)
    expect(text({ settled: at(11) })).toMatch(/until vacuum/)
    expect(text({})).toMatch(/not measured/)
    const settled = at(29)
    const ratio = between(2.5, 3, 3.5)
    expect(of({ settled, ratio, settledRatio: between(2, 2.9, 3) })?.title).toMatch(/3\.0 times .*, permanently$/)
    expect(of({ settled: at(10.5), ratio, settledRatio: between(0.9, 1, 1.1) })?.title).toMatch(/, until autovacuum$/)
    expect(of({ settled, ratio, settledRatio: between(0.9, 2.9, 3) })?.title).toMatch(/migration$/)
    expect(text({ settled, ratio, settledRatio: between(0.9, 2.9, 3) })).toMatch(/not sure: .* 0\.90 and 3\.00/)
    expect(text({ ratio })).toMatch(/Between 2\.50 and 3\.50 times, from 10 rounds/)
  })
  it('that is slow only with statistics up to date', () => {
    const late = timing(10, 10, { ratio: between(0.9, 1, 1.1), settled: at(40), settledRatio: between(3, 4, 5) })
    const [one] = found(report([late]), 'query-slower')
    expect(one?.title).toMatch(/4\.0 times .* permanently/)
    expect(one?.evidence[0]).toMatch(/40 ms after VACUUM ANALYZE/)
  })
  it('one measurement is one finding', () => {
    const ratio = between(2, 3, 4)
    const both = report([timing(10, 30, { ratio }), timing(10, 30, { ratio, release: 'new' })])
    expect(found(both, 'query-slower').map((one) => one.title)).toEqual([
      'get (both releases) takes 3.0 times as long after the migration',
    ])
  })
  it('is the worst of its budget', () => {
    const budget = (...timings: QueryTiming[]) => report(timings).budgets.find((b) => b.metric === 'query.slowdown')
    expect(budget()).toMatchObject({ status: 'not measured', measured: null })
    expect(budget(timing(null, 10))).toMatchObject({ status: 'not measured', measured: null })
    expect(budget(timing(10, 11))).toMatchObject({ status: 'ok', worstAt: 'get (old), +1.0 ms' })
    // Above the limit and all right: it says why.
    expect(budget(timing(0.5, 1.2))).toMatchObject({
      status: 'ok',
      measured: 2.4,
      worstAt: 'get (old), +0.7 ms: less than 1 ms does not count',
    })
    expect(budget(timing(10, 30, { ratio: between(1.2, 2.8, 6) }))).toMatchObject({
      status: 'ok',
      measured: 2.8,
      low: 1.2,
      worstAt: 'get (old), +20 ms: at least 1.20× is sure',
    })
    expect(budget(timing(10, 20), timing(10, 40, { operation: 'put' }))).toMatchObject({
      status: 'warn',
      measured: 4,
      worstAt: 'put (old), +30 ms',
    })
  })
})

const scan = (rows: number, rowsRead: number): Plan => ({
  nodes: [{ node: 'Seq Scan', relation: 'orders', index: null, depth: 0, rows, expectedRows: rows, rowsRead }],
  pagesHit: 1,
  pagesRead: 0,
  temporaryPages: 0,
})
const lost: PlanChange[] = [
  { kind: 'index gone', relation: 'orders', index: 'orders_status_idx', text: 'index orders_status_idx is gone' },
  { kind: 'sequential scan', relation: 'orders', index: null, text: 'new sequential scan of orders' },
]
const gone: PlanChange[] = [
  { kind: 'statistics', relation: 'orders', index: null, text: 'statistics of orders.status are gone: 1 row expected' },
]
const plan = (over: Partial<PlanComparison>): Partial<QueryTiming> => ({
  plans: [{ statement: 0, before: scan(1, 1), after: null, settled: null, changes: [], lasting: [], ...over }],
})
const plans = (over: Partial<PlanComparison>, recording: Partial<Recording> = {}) =>
  found(report([timing(1, 1, plan(over))], {}, recording), 'plan-changed')

describe('a plan that is another one afterwards', () => {
  const whole = { after: scan(3, 34_000), settled: scan(3, 34_000), changes: lost, lasting: lost }

  it('warns of a lasting sequential scan of a large table, however fast', () => {
    const [one] = plans(whole)
    expect(one).toMatchObject({ severity: 'warn', relation: 'orders' })
    expect(one?.title).toBe('get (old release) reads orders from beginning to end after the migration')
    expect(one?.evidence.join(' ')).toMatch(/34,000 rows here.* It lasts.*Index orders_status_idx is gone\./)
  })
  it('names the statement that dropped the index', () => {
    const locks = [takenOn('orders_status_idx', 'ACCESS EXCLUSIVE', { kind: 'index', table: 'orders' })]
    const migration = p.migration([p.ran(plain, 1, 100, 110, { work: work({ locks }) })])
    const judgedIt = judged({ quiet: { timings: [timing(1, 1, plan(whole))], migration } })
    expect(found(judgedIt, 'plan-changed')[0]?.at?.statement).toBe(plain.id)
  })
  it('is information when it does not last, is not known to, keeps most rows or reads few', () => {
    const severity = (over: Partial<PlanComparison>) => plans(over).map((one) => one.severity)
    expect(severity({ ...whole, settled: scan(3, 3), lasting: [] })).toEqual(['info'])
    expect(severity({ ...whole, settled: null, lasting: [] })).toEqual(['info'])
    expect(severity({ ...whole, settled: scan(30_000, 34_000) })).toEqual(['info'])
    expect(severity({ ...whole, settled: scan(3, 300) })).toEqual(['info'])
  })
  it('a small table here that is large in production warns, when all of it is read', () => {
    const environment = {
      ...p.environment,
      relations: [{ relation: 'orders', kind: 'table' as const, rows: 2_000, bytes: 100_000 }],
    }
    const large = { environment, productionRows: { orders: 5_000_000 } }
    const severity = (settled: Plan, recording: Partial<Recording>) =>
      plans({ ...whole, settled }, recording).map((one) => one.severity)
    expect(severity(scan(3, 2_000), large)).toEqual(['warn'])
    expect(severity(scan(3, 40), large)).toEqual(['info'])
    expect(severity(scan(3, 2_000), { environment, productionRows: {} })).toEqual(['info'])
    expect(severity(scan(3, 2_000), { environment, productionRows: { orders: 9_000 } })).toEqual(['info'])
  })
  it('what passes with ANALYZE says how', () => {
    const [one, ...others] = plans({ after: scan(1, 1), settled: scan(1, 1), changes: gone })
    expect(others).toEqual([])
    expect(one).toMatchObject({ severity: 'info', advice: { sql: 'ANALYZE orders;' } })
    expect(one?.title).toBe('Until autovacuum has been there, other plans than before: get (old release)')
    expect(one?.evidence).toEqual(['get (old release): statistics of orders.status are gone: 1 row expected.'])
  })
  it('the same change of many operations is one line', () => {
    const many = Array.from({ length: 30 }, (_, i) => timing(1, 1, { operation: `op${i}`, ...plan(whole) }))
    const one = found(report(many), 'plan-changed')
    expect(one).toHaveLength(1)
    expect(one[0]?.title).toMatch(/^op0, op1, op2, op3 and 26 more \(old release\) read orders/)
  })
  it('and nothing changed is nothing', () => {
    expect(plans({ after: scan(1, 1), settled: scan(1, 1) })).toEqual([])
  })
})
