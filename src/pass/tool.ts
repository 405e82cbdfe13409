/**
 * Runs the team's migration tool through the wire proxy: it is given the proxy's address and nothing else, and what it
 * did is read from what passed. Its journal is read before and after, because its exit code alone can lie.
 */
import type { Clock } from '../clock.js'
import { canonical, piecesOf } from '../migrations/wire-trace/steps.js'
import { traceOf, type WireTrace } from '../migrations/wire-trace/trace.js'
import type { Ledger, LedgerRow, MigrationSource } from '../migrations/tools/types.js'
import type { NoticeStamp } from '../migrations/session.js'
import type { Sql } from '../pg/connect.js'
import { toPgError } from '../pg/errors.js'
import type { MigrationFile, ToolRun } from '../recording.js'
import { isOurs, MARKERS } from '../wire/markers.js'
import { openProxy, type Proxy } from '../wire/proxy.js'
import type { Exchange, Interposer, ServerMessage, WireSession } from '../wire/types.js'
import type { PassInput, ToolExit, ToolInput } from './context.js'
import { notConnected } from './not-connected.js'

export interface ToolRunOptions {
  tool: ToolInput
  input: Pick<PassInput, 'migrate' | 'emit'>
  /** A superuser's session on the copy. */
  admin: Sql
  clock: Clock
  files: readonly MigrationFile[]
  /** Startup settings of the tool's sessions besides those that make the server tell more. */
  settings: Readonly<Record<string, string>>
  interpose?: Interposer
  onSend?: () => void
  onNotice?: (session: WireSession, notice: ServerMessage) => void
}

export interface OpenTool {
  readonly proxy: Proxy
  /** Runs the tool to its end. Throws TOOL_NOT_CONNECTED when it never came. Aborting ends it and cancels what it runs. */
  run(signal: AbortSignal): Promise<ToolResult>
  close(): Promise<void>
}

export interface ToolResult {
  trace: WireTrace
  notices: NoticeStamp[]
  /** Every session of the tool. */
  sessions: readonly WireSession[]
  startMs: number
  endMs: number
  exit: ToolExit
}

/** A tool that has ended may leave its last connection to be closed by the kernel. */
const LINGER_MS = 500

export async function openTool(options: ToolRunOptions): Promise<OpenTool> {
  const { tool, input, admin, clock } = options
  const { ledger, files: sources } = tool.setup
  const known = new Map(
    options.files.flatMap((file) => file.statements.map((one) => [canonical(one.sql), one] as const)),
  )
  const proxy = await openProxy({
    upstream: { ...input.migrate, tls: null },
    settings: { ...(await markers(admin, input.migrate.user)), ...options.settings },
    clock,
    holdBack: isOurs,
    keepParameters: (sql) => ledger !== null && ledger.tables.some(({ name }) => sql.includes(name)),
    ...(options.interpose ? { interpose: options.interpose } : {}),
    ...(options.onSend ? { onSend: options.onSend } : {}),
    ...(options.onNotice ? { onNotice: options.onNotice } : {}),
    onExchange: (exchange) => {
      for (const { sql: text, completed, error } of exchange.commands)
        for (const [index, piece] of piecesOf(text).entries()) {
          const statement = known.get(canonical(piece.sql))
          if (!statement || index > completed.length || (index === completed.length && !error)) continue
          const { file, line, sql } = statement
          const sqlstate = index === completed.length ? (error?.sqlstate ?? null) : null
          input.emit({ type: 'statement', file, line, sql, state: sqlstate === null ? 'ok' : 'failed', sqlstate })
        }
    },
  })
  return {
    proxy,
    async run(signal) {
      const before = ledger ? await readLedger(admin, ledger) : []
      const startMs = clock.nowMs()
      const { exit, stopped } = await start(tool, proxy, signal)
      await settled(proxy)
      const endMs = clock.nowMs()
      const sessions = proxy.sessions
      if (sessions.length === 0 && !signal.aborted) throw notConnected(tool, proxy, exit)
      const after = ledger ? await readLedger(admin, ledger) : []
      const trace = traceOf({
        sessions,
        files: options.files,
        sources: pendingSources(sources, options.files),
        ledger,
        elsewhere: tool.command,
        end: {
          exitCode: exit.exitCode,
          signal: exit.signal,
          output: exit.output,
          stopped: stopped || signal.aborted,
          journal: ledger ? journalOf(ledger, sources, options.files, before, after) : null,
        },
      })
      return { trace, notices: noticesOf(sessions), sessions, startMs, endMs, exit }
    },
    close: () => proxy.close(),
  }
}

/** The server marks each statement of a message; the cheap marks need a right that a superuser can give. */
async function markers(admin: Sql, role: string): Promise<Readonly<Record<string, string>>> {
  try {
    for (const name of Object.keys(MARKERS.superuser))
      if (name !== 'client_min_messages') await admin`grant set on parameter ${admin(name)} to ${admin(role)}`
    return MARKERS.superuser
  } catch {
    return MARKERS.role
  }
}

async function start(
  tool: ToolInput,
  proxy: Proxy,
  signal: AbortSignal,
): Promise<{ exit: ToolExit; stopped: boolean }> {
  const end = new AbortController()
  const state = { stopped: false }
  const stop = (): void => {
    state.stopped = true
    end.abort()
    void proxy.cancelAll().catch(() => undefined)
  }
  const patience = setTimeout(() => {
    if (proxy.sessions.length === 0) end.abort()
  }, tool.connectWithinMs)
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  try {
    const exit = await tool.start({ address: proxy.address, signal: end.signal })
    return { exit, stopped: state.stopped }
  } finally {
    clearTimeout(patience)
    signal.removeEventListener('abort', stop)
  }
}

async function settled(proxy: Proxy): Promise<void> {
  const until = performance.now() + LINGER_MS
  while (proxy.pids().length > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** The journal's rows, every column as text; none when there is no journal yet. */
export async function readLedger(admin: Sql, ledger: Ledger): Promise<LedgerRow[]> {
  try {
    const rows = await admin.unsafe<Record<string, unknown>[]>(ledger.query)
    return rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, asText(value)])))
  } catch (error) {
    if (['42P01', '3F000'].includes(toPgError(error).sqlstate)) return []
    throw error
  }
}

const asText = (value: unknown): string | null =>
  value === null || value === undefined
    ? null
    : value instanceof Date
      ? value.toISOString()
      : typeof value === 'string'
        ? value
        : JSON.stringify(value)

function journalOf(
  ledger: Ledger,
  sources: readonly MigrationSource[],
  files: readonly MigrationFile[],
  before: readonly LedgerRow[],
  after: readonly LedgerRow[],
): ToolRun['journal'] {
  const pending = files.flatMap((file) => file.name ?? [])
  const was = new Set(ledger.pending(sources, before).applied)
  const now = ledger.pending(sources, after)
  const is = new Set(now.applied)
  return {
    added: pending.filter((name) => is.has(name) && !was.has(name)),
    missing: pending.filter((name) => !is.has(name)),
    refuses: now.refuses,
  }
}

const pendingSources = (
  sources: readonly MigrationSource[],
  files: readonly MigrationFile[],
): readonly MigrationSource[] => sources.filter((source) => files.some((file) => file.name === source.name))

const noticesOf = (sessions: readonly WireSession[]): NoticeStamp[] =>
  sessions
    .flatMap((session) => [...session.notices, ...session.exchanges.flatMap((exchange: Exchange) => exchange.notices)])
    .map(({ atMs, severity, message }: ServerMessage) => ({ atMs, severity, message }))
    .sort((a, b) => a.atMs - b.atMs)
