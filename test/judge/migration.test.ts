/** Rules about the migration's own end, what it leaves, and whether the measurement can be believed. */
import { describe, expect, it } from 'vitest'
import type { CompatCell, TimedPass } from '../../src/recording.js'
import * as p from '../fixtures/parts.js'
import { cell, found, judged, outcome, plain, recording, severities, span } from './build.js'

const failing = (sqlstate: string) => p.migration([p.ran(plain, 1, 100, 110, { outcome: outcome(sqlstate) })])
const stopped = { ...failing('57014'), timedOut: true }
const none = { invalidIndexes: [], notValidConstraints: [], halfApplied: [] }

describe('the migration fails', () => {
  it('at rest: one failure, with statement and SQLSTATE, not a second one for the timed pass', () => {
    const report = judged({ quiet: { migration: failing('23502') }, timed: { migration: failing('23502') } })
    expect(report.findings.filter((f) => f.severity === 'fail').map((f) => f.rule)).toEqual(['migration-fails'])
    expect(found(report, 'migration-fails')[0]).toMatchObject({ at: { statement: plain.id } })
    expect(report.headline).toContain('23502')
    expect(found(report, 'migration-fails')[0]?.advice?.text).toBeTruthy()
  })
  it('only under traffic', () => {
    const report = judged({ timed: { migration: failing('55P03') } })
    expect(severities(report, 'fails-under-traffic')).toEqual(['fail'])
    expect(severities(report, 'migration-fails')).toEqual([])
  })
  it('only in an attempt that was repeated because its traffic was late: it failed all the same', () => {
    const [quiet, timed] = recording({}).passes
    const first = recording({ timed: { migration: failing('23502') } }).passes[1]
    const passes = [quiet, first, timed].flatMap((pass) => pass ?? [])
    const report = judged({ recording: { passes } })
    expect(severities(report, 'fails-under-traffic')).toEqual(['fail'])
    expect(report.headline).toContain('23502')
    expect(report.verdict).toBe('fail')
  })
  it('half applied or rolled back as a whole', () => {
    const text = (halfApplied: string[]) =>
      found(
        judged({ quiet: { migration: failing('23505'), leftovers: { ...none, halfApplied } } }),
        'migration-fails',
      )[0]?.evidence.join(' ')
    expect(text(['1.sql#1', '1.sql#2'])).toMatch(/2 statement.*half migrated/)
    expect(text([])).toMatch(/rolled back/)
  })
  it('did not end in time: said as that, not as a failure of its own', () => {
    const report = judged({ timed: { migration: stopped } })
    expect(severities(report, 'migration-too-long')).toEqual(['fail'])
    expect(severities(report, 'fails-under-traffic')).toEqual([])
    expect(severities(judged({ quiet: { migration: stopped } }), 'migration-too-long')).toEqual(['fail'])
    expect(severities(judged({ quiet: { migration: stopped } }), 'migration-fails')).toEqual([])
  })
  it('interrupted by the user: not a failure', () => {
    const parts = { complete: false, stopped: { code: 'INTERRUPTED', message: 'interrupted by SIGINT' } }
    for (const report of [
      judged({ recording: parts, timed: { migration: stopped } }),
      judged({ recording: { ...parts, passes: recording({ quiet: { migration: stopped } }).passes.slice(0, 1) } }),
    ]) {
      expect(report.findings.filter((f) => f.severity === 'fail')).toEqual([])
      expect(report.verdict).toBe('inconclusive')
      expect(report.headline).toContain('SIGINT')
    }
  })
})

describe('deadlocks', () => {
  const deadlock = (involvesMigration: boolean) => ({
    atMs: 1,
    victim: 'old put',
    participants: ['old put', 'migration'],
    involvesMigration,
    statement: plain.id,
  })
  it('with the migration in the cycle fail, among operations alone they do not', () => {
    const report = judged({ timed: { deadlocks: [deadlock(true), deadlock(false)] } })
    expect(severities(report, 'deadlock')).toEqual(['fail'])
    expect(found(report, 'deadlock')[0]?.at?.statement).toBe(plain.id)
    expect(judged({ timed: { deadlocks: [deadlock(false)] } }).verdict).toBe('pass')
  })
})

describe('leftovers', () => {
  const invalid = { ...none, invalidIndexes: [{ index: 'orders_i', table: 'orders' }] }
  const notValid = { ...none, notValidConstraints: [{ constraint: 'c', table: 'orders' }] }
  it('an INVALID index fails, once for both passes', () => {
    const report = judged({ quiet: { leftovers: invalid }, timed: { leftovers: invalid } })
    expect(severities(report, 'invalid-index')).toEqual(['fail'])
    expect(severities(judged({ timed: { leftovers: invalid } }), 'invalid-index')).toEqual(['fail'])
  })
  it('a NOT VALID constraint warns', () => {
    expect(severities(judged({ quiet: { leftovers: notValid } }), 'not-valid-constraint')).toEqual(['warn'])
  })
})

describe('data checks', () => {
  const check = (rowsBefore: number | null, rowsAfter: number | null) => [
    { name: 'sane', line: 1, rowsBefore, rowsAfter, error: rowsAfter === null ? p.undefinedColumn('x') : null },
  ]
  it.each<[string, ReturnType<typeof check>, ReturnType<typeof check>, boolean]>([
    ['no row', check(0, 0), check(0, 0), false],
    ['could not run before, no row after', check(null, 0), check(null, 0), false],
    ['rows before, none after', check(5, 0), check(5, 0), false],
    ['rows after, at rest', check(0, 3), check(0, 3), true],
    ['rows after, under traffic only', check(0, 0), check(0, 1), true],
    ['cannot run after', check(0, null), check(0, null), true],
  ])('%s', (_, quiet, timed, fails) => {
    const report = judged({ quiet: { dataChecks: quiet }, timed: { dataChecks: timed } })
    expect(severities(report, 'data-check-fails')).toEqual(fails ? ['fail'] : [])
    expect(report.verdict).toBe(fails ? 'fail' : 'pass')
  })
  it('says when only traffic breaks it', () => {
    const title = (quiet: number) =>
      found(
        judged({ quiet: { dataChecks: check(0, quiet) }, timed: { dataChecks: check(0, 1) } }),
        'data-check-fails',
      )[0]?.title
    expect(title(0)).toMatch(/under traffic/)
    expect(title(1)).not.toMatch(/under traffic/)
  })
})

describe('errors of traffic', () => {
  const error = (
    sqlstate: string,
    phases: TimedPass['errors'][number]['phases'],
    over: Partial<TimedPass['errors'][number]> = {},
  ) => ({
    release: 'old' as const,
    operation: 'get',
    error: { sqlstate, condition: 'c', message: 'm', objects: [] },
    phases,
    count: Object.values(phases).reduce((sum, n) => sum + n, 0),
    firstMs: 0,
    lastMs: 1,
    hidden: false,
    ...over,
  })
  const rule = (...errors: TimedPass['errors']) => severities(judged({ timed: { errors } }), 'traffic-errors')

  it('absent from the baseline: structural ones fail, others warn', () => {
    expect(rule(error('23502', { migrate: 1 }))).toEqual(['fail'])
    expect(rule(error('42703', { rollout: 1 }))).toEqual(['fail'])
    expect(rule(error('57014', { migrate: 1 }))).toEqual(['warn'])
    expect(rule(error('55P03', { migrate: 2 }))).toEqual(['warn'])
  })
  it('as frequent as in the baseline are nothing new; clearly more frequent are', () => {
    // Warm-up and baseline last 13 s, what follows 18.24 s: 10 errors become 14.03 by themselves.
    expect(rule(error('23505', { baseline: 10, rollout: 14 }))).toEqual([])
    expect(rule(error('23505', { baseline: 10, rollout: 42 }))).toEqual([])
    expect(rule(error('23505', { baseline: 10, rollout: 43 }))).toEqual(['fail'])
    // Three times as many, but only a handful.
    expect(rule(error('23505', { baseline: 1, rollout: 6 }))).toEqual([])
    expect(rule(error('23505', { baseline: 1, rollout: 7 }))).toEqual(['fail'])
    expect(rule(error('23505', { warmup: 1, rollout: 3 }))).toEqual([])
  })
  it('in the baseline alone, hidden ones and deadlocks are not told here', () => {
    expect(rule(error('23505', { baseline: 5 }))).toEqual([])
    expect(rule(error('0A000', { migrate: 5 }, { hidden: true }))).toEqual([])
    expect(rule(error('40P01', { migrate: 1 }))).toEqual([])
  })
  it('that the matrix explains are told there', () => {
    const compat = [
      cell('old', 'get', 'before'),
      cell('old', 'get', 'T1', '42703'),
      cell('old', 'put', 'T1', null, '0A000'),
    ]
    const errors = [
      error('42703', { rollout: 9 }),
      error('0A000', { migrate: 2 }, { operation: 'put' }),
      error('23502', { rollout: 1 }),
    ]
    const report = judged({ quiet: { compat }, timed: { errors } })
    expect(
      found(report, 'traffic-errors')
        .map((f) => f.title)
        .join(),
    ).toMatch(/23502/)
    expect(found(report, 'traffic-errors')).toHaveLength(1)
    expect(found(report, 'old-code-breaks')[0]?.evidence.join(' ')).toMatch(/9 requests/)
  })
  it('of many operations with one SQLSTATE are one finding', () => {
    const timed = { errors: [error('POOL', { migrate: 7 }), error('POOL', { migrate: 2 }, { operation: 'put' })] }
    const report = judged({ timed })
    expect(severities(report, 'traffic-errors')).toEqual(['fail'])
    expect(found(report, 'traffic-errors')[0]?.title).toBe(
      '9 requests gave up waiting for a connection: get, put (old release)',
    )
    const atRest = (compat: CompatCell[]) =>
      found(judged({ timed: { errors: [error('23505', { migrate: 7 })] }, quiet: { compat } }), 'traffic-errors')[0]
    expect(atRest([cell('old', 'get', 'T1')])?.evidence.join(' ')).toContain('At rest it works')
    expect(atRest([])?.evidence.join(' ')).not.toContain('At rest')
  })
  it('of the other release or another operation are not explained by it', () => {
    const compat = [cell('new', 'get', 'T1', '42703'), cell('old', 'put', 'T1', '42703')]
    expect(
      severities(judged({ quiet: { compat }, timed: { errors: [error('42703', { rollout: 1 })] } }), 'traffic-errors'),
    ).toEqual(['fail'])
  })
})

describe('waits of the migration', () => {
  const wait = (lowMs: number) => ({
    statement: plain.id,
    lockType: 'virtualxid',
    relation: null,
    mode: 'SHARE',
    startMs: p.around(1),
    endMs: p.around(2),
    waitedMs: { lowMs, highMs: lowMs + 50 },
    waitedFor: ['old get'],
  })
  it('are told from a second on', () => {
    expect(severities(judged({ timed: { migrationWaits: [wait(1_000)] } }), 'migration-waited')).toEqual([])
    expect(severities(judged({ timed: { migrationWaits: [wait(1_001)] } }), 'migration-waited')).toEqual(['info'])
  })
})

describe('inconclusive', () => {
  const late = {
    ratePerSecond: 100,
    connections: 10,
    lagP50Ms: 1,
    lagP99Ms: 300,
    eventLoopUtilisation: 0.2,
    baselineMaxQueue: 0,
    baselineDropped: 0,
    phases: [],
  }

  it('beats warn and pass, not fail: what was proved stays proved', () => {
    expect(judged({ timed: { generator: late } }).verdict).toBe('inconclusive')
    const held = (ms: number) =>
      judged({ timed: { generator: late, locks: [span('orders', 'ACCESS EXCLUSIVE', ms, ms)] } })
    expect(held(500).verdict).toBe('inconclusive')
    expect(held(5_000).verdict).toBe('fail')
    // Worst first, and the headline is the worst.
    expect(held(5_000).findings.map((f) => f.severity)).toEqual(['fail', 'inconclusive'])
    expect(held(500).findings.map((f) => f.severity)).toEqual(['inconclusive', 'warn'])
    expect(held(500).headline).toBe(held(500).findings[0]?.title)
  })
  it('when a pass is missing', () => {
    const { passes } = recording()
    for (const list of [passes.slice(0, 1), passes.slice(1), []]) {
      const report = judged({ recording: { passes: list } })
      expect(report.verdict).toBe('inconclusive')
      expect(severities(report, 'incomplete')).toEqual(['inconclusive'])
    }
    expect(
      judged({ recording: { passes: passes.slice(0, 1) } }).budgets.find((b) => b.metric === 'lock.held')?.status,
    ).toBe('not measured')
  })
  it('when the rehearsal was stopped, whatever is there', () => {
    const report = judged({
      recording: { complete: false, stopped: { code: 'DISK_FULL', message: 'the disk is full' } },
    })
    expect(report.verdict).toBe('inconclusive')
    expect(report.headline).toContain('the disk is full')
  })
  it('of two timed passes the last one is judged', () => {
    const bad = recording({ timed: { generator: late } })
    const good = recording()
    expect(judged({ recording: { passes: [...bad.passes, ...good.passes.slice(1)] } }).verdict).toBe('pass')
    expect(judged({ recording: { passes: [...good.passes, ...bad.passes.slice(1)] } }).verdict).toBe('inconclusive')
  })
})
