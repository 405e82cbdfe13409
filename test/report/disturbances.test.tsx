/** The section about disturbances, in every output. */
import { describe, expect, it } from 'vitest'
import { judge } from '../../src/judge/index.js'
import type { DisturbancePass, Report } from '../../src/recording.js'
import { Report as ReportSchema } from '../../src/recording.js'
import { disturbanceRow } from '../../src/report/disturbance-words.js'
import { renderers } from '../../src/report/index.js'
import { markdown } from '../../src/report/markdown.js'
import { outcomeWords } from '../../src/report/sections/statements.js'
import { viewOf } from '../../src/report/view.js'
import { lineOf } from '../../src/terminal/lines.js'
import { summary } from '../../src/terminal/summary.js'
import { disturbancePass, lockTimeout } from '../fixtures/disturbance-parts.js'
import { hostile } from '../fixtures/hostile.js'
import * as p from '../fixtures/parts.js'
import { plain, recording, takenOn, work } from '../judge/build.js'

const notMade = (): DisturbancePass => {
  const pass = disturbancePass(plain)
  return {
    ...pass,
    migration: p.migration([], { startMs: 0, endMs: 0 }),
    tries: [],
    waits: [],
    migrationWaits: [],
    disturbance: {
      ...pass.disturbance,
      kind: 'prepared-transaction',
      locks: [],
      error: { ...lockTimeout, sqlstate: '55000', message: 'prepared transactions are disabled' },
    },
  }
}

const report = (passes: DisturbancePass[] = [disturbancePass(plain), notMade()]): Report => {
  const quiet = {
    migration: p.migration([
      p.ran(plain, 1, 100, 110, { work: work({ locks: [takenOn('orders', 'ACCESS EXCLUSIVE')], lockTimeoutMs: 0 }) }),
    ]),
  }
  const base = recording({ quiet })
  return ReportSchema.parse(judge({ ...base, passes: [...base.passes, ...passes] }))
}

const section = (one: Report): string => {
  const page = renderers.html(one)
  const from = page.indexOf('<section id="disturbances"')
  return from < 0 ? '' : page.slice(from, page.indexOf('</section>', from))
}
const words = (html: string): string =>
  html
    .replace(/<[^>]+>/g, ' ')
    .replace(/&quot;/g, '"')
    .replace(/&amp;/g, '&')
    .replace(/\s+/g, ' ')

const FACTS = [
  'long report',
  'ACCESS SHARE on orders',
  '3 sessions: list_orders (old)',
  'succeeded',
  'forgotten prepared transaction',
  'not measured: 55000 prepared transactions are disabled',
]

describe('disturbances', () => {
  it('have a section with one row each', () => {
    const text = words(section(report()))
    for (const fact of [...FACTS, 'a transaction that read orders', '1.50 s, ended by itself', '1.500 s', '1.38'])
      expect(text).toContain(fact === '1.500 s' ? '1.50 s' : fact)
    expect(section(report()).match(/<th scope="row">/g)).toHaveLength(2)
    expect(section(report())).toMatch(/sign warn.*long report/)
    expect(section(report())).toMatch(/sign none/)
  })
  it('are in Markdown and on the terminal', () => {
    const text = markdown(report())
    for (const fact of FACTS) expect(text.replaceAll('\\', '')).toContain(fact)
    const screen = summary(report(), { colour: false, paths: [], width: 300 })
    expect(screen).toContain('  ! long-read: succeeded; waited 1.50')
    expect(screen).toContain('prepared-transaction: not measured: 55000')
  })
  it('are absent where none was made, and that is said', () => {
    expect(section(report([]))).toBe('')
    expect(words(renderers.html(report([])))).toContain('(--disturb)')
    expect(words(renderers.html(report()))).not.toContain('(--disturb)')
    expect(summary(report([]), { colour: false, paths: [] })).not.toContain('long-read')
  })
  it('show nothing of others unescaped', () => {
    const one = hostile(report())
    const html = renderers.html(one)
    expect(html.match(/<script/g)).toHaveLength(1)
    expect(html).not.toMatch(/<img/)
    expect(section(one)).toContain('orders&lt;/script>')
    const row = markdown(one)
      .split('\n')
      .find((line) => line.startsWith('| ! | long report |'))
    expect(row).toContain('orders&lt;/script&gt;')
    expect(row).not.toMatch(/<script|<img/)
    // eslint-disable-next-line no-control-regex -- what must not reach a terminal
    expect(summary(one, { colour: false, paths: [] })).not.toMatch(/[\u0000-\u0009\u000B-\u001F\u009B\u202E]/)
  })
})

it('a row tells tries, ends and sign', () => {
  const pass = disturbancePass(plain)
  const tried = { startMs: 1, endMs: 2, outcome: p.failed(lockTimeout), statement: plain.id }
  expect(disturbanceRow({ ...pass, tries: [tried, tried, ...pass.tries] }, [])).toMatchObject({
    outcome: 'succeeded at try 3',
    tries: 3,
    status: 'ok',
  })
  const failed = { ...pass.migration, outcome: p.failed(lockTimeout) }
  expect(disturbanceRow({ ...pass, migration: failed }, []).outcome).toBe('55P03 lock_not_available')
  expect(disturbanceRow({ ...pass, migration: { ...failed, timedOut: true } }, []).outcome).toBe(
    'stopped: it took too long',
  )
  const error = { ...lockTimeout, sqlstate: '25P03' }
  const ended = { ...pass.disturbance, endMs: 4_298, ended: 'canceled' as const, error }
  expect(disturbanceRow({ ...pass, disturbance: ended }, []).lasted).toBe('300 ms, was ended (25P03)')
  const locks = ['a', 'b', 'c', 'd', 'e', 'f'].map((relation) => ({ relation, mode: 'ACCESS SHARE' as const }))
  expect(disturbanceRow({ ...pass, disturbance: { ...ended, locks } }, []).held).toMatch(/on d and 2 more$/)
  expect(disturbanceRow({ ...pass, waits: [], migrationWaits: [] }, [])).toMatchObject({
    behind: 'nobody',
    longestMs: null,
    waitedMs: null,
  })
})

it('a statement that was tried again shows its last try', () => {
  const first = p.ran(plain, 1, 13_000, 13_300, { outcome: p.failed(lockTimeout) })
  const second = p.ran(plain, 2, 13_600, 13_610)
  const view = viewOf(judge(recording({ timed: { migration: p.migration([first, second], { outcome: p.ok }) } })))
  const [one] = view.statements
  if (!one) throw new Error('a statement')
  expect(one.timed).toMatchObject({ transaction: 2, outcome: { ok: true } })
  expect(outcomeWords(one)).toEqual({ words: 'quiet: ok; timed: ok at try 2', bad: false })
})

it('the pass is named in the progress', () => {
  const style = { colour: false, ascii: false }
  expect(lineOf({ type: 'pass', pass: 'disturbance', disturbance: 'dump' }, style)).toBe('disturbance pass (dump)')
  expect(lineOf({ type: 'pass', pass: 'timed' }, style)).toBe('timed pass')
})
