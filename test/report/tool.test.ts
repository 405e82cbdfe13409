/** The sections about the migration tool, in every output. */
import { describe, expect, it } from 'vitest'
import type { Report, ToolMessage } from '../../src/recording.js'
import { markdown } from '../../src/report/markdown.js'
import { renderers } from '../../src/report/index.js'
import { transactionPieces } from '../../src/report/sections/tool-messages.js'
import { fileName } from '../../src/report/view.js'
import { summary } from '../../src/terminal/summary.js'
import * as make from '../fixtures/make.js'
import { POISON } from '../fixtures/hostile.js'
import { everyField } from '../fixtures/tool-every-field.js'
import * as p from '../fixtures/parts.js'
import * as t from '../fixtures/tool-parts.js'

const section = (report: Report, id: string): string => {
  const page = renderers.html(report)
  const from = page.indexOf(`<section id="${id}"`)
  return from < 0 ? '' : page.slice(from, page.indexOf('</section>', from))
}
const words = (html: string): string =>
  html
    .replace(/<[^>]+>/g, ' ')
    .replace(/&quot;/g, '"')
    .replace(/&amp;/g, '&')
    .replace(/\s+/g, ' ')

describe('how the tool ran it', () => {
  it('names tool, command, ends, sessions, journal and what it hides', () => {
    const text = words(section(make.drizzleReport(), 'tool'))
    for (const fact of [
      'Drizzle (journal layout), drizzle-kit 0.31.11, drizzle-orm 0.45.4',
      'npx drizzle-kit migrate',
      'migrations added since origin/main',
      'exit code 1 at rest and under traffic; it did not print the error that the server gave it',
      'backend 41201, no application_name',
      'Does not count as applied: 0001_add_status, 0002_backfill_paid_at, 0003_status_index.',
      'impossible in this tool drizzle/0003_status_index.sql:3',
      'Instead: Build the index by hand',
      'ROLLBACK',
      '25001 active_sql_transaction',
    ])
      expect(text).toContain(fact)
    const prisma = words(section(make.prismaReport(), 'tool'))
    expect(prisma).toContain('schema engine is not installed')
    expect(prisma).toContain('The next run will be refused: P3009')
    expect(prisma).toContain('and 2 more in this message')
  })

  it('tells passes apart when they ended differently', () => {
    const report = make.commandReport()
    const passes = report.recording.passes.map((pass) =>
      pass.kind === 'timed' && pass.migration.tool
        ? { ...pass, migration: { ...pass.migration, tool: { ...pass.migration.tool, exitCode: 3 } } }
        : pass,
    )
    const text = words(section({ ...report, recording: { ...report.recording, passes } }, 'tool'))
    expect(text).toMatch(/exit code 0 at rest.*exit code 3 under traffic/)
    expect(markdown({ ...report, recording: { ...report.recording, passes } })).toContain(
      'exit code 0 at rest, exit code 3 under traffic',
    )
  })

  it('is absent without a tool, and so is the race', () => {
    const page = renderers.html(make.failReport())
    expect(page).not.toContain('<section id="tool"')
    expect(page).not.toContain('<section id="race"')
    expect(page).not.toContain('href="#tool"')
  })

  it('folds long lists, and shows both ends', () => {
    const report = make.commandReport()
    const many = Array.from({ length: 900 }, (_, i) =>
      t.message(`select ${i} as n`, i, 0.5, 'idle', { tags: ['SELECT'] }),
    )
    const passes = report.recording.passes.map((pass) =>
      pass.kind === 'timed' && pass.migration.tool
        ? {
            ...pass,
            migration: { ...pass.migration, tool: { ...pass.migration.tool, messages: many, messagesNotListed: 11 } },
          }
        : pass,
    )
    const html = section({ ...report, recording: { ...report.recording, passes } }, 'tool')
    const [before = '', rest = ''] = html.split('<details class="more">')
    expect(rest).not.toBe('')
    expect(before).toContain('select 0 as n')
    expect(before).not.toContain('select 30 as n')
    expect(rest.split('</details>')[1]).toContain('select 899 as n')
    expect(html).toContain('852 more messages')
    // 600 rows are in the page; 300 of those listed and the 11 that were only counted are not.
    expect(html).toContain('and 311 more that are counted')
    expect(html.match(/<td class="bars">/g)).toHaveLength(600)
  })

  it('draws a transaction from the states of the session alone', () => {
    const message = (session: number, after: ToolMessage['after'], over: Partial<ToolMessage> = {}): ToolMessage =>
      t.message('x', 0, 1, after, { session, tags: ['X'], ...over })
    const pieces = transactionPieces([
      message(1, 'idle'),
      message(1, 'in a transaction'),
      message(2, 'idle'),
      message(2, 'idle', { tags: ['A', 'B'] }),
      message(1, 'in a failed transaction', { outcome: p.failed(t.insideTransaction) }),
      message(1, 'idle'),
      message(2, 'idle', { statements: ['a', 'b'], tags: [], outcome: p.failed(t.insideTransaction) }),
    ])
    expect(pieces.map((row) => row.map((one) => `${one.session} ${one.shape}${one.broken ? ' broken' : ''}`))).toEqual([
      [],
      ['1 start'],
      ['1 mid'],
      ['1 mid', '2 whole'],
      ['1 mid broken'],
      ['1 end broken'],
      ['2 whole broken'],
    ])
  })

  it('escapes every text of others, in every output', () => {
    const html = renderers.html(make.hostileToolReport())
    expect(html.match(/<script/g)).toHaveLength(1)
    expect(html).not.toMatch(/<img/)
    const text = section(make.hostileToolReport(), 'tool') + section(make.hostileToolReport(), 'race')
    for (const fact of [
      'a trouble',
      'an application',
      'a refusal',
      'an added one',
      'a reason',
      'a message (skipped)',
      'an advice (order)',
    ])
      expect(text).toContain(`${fact}&lt;/script>`)
  })

  it('has a hostile fixture with every free text of the tool in it', () => {
    const texts: string[] = []
    const empty: string[] = []
    const walk = (value: unknown, path: string): void => {
      if (typeof value === 'string' && value.includes(POISON)) texts.push(value)
      else if (Array.isArray(value)) {
        if (value.length === 0) empty.push(path)
        value.forEach((one) => walk(one, path))
      } else if (typeof value === 'object' && value !== null)
        for (const [key, inner] of Object.entries(value)) walk(inner, `${path}.${key}`)
      else if (value === null) empty.push(path)
    }
    const { recording } = make.hostileToolReport()
    walk(recording.tool, 'tool')
    for (const pass of recording.passes) walk(pass.kind === 'race' ? pass : pass.migration.tool, pass.kind)
    // An error's objects and a message without statements or tags are what is left empty.
    expect(empty.filter((path) => !/\.(?:objects|statements|tags|error)$/.test(path))).toEqual([])
    expect(texts.length).toBeGreaterThan(60)
    expect(everyField().recording.passes).toHaveLength(3)
  })
})

describe('two migrators at once', () => {
  it('shows both runs, the sentence and what took effect twice', () => {
    const html = section(make.raceReport(), 'race')
    const text = words(html)
    expect(html.match(/class="race-run/g)).toHaveLength(2)
    expect(text).toContain('Both runs applied the same statements: they took effect twice.')
    expect(text).toContain('drizzle/0004_welcome_credit.sql:1')
    expect(text).toContain('The journal holds 2 rows for 0004_welcome_credit.')
    expect(words(section(make.commandReport(), 'race'))).toContain('waited 388 ms')
    expect(markdown(make.raceReport())).toContain('Two migrators at once: ✗ Both runs applied')
  })
  it('is said not to be measured where it was not', () => {
    expect(words(section(make.drizzleReport(), 'environment'))).toContain('(--race)')
    expect(words(section(make.raceReport(), 'environment'))).not.toContain('(--race)')
    expect(words(section(make.failReport(), 'environment'))).not.toContain('(--race)')
  })
})

describe('statements', () => {
  it('mark times that are not their own, with a legend', () => {
    const text = words(section(make.prismaReport(), 'statements'))
    expect(text).toMatch(/3\.0 ms marks 84 ms message/)
    expect(text).toContain('“marks”: one of several statements')
    expect(text).toContain('“message”: the time is that of the whole message')
    const plain = words(section(make.failReport(), 'statements'))
    expect(plain).not.toContain('“marks”')
    expect(plain).not.toContain('“message”')
  })
  it('of one message are one bar in the timeline', () => {
    const html = section(make.prismaReport(), 'timeline')
    expect(html).toContain('Statements 1–3 in one message.')
    expect(html.match(/class="statement broken"/g)?.length).toBe(html.match(/<svg/g)?.length)
    expect(html).not.toMatch(/class="statement"/)
  })
  it('made by a program say so', () => {
    expect(words(section(make.nodePgMigrateReport(), 'statements'))).toContain(
      'made by a program, at this line or near it',
    )
    expect(words(section(make.drizzleReport(), 'statements'))).not.toContain('made by a program')
  })
  it('are told apart where every file has the same name', () => {
    expect(fileName('prisma/migrations/20260201_a/migration.sql:3')).toBe('20260201_a/migration.sql:3')
    expect(fileName('drizzle/0001_a.sql:3')).toBe('0001_a.sql:3')
    expect(fileName('a.sql')).toBe('a.sql')
  })
})

describe('the short outputs', () => {
  const plain = { colour: false, paths: [] }
  it('name tool and pending rule', () => {
    expect(summary(make.drizzleReport(), plain)).toContain(
      '\n  Drizzle (journal layout); pending: migrations added since origin/main\n',
    )
    expect(summary(make.prismaReport(), plain)).toContain('Prisma Migrate, replayed; pending')
    expect(summary(make.failReport(), plain)).not.toContain('pending:')
    const text = markdown(make.drizzleReport())
    expect(text).toContain(
      '`npx drizzle-kit migrate` · pending: migrations added since origin/main · exit code 1 at rest and under traffic',
    )
    expect(text).toContain('- ✗ impossible in this tool `drizzle/0003_status_index.sql:3`: ')
    expect(words(section(make.drizzleReport(), 'environment'))).toContain('pending: migrations added since origin/main')
  })
  it('tell notes of weight as findings', () => {
    expect(summary(make.drizzleReport(), plain)).toMatch(
      /! tool-unlisted {2}drizzle\/0002_fix\.sql:1\n {6}drizzle\/0002_fix\.sql: It is not/,
    )
  })
})
