/** Transactions as the server's log shows them: by its virtual transaction ids, without any look at the wire. */
import { parseSql } from '../../src/sql/parser.js'
import type { LogEntry } from './server-log.js'

export interface LoggedTransaction {
  pid: number
  /** Of its first statement. */
  vxid: string
  /** Begun by a statement of its own; otherwise it is one message, or one pipelined batch up to its Sync. */
  explicit: boolean
  /**
   * `unclear`: a message of several statements that holds COMMIT or the like and then failed, so that a part of it may
   * be there. `open`: neither ended nor disconnected.
   */
  outcome: 'committed' | 'rolled back' | 'unclear' | 'open'
  /** Statements, BEGIN and COMMIT included. */
  statements: LogEntry[]
  /** The first error. */
  error: LogEntry | null
}

type Control = 'begin' | 'commit' | 'rollback'
const CONTROLS: Readonly<Record<string, Control>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_PREPARE: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
}

/** What each statement of a message does to the transaction; null for most. One null where it cannot be parsed. */
function controlsOf(sql: string): (Control | null)[] {
  let parsed
  try {
    parsed = parseSql(sql)
  } catch {
    return [null]
  }
  return parsed.map(({ node }) =>
    'TransactionStmt' in node ? (CONTROLS[node.TransactionStmt.kind ?? ''] ?? null) : null,
  )
}

const SENT: readonly string[] = ['statement', 'execute', 'fetch']
const outside = (vxid: string): boolean => vxid === '' || vxid.endsWith('/0')

/**
 * Transactions of one backend in order. A new virtual transaction id begins one; statements after a failure have the
 * number 0 and belong to the failed block until its ROLLBACK.
 */
export function transactions(log: readonly LogEntry[], pid: number): LoggedTransaction[] {
  const found: LoggedTransaction[] = []
  let current: LoggedTransaction | null = null
  for (const entry of log) {
    if (entry.pid !== pid) continue
    if (entry.kind === 'disconnected' && current !== null) {
      if (current.outcome === 'open' && current.explicit) current.outcome = 'rolled back'
      current = null
    }
    if (entry.kind === 'error') fail(current, entry, found)
    if (!SENT.includes(entry.kind)) continue
    // CREATE INDEX CONCURRENTLY and VACUUM go through several ids, and a message may hold a COMMIT: the next statement's decides.
    const goesOn: boolean = current?.outcome === 'open' && (entry.vxid === current.vxid || outside(entry.vxid))
    if (current === null || !goesOn) {
      if (current?.outcome === 'open') current.outcome = current.error === null ? 'committed' : 'rolled back'
      current = { pid, vxid: entry.vxid, explicit: false, outcome: 'open', statements: [], error: null }
      found.push(current)
    }
    current.statements.push(entry)
    follow(current, controlsOf(entry.sql ?? ''))
  }
  // What is not in a block has ended with its message: the log was read after its answer.
  for (const one of found) if (one.outcome === 'open' && !one.explicit) one.outcome = 'committed'
  return found
}

/** A syntax error is logged without a statement of its own, so it may be all that is known of a transaction. */
function fail(current: LoggedTransaction | null, entry: LogEntry, found: LoggedTransaction[]): void {
  if (current?.outcome === 'open' || (current !== null && current.statements.at(-1)?.sql === entry.sql)) {
    current.error ??= entry
    const last = controlsOf(current.statements.at(-1)?.sql ?? '')
    const several = last.length > 1 && last.some((control) => control !== null)
    if (!current.explicit || several) current.outcome = several ? 'unclear' : 'rolled back'
    return
  }
  if (entry.sql === null) return
  const { pid, vxid } = entry
  found.push({ pid, vxid, explicit: false, outcome: 'rolled back', statements: [entry], error: entry })
}

function follow(current: LoggedTransaction, controls: readonly (Control | null)[]): void {
  if (controls[0] === 'begin' && current.statements.length === 1) current.explicit = true
  if (controls.length !== 1 || !current.explicit) return
  if (controls[0] === 'commit') current.outcome = current.error === null ? 'committed' : 'rolled back'
  if (controls[0] === 'rollback') current.outcome = 'rolled back'
}

/** Backend pids of clients that sent something, in the order of their first statement. */
export const pidsOf = (log: readonly LogEntry[]): number[] => [
  ...new Set(log.filter((entry) => SENT.includes(entry.kind)).map((entry) => entry.pid)),
]

/** Statements of all sessions in the order of the log. */
export const statementsOf = (log: readonly LogEntry[]): LogEntry[] => log.filter((entry) => SENT.includes(entry.kind))

/** SQLSTATEs of all errors in order. */
export const errorsOf = (log: readonly LogEntry[]): string[] =>
  log.flatMap((entry) => (entry.kind === 'error' ? [entry.sqlstate ?? ''] : []))
