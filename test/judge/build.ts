/**
 * Recordings for the rules, cut to what a test speaks of. The plain one is sound and passes: one statement under a lock
 * that traffic conflicts with, held for 20 ms, with lock_timeout set and production's size unknown.
 */
import { judge } from '../../src/judge/index.js'
import type {
  Budgets,
  CompatCell,
  Finding,
  LockMode,
  LockTaken,
  OperationLock,
  QuietPass,
  Recording,
  Report,
  SchemaState,
  Severity,
  Statement,
  TimedPass,
  Work,
} from '../../src/recording.js'
import { failReport } from '../fixtures/make.js'
import * as p from '../fixtures/parts.js'

export const plain = p.statement('1.sql', 1, 1, 'AlterTableStmt', 'alter table orders add column note text')

export const takenOn = (relation: string, mode: LockMode, over: Partial<LockTaken> = {}): LockTaken => ({
  relation,
  kind: 'table',
  table: relation,
  mode,
  existedBefore: true,
  ...over,
})

export const uses = (
  operation: string,
  relation: string,
  mode: LockMode,
  over: Partial<OperationLock> = {},
): OperationLock => ({
  release: 'old',
  operation,
  relation,
  kind: 'table',
  table: relation,
  mode,
  ...over,
})

export const cell = (
  release: 'old' | 'new',
  operation: string,
  state: string,
  fresh: string | null = null,
  prepared?: string | null,
): CompatCell => ({
  release,
  operation,
  state,
  fresh: outcome(fresh),
  prepared: prepared === undefined ? null : outcome(prepared),
})

export const outcome = (sqlstate: string | null): CompatCell['fresh'] =>
  sqlstate === null
    ? { ok: true }
    : { ok: false, error: { sqlstate, condition: 'a_condition', message: `message of ${sqlstate}`, objects: [] } }

export const STATES: SchemaState[] = [
  { id: 'before', label: 'before', kind: 'before', statement: null },
  { id: 'T1', label: 'after 1.sql:1', kind: 'after', statement: plain.id },
]

/** Work of a statement that respects lock_timeout. */
export const work = (over: Partial<Work> = {}): Work => p.work({ lockTimeoutMs: 2_000, ...over })

interface Parts {
  recording?: Partial<Recording>
  quiet?: Partial<QuietPass>
  timed?: Partial<TimedPass>
  statements?: Statement[]
}

const base = failReport().recording
const [baseQuiet, baseTimed] = base.passes

export function recording(parts: Parts = {}): Recording {
  if (baseQuiet?.kind !== 'quiet' || baseTimed?.kind !== 'timed') throw new Error('the fixture has two passes')
  const quiet: QuietPass = {
    ...baseQuiet,
    migration: p.migration([
      p.ran(plain, 1, 100, 110, { work: work({ locks: [takenOn('orders', 'ACCESS EXCLUSIVE')] }) }),
    ]),
    states: STATES,
    compat: [],
    operationLocks: [uses('get', 'orders', 'ACCESS SHARE'), uses('put', 'orders', 'ROW EXCLUSIVE')],
    leftovers: { invalidIndexes: [], notValidConstraints: [], halfApplied: [] },
    dataChecks: [],
    rollback: null,
    ...parts.quiet,
  }
  const timed: TimedPass = {
    ...baseTimed,
    migration: p.migration([p.ran(plain, 1, 13_000, 13_012)]),
    locks: [span('orders', 'ACCESS EXCLUSIVE', 20, 20)],
    waits: [],
    blocked: [],
    migrationWaits: [],
    traffic: [p.trafficRow('old', 'get', 'baseline', 700)],
    errors: [],
    deadlocks: [],
    leftovers: { invalidIndexes: [], notValidConstraints: [], halfApplied: [] },
    dataChecks: [],
    ...parts.timed,
  }
  return {
    ...base,
    productionRows: {},
    budgets: {},
    operations: (['old', 'new'] as const).flatMap((release) =>
      ['get', 'put'].map((name) => ({
        release,
        name,
        weight: 1,
        prepared: true,
        file: `${release}.sql`,
        line: 1,
        sql: [],
        source: 'declared' as const,
        ratePerSecond: null,
        table: null,
      })),
    ),
    migrations: [
      {
        file: '1.sql',
        sha256: '',
        transaction: 'file',
        name: null,
        kind: 'sql',
        statements: parts.statements ?? [plain],
      },
    ],
    passes: [quiet, timed],
    ...parts.recording,
  }
}

/** A lock span of the plain statement, held for between `low` and `high` ms. */
export const span = (
  relation: string,
  mode: LockMode,
  low: number,
  high: number,
  over: Partial<TimedPass['locks'][number]> = {},
): TimedPass['locks'][number] => ({
  ...p.lockSpan(relation, mode, plain, { transaction: 1, asked: 13_000, granted: 13_001, released: 13_001 + high }),
  heldMs: { lowMs: low, highMs: high },
  ...over,
})

export const judged = (parts: Parts = {}, budgets?: Budgets): Report => judge(recording(parts), budgets)

export const found = (report: Report, rule: string): Finding[] => report.findings.filter((f) => f.rule === rule)

/** Severities of a rule's findings, in order; empty when it is silent. */
export const severities = (report: Report, rule: string): Severity[] => found(report, rule).map((f) => f.severity)
