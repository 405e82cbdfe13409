/** Two migrators at once, lines of programs, times of whole messages. */
import { describe, expect, it } from 'vitest'
import { judge } from '../../src/judge/index.js'
import type { RacePass, Severity, StatementRun } from '../../src/recording.js'
import { commandReport, drizzleReport, nodePgMigrateReport, raceReport } from '../fixtures/make.js'
import * as p from '../fixtures/parts.js'
import * as t from '../fixtures/tool-parts.js'
import { found, judged, severities, takenOn, work } from './build.js'

const raced = (race: Partial<RacePass>, report = commandReport()) =>
  judge({
    ...report.recording,
    passes: [...report.recording.passes.filter((pass) => pass.kind !== 'race'), t.race(race)],
  })

describe('two migrators at once', () => {
  it.each<[RacePass['outcome'], Severity]>([
    ['applied twice', 'fail'],
    ['broke', 'warn'],
    ['both failed', 'fail'],
    ['waited', 'info'],
    ['refused', 'info'],
    ['nothing to do', 'info'],
  ])('%s: %s', (outcome, severity) => {
    const report = raced({ outcome })
    expect(severities(report, 'tool-race')).toEqual([severity])
    expect(report.verdict).toBe(severity === 'info' ? 'pass' : severity)
  })
  it('names what was applied twice, and the journal', () => {
    const [one] = found(raceReport(), 'tool-race')
    expect(one?.at).toMatchObject({ file: 'drizzle/0004_welcome_credit.sql', line: 1 })
    expect(one?.evidence.join('\n')).toMatch(/Twice: drizzle\/0004_welcome_credit\.sql:1 UPDATE "customers"/)
    expect(one?.evidence.join('\n')).toMatch(/more than one row for 0004_welcome_credit/)
    expect(one?.title).toContain('Drizzle takes no lock')
  })
  it('says how long the second waited', () => {
    expect(found(commandReport(), 'tool-race')[0]?.title).toContain('waited 388 ms')
  })
  it('do not take the work of the first for a wait', () => {
    const run = { startMs: 0, endMs: 9_000, exitCode: 0, error: null }
    const report = raced({
      outcome: 'waited',
      runs: [
        { ...run, waitedMs: 8_000, committed: ['x'] },
        { ...run, waitedMs: 700, committed: [] },
      ],
    })
    expect(found(report, 'tool-race')[0]?.title).toContain('waited 700 ms')
  })
  it('name an error of the server, not the sign for none', () => {
    const error = (sqlstate: string) => ({ ...p.cachedPlan, sqlstate })
    const run = { startMs: 0, endMs: 1, exitCode: 1, waitedMs: 0, committed: [] }
    const text = (sqlstate: string) =>
      found(raced({ outcome: 'refused', runs: [{ ...run, error: error(sqlstate) }] }), 'tool-race')[0]?.evidence.join(
        ' ',
      )
    expect(text('55P03')).toContain('55P03')
    expect(text('TOOL')).not.toContain('TOOL')
  })
  it('that fail alone, too, tell nothing new', () => {
    const report = raced({ outcome: 'both failed' }, drizzleReport())
    expect(severities(report, 'tool-race')).toEqual(['info'])
  })
  it('were not tried: nothing is said', () => {
    const { recording } = commandReport()
    const report = judge({ ...recording, passes: recording.passes.filter((pass) => pass.kind !== 'race') })
    expect(severities(report, 'tool-race')).toEqual([])
  })
})

describe('the line of a statement that a program made', () => {
  it('is said to be near it, in every finding that names it', () => {
    const { recording } = nodePgMigrateReport()
    const id = 'migrations/1767229200000_order-index.ts#1'
    const failing = (exactLine: boolean) =>
      judge({
        ...recording,
        migrations: recording.migrations.map((file) => ({
          ...file,
          statements: file.statements.map((one) => ({ ...one, exactLine })),
        })),
        passes: recording.passes.map((pass) =>
          pass.kind === 'quiet'
            ? { ...pass, migration: { ...pass.migration, outcome: p.failed(t.insideTransaction), failedStatement: id } }
            : pass,
        ),
      })
    const evidence = (exact: boolean) => found(failing(exact), 'migration-fails')[0]?.evidence.join('\n')
    expect(evidence(false)).toContain('line 6 or near it')
    expect(evidence(true)).not.toContain('near it')
  })
})

describe('times of a whole message', () => {
  const [one, two] = [1, 2].map((n) => p.statement('1.sql', n, n, 'UpdateStmt', `update orders set n = ${n}`))
  if (!one || !two) throw new Error('two statements')
  const locks = [takenOn('orders', 'ACCESS EXCLUSIVE')]
  const runs = (boundary: StatementRun['boundary'], times: [number, number][]): StatementRun[] =>
    [one, two].map((of, i) =>
      p.ran(of, 1, times[i]?.[0] ?? 0, times[i]?.[1] ?? 0, { boundary, work: work(i === 0 ? { locks } : {}) }),
    )
  const whole: [number, number][] = [
    [100, 6_100],
    [100, 6_100],
  ]
  const report = (quiet: StatementRun[], timed: StatementRun[]) =>
    judged({
      statements: [one, two],
      quiet: { migration: p.migration(quiet) },
      timed: { migration: p.migration(timed.map((run) => ({ ...run, work: null }))) },
    })
  it('are one finding, and the evidence says whose times they are', () => {
    const found_ = found(report(runs('message', whole), runs('message', whole)), 'long-under-lock')
    expect(found_.map((f) => f.severity)).toEqual(['warn'])
    expect(found_[0]?.title).toMatch(/^A message of 2 statements of 6\.00 s/)
    expect(found_[0]?.evidence.join(' ')).toMatch(/this one took at most as long/)
  })
  it('do not count where the other pass knows the statement’s own', () => {
    const own = runs('server', [
      [100, 110],
      [110, 120],
    ])
    const light = report(own, runs('message', whole))
    expect(severities(light, 'long-under-lock')).toEqual([])
    expect(light.budgets.find((b) => b.metric === 'statement.underLock')?.high).toBe(10)
    const heavy = report(
      runs('server', [
        [100, 6_090],
        [6_090, 6_100],
      ]),
      runs('message', whole),
    )
    expect(found(heavy, 'long-under-lock').map((f) => f.at?.line)).toEqual([1])
    expect(found(heavy, 'long-under-lock')[0]?.evidence.join(' ')).not.toMatch(/whole message/)
  })
  it('of a message of one statement are its own', () => {
    const [first] = runs('message', whole)
    if (!first) throw new Error('a run')
    const alone = report([first], [first])
    expect(found(alone, 'long-under-lock')[0]?.title).toMatch(/^A statement/)
  })
})
