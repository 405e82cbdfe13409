/** Rules about code on schemas: the old release, the new one, prepared statements, the way back. */
import { describe, expect, it } from 'vitest'
import * as p from '../fixtures/parts.js'
import { cell, found, judged, outcome, plain, severities, STATES } from './build.js'

const works = (operation: string) => [cell('old', operation, 'before'), cell('old', operation, 'T1')]
const failing = p.migration([p.ran(plain, 1, 100, 110, { outcome: outcome('23502') })])

describe('the plain recording', () => {
  it('passes without a finding, so that each test shows its own', () => {
    const report = judged()
    expect(report.findings).toEqual([])
    expect(report.verdict).toBe('pass')
    expect(report.budgets.filter((b) => b.metric !== 'query.slowdown').map((b) => b.status)).toEqual(['ok', 'ok', 'ok'])
  })
})

describe('the running release', () => {
  const breaks = (sqlstate: string) =>
    judged({ quiet: { compat: [cell('old', 'get', 'before'), cell('old', 'get', 'T1', sqlstate)] } })

  it.each(['42703', '42P01', '42501', '23502', '23514', '22P02', '0A000', 'P0001', '25006'])(
    '%s after the migration fails',
    (sqlstate) => {
      const report = breaks(sqlstate)
      expect(severities(report, 'old-code-breaks')).toEqual(['fail'])
      expect(found(report, 'old-code-breaks')[0]).toMatchObject({ at: { file: '1.sql', line: 1, statement: plain.id } })
      expect(found(report, 'old-code-breaks')[0]?.title).toContain(sqlstate)
      expect(report.verdict).toBe('fail')
      expect(report.headline).toBe(report.findings[0]?.title)
    },
  )

  it.each(['55P03', '40P01', '40001', '53300', '57014', '57P01', '08006', '58030', 'XX000'])(
    '%s comes and goes by itself',
    (sqlstate) => {
      expect(severities(breaks(sqlstate), 'old-code-breaks')).toEqual([])
    },
  )

  it('what failed before says nothing about the migration, and is a warning', () => {
    const report = judged({
      quiet: { compat: [cell('old', 'get', 'before', '42P01'), cell('old', 'get', 'T1', '42703')] },
    })
    expect(severities(report, 'old-code-breaks')).toEqual([])
    expect(severities(report, 'old-code-never-worked')).toEqual(['warn'])
  })

  it('on a state in the middle counts, and is blamed on the statement that made it', () => {
    const second = p.statement('1.sql', 2, 9, 'AlterTableStmt', 'select 2')
    const report = judged({
      statements: [plain, second],
      quiet: {
        states: [
          { id: 'before', label: 'before', kind: 'before', statement: null },
          { id: 'T1', label: 'after 1.sql:1', kind: 'during', statement: plain.id },
          { id: 'T2', label: 'after 1.sql:9', kind: 'after', statement: second.id },
        ],
        compat: [
          ...works('get'),
          cell('old', 'get', 'T2', '42703'),
          cell('old', 'put', 'before'),
          cell('old', 'put', 'T1', '23502'),
          cell('old', 'put', 'T2'),
        ],
      },
    })
    expect(found(report, 'old-code-breaks').map((f) => [f.at?.line, f.title.includes('put')])).toEqual([
      [9, false],
      [1, true],
    ])
  })

  it('on the state after the rollback is not a break of the migration', () => {
    const report = judged({
      quiet: {
        states: [...STATES, { id: 'rolled-back', label: 'after the rollback', kind: 'rolled-back', statement: null }],
        compat: [...works('get'), cell('old', 'get', 'rolled-back', '42703')],
      },
    })
    expect(severities(report, 'old-code-breaks')).toEqual([])
  })

  it('operations with the same cause are one finding', () => {
    const both = ['get', 'put'].flatMap((o) => [cell('old', o, 'before'), cell('old', o, 'T1', '42703')])
    expect(found(judged({ quiet: { compat: both } }), 'old-code-breaks')).toHaveLength(1)
    const two = [
      cell('old', 'get', 'before'),
      cell('old', 'get', 'T1', '42703'),
      cell('old', 'put', 'before'),
      cell('old', 'put', 'T1', '23502'),
    ]
    expect(found(judged({ quiet: { compat: two } }), 'old-code-breaks')).toHaveLength(2)
  })
})

describe('the next release', () => {
  const compat = (before: string | null, after: string | null) => [
    cell('new', 'get', 'before', before),
    cell('new', 'get', 'T1', after),
  ]

  it('failing before alone says: migrate first', () => {
    const report = judged({ quiet: { compat: compat('42703', null) } })
    expect(severities(report, 'migrate-first')).toEqual(['info'])
    expect(report.verdict).toBe('pass')
  })
  it.each([null, '42P01'])('failing after is a failure (before: %s)', (before) => {
    const report = judged({ quiet: { compat: compat(before, '42703') } })
    expect(severities(report, 'new-code-breaks')).toEqual(['fail'])
    expect(severities(report, 'migrate-first')).toEqual([])
  })
  it('is not held against it when the migration itself failed', () => {
    const report = judged({
      quiet: { compat: [cell('new', 'get', 'before', '42703')], states: STATES.slice(0, 1), migration: failing },
    })
    expect(severities(report, 'new-code-breaks')).toEqual(['info'])
    expect(report.findings.filter((f) => f.severity === 'fail').map((f) => f.rule)).toEqual(['migration-fails'])
  })
  it('a missing row of another table is not the release’s failure, unless it worked before', () => {
    const empty = judged({ quiet: { compat: compat('42P01', '23503') } })
    expect(severities(empty, 'new-code-needs-rows')).toEqual(['warn'])
    expect(severities(empty, 'new-code-breaks')).toEqual([])
    const broken = judged({ quiet: { compat: compat(null, '23503') } })
    expect(severities(broken, 'new-code-breaks')).toEqual(['fail'])
    expect(severities(judged({ quiet: { compat: compat('42P01', '23502') } }), 'new-code-breaks')).toEqual(['fail'])
  })
  it('operations that fail with the same SQLSTATE are one finding, which names them', () => {
    const cells = ['get', 'put'].flatMap((o) => [cell('new', o, 'before'), cell('new', o, 'T1', '42703')])
    const findings = found(judged({ quiet: { compat: cells } }), 'new-code-breaks')
    expect(findings.map((f) => f.title)).toEqual([
      'The next release does not work after the migration: 2 of its operations fail with 42703',
    ])
    expect(findings[0]?.evidence).toContain('Operations: get, put.')
  })
  it('a lock timeout of the probe is none', () => {
    expect(judged({ quiet: { compat: compat(null, '55P03') } }).findings).toEqual([])
  })
})

describe('prepared statements', () => {
  const compat = [cell('old', 'get', 'before', null, null), cell('old', 'get', 'T1', null, '0A000')]
  it('that break are a warning, at the statement', () => {
    const report = judged({ quiet: { compat } })
    expect(severities(report, 'prepared-statements-break')).toEqual(['warn'])
    expect(found(report, 'prepared-statements-break')[0]?.at?.statement).toBe(plain.id)
    expect(report.verdict).toBe('warn')
  })
  it('that fail when sent anew as well are a break of the code', () => {
    const report = judged({
      quiet: { compat: [cell('old', 'get', 'before', null, null), cell('old', 'get', 'T1', '42703', '42703')] },
    })
    expect(severities(report, 'prepared-statements-break')).toEqual([])
    expect(severities(report, 'old-code-breaks')).toEqual(['fail'])
  })
  it('of operations written as code are known by the silent retries of the driver', () => {
    const hidden = {
      release: 'old' as const,
      operation: 'put',
      error: p.cachedPlan,
      phases: { migrate: 3 },
      count: 3,
      firstMs: 1,
      lastMs: 2,
      hidden: true,
    }
    const report = judged({ timed: { errors: [hidden] } })
    expect(severities(report, 'prepared-statements-break')).toEqual(['warn'])
    expect(severities(report, 'traffic-errors')).toEqual([])
  })
})

describe('the way back', () => {
  const file = 'rollback.sql'
  const back = p.statement(file, 1, 1, 'AlterTableStmt', 'select 1')
  const run = (sqlstate: string | null) => p.migration([p.ran(back, 1, 1, 2, { outcome: outcome(sqlstate) })])
  it('works', () => {
    expect(judged({ quiet: { rollback: { file, run: run(null), dataChecks: [] } } }).findings).toEqual([])
  })
  it('fails', () => {
    const report = judged({ quiet: { rollback: { file, run: run('42P01'), dataChecks: [] } } })
    expect(severities(report, 'rollback-fails')).toEqual(['warn'])
  })
  it('leaves the old release broken', () => {
    const compat = [
      cell('old', 'get', 'before'),
      cell('old', 'get', 'rolled-back', '42703'),
      cell('old', 'put', 'before', '42P01'),
      cell('old', 'put', 'rolled-back', '42P01'),
    ]
    const report = judged({ quiet: { compat, rollback: { file, run: run(null), dataChecks: [] } } })
    expect(severities(report, 'rollback-breaks-old-code')).toEqual(['warn'])
    expect(found(report, 'rollback-breaks-old-code')[0]?.title).toMatch(/get/)
    expect(found(report, 'rollback-breaks-old-code')[0]?.title).not.toMatch(/put/)
  })
})
