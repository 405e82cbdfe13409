/** Runs a seed.sql whose statements were split before. */
import type { Sql } from '../pg/connect.js'
import { seedFailure } from './failure.js'

export interface SeedScript {
  /** Name for messages. */
  file: string
  /** In order; `line` is 1-based. Variables such as `:n` are already in place. */
  statements: readonly { sql: string; line: number }[]
}

export interface SqlProgress {
  file: string
  /** Statements done, and how many there are. */
  done: number
  of: number
}

/**
 * Runs the statements one by one in autocommit (a script may still send BEGIN and COMMIT itself: `sql` is one session).
 *
 * Throws SEED_FAILED with file, line, SQLSTATE and the names of the objects; never the server's own message, which can
 * quote a row.
 */
export async function seedSql(
  sql: Sql,
  script: SeedScript,
  onProgress?: (progress: SqlProgress) => void,
): Promise<void> {
  const { file, statements } = script
  for (const [index, statement] of statements.entries()) {
    try {
      await sql.unsafe(statement.sql).simple()
    } catch (error) {
      throw seedFailure(error, { file, line: statement.line }, statement.sql)
    }
    onProgress?.({ file, done: index + 1, of: statements.length })
  }
}
