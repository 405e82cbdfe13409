/**
 * A transaction that was prepared for a two-phase commit and then forgotten: it has no session any more and keeps its locks,
 * even over a restart of the server, until somebody commits it or rolls it back.
 */
import { connect, disconnect } from '../pg/connect.js'
import { applicationName, openSession, readLocks, target } from './session.js'
import type { Disturbance, Ending } from './types.js'
import { writeOneRow } from './write-one-row.js'

const NAME = 'rehearse_disturbance'

/** pg_locks has no process for it; the lock on its own transaction id shows which virtual transaction it was. */
const LOCKS = `
  l.pid is null and l.virtualtransaction in (
    select own.virtualtransaction from pg_catalog.pg_locks own
      join pg_catalog.pg_prepared_xacts x on x.transaction = own.transactionid and x.gid = '${NAME}'
     where own.locktype = 'transactionid' and own.pid is null)`

export const preparedTransaction: Disturbance = {
  settings: { max_prepared_transactions: '10' },
  async start(options) {
    const startMs = options.clock.nowMs()
    const session = await openSession(options.app, applicationName('prepared-transaction'))
    let text: string
    try {
      await session.sql.unsafe('begin')
      text = `a transaction that ${await writeOneRow(session.sql, target(options.tables, true))} and was left prepared`
      await session.sql.unsafe(`prepare transaction '${NAME}'`)
    } finally {
      await session.close()
    }
    const admin = connect(options.admin, { applicationName: 'rehearse observer' })
    let resolve: (ending: Ending) => void = () => undefined
    const ended = new Promise<Ending>((done) => (resolve = done))
    let stopping: Promise<void> | null = null
    const stop = async (): Promise<void> => {
      try {
        await admin.unsafe(`rollback prepared '${NAME}'`)
      } finally {
        resolve({ atMs: options.clock.nowMs(), told: true, error: null })
        await disconnect(admin)
      }
    }
    return {
      pid: null,
      text,
      startMs,
      ended,
      locks: () => (stopping ? Promise.resolve([]) : readLocks(admin, LOCKS)),
      stop: () => (stopping ??= stop()),
    }
  },
}
