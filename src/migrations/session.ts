/** The session that plain SQL migrations run on: the driver for the protocol, a tap for the truth about time and status. */
import postgres from 'postgres'
import type { Clock } from '../clock.js'
import { connect, disconnect, type Address, type Sql } from '../pg/connect.js'
import { Tap, type Exchange } from '../wire/tap.js'

export interface Execution extends Exchange {
  /** What the server (or the driver) said when it failed; holds data, so it is turned into a PgError before it is kept. */
  error: unknown
}

export interface NoticeStamp {
  atMs: number
  severity: string
  message: string
}

export interface MigrationSession {
  readonly pid: number
  readonly sql: Sql
  readonly tap: Tap
  /** Notices of the server since the session began, in order of arrival. */
  readonly notices: NoticeStamp[]
  /** Sends `text` as one simple-protocol message and waits for ReadyForQuery. Never throws for a failed statement. */
  execute(text: string): Promise<Execution>
  /** DETAIL of the last failed statement. Holds data: only for reading process numbers of a deadlock. */
  lastErrorDetail(): string | null
  close(): Promise<void>
}

export async function openMigrationSession(
  address: Address,
  clock: Clock,
  settings: Record<string, string> = {},
): Promise<MigrationSession> {
  const tap = new Tap(clock)
  const notices: NoticeStamp[] = []
  const sql = connect(address, {
    applicationName: 'rehearse migration',
    socket: () => tap.connect(address.host, address.port),
    settings,
    onNotice: (notice: postgres.Notice) => {
      notices.push({ atMs: clock.nowMs(), severity: notice['severity'] ?? '', message: notice['message'] ?? '' })
    },
  })
  const rows = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
  const pid = rows[0]?.pid ?? 0
  let detail: string | null = null
  return {
    pid,
    sql,
    tap,
    notices,
    async execute(text) {
      tap.expect()
      const before = clock.nowMs()
      let error: unknown = null
      try {
        await sql.unsafe(text).simple()
      } catch (caught) {
        error = caught
        detail = caught instanceof postgres.PostgresError ? (caught.detail ?? null) : null
      }
      const exchange = tap.take()
      if (exchange) return { ...exchange, error }
      // The connection broke before ReadyForQuery.
      return { sentMs: before, readyMs: clock.nowMs(), status: 'I', completed: 0, failed: true, error }
    },
    lastErrorDetail: () => detail,
    close: () => disconnect(sql),
  }
}
