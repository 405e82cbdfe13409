/**
 * The race pass: the migration tool is started twice at the same moment, as two instances of a rolling deploy do when each
 * of them migrates before it serves. Without a lock of its own a tool may apply the same migration twice.
 *
 * Two programs that take half a second to start seldom meet within the few milliseconds that matter. So each is held
 * before its first change until the other has come as far, or for two seconds: a tool with a lock of its own never gets
 * there a second time, one without always does.
 */
import { startClock } from '../clock.js'
import { roleOf } from '../migrations/wire-trace/roles.js'
import { piecesOf } from '../migrations/wire-trace/steps.js'
import type { Ledger } from '../migrations/tools/types.js'
import { connect, disconnect, type Sql } from '../pg/connect.js'
import type { RacePass } from '../recording.js'
import type { Interposer } from '../wire/types.js'
import type { PassInput } from './context.js'
import { openTool, readLedger, type ToolResult } from './tool.js'

/** An answer that came later than this, and only once the other run had committed, was waited for. */
const WAITED_MS = 5

export async function racePass(input: PassInput): Promise<RacePass> {
  const { tool } = input
  if (!tool) throw new Error('a race needs a migration tool')
  input.emit({ type: 'pass', pass: 'race' })
  const admin = connect(input.admin, { applicationName: 'rehearse observer' })
  const clock = startClock()
  const limit = new AbortController()
  const stop = (): void => limit.abort()
  const timer = setTimeout(stop, input.maxDurationMs)
  input.signal.addEventListener('abort', stop, { once: true })
  if (input.signal.aborted) stop()
  const gate = meetingPoint(tool.setup.ledger, 2)
  const open = await Promise.all(
    [1, 2].map(() => openTool({ tool, input, admin, clock, files: input.migrations, settings: {}, interpose: gate() })),
  )
  try {
    const results = await Promise.all(open.map((one) => one.run(limit.signal)))
    const journalRows = await doubleRows(admin, input)
    const runs = results
      .map((result) => ({ result, first: result.sessions[0]?.exchanges[0]?.sentMs ?? Infinity }))
      .sort((a, b) => a.first - b.first)
      .map(({ result }) => summary(result, results))
    const originMs = Math.min(...runs.map((run) => run.startMs))
    const twice = (runs[0]?.committed ?? []).filter((id) => runs[1]?.committed.includes(id) === true)
    const outcome = outcomeOf(runs, twice)
    return {
      kind: 'race',
      copiedBy: input.copiedBy,
      // From the start of the earlier one.
      runs: runs.map(({ startMs, endMs, exitCode, error, waitedMs, committed }) => ({
        startMs: startMs - originMs,
        endMs: endMs - originMs,
        exitCode,
        error,
        waitedMs,
        committed,
      })),
      outcome,
      twice,
      journalRows,
      warnings: limit.signal.aborted ? ['The race was stopped before both had ended.'] : [],
    }
  } finally {
    clearTimeout(timer)
    input.signal.removeEventListener('abort', stop)
    await Promise.all(open.map((one) => one.close()))
    await disconnect(admin)
  }
}

/** How long the first waits for the second before its first change. */
const MEET_MS = 2_000

/** Makes an interposer for each of the runs, all of which meet before their first change. */
function meetingPoint(ledger: Ledger | null, runs: number): () => Interposer {
  let arrived = 0
  let open = (): void => undefined
  const all = new Promise<void>((resolve) => (open = resolve))
  return () => {
    let met = false
    return {
      async before({ sql }) {
        const changes = piecesOf(sql ?? '').some(
          (piece) => piece.facts?.transaction === 'begin' || roleOf(piece, ledger) === 'migration',
        )
        if (met || !changes) return null
        met = true
        if (++arrived === runs) open()
        await Promise.race([all, new Promise((resolve) => setTimeout(resolve, MEET_MS))])
        return null
      },
      after: () => Promise.resolve(),
    }
  }
}

type Run = RacePass['runs'][number] & { ok: boolean; waitedForOther: boolean }

function summary(result: ToolResult, all: readonly ToolResult[]): Run {
  const { run } = result.trace
  const other = all.find((one) => one !== result)
  const sessions = result.sessions.flatMap((session) => session.exchanges)
  const until = other ? lastMs(other) : -Infinity
  const ends = other?.trace.transactions.flatMap((one) => (one.committed ? [one.end.sentMs] : [])) ?? []
  const committedMs = Math.max(-Infinity, ...ends)
  const waited = sessions
    // What began while the other run was under way.
    .filter((exchange) => exchange.sentMs <= until)
    .map((exchange) => (exchange.readyMs ?? result.endMs) - exchange.sentMs)
  return {
    startMs: result.startMs,
    endMs: result.endMs,
    exitCode: result.exit.exitCode,
    error: run.outcome.ok ? null : run.outcome.error,
    waitedMs: Math.max(0, ...waited),
    committed: result.trace.transactions.filter((one) => one.committed).flatMap((one) => one.statements),
    ok: run.outcome.ok,
    waitedForOther: sessions.some(
      (exchange) =>
        exchange.sentMs < committedMs &&
        (exchange.readyMs ?? result.endMs) >= committedMs &&
        (exchange.readyMs ?? result.endMs) - exchange.sentMs >= WAITED_MS,
    ),
  }
}

const lastMs = (result: ToolResult): number =>
  Math.max(...result.sessions.flatMap((session) => session.exchanges).map((exchange) => exchange.readyMs ?? 0))

function outcomeOf(runs: readonly Run[], twice: readonly string[]): RacePass['outcome'] {
  if (twice.length > 0) return 'applied twice'
  const worked = runs.filter((run) => run.ok)
  if (worked.length === 0) return 'both failed'
  const failed = runs.find((run) => !run.ok)
  // Nothing refused by the server: the tool itself found that somebody else was at it.
  if (failed)
    return failed.error?.sqlstate === 'TOOL' || (failed.committed.length === 0 && isLockRefusal(failed))
      ? 'refused'
      : 'broke'
  const idle = runs.find((run) => run.committed.length === 0)
  if (idle) return idle.waitedForOther ? 'waited' : 'nothing to do'
  return 'waited'
}

/** lock_not_available, and a tool's own limit on waiting for an advisory lock. */
const isLockRefusal = (run: Run): boolean => ['55P03', '57014'].includes(run.error?.sqlstate ?? '')

/** Columns by which a journal tells its migrations apart. */
const KEYS = ['name', 'migration_name', 'filename', 'hash', 'created_at', 'version', 'version_id', 'script']

/** Migrations with more than one row in the journal. */
async function doubleRows(admin: Sql, { tool }: PassInput): Promise<RacePass['journalRows']> {
  const ledger = tool?.setup.ledger
  if (!tool || !ledger) return []
  const groups = new Map<string, { name: string; rows: number }>()
  for (const row of await readLedger(admin, ledger)) {
    const key = JSON.stringify(KEYS.map((column) => row[column] ?? null))
    // Of a journal with a watermark, a row stands for the last that it covers.
    const name = ledger.pending(tool.setup.files, [row]).applied.at(-1) ?? 'a migration of another release'
    groups.set(key, { name, rows: (groups.get(key)?.rows ?? 0) + 1 })
  }
  return [...groups.values()].filter(({ rows }) => rows > 1)
}
