import { describe, expect, it } from 'vitest'
import { markdown } from '../../src/report/markdown.js'
import { renderers } from '../../src/report/index.js'
import { changeWords, timingRows } from '../../src/report/timing-words.js'
import { Report, type PlanChange, type PlanComparison, type QueryTiming } from '../../src/recording.js'
import * as make from '../fixtures/make.js'

const at = (medianMs: number): QueryTiming['before'] => ({ samples: 100, medianMs, madMs: 0.1 })
const timing = (operation: string, over: Partial<QueryTiming> = {}): QueryTiming => ({
  release: 'old',
  operation,
  before: at(2),
  after: at(2),
  settled: at(2),
  planChanged: false,
  ratio: { value: 1.01, low: 0.95, high: 1.07, rounds: 10 },
  settledRatio: { value: 1, low: 0.9, high: 1.1, rounds: 10 },
  plans: [],
  reason: null,
  ...over,
})
const change = (kind: PlanChange['kind'], text: string): PlanChange => ({ kind, relation: 'orders', index: null, text })
const plan = (over: Partial<PlanComparison>): PlanComparison => ({
  statement: 0,
  before: {
    nodes: [
      { node: 'Index Scan', relation: 'orders', index: 'o_idx', depth: 0, rows: 4, expectedRows: 5, rowsRead: 4 },
    ],
    pagesHit: 6,
    pagesRead: 0,
    temporaryPages: 0,
  },
  after: {
    nodes: [
      { node: 'Sort', relation: null, index: null, depth: 0, rows: 4, expectedRows: 4, rowsRead: 4 },
      { node: 'Seq Scan', relation: 'orders', index: null, depth: 1, rows: 4, expectedRows: 4, rowsRead: 34_000 },
    ],
    pagesHit: 65,
    pagesRead: 2,
    temporaryPages: 0,
  },
  settled: null,
  changes: [],
  lasting: [],
  ...over,
})
const scan = change('sequential scan', 'new sequential scan of orders')
const gone = change('statistics', 'statistics of orders.status are gone: 1 row expected, 9 came')
const late = change('sort', 'new sort of 7 rows')

const withTimings = (timings: QueryTiming[]): Report => {
  const report = make.failReport()
  const passes = report.recording.passes.map((pass) => (pass.kind === 'quiet' ? { ...pass, timings } : pass))
  return Report.parse({ ...report, recording: { ...report.recording, passes } })
}
const section = (timings: QueryTiming[]): string =>
  /<section id="timings"[\s\S]*?<\/section>/.exec(renderers.html(withTimings(timings)))?.[0] ?? ''
const words = (html: string): string =>
  html
    .replace(/<[^>]+>/g, ' ')
    .replace(/&lt;/g, '<')
    .replace(/[\s\u00A0]+/g, ' ')

const other = timing('list_orders', {
  planChanged: true,
  after: at(6),
  ratio: { value: 3.05, low: 2.4, high: 3.6, rounds: 10 },
  plans: [plan({ changes: [scan, gone], lasting: [scan, late], settled: plan({}).after })],
})

describe('the section of the queries', () => {
  it('opens what is another plan or time: ratio with its interval, all medians, what lasts', () => {
    const text = words(section([timing('get'), other]))
    expect(text).toContain('1 operation of 2 has another plan or surely another time.')
    expect(text).toMatch(/list_orders old release 2\.0 ms ± 0\.1 ms 6\.0 ms ± 0\.1 ms 3\.05× 2\.40 – 3\.60/)
    expect(text).toContain('new sequential scan of orders (permanent)')
    expect(text).toContain('statistics of orders.status are gone: 1 row expected, 9 came (until autovacuum)')
    expect(text).toContain('new sort of 7 rows (from the next ANALYZE on)')
    expect(text).toContain('Seq Scan on orders: 4 rows, 4 expected, 34,000 read')
    expect(text).toContain('Index Scan using o_idx on orders: 4 rows, 5 expected')
    expect(text).toMatch(/COMMIT is not in the times.*alternating rounds/)
  })
  it('stays short with hundreds: the others folded in a table without plans', () => {
    const html = section([...Array.from({ length: 200 }, (_, i) => timing(`op_${i}`)), other])
    expect(html.match(/<details class="more"(?: open)?>/g)).toEqual(['<details class="more">'])
    expect(words(html)).toContain('As before: 200 operations')
    expect(html.match(/<tr>/g)?.length).toBe(200 + 1 + 2)
    expect(html.length / 201).toBeLessThan(900)
    expect(html.indexOf('list_orders')).toBeLessThan(html.indexOf('op_0'))
  })
  it('both releases share a row, and what was not timed says why', () => {
    const reason = 'it does not work before the migration: column "note" does not exist (42703)'
    const untimed = timing('note', {
      before: null,
      after: null,
      settled: null,
      ratio: null,
      settledRatio: null,
      reason,
    })
    const text = words(section([timing('get'), timing('get', { release: 'new' }), untimed]))
    expect(text).toContain('get both releases')
    expect(text).toMatch(/Not timed: 1 operation note \(old release\): it does not work before/)
    expect(timingRows([timing('get'), timing('get', { release: 'new' }), timing('put')])).toHaveLength(2)
  })
  it('says which way was measured, and when nothing was', () => {
    const alone = timing('get', { ratio: null, settledRatio: null, settled: null, after: at(3) })
    expect(words(section([alone]))).toMatch(/1\.50× .*on one copy, one after the other/)
    expect(words(section([]))).toContain('Not measured')
    const fails = timing('get', { after: null, ratio: null, settled: null, settledRatio: null, planChanged: null })
    expect(words(section([fails]))).toContain('fails')
  })
})

it('a change that is not looked at again says nothing of how long', () => {
  expect(changeWords([plan({ changes: [scan] })])).toEqual([{ text: scan.text, lasts: null }])
})

describe('markdown', () => {
  it('has a folded table of those that are other ones', () => {
    const text = markdown(withTimings([timing('get'), other]))
    expect(text).toContain('Queries with another plan or time (1 of 2)')
    expect(text).toMatch(/\| `list_orders` old release \| 2\.0 ms \| 6\.0 ms \| 3\.05× \(2\.40 – 3\.60\) \|/)
    expect(text).toContain('(until autovacuum)')
  })
  it('or one sentence, or nothing', () => {
    expect(markdown(withTimings([timing('get')]))).toContain('none of 1 operations has another plan')
    expect(markdown(withTimings([]))).not.toContain('Queries')
  })
  it('names of others become no markup', () => {
    const hostile = { ...other, operation: '<b>|`x`' }
    expect(markdown(withTimings([hostile]))).not.toMatch(/<b>\|(?!`)/)
    expect(section([hostile])).not.toContain('<b>')
  })
})
