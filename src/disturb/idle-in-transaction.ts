/**
 * A request of the application that wrote and then forgot its transaction, as one does that calls another service before it
 * commits. ROW EXCLUSIVE on the tables, locks on the rows.
 */
import { pgError } from '../pg/errors.js'
import type { Sql } from '../pg/connect.js'
import type { PgError } from '../recording.js'
import { hold, target } from './session.js'
import type { Disturbance } from './types.js'
import { writeOneRow } from './write-one-row.js'

/** Settings of a session with which the server closes it, and what it says then. */
const LIMITS = [
  {
    setting: 'idle_in_transaction_session_timeout',
    sqlstate: '25P03',
    message: 'terminating connection due to idle-in-transaction timeout',
  },
  { setting: 'transaction_timeout', sqlstate: '25P04', message: 'terminating connection due to transaction timeout' },
] as const

/** The server tells an idle session that it is closed, and the driver tells nobody: the reason is the limit that was over. */
async function reasons(sql: Sql): Promise<(goneAfterMs: number) => PgError> {
  const rows = await sql.unsafe<{ name: string; setting: string }[]>(
    `select name, setting from pg_catalog.pg_settings where name in (${LIMITS.map(({ setting }) => `'${setting}'`).join(', ')})`,
  )
  return (goneAfterMs) => {
    const limit = LIMITS.find(({ setting }) => {
      const ms = Number(rows.find((row) => row.name === setting)?.setting ?? 0)
      return ms > 0 && goneAfterMs >= ms
    })
    return limit ? pgError(limit.sqlstate, limit.message) : pgError('57P01')
  }
}

export const idleInTransaction: Disturbance = {
  settings: {},
  start: (options) =>
    hold({
      kind: 'idle-in-transaction',
      as: 'app',
      options,
      reasons,
      async take(sql) {
        await sql.unsafe('begin')
        return `a transaction that ${await writeOneRow(sql, target(options.tables, true))} and then sat idle`
      },
    }),
}
