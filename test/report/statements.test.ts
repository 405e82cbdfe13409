/** The table of statements and of messages where a tool's run failed half way. */
import { describe, expect, it } from 'vitest'
import type { Report } from '../../src/recording.js'
import { renderers } from '../../src/report/index.js'
import * as make from '../fixtures/make.js'

const section = (report: Report, id: string): string => {
  const page = renderers.html(report)
  const from = page.indexOf(`<section id="${id}"`)
  return page.slice(from, page.indexOf('</section>', from))
}

/** The report with the tool's runs changed. */
const changed = (report: Report, change: (text: string) => string): Report =>
  JSON.parse(change(JSON.stringify(report))) as Report

describe('statements', () => {
  it('a transaction that was rolled back did not end in COMMIT', () => {
    const html = section(make.drizzleReport(), 'statements')
    expect(html).toMatch(/BEGIN … ROLLBACK · [^<]* · rolled back/)
    expect(html).not.toContain('BEGIN … COMMIT')
  })

  it('what was never reached says so once, and keeps its place for links', () => {
    const report = make.drizzleReport()
    const ids = report.recording.migrations.flatMap((file) => file.statements.map((one) => one.id))
    const last = ids.at(-1)
    const passes = report.recording.passes.map((pass) =>
      pass.kind === 'race'
        ? pass
        : {
            ...pass,
            migration: {
              ...pass.migration,
              statements: pass.migration.statements.filter((one) => one.statement !== last),
              transactions: pass.migration.transactions.map((one) => ({
                ...one,
                statements: one.statements.filter((id) => id !== last),
              })),
            },
          },
    )
    const html = section({ ...report, recording: { ...report.recording, passes } }, 'statements')
    const row = html.slice(html.indexOf(`<tr id="s-${ids.length}"`))
    expect(html).toContain('Not reached')
    expect(row).toMatch(/<td class="null" colspan="10">not run<\/td>/i)
    expect(row.slice(0, row.indexOf('</tr>'))).not.toContain('not measured')
  })
})

describe('how the tool ran it', () => {
  it('a client that hung up is no alarm; a server that did is one', () => {
    const hungUp = 'the client closed the connection without a Terminate message'
    const lost = 'the server closed the connection'
    const withTrouble = (text: string): string =>
      section(
        changed(make.drizzleReport(), (json) => json.replaceAll('"trouble":null', `"trouble":${JSON.stringify(text)}`)),
        'tool',
      )
    expect(withTrouble(hungUp)).toMatch(new RegExp(`<span class="muted">; ${hungUp}`))
    expect(withTrouble(lost)).toMatch(new RegExp(`<span class="bad">; ${lost}`))
  })

  it('shows the body of a DO from the file, not as a placeholder', () => {
    const report = make.drizzleReport()
    const [message] = report.recording.passes.flatMap((pass) =>
      pass.kind === 'timed' ? (pass.migration.tool?.messages.filter((one) => one.statements.length === 1) ?? []) : [],
    )
    const id = message?.statements[0]
    const migrations = report.recording.migrations.map((file) => ({
      ...file,
      statements: file.statements.map((one) =>
        one.id === id ? { ...one, kind: 'DoStmt', sql: 'DO $$ begin perform 7; end $$' } : one,
      ),
    }))
    expect(section({ ...report, recording: { ...report.recording, migrations } }, 'tool')).toContain('begin perform 7')
  })
})
