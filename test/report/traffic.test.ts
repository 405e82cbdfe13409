/** Where the traffic comes from, in all outputs; and traffic of so many operations that only some can be shown. */
import { describe, expect, it } from 'vitest'
import { renderers } from '../../src/report/index.js'
import { mannersSentence, originSentences, trafficLine } from '../../src/report/traffic-words.js'
import type { Report, TrafficRow } from '../../src/recording.js'
import { summary } from '../../src/terminal/summary.js'
import { hostileToolReport } from '../fixtures/hostile.js'
import { indexBlocksWrites } from '../fixtures/index-blocks-writes.js'
import { trafficRow } from '../fixtures/parts.js'
import { everyField } from '../fixtures/tool-every-field.js'

const words = (page: string): string =>
  page
    .replace(/<(style|script)>[\s\S]*?<\/\1>/g, '')
    .replace(/<[^>]+>/g, ' ')
    .replace(/&#39;/g, "'")
    .replace(/\s+/g, ' ')

describe('the origin of the traffic', () => {
  const [old, next] = everyField().recording.traffic
  it('says what it stands for', () => {
    if (!old || !next) throw new Error('the fixture has both')
    expect(originSentences(old).join(' ')).toBe(
      'Derived from a schema. Of 3 tables, 3 are read, 2 inserted into and 1 updated. 8 of 9 columns are named by an operation.',
    )
    expect(originSentences(next).join(' ')).toBe(
      "Statements of a profile. 94 % of production's calls, 3 of 4 statements.",
    )
    expect(trafficLine(everyField())).toBe(
      'old derived from a schema, 1 left out; new statements of a profile, 1 left out',
    )
    expect(trafficLine(indexBlocksWrites())).toBeNull()
  })

  it('is in every output, with what is left out and why', () => {
    const report = everyField()
    const html = words(renderers.html(report))
    for (const text of ['Derived from a schema.', 'a reason for it', '94 %', 'another reason', 'a command'])
      expect(html).toContain(text)
    expect(html).toContain('was kept from db.example:5432')
    expect(html).toContain('ended by itself with 3')
    expect(renderers.md(report)).toContain('Traffic: old derived from a schema, 1 left out')
    expect(summary(report, { colour: false, paths: [] })).toContain('Traffic: old derived from a schema')
    expect(renderers.html(hostileToolReport())).not.toContain('<script>globalThis.pwned')
  })

  it('manners', () => {
    const timed = everyField().recording.passes.find((pass) => pass.kind === 'timed')
    expect(timed && mannersSentence(timed)).toBe(
      "The application's manners: a request gives up after waiting 2.00 s for a connection; a pooler gives each transaction another session; 40001 are tried again, 2 times at most; statement_timeout = 5s.",
    )
    expect(mannersSentence({ manners: null })).toBeNull()
  })
})

describe('many operations', () => {
  const withTraffic = (rows: TrafficRow[]): Report => {
    const report = indexBlocksWrites()
    const passes = report.recording.passes.map((pass) => (pass.kind === 'timed' ? { ...pass, traffic: rows } : pass))
    return { ...report, recording: { ...report.recording, passes } }
  }
  const names = Array.from({ length: 60 }, (_, i) => `operation_${String(i).padStart(2, '0')}`)
  const rows = names.map((name, i) => trafficRow('old', name, 'baseline', 100 + i))
  it('those that fail, or give up waiting for a connection, are shown phase by phase, the others counted', () => {
    const failing = trafficRow('old', 'operation_03', 'rollout', 10, { completed: 4, failed: 6, gaveUp: 5 })
    const html = renderers.html(withTraffic([...rows, failing]))
    const [before = '', after = ''] = html.split(/<summary>\d+ operations more<\/summary>/)
    expect(after).not.toBe('')
    const section = before.slice(before.lastIndexOf('id="traffic"'))
    expect(section).toContain('operation_03')
    expect(section).toContain('operation_59')
    expect(section).not.toContain('operation_10')
    expect(after).toContain('operation_10')
    expect(words(html)).toContain('5 requests gave up waiting for a connection of the pool.')
    // Each of them once.
    const list = `${section}${after}`
    for (const name of names)
      expect(list.split(`> ${name}<`).length + list.split(`>${name}<`).length).toBeGreaterThan(2)
  })

  it('a few are all shown phase by phase', () => {
    const html = renderers.html(withTraffic(rows.slice(0, 40)))
    expect(html).not.toMatch(/operations more<\/summary>/)
    expect(html).toContain('operation_39')
  })
})
