/** Data checks: each is a query that must return no row. They run with every right, in a read-only transaction. */
import type { DataCheck, PgError } from '../recording.js'
import { toPgError } from '../pg/errors.js'
import type { Sql } from '../pg/connect.js'

export interface Check {
  name: string
  line: number
  file: string
  sql: string
}

export interface CheckResult {
  rows: number | null
  error: PgError | null
}

/** Counting stops here. */
export const MOST_ROWS = 1_000_000

export async function runChecks(sql: Sql, checks: readonly Check[]): Promise<CheckResult[]> {
  const results: CheckResult[] = []
  for (const check of checks) {
    await sql.unsafe('begin transaction read only').simple()
    try {
      const rows = await sql.unsafe<{ n: string }[]>(
        `select count(*)::text as n from (select 1 from (\n${check.sql}\n) as c limit ${MOST_ROWS}) as s`,
      )
      results.push({ rows: Number(rows[0]?.n ?? 0), error: null })
    } catch (error) {
      results.push({ rows: null, error: toPgError(error) })
    }
    await sql.unsafe('rollback').simple()
  }
  return results
}

export function dataChecks(
  checks: readonly Check[],
  before: readonly CheckResult[],
  after: readonly CheckResult[],
): DataCheck[] {
  return checks.map((check, i) => ({
    name: check.name,
    line: check.line,
    rowsBefore: before[i]?.rows ?? null,
    rowsAfter: after[i]?.rows ?? null,
    error: after[i]?.error ?? null,
  }))
}
