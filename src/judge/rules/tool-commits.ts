import type { Finding, MigrationRun, TransactionRun } from '../../recording.js'
import type { Facts } from '../facts.js'
import { runName } from '../tool-words.js'
import { count, finding, oneLine } from '../words.js'

/**
 * A commit in the middle of a run whose files otherwise share one transaction: what stands before it stays, whatever
 * fails after it. Tools with one transaction a file commit between files by design, and are not meant.
 */
export function toolCommitsEarly(facts: Facts): Finding[] {
  const pass = facts.quiet ?? facts.timed
  const run = pass?.migration
  if (!run?.tool || !sharesOne(facts, run)) return []
  const own = run.transactions.filter((t) => t.statements.length > 0).sort((a, b) => a.startMs - b.startMs)
  const first = own[0]
  if (own.length < 2 || first?.end !== 'committed') return []
  const last = first.statements.at(-1) ?? null
  const at = facts.at(last)
  const alone = own.filter((t) => t.kind === 'autocommit').length
  const broke = !run.outcome.ok
  return [
    finding(
      'tool-commits-early',
      broke ? 'warn' : 'info',
      `${runName(facts.recording.tool)} commits in the middle: everything up to ${at ? `${at.file}:${at.line}` : 'the first commit'} stays, whatever fails after it`,
      {
        evidence: [
          `The last statement before the first commit: ${oneLine(facts.statement(last ?? '')?.sql ?? last ?? '', 100)}`,
          `The ${count(
            own.reduce((sum, t) => sum + t.statements.length, 0),
            'statement',
          )} ran in ${count(own.length, 'transaction')}${
            alone > 0 ? `; ${alone} committed by ${alone === 1 ? 'itself' : 'themselves'}` : ''
          }.`,
          broke
            ? 'A later failure came after that commit: that is why the whole was not rolled back.'
            : 'It went well here. A failure after that commit leaves the schema half migrated.',
        ],
        at,
        advice: {
          text: 'Put what must run outside a transaction into a deploy of its own, the last one, so that nothing else depends on it.',
          sql: null,
        },
      },
    ),
  ]
}

/** Whether this run would have been one transaction: by what is known of the tool, or because one held several files. */
function sharesOne(facts: Facts, run: MigrationRun): boolean {
  const { tool } = facts.recording
  const files = (t: TransactionRun): Set<string> =>
    new Set(t.statements.flatMap((id) => facts.statement(id)?.file ?? []))
  if (run.transactions.some((t) => t.kind === 'explicit' && files(t).size > 1)) return true
  if (tool?.tool === 'drizzle') return true
  return tool?.tool === 'node-pg-migrate' && !/no-single-transaction/.test(tool.command)
}
