import { describe, expect, it } from 'vitest'
import { code, fenced, plain } from '../../src/report/markdown-text.js'
import { markdown, MOST_BYTES } from '../../src/report/markdown.js'
import * as make from '../fixtures/make.js'

/** Lines outside of fenced blocks. */
const outsideFences = (text: string): string[] => {
  let fence: string | null = null
  return text.split('\n').filter((line) => {
    const run = /^(`{3,})/.exec(line)?.[1]
    if (fence === null && run !== undefined) {
      fence = run
      return false
    }
    if (fence !== null) {
      if (line === fence) fence = null
      return false
    }
    return true
  })
}

/** Cells of a table row: pipes that are not escaped. */
const cells = (row: string): number => row.replace(/\\\|/g, '').split('|').length - 2

describe('markdown', () => {
  it('begins with the verdict and names file, line, lock and the safe SQL', () => {
    const text = markdown(make.failReport())
    expect(text.split('\n')[0]).toBe(
      '### ✗ fail: CREATE INDEX held SHARE on orders for 3.10 s, and 14 sessions that write to it waited up to 3.10 s',
    )
    expect(text).toContain('`0042_orders_status.sql:3`')
    expect(text).toContain('CREATE INDEX CONCURRENTLY orders_status_idx')
    expect(text).toContain('**3.10 s ± 1 ms**')
    expect(text).toContain('*10 min 20 s – 16 min 10 s*')
    expect(text).toMatch(/\| – \| query p50 after\/before \| 1\.5× \| – \| not measured \|/)
  })

  it.each(Object.entries(make))('%s: tables are whole and nothing is undefined', (_, report) => {
    const lines = outsideFences(markdown(report()))
    let width: number | null = null
    for (const line of lines) {
      if (!line.startsWith('|')) {
        width = null
        continue
      }
      width ??= cells(line)
      expect(cells(line), line).toBe(width)
    }
    expect(lines.join('\n')).not.toMatch(/undefined(?!\\_)|NaN|\[object/)
  })

  it.each([
    ['hostileReport', make.hostileReport],
    ['hostileToolReport', make.hostileToolReport],
  ])('%s: lets no markup, mention or link of others through', (_, report) => {
    const text = markdown(report())
    // eslint-disable-next-line no-control-regex -- control characters are what must not be there
    expect(text).not.toMatch(/[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u202A-\u202E]/)
    const open = outsideFences(text)
      .join('\n')
      .replace(/(`+)(?:(?!\1).)+?\1(?!`)/g, '')
    expect(open).not.toMatch(/<(?!\/?(?:details|summary)>)/)
    expect(open).not.toContain('@octocat')
    expect(open).not.toMatch(/[^\\]\[x\]/)
  })

  it('stays below the size of a comment and says that it was cut', () => {
    const report = make.failReport()
    const [finding] = report.findings
    if (finding === undefined) throw new Error('the fixture has findings')
    const text = markdown({ ...report, findings: Array.from({ length: 400 }, () => finding) })
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MOST_BYTES)
    expect(Buffer.byteLength(text)).toBeGreaterThan(MOST_BYTES / 2)
    expect(text).toMatch(/\*Cut here: .*report\.json\.\*\n$/)
  })

  it('chooses fences longer than any inside', () => {
    expect(fenced('a\n```\nb').split('\n')[0]).toBe('````sql')
    expect(code('a`b')).toBe('``a`b``')
    expect(code('`a')).toBe('`` `a ``')
    expect(code('a|b', true)).toBe('`a\\|b`')
    expect(plain('1. a | b <i>')).toBe('1\\. a \\| b &lt;i&gt;')
  })
})
