/** What derived traffic may decide: DESIGN section 6, contract steps. */
import { describe, expect, it } from 'vitest'
import type { OperationInfo, PgError, Recording, TrafficError } from '../../src/recording.js'
import * as p from '../fixtures/parts.js'
import { cell, found, judged, plain, severities } from './build.js'

const gone = (sqlstate: string, ...objects: string[]): PgError => ({
  sqlstate,
  condition: 'a_condition',
  message: `${objects.join('.')} does not exist`,
  objects,
})

const operation = (over: Partial<OperationInfo> = {}): OperationInfo => ({
  release: 'old',
  name: 'orders: read by id',
  weight: 1,
  prepared: true,
  file: 'derived from the schema',
  line: 1,
  sql: ['select id, note from orders where id = $1'],
  source: 'derived',
  ratePerSecond: null,
  table: 'orders',
  ...over,
})

function report(error: PgError, takenAway: Recording['takenAway'], over: Partial<OperationInfo> = {}) {
  const name = 'orders: read by id'
  return judged({
    recording: { operations: [operation(over)], takenAway },
    quiet: {
      compat: [cell('old', name, 'before'), { ...cell('old', name, 'T1'), fresh: { ok: false, error } }],
    },
  })
}

const column = (place: string | null, ref: string | null = 'origin/main'): Recording['takenAway'] => ({
  ref,
  objects: [{ table: 'orders', column: 'note', place }],
})

describe('a column that is dropped', () => {
  it('warns when the running release does not name it', () => {
    const one = report(gone('42703', 'note'), column(null))
    expect(severities(one, 'old-code-breaks')).toEqual([])
    expect(severities(one, 'contract-step')).toEqual(['warn'])
    expect(found(one, 'contract-step')[0]).toMatchObject({ relation: 'orders', at: { file: '1.sql', line: 1 } })
    expect(found(one, 'contract-step')[0]?.title).toContain('orders.note')
    expect(found(one, 'contract-step')[0]?.evidence.join(' ')).toContain('origin/main')
    expect(one.verdict).toBe('warn')
  })

  it('is blamed on the statement that drops it, not on the last of its transaction', () => {
    const drop = p.statement('1.sql', 2, 4, 'AlterTableStmt', 'alter table only public.orders drop column note cascade')
    const last = p.statement('1.sql', 3, 9, 'IndexStmt', 'create index on orders (id)')
    const name = 'orders: read by id'
    const one = judged({
      statements: [plain, drop, last],
      recording: { operations: [operation()], takenAway: column(null) },
      quiet: {
        states: [
          { id: 'before', label: 'before', kind: 'before', statement: null },
          { id: 'T1', label: 'after 1.sql:9', kind: 'after', statement: last.id },
        ],
        compat: [
          cell('old', name, 'before'),
          { ...cell('old', name, 'T1'), fresh: { ok: false, error: gone('42703', 'note') } },
        ],
      },
    })
    expect(found(one, 'contract-step')[0]?.at).toMatchObject({ line: 4, statement: drop.id })
  })

  it('fails when its code names it, and says where', () => {
    const one = report(gone('42703', 'note'), column('src/schema.ts:41'))
    expect(severities(one, 'old-code-breaks')).toEqual(['fail'])
    expect(found(one, 'old-code-breaks')[0]?.evidence.join(' ')).toContain('src/schema.ts:41 names orders.note')
  })

  it('warns when there is no code to look at, and says so', () => {
    const one = report(gone('42703', 'note'), column(null, null))
    expect(severities(one, 'contract-step')).toEqual(['warn'])
    expect(found(one, 'contract-step')[0]?.evidence[0]).toMatch(/could not be looked at/)
  })

  it.each([
    ['declared traffic', { source: 'declared' as const }],
    ["production's statements", { source: 'production' as const }],
  ])('fails for %s, which is known to use it', (_, over) => {
    expect(severities(report(gone('42703', 'note'), column(null), over), 'old-code-breaks')).toEqual(['fail'])
  })

  it.each([
    ['a rename', gone('42703', 'title')],
    ['another error of the same column', gone('42804', 'note')],
    ['a new NOT NULL', gone('23502', 'orders', 'note')],
  ])('%s is no contract step', (_, error) => {
    const one = report(error, column(null))
    expect(severities(one, 'contract-step')).toEqual([])
    expect(severities(one, 'old-code-breaks')).toEqual(['fail'])
  })
})

it('a table that is dropped', () => {
  const taken = { ref: 'main', objects: [{ table: 'orders', column: null, place: null }] }
  expect(severities(report(gone('42P01', 'orders'), taken), 'contract-step')).toEqual(['warn'])
  expect(severities(report(gone('42P01', 'customers'), taken), 'contract-step')).toEqual([])
})

describe('values that clash', () => {
  const errors = (sqlstate: string, count: number): TrafficError[] => [
    {
      release: 'old',
      operation: 'orders: insert',
      error: gone(sqlstate, 'orders_key'),
      phases: { rollout: count },
      count,
      firstMs: 17_000,
      lastMs: 18_000,
      hidden: false,
    },
  ]
  const under = (sqlstate: string, count: number, source: OperationInfo['source']) =>
    judged({
      recording: { operations: [operation({ name: 'orders: insert', source })] },
      timed: {
        errors: errors(sqlstate, count),
        traffic: [
          p.trafficRow('old', 'orders: insert', 'baseline', 100),
          p.trafficRow('old', 'orders: insert', 'rollout', 100, { completed: 100 - count, failed: count }),
        ],
      },
    })

  it('now and then are no failure of derived traffic', () => {
    expect(severities(under('23505', 3, 'derived'), 'traffic-errors')).toEqual([])
    expect(severities(under('23505', 3, 'production'), 'traffic-errors')).toEqual([])
  })
  it('often, or of another kind, or of declared traffic, are', () => {
    expect(severities(under('23505', 30, 'derived'), 'traffic-errors')).toEqual(['fail'])
    expect(severities(under('42703', 3, 'derived'), 'traffic-errors')).toEqual(['fail'])
    expect(severities(under('23505', 3, 'declared'), 'traffic-errors')).toEqual(['fail'])
  })
})

describe('no traffic of the running release', () => {
  const relation = { relation: 'orders', kind: 'table' as const, rows: 10, bytes: 8192 }
  it('is inconclusive where there are tables', () => {
    const one = judged({
      recording: { operations: [], environment: { ...p.environment, relations: [relation] } },
    })
    expect(severities(one, 'no-traffic')).toEqual(['inconclusive'])
    expect(one.verdict).toBe('inconclusive')
  })
  it('is information for the first migration of all', () => {
    const one = judged({ recording: { operations: [], environment: { ...p.environment, relations: [] } } })
    expect(severities(one, 'no-traffic')).toEqual(['info'])
  })
  it('a program is traffic, too', () => {
    const run = {
      release: 'old' as const,
      role: 'serve' as const,
      command: 'npm start',
      startMs: 0,
      endMs: 9,
      exitCode: null,
      byItself: false,
      sessions: 1,
      ready: true,
      refused: [],
    }
    const one = judged({ recording: { operations: [] }, timed: { programs: [run] } })
    expect(severities(one, 'no-traffic')).toEqual([])
  })
})

describe('the program of the next release', () => {
  const run = (ready: boolean, role: 'serve' | 'load' = 'serve') => ({
    release: 'new' as const,
    role,
    command: 'npm start',
    startMs: 0,
    endMs: 9,
    exitCode: null,
    byItself: false,
    sessions: 0,
    ready,
    refused: [],
  })
  it('that never works is inconclusive, unless what it sent proves more', () => {
    const warnings = ['After the migration the program of the new release is not ready (npm start): it ended.']
    const one = judged({ timed: { programs: [run(false), run(false, 'load')], warnings } })
    expect(severities(one, 'inconclusive-program')).toEqual(['inconclusive'])
    expect(found(one, 'inconclusive-program')[0]?.evidence).toEqual(warnings)
    expect(severities(judged({ timed: { programs: [run(false), run(true)] } }), 'inconclusive-program')).toEqual([])
    expect(severities(judged({ timed: { programs: [] } }), 'inconclusive-program')).toEqual([])
  })
})
