/** One session on one copy, in which operations run inside transactions that are rolled back. */
import { connect, disconnect, sendTextAsItIs, type Address, type Sql } from '../../pg/connect.js'
import { insideTransaction } from '../rolled-back.js'
import type { Execution } from './work.js'

/** What runs longer is broken off (57014) and not timed. */
export const LONGEST_MS = 15_000

export interface TimingSession {
  /**
   * One run between BEGIN and ROLLBACK. Returns the ms that its statements took, without those two. Rejects with the
   * server's error; the transaction is over in any case.
   */
  run(execution: Execution): Promise<number>
  /** A transaction of the caller's own on the session, rolled back whatever happens. */
  rolledBack<T>(use: (sql: Sql) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/**
 * @param deferred whether the schema has constraints that are checked at COMMIT: they are checked, and timed, at the end
 * of each run then.
 */
export async function openTimingSession(app: Address, deferred: boolean): Promise<TimingSession> {
  const sql = connect(app, {
    applicationName: 'rehearse timing',
    settings: { statement_timeout: String(LONGEST_MS), lock_timeout: String(LONGEST_MS) },
  })
  let script = false
  sendTextAsItIs(sql, () => script)
  const inside = insideTransaction(sql)
  // The driver connects with the first query: not with one that is timed.
  await sql.unsafe('select 1').simple()
  const rolledBack = async <T>(use: (sql: Sql) => Promise<T>): Promise<T> => {
    await sql.unsafe('begin').simple()
    try {
      script = true
      return await use(sql)
    } finally {
      await sql.unsafe('rollback').simple()
    }
  }
  return {
    rolledBack,
    run: (execution) =>
      rolledBack(async () => {
        script = execution.kind === 'script'
        const startMs = performance.now()
        if (execution.kind === 'code') await execution.run(inside)
        else
          for (const { text, params } of execution.statements)
            await sql.unsafe(text, params, { prepare: execution.prepared })
        if (deferred) await sql.unsafe('set constraints all immediate').simple()
        return performance.now() - startMs
      }),
    close: () => disconnect(sql),
  }
}
