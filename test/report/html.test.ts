import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { renderers } from '../../src/report/index.js'
import { SCRIPT, SCRIPT_HASH } from '../../src/report/script.js'
import { queueTrees } from '../../src/report/sections/blocked.js'
import { compatSentences } from '../../src/report/compat-words.js'
import { visible } from '../../src/report/text.js'
import { joinBuckets, lockRows, plotOf, bar, waitingSteps, zoomWindow } from '../../src/report/timeline/plot.js'
import type { QuietPass, Report, TimedPass } from '../../src/recording.js'
import * as make from '../fixtures/make.js'
import { series } from '../fixtures/parts.js'

const timedOf = (report: Report): TimedPass => {
  const pass = report.recording.passes.find((one) => one.kind === 'timed')
  if (pass === undefined) throw new Error('the fixture has a timed pass')
  return pass
}
const quietOf = (report: Report): QuietPass => {
  const pass = report.recording.passes.find((one) => one.kind === 'quiet')
  if (pass === undefined) throw new Error('the fixture has a quiet pass')
  return pass
}
/** The words of a page, without tags. */
const words = (page: string): string =>
  page
    .replace(/<(style|script)>[\s\S]*?<\/\1>/g, '')
    .replace(/<[^>]+>/g, ' ')
    .replace(/\s+/g, ' ')

describe('html', () => {
  it('admits exactly its own script', () => {
    expect(createHash('sha256').update(SCRIPT).digest('base64')).toBe(SCRIPT_HASH)
    expect(SCRIPT.length).toBeLessThan(4096)
    expect(SCRIPT).not.toMatch(/<\/script|<!--|innerHTML|fetch\(|\beval\b/i)
    const page = renderers.html(make.failReport())
    expect(page).toContain(
      `script-src &#39;sha256-${SCRIPT_HASH}&#39;`.replaceAll('&#39;', page.includes("'sha256-") ? "'" : '&#39;'),
    )
    expect(page.match(/<script/g)).toHaveLength(1)
    expect(page.indexOf('Content-Security-Policy')).toBeLessThan(page.indexOf('<style>'))
  })

  it('names lock, relation, statement line, waiters and SQLSTATEs', () => {
    const text = words(renderers.html(make.failReport()))
    for (const fact of [
      '0042_orders_status.sql:3',
      'SHARE ROW EXCLUSIVE',
      'old #3 create_order waits 3.07 s',
      '55P03',
      '0A000',
      'projected to production',
      '10 min 20 s – 16 min 10 s',
    ])
      expect(text).toContain(fact)
    expect(words(renderers.html(make.renameReport()))).toContain('42703')
  })

  it('says “not measured” and never zero for what is missing', () => {
    const text = words(renderers.html(make.interruptedReport()))
    expect(text).toContain('Not measured: the timed pass is missing.')
    expect(text).toContain('Not measured: the quiet pass is missing.')
    expect(text).not.toMatch(/\b0 ms\b/)
    const quiet = words(renderers.html(make.quietOnlyReport()))
    expect(quiet).toMatch(/0042_orders_status\.sql:3 .*2\.41 s not measured SHARE/)
  })

  it.each(Object.entries(make))('%s is the same twice, and whole', (_, report) => {
    const page = renderers.html(report())
    expect(page).toBe(renderers.html(report()))
    expect(words(page)).not.toMatch(/\bundefined\b|\bNaN\b|\[object/)
    expect(page).not.toMatch(/="[^"]*(?:NaN|undefined)/)
    for (const id of [
      'limits',
      'findings',
      'timeline',
      'statements',
      'locks',
      'blocked',
      'compat',
      'data',
      'rollback',
      'traffic',
      'environment',
    ])
      expect(page).toContain(`<section id="${id}"`)
  })

  it('escapes everything and shows what is invisible', () => {
    const page = renderers.html(make.hostileReport())
    expect(page.match(/<script/g)).toHaveLength(1)
    expect(page).not.toMatch(/<img/)
    // eslint-disable-next-line no-control-regex -- control characters are what must not be there
    expect(page).not.toMatch(/[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/)
    expect(page).toContain('⟨202E⟩gnp.elif')
    expect(visible('a\u202Eb\u0000\uD800 👩‍👩‍👧')).toBe('a⟨202E⟩b⟨0000⟩⟨D800⟩ 👩‍👩‍👧')
  })
})

describe('json', () => {
  it('is stable: schema order, two spaces, and read back unchanged', () => {
    const report = make.failReport()
    const text = renderers.json(report)
    expect(JSON.parse(text)).toEqual(report)
    expect(text).toMatch(/^\{\n {2}"kind": "report",\n {2}"schemaVersion"/)
    const turned = Object.fromEntries(Object.entries(report).reverse()) as unknown as Report
    expect(renderers.json(turned)).toBe(text)
  })
})

describe('timeline', () => {
  it('shows the shortest lock, and looks closer where it would be a line', () => {
    const timed = timedOf(make.renameReport())
    const plot = plotOf('t', 0, 28_000)
    expect(bar(plot, 13_008, 13_008.01).width).toBe(2)
    expect(bar(plot, 28_000, 28_001).x).toBeLessThanOrEqual(1044)
    const zoom = zoomWindow(timed)
    expect(zoom?.startMs).toBeGreaterThan(13_000)
    expect(zoom?.endMs).toBeLessThan(13_020)
    const long = { ...timed, migration: { ...timed.migration, statements: [] }, locks: [] }
    expect(zoomWindow(long)).toBeNull()
  })

  it('puts locks that traffic can meet first, what the migration made last', () => {
    const rows = lockRows(timedOf(make.failReport())).map((row) => `${row.relation} ${row.mode}`)
    expect(rows[0]).toBe('orders SHARE')
    expect(rows.at(-1)).toBe('orders_status_idx ACCESS EXCLUSIVE')
  })

  it('says how many lock rows it leaves to the table', () => {
    const report = make.failReport()
    const timed = timedOf(report)
    const [span] = timed.locks
    if (span === undefined) throw new Error('the fixture has locks')
    const many = Array.from({ length: 30 }, (_, i) => ({ ...span, id: `l${i}`, relation: `t${i}` }))
    const passes = report.recording.passes.map((pass) => (pass.kind === 'timed' ? { ...pass, locks: many } : pass))
    const page = renderers.html({ ...report, recording: { ...report.recording, passes } })
    expect(page).toContain('and 18 more in the table of statements')
  })

  it('joins slices without losing a count or a peak', () => {
    const one = series('old', 1_000_000, () => 100, { startMs: 500_000, endMs: 503_000, share: 0.5 })
    const { series: joined, bucketMs } = joinBuckets(one, 250)
    const sum = (column: readonly number[]): number => column.reduce((a, b) => a + b, 0)
    expect(joined.completed.length).toBeLessThanOrEqual(800)
    expect(bucketMs).toBe(1_250)
    expect(sum(joined.completed)).toBe(sum(one.completed))
    expect(Math.max(...joined.maxMs.map((v) => v ?? 0))).toBe(Math.max(...one.maxMs.map((v) => v ?? 0)))
  })

  it('counts who waits at once', () => {
    const steps = waitingSteps(timedOf(make.failReport()))
    expect(Math.max(...steps.map((step) => step.count))).toBe(14)
    expect(steps.at(-1)?.count).toBe(0)
  })
})

describe('words', () => {
  it('tells at which state the old release breaks, and to migrate first', () => {
    const sentences = compatSentences(quietOf(make.renameReport()))
    expect(sentences).toContainEqual({
      text: 'old get_user and rename_user break in the state “after 0007_rename.sql”: 42703 column "name" does not exist.',
      bad: true,
    })
    expect(sentences.at(-1)?.text).toBe(
      'Migrate first, then deploy: before the migration the new release fails in get_user and rename_user.',
    )
    expect(sentences.at(-1)?.bad).toBe(false)
    expect(compatSentences(quietOf(make.failReport())).map((one) => one.bad)).not.toContain(true)
  })

  it('builds the queue as a tree, also of a cycle', () => {
    const session = (name: string, blockedBy: number[]) => ({
      name,
      lockType: 'relation',
      relation: 'orders',
      mode: 'SHARE',
      waitingMs: 1,
      blockedBy,
    })
    const [root] = queueTrees([session('m', []), session('a', [0]), session('b', [1, 0])])
    expect(root?.behind.map((node) => node.session.name)).toEqual(['a'])
    expect(root?.behind[0]?.behind[0]?.also).toEqual(['m'])
    const cycle = queueTrees([session('a', [1]), session('b', [0])])
    expect(cycle).toHaveLength(1)
    expect(cycle[0]?.behind[0]?.session.name).toBe('b')
  })
})

describe('imports', () => {
  it('src/report reaches neither the database nor the machine', () => {
    const folder = new URL('../../src/report/', import.meta.url)
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => /\.tsx?$/.test(file))
    expect(files.length).toBeGreaterThan(15)
    for (const file of files)
      expect(readFileSync(new URL(file, folder), 'utf8'), file).not.toMatch(/from '(?:postgres|node:[^']*)'|process\./)
  })
})
