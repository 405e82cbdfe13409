import { describe, expect, it } from 'vitest'
import { summary } from '../../src/terminal/summary.js'
import { columns, styleFor, wrap } from '../../src/terminal/text.js'
import * as make from '../fixtures/make.js'

const plain = { colour: false, paths: ['reports/orders-index/report.html', 'reports/orders-index/report.json'] }

describe('summary', () => {
  it('begins with the verdict and its reason, then limits, findings, files', () => {
    const text = summary(make.failReport(), plain)
    expect(text.split('\n').slice(0, 3)).toEqual([
      '✗ fail  orders-index: CREATE INDEX held SHARE on orders for 3.10 s, and 14',
      '    sessions that write to it waited up to 3.10 s',
      '',
    ])
    expect(text).toMatch(/✗ lock that conflicts.*100 ms \/ 1 s.*3\.10 s ± 1 ms\n {6}worst at 0042_orders_status\.sql:3/)
    expect(summary(make.failReport(), { ...plain, width: 120 })).toMatch(
      /3\.10 s ± 1 ms {2}0042_orders_status\.sql:3\n/,
    )
    expect(text).toContain('projected to production: 10 min 20 s – 16 min 10 s')
    expect(text).toMatch(
      /✗ index-not-concurrent {2}0042_orders_status\.sql:3\n {6}SHARE on orders was held for 3\.10 s ± 2 ms\./,
    )
    expect(text).toContain('not measured')
    expect(text.endsWith('reports/orders-index/report.html\n  reports/orders-index/report.json\n')).toBe(true)
    expect(text.indexOf('index-not-concurrent')).toBeLessThan(text.indexOf('prepared-statements-break'))
  })

  it.each(Object.entries(make).flatMap(([name, report]) => [60, 80, 120].map((width) => ({ name, report, width }))))(
    '$name fits into $width columns',
    ({ report, width }) => {
      for (const ascii of [false, true])
        for (const line of summary(report(), { ...plain, paths: [], width, ascii }).split('\n'))
          expect(columns(line), line).toBeLessThanOrEqual(width)
    },
  )

  it('says what a finding without a place is about', () => {
    const report = make.failReport()
    const [first] = report.findings
    const found = { ...first, rule: 'query-slower', title: 'list_orders takes twice as long', at: null }
    const text = summary({ ...report, findings: [found as (typeof report.findings)[number]] }, { ...plain, width: 120 })
    expect(text).toMatch(/query-slower\n {6}list_orders takes twice as long\. SHARE on orders was held/)
  })

  it('colours only when asked, and writes 7-bit text when asked', () => {
    // eslint-disable-next-line no-control-regex -- escape sequences are what is looked for
    const escape = /\u001B/
    expect(summary(make.failReport(), plain)).not.toMatch(escape)
    expect(summary(make.failReport(), { ...plain, colour: true })).toMatch(escape)
    const ascii = summary(make.failReport(), { ...plain, ascii: true })
    expect(ascii.startsWith('x fail  orders-index')).toBe(true)
    expect(ascii).toContain('3.10 s +/- 1 ms')
    expect(summary(make.hostileReport(), { ...plain, ascii: true })).not.toMatch(/[^\n\u0020-\u007E]/)
  })

  it('lets no control character of others reach the terminal', () => {
    for (const report of [make.hostileReport(), make.hostileToolReport()])
      // eslint-disable-next-line no-control-regex -- control characters are what must not be there
      expect(summary(report, plain)).not.toMatch(/[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u202A-\u202E]/)
  })
})

describe('text', () => {
  it('counts columns, not code units', () => {
    expect(columns('añ')).toBe(2)
    expect(columns('e\u0301')).toBe(1)
    expect(columns('表🙂')).toBe(4)
  })

  it('wraps words and breaks those that are too long', () => {
    expect(wrap('one two three', 8, '  ')).toEqual(['one two', '  three'])
    expect(wrap('abcdefghijkl', 5, ' ')).toEqual(['abcde', ' fghi', ' jkl'])
    expect(wrap('', 5, '')).toEqual([])
  })

  it('follows NO_COLOR, FORCE_COLOR, TERM and the locale', () => {
    expect(styleFor({ LANG: 'en_US.UTF-8' }, true)).toEqual({ colour: true, ascii: false })
    expect(styleFor({ NO_COLOR: '1', FORCE_COLOR: '1' }, true).colour).toBe(false)
    expect(styleFor({ FORCE_COLOR: '1' }, false).colour).toBe(true)
    expect(styleFor({}, false)).toEqual({ colour: false, ascii: false })
    expect(styleFor({ TERM: 'dumb' }, true).colour).toBe(false)
    expect(styleFor({ LANG: 'C' }, true).ascii).toBe(true)
    expect(styleFor({ LC_ALL: 'C.UTF-8', LANG: 'C' }, true).ascii).toBe(false)
  })
})
