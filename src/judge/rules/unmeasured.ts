import type { Finding } from '../../recording.js'
import type { Facts } from '../facts.js'
import { count, finding } from '../words.js'

/** Statements that change nothing by themselves: nothing of them is missing when they were not measured. */
const NO_WORK = new Set(['TransactionStmt', 'VariableSetStmt', 'VariableShowStmt'])

/** What was not measured cannot pass: the rules about work under a lock and about bulk writes did not see it. */
export function unmeasured(facts: Facts): Finding[] {
  const { quiet } = facts
  if (!quiet) return []
  const statements = quiet.migration.statements.flatMap((run) => {
    const statement = facts.recording.migrations.flatMap((file) => file.statements).find((s) => s.id === run.statement)
    return statement && run.work === null && run.outcome.ok && !NO_WORK.has(statement.kind) ? [statement] : []
  })
  const [first] = statements
  if (!first) return []
  return [
    finding(
      'not-measured',
      'warn',
      statements.length === 1
        ? `What one statement did could not be measured`
        : `What ${count(statements.length, 'statement')} did could not be measured`,
      {
        at: { file: first.file, line: first.line, statement: first.id },
        evidence: [
          `No locks, scans, rewrites and written rows are known of ${statements.map((s) => `${s.file}:${s.line}`).join(', ')}; the limits on them were not checked. Times and waits under traffic were measured.`,
        ],
        advice: {
          text: 'Statements that are sent together cannot always be told apart; sent one by one they can.',
          sql: null,
        },
      },
    ),
  ]
}
