/** Rules about the team's migration tool: what it tells, what it hides, how it ends. */
import { describe, expect, it } from 'vitest'
import { judge } from '../../src/judge/index.js'
import type { MigrationRun, Recording, Report, ToolNote, ToolRun } from '../../src/recording.js'
import { commandReport, drizzleReport, nodePgMigrateReport, prismaReport } from '../fixtures/make.js'
import * as p from '../fixtures/parts.js'
import * as t from '../fixtures/tool-parts.js'
import { found, severities } from './build.js'

interface Change {
  tool?: Partial<Recording['tool'] & object>
  quiet?: Partial<MigrationRun>
  timed?: Partial<MigrationRun>
  quietTool?: Partial<ToolRun>
  timedTool?: Partial<ToolRun>
  halfApplied?: string[]
  recording?: Partial<Recording>
}

/** The recording of a report with some of it changed, judged again. */
const changed = (from: Report, change: Change): Report => {
  const { recording } = from
  return judge({
    ...recording,
    tool: recording.tool && { ...recording.tool, ...change.tool },
    passes: recording.passes.map((pass) => {
      if (pass.kind === 'race') return pass
      const [run, tool] = pass.kind === 'quiet' ? [change.quiet, change.quietTool] : [change.timed, change.timedTool]
      return {
        ...pass,
        leftovers: { ...pass.leftovers, halfApplied: change.halfApplied ?? pass.leftovers.halfApplied },
        migration: {
          ...pass.migration,
          ...run,
          tool: pass.migration.tool && { ...pass.migration.tool, ...tool },
        },
      }
    }),
    ...change.recording,
  })
}
const both = (tool: Partial<ToolRun>): Change => ({ quietTool: tool, timedTool: tool })
const text = (report: Report, rule: string): string =>
  found(report, rule)
    .flatMap((f) => [f.title, ...f.evidence, f.advice?.text ?? ''])
    .join('\n')
const calm = commandReport()

describe('the migration fails in a tool', () => {
  it('that says nothing: the error, the exit code, the journal', () => {
    const first = found(drizzleReport(), 'migration-fails')[0]
    expect(first?.evidence[0]).toBe(
      'Drizzle ended with exit code 1 and did not print the error; this is it: 25001 (active_sql_transaction): CREATE INDEX CONCURRENTLY cannot run inside a transaction block.',
    )
    expect(first?.evidence.join('\n')).toMatch(/__drizzle_migrations\) does not count 0001_add_status, .* as applied/)
    expect(first?.evidence.join('\n')).toMatch(/rolled back with it/)
  })
  it('that prints it', () => {
    const told = text(changed(drizzleReport(), both({ toldError: true })), 'migration-fails')
    expect(told).toMatch(/Drizzle ended with exit code 1 and printed the error/)
    expect(told).not.toMatch(/did not print/)
    expect(text(changed(drizzleReport(), both({ exitCode: null, signal: 'SIGKILL' })), 'migration-fails')).toMatch(
      /was ended by SIGKILL/,
    )
    expect(text(changed(prismaReport(), both({ exitCode: null })), 'migration-fails')).toMatch(
      /The replay of Prisma Migrate did not start/,
    )
  })
  it('takes the advice of the note at that place, not the general one', () => {
    const advice = (notes: ToolNote[]) =>
      found(changed(drizzleReport(), { tool: { notes } }), 'migration-fails')[0]?.advice?.text
    const note = (file: string, line: number | null, words: string): ToolNote => ({
      kind: 'impossible',
      file,
      line,
      message: 'm',
      advice: words,
    })
    const file = 'drizzle/0003_status_index.sql'
    expect(advice([note(file, 9, 'other line'), note(file, 3, 'this line')])).toBe('this line')
    expect(advice([note('drizzle/0001_add_status.sql', 3, 'other file')])).toMatch(/out of the transaction of Drizzle/)
    expect(advice([])).not.toMatch(/rehearse: no-transaction/)
  })
  it('names the message when it was none of the migration', () => {
    const messages = [
      t.message('insert into journal values ($1)', 1, 1, 'idle', { role: 'journal', outcome: p.failed(p.cachedPlan) }),
    ]
    const report = changed(calm, {
      quiet: { outcome: p.failed(p.cachedPlan), failedStatement: null },
      quietTool: { messages, lastError: p.cachedPlan, exitCode: 1, toldError: true },
    })
    expect(text(report, 'migration-fails')).toMatch(/message of the tool's own: insert into journal/)
    expect(severities(report, 'tool-exit-code')).toEqual([])
  })
})

describe('exit code', () => {
  const journal = { added: [], missing: ['007_note'], refuses: null }
  it('0 with everything in the journal, or with no journal known, is nothing to tell', () => {
    expect(severities(calm, 'tool-exit-code')).toEqual([])
    expect(severities(nodePgMigrateReport(), 'tool-exit-code')).toEqual([])
    // An error on the way that it coped with.
    expect(severities(changed(calm, both({ lastError: p.cachedPlan })), 'tool-exit-code')).toEqual([])
  })
  it('0 although a migration is missing in the journal', () => {
    const never = changed(calm, {
      ...both({ journal }),
      quiet: { statements: [], transactions: [] },
      timed: { statements: [], transactions: [] },
    })
    expect(severities(never, 'tool-exit-code')).toEqual(['fail'])
    expect(found(never, 'tool-exit-code')[0]?.title).toBe(
      '“make migrate” says that it succeeded, but never ran 007_note',
    )
    // It ran, but nobody wrote that down.
    const unwritten = changed(calm, both({ journal }))
    expect(found(unwritten, 'tool-exit-code')[0]?.title).toMatch(/007_note is not in its journal/)
    expect(found(unwritten, 'tool-exit-code')[0]?.at?.file).toBe('db/migrate/007_note.sql')
  })
  it('0 although the server refused a statement', () => {
    const report = changed(drizzleReport(), both({ exitCode: 0 }))
    expect(severities(report, 'migration-fails')).toEqual(['fail'])
    expect(found(report, 'tool-exit-code')[0]?.title).toMatch(/exit code 0 although the migration failed/)
    const counted = changed(
      drizzleReport(),
      both({ exitCode: 0, journal: { added: ['0003_status_index'], missing: [], refuses: null } }),
    )
    expect(text(counted, 'tool-exit-code')).toMatch(/counts as applied/)
  })
  it('not 0 although the server refused nothing', () => {
    const report = changed(calm, both({ exitCode: 3 }))
    expect(severities(report, 'tool-exit-code')).toEqual(['fail'])
    expect(severities(report, 'migration-fails')).toEqual([])
    expect(found(report, 'tool-exit-code')[0]?.title).toMatch(/ended with exit code 3, although/)
    expect(text(report, 'tool-exit-code')).toMatch(/4 messages, and the server answered none with an error/)
    expect(text(changed(calm, both({ exitCode: 3, sessions: [] })), 'tool-exit-code')).toMatch(/never connected/)
    // Also where the recorder calls that a failure of the migration.
    const failing = {
      outcome: p.failed({ ...p.cachedPlan, sqlstate: 'TOOL', message: 'the server refused nothing' }),
      failedStatement: null,
    }
    const called = changed(calm, { ...both({ exitCode: 1 }), quiet: failing, timed: failing })
    expect(severities(called, 'tool-exit-code')).toEqual(['fail'])
    expect(severities(called, 'migration-fails')).toEqual([])
  })
  it('only under traffic: said once, and as that', () => {
    const report = changed(calm, { timedTool: { exitCode: 1 } })
    expect(severities(report, 'tool-exit-code')).toEqual(['fail'])
    expect(found(report, 'tool-exit-code')[0]?.title).toMatch(/under traffic/)
    expect(found(changed(calm, both({ exitCode: 1 })), 'tool-exit-code')[0]?.title).not.toMatch(/under traffic/)
    const error = { outcome: p.failed(t.insideTransaction), failedStatement: 'db/migrate/007_note.sql#1' }
    const wire = changed(calm, { timed: error, timedTool: { exitCode: 1, lastError: t.insideTransaction } })
    expect(severities(wire, 'fails-under-traffic')).toEqual(['fail'])
    expect(severities(wire, 'tool-exit-code')).toEqual([])
  })
  it('of a tool that the harness stopped, or of a rehearsal that was, says nothing', () => {
    const stopped = { timedOut: true, outcome: p.failed(p.cachedPlan) }
    expect(
      severities(
        changed(calm, { ...both({ exitCode: null, signal: 'SIGTERM' }), quiet: stopped, timed: stopped }),
        'tool-exit-code',
      ),
    ).toEqual([])
    const interrupted = changed(calm, { ...both({ exitCode: 1 }), recording: { complete: false } })
    expect(severities(interrupted, 'tool-exit-code')).toEqual([])
  })
})

describe('notes', () => {
  const note = (kind: ToolNote['kind'], over: Partial<ToolNote> = {}): ToolNote => ({
    kind,
    file: 'db/migrate/006_old.sql',
    line: null,
    message: 'sorts before the last one.',
    advice: 'Rename it.',
    ...over,
  })
  const with_ = (...notes: ToolNote[]) => changed(calm, { tool: { notes } })
  it.each([
    ['skipped', 'tool-skipped', 'fail'],
    ['unlisted', 'tool-unlisted', 'warn'],
    ['order', 'tool-order', 'warn'],
    ['blocked', 'tool-note', 'info'],
    ['other', 'tool-note', 'info'],
  ] as const)('%s is %s: %s', (kind, rule, severity) => {
    const [one] = found(with_(note(kind)), rule)
    expect(one?.severity).toBe(severity)
    expect(one?.at).toMatchObject({ file: 'db/migrate/006_old.sql', line: 1 })
    expect(one?.advice?.text).toBe('Rename it.')
    expect(`${one?.title} ${one?.evidence.join(' ')}`).toContain('db/migrate/006_old.sql: sorts before the last one.')
  })
  it('none, nothing', () => {
    const rules = calm.findings.map((f) => f.rule)
    expect(rules.filter((rule) => /^tool-(?:skipped|unlisted|order|note|impossible)/.test(rule))).toEqual([])
  })
  it('many of a kind are one finding', () => {
    const many = Array.from({ length: 40 }, (_, i) => note('unlisted', { file: `db/${i}.sql` }))
    const report = with_(...many)
    expect(severities(report, 'tool-unlisted')).toEqual(['warn'])
    expect(found(report, 'tool-unlisted')[0]?.title).toContain('40 files')
    expect(found(report, 'tool-unlisted')[0]?.evidence.length).toBeLessThan(16)
  })
  it('a skipped one that the journal lacks is told once', () => {
    const journal = { added: ['007_note'], missing: ['006_old'], refuses: null }
    const report = changed(calm, { ...both({ journal }), tool: { notes: [note('skipped')] } })
    expect(severities(report, 'tool-skipped')).toEqual(['fail'])
    expect(severities(report, 'tool-exit-code')).toEqual([])
    expect(severities(changed(calm, both({ journal })), 'tool-exit-code')).toEqual(['fail'])
  })
  it('an impossible one fails unless the failure at that place is told, or it ran', () => {
    expect(severities(drizzleReport(), 'tool-impossible')).toEqual([])
    const here = note('impossible', { file: 'db/migrate/007_note.sql', line: 1 })
    // It ran here: what was measured counts for more.
    expect(severities(with_(here), 'tool-impossible')).toEqual([])
    const unrun = { statements: [], transactions: [] }
    expect(
      severities(changed(calm, { tool: { notes: [here] }, quiet: unrun, timed: unrun }), 'tool-impossible'),
    ).toEqual(['fail'])
    // It failed for another reason at another line.
    const other = drizzleReport().recording.tool?.notes[0]
    const elsewhere = { outcome: p.failed(p.cachedPlan), failedStatement: 'drizzle/0001_add_status.sql#1' }
    expect(
      severities(
        changed(drizzleReport(), {
          quiet: elsewhere,
          timed: elsewhere,
          ...(other ? { tool: { notes: [other] } } : {}),
        }),
        'tool-impossible',
      ),
    ).toEqual(['fail'])
    // A file that is none of the pending ones, in a run that ended well.
    expect(severities(with_(note('impossible')), 'tool-impossible')).toEqual(['info'])
  })
})

describe('the next deploy', () => {
  it('stops where the journal says so', () => {
    const report = prismaReport()
    expect(severities(report, 'next-deploy-refuses')).toEqual(['fail'])
    expect(text(report, 'next-deploy-refuses')).toMatch(/P3009[\s\S]*prisma migrate resolve/)
    expect(report.headline).toContain('23502')
  })
  it('goes on where it does not, or where the harness itself stopped the tool', () => {
    expect(severities(drizzleReport(), 'next-deploy-refuses')).toEqual([])
    const stopped = { timedOut: true }
    expect(severities(changed(prismaReport(), { quiet: stopped, timed: stopped }), 'next-deploy-refuses')).toEqual([])
  })
})

describe('a commit in the middle', () => {
  it('is named with the statement after which all before stays', () => {
    const [one] = found(nodePgMigrateReport(), 'tool-commits-early')
    expect(one?.severity).toBe('info')
    expect(one?.at).toMatchObject({ file: 'migrations/1767225600000_order-note.sql', line: 2 })
    expect(one?.evidence.join(' ')).toMatch(/ran in 3 transactions; 1 committed by itself/)
  })
  it('warns when a later failure left it half applied, and leaves that to the failure', () => {
    const id = 'migrations/1767232800000_order-comment.ts#1'
    const report = changed(nodePgMigrateReport(), {
      quiet: { outcome: p.failed(p.cachedPlan), failedStatement: id },
      halfApplied: ['migrations/1767225600000_order-note.sql#1'],
    })
    expect(severities(report, 'tool-commits-early')).toEqual(['warn'])
    expect(text(report, 'tool-commits-early')).not.toMatch(/1 statement\(s\)/)
    expect(text(report, 'migration-fails')).toMatch(/1 statement\(s\) before it are committed/)
  })
  it('is none in one transaction, nor where each file has its own', () => {
    expect(severities(drizzleReport(), 'tool-commits-early')).toEqual([])
    expect(severities(calm, 'tool-commits-early')).toEqual([])
    const each = changed(nodePgMigrateReport(), { tool: { command: 'npx node-pg-migrate up --no-single-transaction' } })
    expect(severities(each, 'tool-commits-early')).toEqual([])
    const prisma = changed(nodePgMigrateReport(), { tool: { tool: 'prisma', title: 'Prisma Migrate' } })
    expect(severities(prisma, 'tool-commits-early')).toEqual([])
  })
  it('is seen in any tool whose transaction held several files', () => {
    const report = nodePgMigrateReport()
    const run = report.recording.passes.find((pass) => pass.kind === 'quiet')?.migration
    const [first, second, third] = run?.transactions ?? []
    if (!first || !second || !third) throw new Error('the fixture has three transactions')
    const transactions = [{ ...first, statements: [...first.statements, ...second.statements] }, third]
    const knex = { tool: { tool: 'command', title: 'Knex by command' } } as const
    expect(severities(changed(report, { ...knex, quiet: { transactions } }), 'tool-commits-early')).toEqual(['info'])
    expect(severities(changed(report, knex), 'tool-commits-early')).toEqual([])
  })
})

describe('what only the tool does', () => {
  it('is not judged: statements and locks that belong to no migration', () => {
    const stranger = p.statement('journal', 1, 1, 'LockStmt', 'lock table orders')
    const locks = [
      { relation: 'orders', kind: 'table', table: 'orders', mode: 'ACCESS EXCLUSIVE', existedBefore: true },
    ] as const
    const run = p.ran(stranger, 1, 90, 9_000, { work: p.work({ locks: [...locks] }) })
    const passes = calm.recording.passes.map((pass) => {
      if (pass.kind === 'race') return pass
      const [first] = pass.migration.transactions
      const transactions = first ? [{ ...first, statements: [stranger.id, ...first.statements] }] : []
      const migration = { ...pass.migration, statements: [run, ...pass.migration.statements], transactions }
      if (pass.kind === 'quiet') return { ...pass, migration }
      const span = p.lockSpan('orders', 'ACCESS EXCLUSIVE', stranger, {
        transaction: 1,
        asked: 1,
        granted: 2,
        released: 9_000,
      })
      return { ...pass, migration, locks: [span] }
    })
    const report = judge({ ...calm.recording, passes })
    expect(report.findings).toEqual(calm.findings)
    expect(report.relations).toEqual(calm.relations)
    // Of plain SQL files every statement counts, wherever it is listed.
    expect(judge({ ...calm.recording, tool: null, passes }).verdict).toBe('fail')
  })
})

describe('advice that the tool can follow', () => {
  it('says how the tool runs something outside its transaction', () => {
    const plain = p.statement('drizzle/1.sql', 1, 1, 'IndexStmt', 'create index i on orders (id)')
    const span = p.lockSpan('orders', 'SHARE', plain, {
      transaction: 1,
      asked: 13_001,
      granted: 13_001,
      released: 19_000,
    })
    const run = (work: boolean) =>
      p.migration([p.ran(plain, 1, 13_000, 19_000, { work: work ? t.work({}) : null })], {
        tool: t.toolRun([t.sent(plain, 13_000, 6_000, 'CREATE INDEX')]),
      })
    const advice = (tool: Recording['tool'] & object) =>
      found(
        judge(
          t.toolRecording({
            name: 'n',
            tool,
            migrations: [t.file('1', [plain])],
            quiet: run(true),
            timed: run(false),
            passes: { timed: { locks: [span] } },
          }),
        ),
        'lock-held',
      )[0]?.advice
    expect(advice(t.tool())?.sql).toMatch(/concurrently/i)
    expect(advice(t.tool())?.text).toMatch(/Drizzle runs every pending file in one transaction/)
    expect(advice(t.tool({ tool: 'node-pg-migrate' }))?.text).toMatch(/noTransaction/)
    expect(advice(t.tool({ tool: 'command' }))?.text).not.toMatch(/Drizzle|noTransaction/)
  })
})
