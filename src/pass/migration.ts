/** The migration as the timed pass sees it, whoever runs it: plain SQL files on a session of ours, or the team's tool. */
import type { Clock } from '../clock.js'
import { runMigration, type MigrationTrace } from '../migrations/runner.js'
import { openMigrationSession, type NoticeStamp } from '../migrations/session.js'
import type { Sql } from '../pg/connect.js'
import type { StatementRun } from '../recording.js'
import { ANNOUNCE, type PassInput } from './context.js'
import { openTool } from './tool.js'

export interface RunningMigration {
  /** Backends that it uses or has used. */
  pids(): readonly number[]
  /** When what the server is answering left; null while it has nothing to answer. */
  readonly inFlightSinceMs: number | null
  notices(): readonly NoticeStamp[]
  /** DETAIL of its last error and the backend that got it. Holds data: only for reading process numbers of a deadlock. */
  lastError(): { pid: number; detail: string } | null
  /** Lower bounds of beginnings that are later than the message they came in; see WireTrace. */
  earliest(): ReadonlyMap<StatementRun, number>
  run(signal: AbortSignal): Promise<MigrationTrace>
  close(): Promise<void>
}

export interface MigrationOptions {
  input: PassInput
  admin: Sql
  clock: Clock
  /** Called synchronously whenever a request leaves. */
  onSend: () => void
}

export const openMigration = (options: MigrationOptions): Promise<RunningMigration> =>
  options.input.tool === null ? plain(options) : byTool(options, options.input.tool)

async function plain({ input, admin, clock, onSend }: MigrationOptions): Promise<RunningMigration> {
  const session = await openMigrationSession(input.migrate, clock, ANNOUNCE)
  session.tap.onSend = onSend
  return {
    pids: () => [session.pid],
    get inFlightSinceMs() {
      return session.tap.inFlightSinceMs
    },
    notices: () => session.notices,
    lastError: () => {
      const detail = session.lastErrorDetail()
      return detail === null ? null : { pid: session.pid, detail }
    },
    earliest: () => new Map(),
    async run(signal) {
      const cancel = (): void => void admin`select pg_cancel_backend(${session.pid})`.catch(() => undefined)
      signal.addEventListener('abort', cancel, { once: true })
      if (signal.aborted) cancel()
      try {
        return await runMigration(session, input.migrations, {
          transaction: input.transaction,
          retries: input.retries ?? null,
          signal,
          onStatement: (statement, state, sqlstate) =>
            input.emit({
              type: 'statement',
              file: statement.file,
              line: statement.line,
              sql: statement.sql,
              state,
              sqlstate,
            }),
        })
      } finally {
        signal.removeEventListener('abort', cancel)
      }
    },
    close: () => session.close(),
  }
}

async function byTool(
  { input, admin, clock, onSend }: MigrationOptions,
  tool: NonNullable<PassInput['tool']>,
): Promise<RunningMigration> {
  const open = await openTool({ tool, input, admin, clock, files: input.migrations, settings: {}, onSend })
  let notices: readonly NoticeStamp[] = []
  let earliest: ReadonlyMap<StatementRun, number> = new Map()
  return {
    pids: () => open.proxy.sessions.map((session) => session.pid),
    get inFlightSinceMs() {
      return open.proxy.inFlightSinceMs
    },
    notices: () => notices,
    lastError() {
      const last = open.proxy.sessions
        .flatMap((session) => session.exchanges)
        .flatMap(({ session, commands }) => commands.flatMap(({ error }) => (error ? [{ session, error }] : [])))
        .sort((a, b) => a.error.atMs - b.error.atMs)
        .at(-1)
      return last ? { pid: last.session.pid, detail: last.error.fields.get('D') ?? '' } : null
    },
    earliest: () => earliest,
    async run(signal) {
      const result = await open.run(signal)
      notices = result.notices
      earliest = result.trace.earliest
      return result.trace
    },
    close: () => open.close(),
  }
}
