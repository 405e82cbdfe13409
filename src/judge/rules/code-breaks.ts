import type { CompatCell, Finding, SchemaState } from '../../recording.js'
import type { Facts } from '../facts.js'
import { finding } from '../words.js'

/** SQLSTATEs that come and go by themselves: timeouts, deadlocks, serialisation, resources, lost connections. */
const TRANSIENT = /^(08|40|53|57|58|XX)|^55P03$/
const structural = (cell: CompatCell | null): cell is CompatCell => cell !== null && !cell.fresh.ok && !TRANSIENT.test(cell.fresh.error.sqlstate)

/** The running release must work on every state that it will meet; the next one on the last. */
export function codeBreaks(facts: Facts): Finding[] {
  const { quiet } = facts
  if (!quiet) return []
  return [...oldBreaks(facts), ...newBreaks(facts), ...neverWorked(facts)]
}

const operations = (facts: Facts, release: 'old' | 'new'): string[] =>
  facts.recording.operations.filter((o) => o.release === release).map((o) => o.name)

/** The first state at which it fails although it worked before the migration. */
function firstBreak(facts: Facts, release: 'old' | 'new', operation: string): { state: SchemaState; cell: CompatCell } | null {
  if (structural(facts.cell(release, operation, 'before'))) return null
  for (const state of facts.quiet?.states ?? []) {
    if (state.kind === 'before' || state.kind === 'rolled-back') continue
    const cell = facts.cell(release, operation, state.id)
    if (structural(cell)) return { state, cell }
  }
  return null
}

function oldBreaks(facts: Facts): Finding[] {
  return operations(facts, 'old').flatMap((operation) => {
    const broken = firstBreak(facts, 'old', operation)
    if (!broken || broken.cell.fresh.ok) return []
    const { error } = broken.cell.fresh
    const seen = facts.timed?.errors.filter((e) => e.release === 'old' && e.operation === operation && e.error.sqlstate === error.sqlstate && !e.hidden) ?? []
    const total = seen.reduce((sum, e) => sum + e.count, 0)
    return [
      finding('old-code-breaks', 'fail', `The running release breaks: ${operation} fails with ${error.sqlstate}`, {
        evidence: [
          `${error.sqlstate} (${error.condition}): ${error.message}, from the state "${broken.state.label}" on; it worked before the migration.`,
          total > 0
            ? `Under traffic it failed ${total} times.`
            : facts.timed
              ? 'It did not come up under traffic after that state, so users were not counted.'
              : 'No timed pass was recorded.',
        ],
        at: facts.at(broken.state.statement),
        advice: {
          text: 'Expand first, contract later: add what the new release needs beside what the old one uses, deploy, and take the old away in a later migration.',
          sql: null,
        },
      }),
    ]
  })
}

function newBreaks(facts: Facts): Finding[] {
  const { finalState, quiet } = facts
  if (!finalState || !quiet) return []
  const failed = !quiet.migration.outcome.ok
  const findings: Finding[] = []
  const onlyBefore: string[] = []
  for (const operation of operations(facts, 'new')) {
    const before = facts.cell('new', operation, 'before')
    const last = facts.cell('new', operation, finalState.id)
    if (structural(last) && !last.fresh.ok) {
      const { error } = last.fresh
      // When the migration fails the new release is not deployed: it is said, but it is not another failure.
      findings.push(
        finding('new-code-breaks', failed ? 'info' : 'fail', `The next release does not work ${failed ? 'on the schema that the failed migration leaves' : 'after the migration'}: ${operation} fails with ${error.sqlstate}`, {
          evidence: [`${error.sqlstate} (${error.condition}): ${error.message}, on the state "${finalState.label}".`],
        }),
      )
    } else if (structural(before)) onlyBefore.push(operation)
  }
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
      finding('old-code-never-worked', 'warn', `${operation} of the running release fails before the migration: ${error.sqlstate}`, {
        evidence: [`${error.sqlstate} (${error.condition}): ${error.message}. What it says about the migration is worth nothing.`],
        advice: { text: 'Mend the operation in the traffic file, or the grants and the schema it needs.', sql: null },
      }),
    ]
  })
}
