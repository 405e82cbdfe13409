/**
 * Transactions as the server saw them (pure): their boundaries come from the status in ReadyForQuery and from what the
 * server answered to COMMIT, never from a model of the tool. A message of several statements outside a block is one
 * implicit transaction, cut by the COMMITs inside it (documentation, "Multiple Statements in a Simple Query").
 */
import type { TransactionTrace } from '../runner.js'
import type { WireSession } from '../../wire/types.js'
import type { Step } from './steps.js'

export interface StepsInTransactions {
  transactions: TransactionTrace[]
  /** Per step, same index: the ordinal of its transaction, 0 for none that holds a statement of a migration. */
  of: number[]
}

interface Open {
  trace: TransactionTrace
  steps: number[]
  failed: boolean
  /** Of PREPARE TRANSACTION: what becomes of it is decided later, maybe in another session. */
  gid: string | null
}

/** @param ids per step, same index: the migration's statement, null for the tool's own */
export function transactionsOf(
  steps: readonly Step[],
  ids: readonly (string | null)[],
  sessions: readonly WireSession[],
): StepsInTransactions {
  const all: Open[] = []
  for (const session of sessions) all.push(...ofSession(session, steps))
  for (const step of steps) finishPrepared(step, all)
  const of = steps.map(() => 0)
  const kept = all
    .filter((open) => open.steps.some((index) => ids[index] !== null))
    .sort((a, b) => a.trace.startMs - b.trace.startMs)
  for (const [index, open] of kept.entries()) {
    open.trace.ordinal = index + 1
    open.trace.statements = open.steps.flatMap((step) => ids[step] ?? [])
    for (const step of open.steps) of[step] = index + 1
  }
  return { transactions: kept.map((open) => open.trace), of }
}

function ofSession(session: WireSession, steps: readonly Step[]): Open[] {
  const done: Open[] = []
  let open: Open | null = null
  const begin = (startMs: number): Open => {
    const made: Open = {
      trace: {
        ordinal: 0,
        kind: 'autocommit',
        statements: [],
        startMs,
        end: { sentMs: startMs, readyMs: startMs },
        committed: false,
      },
      steps: [],
      failed: false,
      gid: null,
    }
    done.push(made)
    return made
  }
  for (const exchange of session.exchanges) {
    const inside = [...steps.entries()].filter(([, step]) => step.exchange === exchange)
    const readyMs = exchange.readyMs ?? session.endedMs ?? exchange.sentMs
    let implicit = open === null
    for (const [index, step] of inside) {
      open ??= begin(step.sentMs)
      open.steps.push(index)
      const control = step.piece.facts?.transaction ?? null
      if (control === 'begin' || !implicit) open.trace.kind = 'explicit'
      else if (open.trace.kind === 'autocommit' && open.steps.length > 1) open.trace.kind = 'message'
      open.trace.end = { sentMs: step.sentMs, readyMs: Math.min(readyMs, Math.max(step.endMs, step.startMs)) }
      if (step.error) {
        // The server lets go of everything when it aborts, not when it is told to roll back.
        open.failed = true
        if (exchange.after !== 'E') open = null
        break
      }
      if (step.tag === null) continue
      // In a failed transaction only ROLLBACK TO SAVEPOINT succeeds, and brings it back to life.
      if (control === 'other') open.failed = false
      const prepared = twoPhase(step)
      const prepares = prepared?.kind === 'TRANS_STMT_PREPARE'
      if (control === 'commit' || control === 'rollback' || prepares) {
        // COMMIT in a failed transaction is answered with ROLLBACK.
        open.trace.committed = step.tag !== 'ROLLBACK' && !prepares
        if (prepares && step.tag !== 'ROLLBACK') open.gid = prepared.gid
        open = step.piece.facts?.chains === true ? begin(step.sentMs) : null
        if (open) open.trace.kind = 'explicit'
        // What follows in the same message has no block of the client's any more.
        else implicit = true
      } else if (commitsAtOnce(step, open)) {
        open.trace.committed = true
        open = null
      }
    }
    if (open === null) continue
    if (exchange.readyMs === null || exchange.after === null) {
      // The connection ended: the server rolled back.
      open.trace.end = { sentMs: exchange.sentMs, readyMs }
      open = null
    } else if (exchange.after === 'I') {
      open.trace.end = { sentMs: Math.max(open.trace.end.sentMs, exchange.sentMs), readyMs }
      // A failure that came with the implicit COMMIT at the end belongs to no statement.
      open.trace.committed = !open.failed && exchange.error === null
      open = null
    } else if (exchange.after === 'T') open.trace.kind = 'explicit'
  }
  if (open !== null && session.endedMs !== null) open.trace.end = { sentMs: session.endedMs, readyMs: session.endedMs }
  return done
}

/**
 * What must not run in a transaction block is committed before the next message of its pipeline is looked at ("Pipelining"
 * in the protocol's documentation); in a message of several statements it fails.
 */
const commitsAtOnce = (step: Step, open: Open): boolean =>
  step.command.protocol === 'extended' &&
  open.trace.kind !== 'explicit' &&
  step.piece.facts?.refusesTransactionBlock === true

const twoPhase = ({ piece: { node } }: Step): { kind: string; gid: string } | null =>
  node && 'TransactionStmt' in node && node.TransactionStmt.gid !== undefined
    ? { kind: node.TransactionStmt.kind ?? '', gid: node.TransactionStmt.gid }
    : null

/** COMMIT PREPARED and ROLLBACK PREPARED: the prepared transaction kept its locks until now. */
function finishPrepared(step: Step, all: readonly Open[]): void {
  const second = step.tag === null ? null : twoPhase(step)
  if (!second || second.kind === 'TRANS_STMT_PREPARE') return
  const open = all.findLast((one) => one.gid === second.gid && one.trace.startMs <= step.sentMs)
  if (!open) return
  open.gid = null
  open.trace.committed = second.kind === 'TRANS_STMT_COMMIT_PREPARED'
  open.trace.end = { sentMs: step.sentMs, readyMs: step.endMs }
}
