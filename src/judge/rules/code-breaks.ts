import type { CompatCell, Finding, PgError, SchemaState } from '../../recording.js'
import type { Facts } from '../facts.js'
import { count, finding } from '../words.js'
import { droppedBy, nameOf, takenFrom, type TakenAway } from './contract.js'

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

interface Broken {
  operation: string
  state: SchemaState
  cell: CompatCell
  error: PgError
  /** What is dropped, when that is why a derived operation fails. */
  taken: TakenAway | null
}

/** Grouped by what the server says and from which state on: one cause, one finding. */
function oldBreaks(facts: Facts): Finding[] {
  const groups = new Map<string, Broken[]>()
  for (const operation of operations(facts, 'old')) {
    const broken = firstBreak(facts, 'old', operation)
    if (!broken || broken.cell.fresh.ok) continue
    const { error } = broken.cell.fresh
    const info = facts.recording.operations.find((one) => one.release === 'old' && one.name === operation)
    const taken = takenFrom(facts.recording, info, error)
    // Whether the running release uses what is dropped is another question for each object.
    const key = taken && taken.place === null ? nameOf(taken) : `${broken.state.id} ${error.sqlstate}`
    groups.set(key, [...(groups.get(key) ?? []), { operation, ...broken, error, taken }])
  }
  return [...groups.values()].flatMap((group) => {
    const first = group[0]
    if (!first) return []
    return [
      first.taken && first.taken.place === null
        ? mayBreak(facts, group, first, first.taken)
        : breaks(facts, group, first),
    ]
  })
}

function breaks(facts: Facts, group: readonly Broken[], first: Broken): Finding {
  const { sqlstate, condition } = first.error
  const names = group.map((g) => g.operation)
  const messages = [...new Set(group.map((g) => g.error.message))]
  const several = names.length > 1
  const places = [
    ...new Set(group.flatMap(({ taken }) => (taken?.place ? `${taken.place} names ${nameOf(taken)}` : []))),
  ]
  return finding(
    'old-code-breaks',
    'fail',
    `The running release breaks: ${several ? `${names.length} of its operations fail` : `${names[0] ?? ''} fails`} with ${sqlstate}`,
    {
      evidence: [
        `${sqlstate} (${condition}): ${messages.slice(0, 3).join('; ')}, from the state "${first.state.label}" on; before the migration ${several ? 'they' : 'it'} worked.`,
        ...(places.length > 0
          ? [`The running release (${facts.recording.takenAway?.ref ?? ''}): ${places.join('; ')}.`]
          : []),
        ...(several ? [`Operations: ${names.join(', ')}.`] : []),
        underTraffic(facts, names, sqlstate),
      ],
      at: facts.at(first.state.statement),
      advice: {
        text: 'Expand first, contract later: add what the new release needs beside what the old one uses, deploy, and take the old away in a later migration.',
        sql: null,
      },
    },
  )
}

/** Derived traffic lists every column: that it fails proves nothing about a release that may have forgotten the column. */
function mayBreak(facts: Facts, group: readonly Broken[], first: Broken, taken: TakenAway): Finding {
  const names = group.map((g) => g.operation)
  const ref = facts.recording.takenAway?.ref ?? null
  return finding(
    'contract-step',
    'warn',
    `${nameOf(taken)} is dropped: any code of the running release that still names it fails with ${first.error.sqlstate}`,
    {
      evidence: [
        ref === null
          ? 'Whether the code of the running release names it could not be looked at: name its git ref (traffic.oldRef).'
          : `In the code of the running release (${ref}) no file that names ${taken.table} names ${taken.column ?? 'it'}.`,
        `Derived traffic, which lists every column, fails from the state "${first.state.label}" on: ${names.join(', ')}.`,
        underTraffic(facts, names, first.error.sqlstate),
      ],
      at: facts.at(droppedBy(facts.recording, taken) ?? first.state.statement),
      relation: taken.table,
      advice: {
        text: 'Make sure that the release which runs now neither selects nor writes it (an ORM selects every column of its schema): deploy that release first, then drop.',
        sql: null,
      },
    },
  )
}

function underTraffic(facts: Facts, names: readonly string[], sqlstate: string): string {
  const seen =
    facts.timed?.errors.filter(
      (e) => e.release === 'old' && names.includes(e.operation) && e.error.sqlstate === sqlstate && !e.hidden,
    ) ?? []
  const total = seen.reduce((sum, e) => sum + e.count, 0)
  return total > 0
    ? `Under traffic ${count(total, 'request')} failed like this.`
    : facts.timed
      ? 'Under traffic none was met after that state.'
      : 'No timed pass was recorded.'
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
