/**
 * What made the migration fail, if it did (pure). The tool's exit code, the server's answers and the journal are put
 * together, because each of them alone can lie: drizzle-kit prints nothing, a script may swallow the error and exit with
 * 0, and `psql` without ON_ERROR_STOP goes on to the next statement.
 */
import { pgError, toPgError } from '../../pg/errors.js'
import type { MigrationFile, PgError } from '../../recording.js'
import type { ServerMessage } from '../../wire/types.js'
import type { TransactionTrace } from '../runner.js'
import { canonical, type Step } from './steps.js'
import type { ToolEnd } from './trace.js'

export interface RanSteps {
  end: ToolEnd
  steps: readonly Step[]
  /** Per step: the migration's statement, null for the tool's own. */
  ids: readonly (string | null)[]
  /** Per step: the ordinal of its transaction. */
  of: readonly number[]
  transactions: readonly TransactionTrace[]
  files: readonly MigrationFile[]
  /** The last error on the wire, whoever caused it. */
  last: { error: ServerMessage; sql: string } | null
}

export interface Failure {
  error: PgError
  /** The migration's statement that failed; null when it was none. */
  statement: string | null
}

/** An error of the server as it may be recorded. */
export const recordable = (error: ServerMessage, sql: string): PgError => toPgError(asDriverError(error), sql)

function asDriverError(error: ServerMessage): Record<string, string> {
  const field = (letter: string): string => error.fields.get(letter) ?? ''
  return {
    code: error.sqlstate,
    severity: error.severity,
    message: error.message,
    schema_name: field('s'),
    table_name: field('t'),
    column_name: field('c'),
    'data type_name': field('d'),
    constraint_name: field('n'),
    internal_query: field('q'),
  }
}

export function failureOf(ran: RanSteps): Failure | null {
  const { end, last } = ran
  const complete = end.journal ? end.journal.missing.length === 0 : end.exitCode === 0
  const { failed, undone } = unrecovered(ran)
  if (end.exitCode === 0 && complete && !end.stopped && failed === null && !(undone && last)) return null
  if (failed) return { error: recordable(failed.error, failed.step.piece.sql), statement: failed.statement }
  if (end.stopped) return { error: pgError('57014', 'stopped before it had finished'), statement: null }
  if (last && (end.exitCode !== 0 || !complete || undone))
    return { error: recordable(last.error, last.sql), statement: null }
  if (end.exitCode !== 0 || end.signal !== null)
    return {
      error: pgError(
        'TOOL',
        end.signal === null
          ? `the migration tool ended with exit code ${end.exitCode ?? '?'}, although the server refused nothing`
          : `the migration tool was ended by ${end.signal}`,
      ),
      statement: null,
    }
  return null
}

/** Said of every statement after the one that failed. */
const IN_FAILED_TRANSACTION = '25P02'

/**
 * The statement that failed for good, and whether one that succeeded was undone at the end of its transaction. A
 * statement that was tried again with success is neither. A program that ended well may have done without a statement, when
 * its journal or what it went on to do says so; an SQL file never means that.
 */
function unrecovered({ end, steps, ids, of, transactions, files }: RanSteps): {
  failed: { step: Step; statement: string; error: ServerMessage } | null
  undone: boolean
} {
  const committed = new Set(transactions.flatMap((one) => (one.committed ? [one.ordinal] : [])))
  const stays = (index: number): boolean => steps[index]?.error === null && committed.has(of[index] ?? 0)
  const inSql = new Set(files.flatMap((file) => (file.kind === 'sql' ? file.statements.map(({ id }) => id) : [])))
  const endedWell = end.exitCode === 0 && (end.journal?.missing ?? []).length === 0
  const own = ids.flatMap((id, index) => (id === null ? [] : [index]))
  const isRecovered = (index: number): boolean => {
    const text = canonical(steps[index]?.piece.sql ?? '')
    const later = own.filter((other) => other > index && stays(other))
    if (later.some((other) => canonical(steps[other]?.piece.sql ?? '') === text)) return true
    return endedWell && !inSql.has(ids[index] ?? '') && (end.journal !== null || later.length > 0)
  }
  const open = own.filter((index) => !stays(index) && !isRecovered(index))
  const failures = open.flatMap((index) => {
    const step = steps[index]
    const statement = ids[index]
    return step?.error && statement != null ? [{ step, statement, error: step.error }] : []
  })
  const cause = failures.findLast(({ error }) => error.sqlstate !== IN_FAILED_TRANSACTION) ?? failures.at(-1) ?? null
  return { failed: cause, undone: open.some((index) => steps[index]?.error === null) }
}
