/** From what passed through the proxy to what the recording says of the migration (pure). */
import type { MigrationFile, StatementRun, ToolMessage, ToolRun } from '../../recording.js'
import { normaliseSql } from '../../sql/normalise.js'
import type { Exchange, ServerMessage, WireSession } from '../../wire/types.js'
import type { MigrationTrace } from '../runner.js'
import type { Ledger, MigrationSource } from '../tools/types.js'
import { attribute } from './attribute.js'
import { failureOf, recordable } from './outcome.js'
import type { Role } from './roles.js'
import { stepsOf, type Step } from './steps.js'
import { transactionsOf } from './transactions.js'

export interface ToolEnd {
  exitCode: number | null
  signal: string | null
  /** The tail of what it printed; only looked through for the error's own words, never kept. */
  output: string
  /** The harness stopped it. */
  stopped: boolean
  journal: ToolRun['journal']
}

export interface TraceInput {
  sessions: readonly WireSession[]
  files: readonly MigrationFile[]
  sources: readonly MigrationSource[]
  ledger: Ledger | null
  elsewhere: string
  end: ToolEnd
}

export interface WireTrace extends MigrationTrace {
  /** The files with what programs turned out to send. */
  files: MigrationFile[]
  /** Statements by id as they were sent, literals and all: to be run again, never to be recorded. */
  sent: ReadonlyMap<string, string>
  /** Per step: the run that it became, for those who measured at the step. */
  runs: ReadonlyMap<Step, StatementRun>
  steps: readonly Step[]
  /** When the message left in which a statement was not the first: the lower bound of its beginning. */
  earliest: ReadonlyMap<StatementRun, number>
}

const MOST_MESSAGES = 2_000

export function traceOf(input: TraceInput): WireTrace {
  const exchanges = input.sessions.flatMap((session) => session.exchanges)
  const steps = stepsOf(exchanges)
  const { roles, statements: ids, files, sent } = attribute({ ...input, steps })
  const { transactions, of } = transactionsOf(steps, ids, input.sessions)
  const runs = new Map<Step, StatementRun>()
  const earliest = new Map<StatementRun, number>()
  for (const [index, step] of steps.entries()) {
    const id = ids[index]
    if (id === null || id === undefined) continue
    const run: StatementRun = {
      statement: id,
      transaction: of[index] ?? 0,
      startMs: step.startMs,
      endMs: step.endMs,
      boundary: step.boundary,
      outcome: step.error ? { ok: false, error: recordable(step.error, step.piece.sql) } : { ok: true },
      work: null,
    }
    runs.set(step, run)
    if (step.sentMs < step.startMs) earliest.set(run, step.sentMs)
  }
  const lastError = exchanges.flatMap((exchange) => errorsOf(exchange)).sort((a, b) => a.error.atMs - b.error.atMs)
  const failure = failureOf({ end: input.end, steps, ids, of, transactions, files, last: lastError.at(-1) ?? null })
  const startMs = transactions[0]?.startMs ?? exchanges[0]?.sentMs ?? 0
  const endMs = Math.max(startMs, ...transactions.map((transaction) => transaction.end.readyMs))
  const last = lastError.at(-1)
  return {
    run: {
      startMs,
      endMs,
      outcome: failure ? { ok: false, error: failure.error } : { ok: true },
      failedStatement: failure?.statement ?? null,
      timedOut: input.end.stopped,
      statements: [...runs.values()],
      transactions: transactions.map((one) => ({
        ordinal: one.ordinal,
        startMs: one.startMs,
        endMs: one.end.readyMs,
        end: one.committed ? ('committed' as const) : ('rolled back' as const),
        statements: one.statements,
        kind: one.kind,
      })),
      tool: {
        exitCode: input.end.exitCode,
        signal: input.end.signal,
        toldError: last ? tells(input.end.output, last.error) : null,
        lastError: last ? recordable(last.error, last.sql) : null,
        sessions: input.sessions.map((session) => ({
          ordinal: session.ordinal,
          pid: session.pid,
          applicationName: session.applicationName,
          startMs: session.startedMs,
          endMs: session.endedMs,
          trouble: session.trouble,
        })),
        ...messagesOf(exchanges, steps, roles, ids),
        journal: input.end.journal,
      },
    },
    transactions,
    warnings: warningsOf(steps, ids),
    files,
    sent,
    runs,
    steps,
    earliest,
  }
}

const errorsOf = (exchange: Exchange): { error: ServerMessage; sql: string }[] => [
  ...exchange.commands.flatMap(({ error, sql }) => (error ? [{ error, sql }] : [])),
  ...(exchange.error ? [{ error: exchange.error, sql: exchange.commands.at(-1)?.sql ?? '' }] : []),
]

/** Whether the tool's output names the error: its SQLSTATE or the server's own sentence. */
const tells = (output: string, error: ServerMessage): boolean =>
  output.includes(error.message) || new RegExp(`\\b${error.sqlstate}\\b`).test(output)

function messagesOf(
  exchanges: readonly Exchange[],
  steps: readonly Step[],
  roles: readonly Role[],
  ids: readonly (string | null)[],
): Pick<ToolRun, 'messages' | 'messagesNotListed'> {
  const inside = new Map<unknown, number[]>()
  for (const [index, step] of steps.entries()) {
    const list = inside.get(step.command) ?? []
    list.push(index)
    inside.set(step.command, list)
  }
  const messages: ToolMessage[] = []
  let left = 0
  for (const exchange of [...exchanges].sort((a, b) => a.ordinal - b.ordinal))
    for (const command of exchange.commands) {
      if (messages.length >= MOST_MESSAGES) {
        left++
        continue
      }
      const own = inside.get(command) ?? []
      const error = command.error ?? (own.length === 0 ? exchange.error : null)
      messages.push({
        session: exchange.session.ordinal,
        role: strongest(own.map((index) => roles[index] ?? 'other')),
        protocol: command.protocol,
        text: normaliseSql(command.sql),
        statements: own.flatMap((index) => ids[index] ?? []),
        sentMs: command.sentMs,
        firstByteMs: command.firstByteMs,
        completeMs: command.error?.atMs ?? command.completed.at(-1)?.atMs ?? null,
        readyMs: exchange.readyMs,
        tags: command.completed.map(({ tag }) => tag.replace(/(?: \d+)+$/, '')),
        after: STATUS[exchange.after ?? 'closed'],
        outcome: error ? { ok: false, error: recordable(error, command.sql) } : { ok: true },
      })
    }
  return { messages, messagesNotListed: left }
}

const STATUS = { I: 'idle', T: 'in a transaction', E: 'in a failed transaction', closed: 'closed' } as const

const ORDER: readonly Role[] = ['migration', 'journal', 'lock', 'transaction', 'other']

const strongest = (roles: readonly Role[]): Role => ORDER.find((role) => roles.includes(role)) ?? 'other'

function warningsOf(steps: readonly Step[], ids: readonly (string | null)[]): string[] {
  const whole = new Set(
    steps.flatMap((step, index) => {
      const id = ids[index]
      return step.boundary === 'message' && typeof id === 'string' ? [id.slice(0, id.lastIndexOf('#'))] : []
    }),
  )
  return [...whole].map(
    (file) =>
      `${file}: sent as one message whose statements the server did not tell apart; their times are those of the message.`,
  )
}
