import type { Finding, PgError, Statement } from '../../recording.js'
import { claimsOf, precheck, type Claim } from '../../sql/claims.js'
import { statementFacts } from '../../sql/facts.js'
import type { Facts } from '../facts.js'
import { strength } from '../../sql/lock-modes.js'
import { finding } from '../words.js'

const WORDS = {
  'foreign key': 'every row refers to one that is there',
  check: 'every row satisfies the check',
  unique: 'no two rows are the same',
  'not null': 'no row has NULL there',
  type: 'every value can be cast',
  validate: 'every row satisfies the constraint',
} satisfies Record<Claim['kind'], string>

const nameOf = ({ schema, table }: Claim): string => (schema === 'public' ? table : `${schema}.${table}`)

/** What the statement takes for granted of rows that were made up. */
const claimsOnMadeUp = (facts: Facts, sql: string): Claim[] =>
  claimsOf(sql).filter((claim) => claim.ofRowsThere && facts.recording.generated.includes(nameOf(claim)))

/**
 * Success that depends on what rows contain, on rows that we made up so that it succeeds: nothing is known of production's.
 * The query that tells is given.
 */
export function dataNotTested(facts: Facts): Finding[] {
  if (facts.quiet?.migration.outcome.ok !== true) return []
  return [...emptyTables(facts), ...claimed(facts)]
}

const claimed = (facts: Facts): Finding[] =>
  facts.recording.migrations
    .flatMap((file) => file.statements)
    .flatMap((statement) => claimsOnMadeUp(facts, statement.sql).map((claim) => untested(facts, statement, claim)))

/** A table that we could not fill, locked by the migration: its work there took no time for want of rows. */
function emptyTables(facts: Facts): Finding[] {
  const { generated } = facts.recording
  const told = new Set<string>()
  return (facts.quiet?.migration.statements ?? []).flatMap((run) =>
    (run.work?.locks ?? []).flatMap(({ relation, kind, mode, existedBefore }) => {
      if (kind !== 'table' || !existedBefore || told.has(relation)) return []
      if (
        !generated.includes(relation) ||
        facts.rowsHere(relation) !== 0 ||
        strength(mode) < strength('SHARE UPDATE EXCLUSIVE')
      )
        return []
      told.add(relation)
      return [
        finding(
          'empty-table',
          'warn',
          `${relation} is empty here: what the migration does to its rows was not rehearsed`,
          {
            evidence: facts.recording.assumptions.filter((sentence) => sentence.startsWith(`${relation} has no rows`)),
            at: facts.at(run.statement),
            relation,
            advice: { text: 'Fill it by a seed of your own (rehearsal/seed.sql).', sql: null },
          },
        ),
      ]
    }),
  )
}

function untested(facts: Facts, statement: Statement, claim: Claim): Finding {
  const sql = precheck(claim)
  const table = nameOf(claim)
  const columns = claim.columns.length > 0 ? ` (${claim.columns.join(', ')})` : ''
  return finding(
    'data-not-tested',
    'warn',
    `Whether ${WORDS[claim.kind]} in production was not tested: ${table}${columns}`,
    {
      evidence: [
        `The rows of ${table} here were generated from the schema, and so that they fit what the migration demands.`,
        'Where a row of production does not fit, the statement fails there.',
      ],
      at: facts.at(statement.id),
      relation: table,
      advice:
        sql === null
          ? {
              text: 'Look for rows that do not fit before the deploy, or rehearse with a seed that has them.',
              sql: null,
            }
          : { text: 'Run this on production before the deploy: it only reads, and must count 0.', sql },
    },
  )
}

/** A failure of made-up rows says nothing about production's: a constraint or a cast that they do not fit. */
export function failsOnMadeUp(facts: Facts, statement: Statement | null, error: PgError | null): boolean {
  if (!statement || !error || !/^2[23]/.test(error.sqlstate) || facts.recording.generated.length === 0) return false
  return claimsOnMadeUp(facts, statement.sql).length > 0 || isDml(statement.sql)
}

function isDml(sql: string): boolean {
  try {
    return statementFacts(sql).isDml
  } catch {
    return false
  }
}
