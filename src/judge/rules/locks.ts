import type { Finding, LockSpan } from '../../recording.js'
import { blocksInWords } from '../../sql/lock-modes.js'
import { level, limits } from '../budgets.js'
import type { Facts } from '../facts.js'
import { saferWay } from '../safer-way.js'
import { bracket, count, finding, oneLine, operationsInWords } from '../words.js'

/** Lock spans on relations that traffic uses in a conflicting way; the only ones that users can feel. */
export const felt = (facts: Facts): LockSpan[] =>
  facts.timed?.locks.filter((span) => span.existedBefore && facts.conflicting(span.relation, span.mode).length > 0) ??
  []

/** A conflicting lock held longer than its budget, as measured. */
export function lockHeld(facts: Facts): Finding[] {
  const limit = limits('lock.held', facts.recording.budgets)
  const worst = new Map<string, { found: Finding; size: number }>()
  for (const span of felt(facts)) {
    if (!span.heldMs) continue
    const severity = level({ low: span.heldMs.lowMs, high: span.heldMs.highMs }, limit)
    if (severity === 'ok') continue
    const known = worst.get(`${span.transaction} ${span.table}`)
    if (known && known.size >= span.heldMs.highMs) continue
    const statement = facts.statement(span.statement)
    const group = facts.timed?.blocked.find((b) => b.statement === span.statement)
    const evidence = [
      `${span.mode} on ${span.relation} was held ${bracket(span.heldMs)}: it ${blocksInWords(span.mode)}.`,
      `Operations that need a conflicting lock there: ${operationsInWords(facts.conflicting(span.relation, span.mode))}.`,
    ]
    if (group)
      evidence.push(`${count(group.sessions, 'session')} waited behind it, the longest ${bracket(group.longestMs)}.`)
    worst.set(`${span.transaction} ${span.table}`, {
      found: finding('lock-held', severity, `${span.mode} on ${span.relation} held ${bracket(span.heldMs)}`, {
        evidence,
        at: facts.at(span.statement),
        relation: span.relation,
        advice: statement ? saferWay(statement, span.table, facts.recording.tool) : null,
      }),
      size: span.heldMs.highMs,
    })
  }
  return [...worst.values()].map(({ found }) => found)
}

/** An operation that waited behind the migration for longer than its budget. */
export function operationBlocked(facts: Facts): Finding[] {
  const limit = limits('operation.blocked', facts.recording.budgets)
  return (facts.timed?.blocked ?? []).flatMap((group) => {
    const severity = level({ low: group.longestMs.lowMs, high: group.longestMs.highMs }, limit)
    if (severity === 'ok') return []
    const span = felt(facts).find((s) => s.statement === group.statement)
    const statement = facts.statement(group.statement)
    return [
      finding(
        'operation-blocked',
        severity,
        `Traffic waited up to ${bracket(group.longestMs)} behind ${oneLine(statement?.sql ?? group.statement, 60)}`,
        {
          evidence: [
            `${count(group.sessions, 'session')} waited, ${bracket(group.totalMs)} in all: ${group.by
              .slice(0, 4)
              .map(
                (row) =>
                  `${row.operation} (${row.release}) ${row.waits}x for ${row.mode}${row.relation ? ` on ${row.relation}` : ''}`,
              )
              .join('; ')}.`,
            span
              ? `In front stood ${span.mode} on ${span.relation}, ${span.grantedMs ? 'held' : 'asked for but never granted'}.`
              : 'In front stood row locks of the migration, held until the end of its transaction.',
          ],
          at: facts.at(group.statement),
          relation: span?.relation ?? null,
          advice: span
            ? statement
              ? saferWay(statement, span.table, facts.recording.tool)
              : null
            : { text: 'Write in batches of a few thousand rows, each in its own transaction.', sql: null },
        },
      ),
    ]
  })
}

/** A conflicting lock asked for while lock_timeout is 0: behind one long transaction, everybody queues behind it. */
export function lockTimeoutMissing(facts: Facts): Finding[] {
  const runs = facts.quiet?.migration.statements ?? []
  const hits = runs.flatMap((run) => {
    if (run.work?.lockTimeoutMs !== 0) return []
    const locks = run.work.locks.filter(
      (lock) => lock.existedBefore && facts.conflicting(lock.relation, lock.mode).length > 0,
    )
    return locks.length > 0 ? [{ run, locks }] : []
  })
  const first = hits[0]
  if (!first) return []
  const tables = [...new Set(hits.flatMap((hit) => hit.locks.map((lock) => lock.table)))]
  const strongest = first.locks[0]
  return [
    finding(
      'no-lock-timeout',
      'warn',
      `${strongest?.mode ?? 'A lock'} on ${tables.join(', ')} is asked for without lock_timeout`,
      {
        evidence: [
          hits.length === 1
            ? 'This statement asks for a lock that conflicts with traffic while lock_timeout is 0.'
            : `${hits.length} statements of the migration ask for a lock that conflicts with traffic while lock_timeout is 0.`,
          'Behind one transaction that is open for a minute, the migration waits a minute, and everything that needs the table waits behind the migration.',
        ],
        at: facts.at(first.run.statement),
        relation: strongest?.relation ?? null,
        advice: {
          text: 'Give up soon and try again instead of queueing.',
          sql: "set local lock_timeout = '2s'; -- outside a transaction: set lock_timeout = '2s';",
        },
      },
    ),
  ]
}
