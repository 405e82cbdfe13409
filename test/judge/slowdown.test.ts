import { describe, expect, it } from 'vitest'
import type { QueryTiming } from '../../src/recording.js'
import { found, judged, severities } from './build.js'

const at = (medianMs: number, madMs = 0): QueryTiming['before'] => ({ ...SHAPE, medianMs, madMs })
const SHAPE = { medianMs: 1, madMs: 0, samples: 30 }
const timing = (before: number, after: number | null, over: Partial<QueryTiming> = {}): QueryTiming => ({
  release: 'old',
  operation: 'get',
  before: at(before),
  after: after === null ? null : at(after),
  settled: null,
  planChanged: false,
  ...over,
})
const report = (timings: QueryTiming[], budgets = {}) => judged({ quiet: { timings } }, budgets)
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
  it('nor when it does not work any more', () => expect(rule(timing(10, null))).toEqual([]))
  it('by the limits that are set', () => {
    const strict = { 'query.slowdown': { warn: null, fail: 1.1 } }
    expect(severities(report([timing(10, 12)], strict), 'query-slower')).toEqual(['fail'])
  })
  it('says whether it lasts', () => {
    const text = (settled: QueryTiming['settled']) => found(report([timing(10, 30, { settled })]), 'query-slower')[0]
    expect(text(at(29))?.evidence.join(' ')).toMatch(/It lasts: /)
    expect(text(at(11))?.evidence.join(' ')).toMatch(/until vacuum/)
    expect(text(null)?.evidence.join(' ')).toMatch(/not measured/)
  })
  it('is the worst of its budget', () => {
    const budget = (...timings: QueryTiming[]) => report(timings).budgets.find((b) => b.metric === 'query.slowdown')
    expect(budget()).toMatchObject({ status: 'not measured', measured: null })
    expect(budget(timing(10, 11))).toMatchObject({ status: 'ok', worstAt: 'get (old), +1.0 ms' })
    // Above the limit and all right: it says why.
    expect(budget(timing(0.5, 1.2))).toMatchObject({
      status: 'ok',
      measured: 2.4,
      worstAt: 'get (old), +0.7 ms: less than 1 ms does not count',
    })
    expect(budget(timing(10, 20), timing(10, 40, { operation: 'put' }))).toMatchObject({
      status: 'warn',
      measured: 4,
      worstAt: 'put (old), +30 ms',
    })
  })
})
