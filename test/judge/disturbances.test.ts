/** What is said of each disturbance pass, and that nobody takes it for the timed one. */
import { describe, expect, it } from 'vitest'
import { judge } from '../../src/judge/index.js'
import type { DisturbancePass, Finding, Leftovers, QuietPass, Report } from '../../src/recording.js'
import { behind, disturbancePass, lockTimeout, waited } from '../fixtures/disturbance-parts.js'
import * as p from '../fixtures/parts.js'
import { found, plain, recording, takenOn, work } from './build.js'

interface Parts {
  lockTimeoutMs?: number | null
  quiet?: Partial<QuietPass>
  budgets?: Parameters<typeof judge>[1]
}

const report = (
  over: Partial<DisturbancePass> = {},
  { lockTimeoutMs = 0, quiet = {}, budgets = {} }: Parts = {},
): Report => {
  const locks = [takenOn('orders', 'ACCESS EXCLUSIVE')]
  const base = recording({
    quiet: { migration: p.migration([p.ran(plain, 1, 100, 110, { work: work({ locks, lockTimeoutMs }) })]), ...quiet },
  })
  return judge({ ...base, passes: [...base.passes, disturbancePass(plain, over)] }, budgets)
}

const RULES = /disturb/
const about = (one: Report): Finding[] =>
  one.findings.filter((f) => RULES.test(f.rule) || f.title.includes('(long-read)'))
const said = (one: Report): string[] => about(one).map((f) => `${f.severity} ${f.rule}`)

const refused = p.failed(lockTimeout)
const gaveUp = (tries: number): Partial<DisturbancePass> => {
  const run = p.ran(plain, 1, 4_000, 4_300, { outcome: refused })
  return {
    migration: p.migration([run], { failedStatement: plain.id }),
    tries: Array.from({ length: tries }, () => ({
      startMs: 4_000,
      endMs: 4_300,
      outcome: refused,
      statement: plain.id,
    })),
    migrationWaits: [waited(plain, 300)],
    waits: [behind(plain, 1, 200)],
    disturbance: { ...disturbancePass(plain).disturbance, ended: 'end of pass' },
  }
}

describe('a queue behind a migration that itself waits', () => {
  it('without lock_timeout: a warning with numbers and the safer way', () => {
    const one = report()
    expect(said(one)).toEqual(['warn queue-behind-disturbance'])
    const [queue] = about(one)
    expect(queue?.title).toBe(
      'alter table orders add column note text waited 1.500 s ± 2 ms for a long report (long-read); meanwhile 3 sessions waited behind it, the longest 1.380 s ± 2 ms'
        .replace('1.500', '1.50')
        .replace('1.380', '1.38'),
    )
    const evidence = queue?.evidence.join('\n') ?? ''
    expect(evidence).toContain('list_orders (old release) 3x for ACCESS SHARE on orders')
    expect(evidence).toContain('The slowest request took 1.40 s from when it was due; 84 requests came')
    expect(evidence).toContain('Its lock_timeout is 0')
    expect(evidence).toContain('a transaction that read orders and stayed open, for 1.50 s')
    expect(queue).toMatchObject({ relation: 'orders', at: { file: '1.sql', line: 1 } })
    expect(queue?.advice?.sql).toContain("set lock_timeout = '2s'")
  })
  it.each<[string, number | null, string[]]>([
    ['longer than the limit', 5_000, ['warn queue-behind-disturbance']],
    ['as long as the limit', 2_000, ['info disturbance-harmless']],
    ['unknown, and the wait short', null, ['info disturbance-harmless']],
  ])('lock_timeout %s', (_, lockTimeoutMs, expected) => {
    expect(said(report({}, { lockTimeoutMs }))).toEqual(expected)
  })
  it('by the limit of the recording', () => {
    const budgets = { 'operation.blocked': { warn: 100, fail: 500 } }
    expect(said(report({}, { lockTimeoutMs: 1_000, budgets }))).toEqual(['warn queue-behind-disturbance'])
    expect(said(report({}, { lockTimeoutMs: null, budgets }))).toEqual(['warn queue-behind-disturbance'])
    const none = { 'operation.blocked': { warn: null, fail: null } }
    expect(said(report({}, { lockTimeoutMs: 60_000, budgets: none }))).toEqual(['info disturbance-harmless'])
    expect(said(report({}, { budgets: none }))).toEqual(['warn queue-behind-disturbance'])
  })
  it('is none where nobody waited behind it, or only while it held its lock', () => {
    const alone = report({ waits: [] })
    expect(said(alone)).toEqual(['info disturbance-harmless'])
    expect(about(alone)[0]?.evidence[0]).toBe('Nobody waited behind it meanwhile.')
    const later = behind(plain, 1, 900, { startMs: p.around(6_000), endMs: p.around(6_900) })
    expect(said(report({ waits: [later] }))).toEqual(['info disturbance-harmless'])
    expect(said(report({ migrationWaits: [waited(plain, 1_500, { waitedFor: ['old #1 get'] })] }))).toEqual([
      'info disturbance-harmless',
    ])
  })
  it('names operations that gave up meanwhile', () => {
    const error = { sqlstate: '57014', condition: 'query_canceled', message: 'canceled', objects: [] }
    const failed = { release: 'old' as const, operation: 'get', error, count: 4, firstMs: 1, lastMs: 2, hidden: false }
    const one = report({ errors: [{ ...failed, phases: { migrate: 4 } }] })
    expect(about(one)[0]?.evidence.join(' ')).toContain('get failed 4 times with 57014')
  })
})

describe('lock_timeout', () => {
  it('that leaves nothing behind is information', () => {
    const one = report(gaveUp(1), { lockTimeoutMs: 300 })
    expect(said(one)).toEqual(['info disturbance-harmless'])
    expect(about(one)[0]?.title).toContain('gave up after 1 try (55P03) and left nothing')
    expect(one.verdict).toBe('pass')
  })
  it('with tries that came through is seen to be harmless', () => {
    const tries = [...(gaveUp(2).tries ?? []), { startMs: 5_000, endMs: 5_510, outcome: p.ok, statement: null }]
    const one = report(
      { tries, migrationWaits: [waited(plain, 300)], waits: [behind(plain, 1, 200)] },
      { lockTimeoutMs: 300 },
    )
    expect(said(one)).toEqual(['info disturbance-harmless'])
    expect(about(one)[0]?.title).toContain('got its locks at try 3')
    expect(about(one)[0]?.evidence[0]).toContain('1 session waited, the longest')
  })
})

describe('what fails', () => {
  const left: Leftovers = {
    invalidIndexes: [{ index: 'i', table: 'orders' }],
    notValidConstraints: [{ constraint: 'c', table: 'orders' }],
    halfApplied: [plain.id],
  }
  it('leftovers that the quiet pass did not have', () => {
    const one = report({ ...gaveUp(1), leftovers: left }, { lockTimeoutMs: 300 })
    expect(said(one)).toEqual(['fail disturbance-leaves'])
    const text = about(one)[0]?.title ?? ''
    for (const part of ['INVALID index i on orders', 'constraint c on orders, NOT VALID', 'half applied'])
      expect(text).toContain(part)
  })
  it.each<[keyof Leftovers, Partial<Leftovers>]>([
    ['invalidIndexes', { invalidIndexes: left.invalidIndexes }],
    ['notValidConstraints', { notValidConstraints: left.notValidConstraints }],
    ['halfApplied', { halfApplied: left.halfApplied }],
  ])('one kind of them, unless it is left at rest, too: %s', (_, part) => {
    const leftovers = { invalidIndexes: [], notValidConstraints: [], halfApplied: [], ...part }
    expect(said(report({ ...gaveUp(1), leftovers }, { lockTimeoutMs: 300 }))).toEqual(['fail disturbance-leaves'])
    const quiet = { leftovers }
    expect(said(report({ ...gaveUp(1), leftovers }, { lockTimeoutMs: 300, quiet }))).toEqual([
      'info disturbance-harmless',
    ])
  })
  it('a migration that hangs', () => {
    const { migration } = disturbancePass(plain)
    const timedOut = { ...migration, timedOut: true, outcome: p.failed({ ...lockTimeout, sqlstate: '57014' }) }
    expect(said(report({ migration: timedOut }))).toContain('fail disturbance-hangs')
  })
  it('a deadlock with the migration, but no other', () => {
    const deadlock = {
      atMs: 4_500,
      victim: 'migration',
      participants: ['migration', 'old get'],
      involvesMigration: true,
      statement: plain.id,
    }
    expect(said(report({ deadlocks: [deadlock] }))).toContain('fail deadlock')
    expect(said(report({ deadlocks: [{ ...deadlock, involvesMigration: false }] }))).not.toContain('fail deadlock')
  })
  it('another error than a timeout, unless it fails at rest, too', () => {
    const broken = p.migration([p.ran(plain, 1, 4_000, 4_100, { outcome: p.failed(p.undefinedColumn('x')) })])
    const over = { migration: { ...broken, failedStatement: plain.id }, migrationWaits: [], waits: [] }
    expect(said(report(over))).toEqual(['fail fails-when-disturbed'])
    const quiet = { migration: { ...broken, failedStatement: plain.id } }
    expect(said(report(over, { quiet }))).toEqual(['info disturbance-harmless'])
  })
})

describe('what was not measured is never silent', () => {
  const { disturbance } = disturbancePass(plain)
  it('a disturbance that could not be made', () => {
    const error = { sqlstate: '55000', condition: 'x', message: 'not now', objects: [] }
    const one = report({
      tries: [],
      migration: p.migration([], { startMs: 0, endMs: 0 }),
      disturbance: { ...disturbance, error, locks: [], ended: 'canceled' },
    })
    expect(said(one)).toEqual(['warn disturbance-not-measured'])
    expect(about(one)[0]?.evidence).toEqual(['It could not be made here: 55000 not now.'])
  })
  const early = { ...disturbance, endMs: 4_300 }
  it.each<[string, Partial<DisturbancePass>, string[]]>([
    [
      'through with its work and never met',
      { disturbance: early, migrationWaits: [], waits: [] },
      ['warn disturbance-ended-early'],
    ],
    [
      'through with its work, but it was met',
      { disturbance: early, waits: [] },
      ['info disturbance-harmless', 'info disturbance-ended-early'],
    ],
    [
      'ended by a limit of the application',
      {
        disturbance: { ...early, ended: 'canceled', error: { ...lockTimeout, sqlstate: '25P03' } },
        waits: [],
        migrationWaits: [],
      },
      ['info disturbance-harmless', 'info disturbance-ended-early'],
    ],
  ])('one that ended early: %s', (_, over, expected) => {
    expect(said(report(over))).toEqual(expected)
  })
  it('but an interruption is said once, of the whole', () => {
    const { passes, ...rest } = recording({})
    const pass = disturbancePass(plain, { tries: [], disturbance: { ...disturbance, locks: [] } })
    const stopped = judge({ ...rest, complete: false, passes: [...passes, pass] })
    expect(said(stopped)).toEqual([])
    expect(stopped.verdict).toBe('inconclusive')
  })
  it('a sampler that did not look', () => {
    const { sampler } = disturbancePass(plain)
    const gap = report({ sampler: { ...sampler, maxGapMs: 900 }, waits: [], migrationWaits: [] })
    expect(said(gap)).toEqual(['warn disturbance-not-measured'])
    expect(said(report({ sampler: { ...sampler, polls: 0 } }))).toContain('warn disturbance-not-measured')
  })
})

it('says what does not get in the way', () => {
  const one = report({ migrationWaits: [], waits: [], blocked: [] })
  expect(about(one).map((f) => f.title)).toEqual(['A long report (long-read) does not get in the way of the migration'])
})

it('is never taken for the timed pass: no limit is applied to it', () => {
  const without = judge(recording({}))
  const one = report({}, { lockTimeoutMs: 2_000 })
  expect(one.budgets).toEqual(without.budgets)
  expect(one.relations).toEqual(without.relations)
  expect(found(one, 'operation-blocked')).toEqual([])
  expect(found(one, 'lock-held')).toEqual([])
  expect(one.verdict).toBe(without.verdict)
})
