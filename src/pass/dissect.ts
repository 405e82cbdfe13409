/** Plain SQL files in the quiet pass: every statement is run by itself and asked what it did. */
import { startClock } from '../clock.js'
import { runMigration, type Hooks, type MigrationTrace, type TransactionTrace } from '../migrations/runner.js'
import { openMigrationSession } from '../migrations/session.js'
import { openLockWatch } from '../observe/lock-watch.js'
import { startSampler, type Sampler } from '../observe/sampler.js'
import { WorkMeter } from '../observe/work.js'
import type { RelationState } from '../pg/catalog.js'
import { asked, connect, disconnect, type Sql } from '../pg/connect.js'
import { toPgError } from '../pg/errors.js'
import { LockMode, type MigrationFile, type Statement } from '../recording.js'
import { statementFacts, type StatementFacts } from '../sql/facts.js'
import { ANNOUNCE, byId, COUNT_EXACTLY, type PassInput } from './context.js'

/** Nothing is timed here, so the sampler may look as often as it likes. */
const QUIET_PERIOD_MS = 2

export interface DissectOptions {
  input: PassInput
  admin: Sql
  files: readonly MigrationFile[]
  /** Relations before the migration. */
  initial: ReadonlyMap<number, RelationState>
  /** After each committed transaction that changed something, while the migration stands still. */
  onCommit: (state: { id: string; last: Statement | null }) => Promise<void>
}

export interface Dissected {
  trace: MigrationTrace
  /** The files, with the statements that programs turned out to send. */
  files: readonly MigrationFile[]
  /** A statement by its id as it was sent, to be run again; never to be recorded. */
  sent: (id: string) => string | null
  /** What `onCommit` was told under a name of the moment, and what is known of it now. */
  states: ReadonlyMap<string, { id: string; last: Statement }>
  warnings: string[]
}

/** Relation locks of some sessions, as the sampler sees them. */
export interface SampledLocks {
  sampler: Sampler
  /** Those seen since the last call, of one session. */
  take(pid: number): { oid: number; mode: LockMode }[]
}

export function sampleLocks(
  sql: Sql,
  clock: ReturnType<typeof startClock>,
  pids: () => readonly number[],
): SampledLocks {
  let seen: { pid: number; oid: number; mode: LockMode }[] = []
  const sampler = startSampler({
    sql,
    clock,
    periodMs: QUIET_PERIOD_MS,
    pids,
    onLook: (look) => {
      for (const row of look.locks) {
        const mode = row.lockType === 'relation' ? (LockMode.safeParse(row.mode).data ?? null) : null
        if (!mode || !pids().includes(row.pid)) continue
        if (!seen.some((s) => s.pid === row.pid && s.oid === row.relation && s.mode === mode))
          seen.push({ pid: row.pid, oid: row.relation, mode })
      }
    },
  })
  return {
    sampler,
    take(pid) {
      const own = seen.filter((one) => one.pid === pid)
      seen = seen.filter((one) => one.pid !== pid)
      return own
    },
  }
}

/** How a statement ends, as far as its text tells the meter. */
export const endOf = (facts: StatementFacts): { truncates: boolean; dropsIndexConcurrently: boolean } => ({
  truncates: facts.isTruncate,
  dropsIndexConcurrently: facts.concurrently && (facts.kind === 'DropStmt' || facts.kind === 'ReindexStmt'),
})

/** Whether a statement leaves another state behind, and does not only read, set or commit something. */
export const changesSomething = (facts: StatementFacts): boolean =>
  !facts.isQuery && !facts.isSet && facts.transaction === null

export async function dissect({ input, admin, files, initial, onCommit }: DissectOptions): Promise<Dissected> {
  const clock = startClock()
  const session = await openMigrationSession(input.migrate, clock, { ...ANNOUNCE, ...COUNT_EXACTLY })
  const observer = connect(input.admin, { applicationName: 'rehearse sampler' })
  const sampled = sampleLocks(observer, clock, () => [session.pid])
  session.tap.onSend = () => sampled.sampler.nudge()
  const limit = new AbortController()
  const stop = (): void => {
    limit.abort()
    void observer`select pg_cancel_backend(${session.pid})`.catch(() => undefined)
  }
  const timer = setTimeout(stop, input.maxDurationMs)
  input.signal.addEventListener('abort', stop, { once: true })
  if (input.signal.aborted) limit.abort()
  const own = { ...asked(session.sql), pid: session.pid }
  const watch = await openLockWatch(input.admin, own, admin)
  const meter = new WorkMeter({
    session: own,
    notices: session.notices,
    observer: admin,
    initial,
    sampled: () => sampled.take(session.pid),
    watch,
  })
  const warnings: string[] = []
  // A question that the server does not answer (a timeout of the migration's own) costs the answer, not the rehearsal.
  const ask = async <T>(statement: Statement, question: () => Promise<T>): Promise<T | null> => {
    try {
      return await question()
    } catch (error) {
      warnings.push(unmeasured(statement, error))
      return null
    }
  }
  const statements = byId(files)
  const committed = async (transaction: TransactionTrace): Promise<void> => {
    const inside = transaction.statements.flatMap((id) => statements.get(id) ?? [])
    const last = inside.at(-1)
    // A committed transaction is a state that sessions can meet, unless it only read or set something.
    if (!last || !inside.some((statement) => changesSomething(statementFacts(statement.sql)))) return
    await onCommit({ id: `T${transaction.ordinal}`, last })
  }
  const hooks: Hooks = {
    beforeStatement: async (statement, inTransaction) => {
      // SET TRANSACTION must come before any query of its transaction, ours included.
      if (!statementFacts(statement.sql).setsTransaction) await ask(statement, () => meter.before(inTransaction))
    },
    afterStatement: async (statement, state) => {
      const facts = statementFacts(statement.sql)
      if (facts.setsTransaction) return null
      return ask(statement, () => meter.after({ ...state, ...endOf(facts) }))
    },
    afterCommit: committed,
  }
  try {
    const trace = await runMigration(session, files, {
      transaction: input.transaction,
      hooks,
      dissect: true,
      signal: limit.signal,
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
    return { trace, files, sent: (id) => statements.get(id)?.sql ?? null, states: new Map(), warnings }
  } finally {
    clearTimeout(timer)
    input.signal.removeEventListener('abort', stop)
    await sampled.sampler.stop()
    await disconnect(observer)
    await watch?.close()
    await session.close()
  }
}

export const unmeasured = (statement: { file: string; line: number }, error: unknown): string =>
  `${statement.file}:${statement.line}: what it did could not be measured (${toPgError(error).sqlstate}).`
