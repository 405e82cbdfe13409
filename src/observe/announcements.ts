/**
 * Work that the server announces only once it holds the lock (client_min_messages = debug1): rewriting, verifying,
 * building. Its time of arrival is an upper bound for the time of the grant. Pure.
 */
import type { StatementRun } from '../recording.js'

const PATTERNS = [/^rewriting table "(.*)"$/, /^verifying table "(.*)"$/, /^building index ".*?" on table "(.*?)"/]

/** First announcement about a table (bare or qualified name) within a statement, or null. */
export function announcements(
  notices: readonly { atMs: number; message: string }[],
  statements: readonly StatementRun[],
): (statement: string, table: string) => number | null {
  const found = new Map<string, number>()
  for (const notice of notices) {
    const name = PATTERNS.map((pattern) => pattern.exec(notice.message)?.[1]).find((n) => n !== undefined)
    const run = statements.find((s) => s.startMs <= notice.atMs && notice.atMs <= s.endMs)
    if (name === undefined || !run) continue
    const key = `${run.statement} ${name}`
    if (!found.has(key)) found.set(key, notice.atMs)
  }
  return (statement, table) => found.get(`${statement} ${table.slice(table.lastIndexOf('.') + 1)}`) ?? null
}
