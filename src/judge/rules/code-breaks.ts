import type { CompatCell, Finding, PgError, SchemaState } from '../../recording.js'
import type { Facts } from '../facts.js'
import { count, finding } from '../words.js'

/** SQLSTATEs that come and go by themselves: timeouts, deadlocks, serialisation, resources, lost connections. */
const TRANSIENT = /^(08|40|53|57|58|XX)|^55P03$/
/** Errors that depend on other rows: a table that the migration makes has none yet. */
const ROWS = /^(?:23503|23505|23P01)$/
const structural = (cell: CompatCell | null): cell is CompatCell =>
  cell !== null && !cell.fresh.ok && !TRANSIENT.test(cell.fresh.error.sqlstate)

/** The running release must work on every state that it will meet; the next one on the last. */
export function codeBreaks(facts: Facts): Finding[] {
  const { quiet } = facts
  if (!quiet) return []
  return [...oldBreaks(facts), ...newBreaks(facts), ...neverWorked(facts)]
}

const operations = (facts: Facts, release: 'old' | 'new'): string[] =>
  facts.recording.operations.filter((o) => o.release === release).map((o) => o.name)

/** The first state at which it fails although it worked before the migration. */
function firstBreak(
  facts: Facts,
  release: 'old' | 'new',
  operation: string,
): { state: SchemaState; cell: CompatCell } | null {
  if (structural(facts.cell(release, operation, 'before'))) return null
  for (const state of facts.quiet?.states ?? []) {
    if (state.kind === 'before' || state.kind === 'rolled-back') continue
    const cell = facts.cell(release, operation, state.id)
    if (structural(cell)) return { state, cell }
  }
  return null
}

/** Grouped by what the server says and from which state on: one cause, one finding. */
function oldBreaks(facts: Facts): Finding[] {
  const groups = new Map<string, { operation: string; state: SchemaState; cell: CompatCell }[]>()
  for (const operation of operations(facts, 'old')) {
    const broken = firstBreak(facts, 'old', operation)
    if (!broken || broken.cell.fresh.ok) continue
    const key = `${broken.state.id} ${broken.cell.fresh.error.sqlstate}`
    groups.set(key, [...(groups.get(key) ?? []), { operation, ...broken }])
  }
  return [...groups.values()].flatMap((group) => {
    const first = group[0]
    if (!first || first.cell.fresh.ok) return []
    const { sqlstate, condition } = first.cell.fresh.error
    const names = group.map((g) => g.operation)
    const messages = [...new Set(group.flatMap((g) => (g.cell.fresh.ok ? [] : [g.cell.fresh.error.message])))]
    const seen =
      facts.timed?.errors.filter(
        (e) => e.release === 'old' && names.includes(e.operation) && e.error.sqlstate === sqlstate && !e.hidden,
      ) ?? []
    const total = seen.reduce((sum, e) => sum + e.count, 0)
    const several = names.length > 1
    return [
      finding(
        'old-code-breaks',
        'fail',
        `The running release breaks: ${several ? `${names.length} of its operations fail` : `${names[0] ?? ''} fails`} with ${sqlstate}`,
        {
          evidence: [
            `${sqlstate} (${condition}): ${messages.slice(0, 3).join('; ')}, from the state "${first.state.label}" on; before the migration ${several ? 'they' : 'it'} worked.`,
            ...(several ? [`Operations: ${names.join(', ')}.`] : []),
            total > 0
              ? `Under traffic ${count(total, 'request')} failed like this.`
              : facts.timed
                ? 'Under traffic none was met after that state.'
                : 'No timed pass was recorded.',
          ],
          at: facts.at(first.state.statement),
          advice: {
            text: 'Expand first, contract later: add what the new release needs beside what the old one uses, deploy, and take the old away in a later migration.',
            sql: null,
          },
        },
      ),
    ]
  })
}

/** Grouped by SQLSTATE. */
function newBreaks(facts: Facts): Finding[] {
  const { finalState, quiet } = facts
  if (!finalState || !quiet) return []
  const failed = !quiet.migration.outcome.ok
  const broken = new Map<string, { operation: string; error: PgError }[]>()
  const needsRows = new Map<string, { operation: string; error: PgError }[]>()
  const onlyBefore: string[] = []
  for (const operation of operations(facts, 'new')) {
    const before = facts.cell('new', operation, 'before')
    const last = facts.cell('new', operation, finalState.id)
    if (structural(last) && !last.fresh.ok) {
      const { error } = last.fresh
      const groups = ROWS.test(error.sqlstate) && structural(before) ? needsRows : broken
      groups.set(error.sqlstate, [...(groups.get(error.sqlstate) ?? []), { operation, error }])
    } else if (structural(before)) onlyBefore.push(operation)
  }
  const where = failed ? 'on the schema that the failed migration leaves' : 'after the migration'
  const findings = [...broken].map(([sqlstate, group]) => {
    const names = group.map((one) => one.operation)
    const messages = [...new Set(group.map((one) => one.error.message))]
    const several = names.length > 1
    // When the migration fails the new release is not deployed: it is said, but it is not another failure.
    return finding(
      'new-code-breaks',
      failed ? 'info' : 'fail',
      `The next release does not work ${where}: ${several ? `${names.length} of its operations fail` : `${names[0] ?? ''} fails`} with ${sqlstate}`,
      {
        evidence: [
          `${sqlstate} (${group[0]?.error.condition ?? ''}): ${messages.slice(0, 3).join('; ')}, on the state "${finalState.label}".`,
          ...(several ? [`Operations: ${names.join(', ')}.`] : []),
        ],
      },
    )
  })
  for (const [sqlstate, group] of needsRows)
    findings.push(
      finding(
        'new-code-needs-rows',
        failed ? 'info' : 'warn',
        `What the next release does in ${group.map((one) => one.operation).join(', ')} was not tested: ${sqlstate} for want of fitting rows`,
        {
          evidence: [
            `${sqlstate} (${group[0]?.error.condition ?? ''}): ${[...new Set(group.map((one) => one.error.message))].slice(0, 3).join('; ')}, on the state "${finalState.label}"; before the migration it did not work either.`,
          ],
          advice: {
            text: 'Seed the rows that it refers to, or let the operation take what it needs from rows that are there.',
            sql: null,
          },
        },
      ),
    )
  if (onlyBefore.length > 0)
    findings.push(
      finding('migrate-first', 'info', 'The next release needs the migration: migrate first, then deploy', {
        evidence: [`Before the migration these fail, afterwards they work: ${onlyBefore.join(', ')}.`],
      }),
    )
  return findings
}

function neverWorked(facts: Facts): Finding[] {
  return operations(facts, 'old').flatMap((operation) => {
    const before = facts.cell('old', operation, 'before')
    if (!structural(before) || before.fresh.ok) return []
    const { error } = before.fresh
    return [
      finding(
        'old-code-never-worked',
        'warn',
        `${operation} of the running release fails before the migration: ${error.sqlstate}`,
        {
          evidence: [
            `${error.sqlstate} (${error.condition}): ${error.message}. What it says about the migration is worth nothing.`,
          ],
          advice: { text: 'Mend the operation in the traffic file, or the grants and the schema it needs.', sql: null },
        },
      ),
    ]
  })
}
