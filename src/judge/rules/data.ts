import type { DataCheck, Finding } from '../../recording.js'
import { quoteName, quoteQualified } from '../../sql/identifiers.js'
import type { Facts } from '../facts.js'
import { count, finding } from '../words.js'
import { growing } from './work-under-lock.js'

/** Rows changed in one transaction above which row locks, WAL and dead rows deserve batches (strong_migrations, GitLab). */
const MOST_ROWS = 5_000

/** More than 5,000 rows changed in one transaction. A statement that commits in between is judged by its average. */
export function bulkWrites(facts: Facts): Finding[] {
  const findings: Finding[] = []
  for (const transaction of facts.quiet?.migration.transactions ?? []) {
    let here = 0
    let projected = 0
    let worst: { statement: string; rows: number } | null = null
    let relation: string | null = null
    for (const id of transaction.statements) {
      const run = facts.quietRun(id)
      if (!run?.work) continue
      for (const rows of run.work.rowsWritten) {
        if (!rows.existedBefore) continue
        const perTransaction = (rows.inserted + rows.updated + rows.deleted) / Math.max(1, run.work.transactions ?? 1)
        // Only a statement that reads the whole table writes more when the table is bigger; batches do not grow.
        const growsWith =
          (run.work.transactions ?? 1) > 1
            ? null
            : growing(run, facts.rowsHere).find((g) => g.relation === rows.relation)
        const production = growsWith ? facts.productionRows(rows.relation) : null
        const ratio = production !== null && growsWith ? Math.max(1, production / growsWith.rows) : 1
        here += perTransaction
        projected += perTransaction * ratio
        if (!worst || perTransaction > worst.rows) {
          worst = { statement: id, rows: perTransaction }
          relation = rows.relation
        }
      }
    }
    if (Math.round(projected) <= MOST_ROWS || !worst) continue
    findings.push(
      finding(
        'bulk-write',
        'warn',
        `${count(Math.round(projected), 'row')} of ${relation ?? 'a table'} changed in one transaction${projected > here ? ' (projected)' : ''}`,
        {
          evidence: [
            `Measured here: ${count(Math.round(here), 'row')} in one transaction${projected > here ? `; projected to production's size: ${count(Math.round(projected), 'row')}` : ''}.`,
            'Every one of them stays locked until the transaction ends, and its old version stays in the table until vacuum.',
          ],
          at: facts.at(worst.statement),
          relation,
          advice: {
            text: 'Write in batches of at most 5,000 rows by primary key, each in its own transaction.',
            sql: null,
          },
        },
      ),
    )
  }
  return findings
}

/** What stays behind: INVALID indexes fail, NOT VALID constraints warn. */
export function leftovers(facts: Facts): Finding[] {
  const findings: Finding[] = []
  const invalid = new Map<string, string>()
  const notValid = new Map<string, string>()
  for (const pass of [facts.quiet, facts.timed]) {
    for (const row of pass?.leftovers.invalidIndexes ?? []) invalid.set(row.index, row.table)
    for (const row of pass?.leftovers.notValidConstraints ?? []) notValid.set(row.constraint, row.table)
  }
  for (const [index, table] of invalid)
    findings.push(
      finding('invalid-index', 'fail', `INVALID index ${index} is left on ${table}`, {
        evidence: [
          'No query uses it, every write keeps it up to date, and IF NOT EXISTS takes it for the finished index when the migration is tried again.',
        ],
        relation: table,
        advice: { text: 'Drop it before trying again.', sql: `drop index concurrently ${quoteQualified(index)};` },
      }),
    )
  for (const [constraint, table] of notValid)
    findings.push(
      finding('not-valid-constraint', 'warn', `Constraint ${constraint} on ${table} is left NOT VALID`, {
        evidence: ['New rows are checked, the existing ones never were.'],
        relation: table,
        advice: {
          text: 'Validate it in a transaction of its own.',
          sql: `alter table ${quoteQualified(table)} validate constraint ${quoteName(constraint)};`,
        },
      }),
    )
  return findings
}

/**
 * A data check that returns rows, at rest or under traffic, whether or not it did before: a backfill's check finds rows
 * before the migration by its nature, and what must return no row must return none afterwards.
 */
export function checksFail(facts: Facts): Finding[] {
  const findings: Finding[] = []
  const all = [...(facts.quiet?.dataChecks ?? []), ...(facts.timed?.dataChecks ?? [])]
  for (const name of new Set(all.map((check) => check.name))) {
    const rest = facts.quiet?.dataChecks.find((check) => check.name === name) ?? null
    const traffic = facts.timed?.dataChecks.find((check) => check.name === name) ?? null
    const bad = (check: DataCheck | null): boolean => check !== null && check.rowsAfter !== 0
    if (!bad(rest) && !bad(traffic)) continue
    const say = (where: string, check: DataCheck | null): string[] =>
      check === null
        ? []
        : [
            check.rowsAfter === null
              ? `${where}: it could not run (${check.error?.sqlstate ?? '?'} ${check.error?.message ?? ''}).`
              : `${where}: ${count(check.rowsAfter, 'row')}, ${check.rowsBefore === null ? 'before the migration it could not run' : `before the migration ${check.rowsBefore}`}.`,
          ]
    findings.push(
      finding('data-check-fails', 'fail', `Data check "${name}" fails${bad(rest) ? '' : ' under traffic'}`, {
        evidence: ['It must return no row.', ...say('At rest', rest), ...say('Under traffic', traffic)],
      }),
    )
  }
  return findings
}

/** The way back: it must run, and the old release must work again after it. */
export function rollback(facts: Facts): Finding[] {
  const back = facts.quiet?.rollback
  if (!back) return []
  if (!back.run.outcome.ok) {
    const { error } = back.run.outcome
    return [
      finding('rollback-fails', 'warn', `${back.file} fails: ${error.sqlstate} ${error.message}`, {
        evidence: ['Tried right after the migration, at rest.'],
      }),
    ]
  }
  const broken = facts.recording.operations.filter((operation) => {
    if (operation.release !== 'old') return false
    const before = facts.cell('old', operation.name, 'before')
    const after = facts.cell('old', operation.name, 'rolled-back')
    return before?.fresh.ok === true && after !== null && !after.fresh.ok
  })
  if (broken.length === 0) return []
  return [
    finding(
      'rollback-breaks-old-code',
      'warn',
      `After ${back.file} the old release still fails: ${broken.map((o) => o.name).join(', ')}`,
      {
        evidence: broken.map((o) => {
          const cell = facts.cell('old', o.name, 'rolled-back')
          return cell && !cell.fresh.ok
            ? `${o.name}: ${cell.fresh.error.sqlstate} ${cell.fresh.error.message}.`
            : o.name
        }),
      },
    ),
  ]
}
