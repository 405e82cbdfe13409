/** How a migration is run, and what is known of the run besides what is recorded. */
import type { MigrationFile, MigrationRun, Statement, TransactionMode, Work } from '../recording.js'

/** The stamps of one transaction: what its locks' lives are bracketed with. */
export interface TransactionTrace {
  ordinal: number
  kind: 'explicit' | 'message' | 'autocommit'
  statements: string[]
  startMs: number
  /** The exchange whose processing released the locks: COMMIT, ROLLBACK, the autocommitted or the failing statement. */
  end: { sentMs: number; readyMs: number }
  committed: boolean
}

export interface MigrationTrace {
  run: MigrationRun
  transactions: TransactionTrace[]
  warnings: string[]
}

export interface Hooks {
  /** `inTransaction`: the statement joins a transaction that outlives it. */
  beforeStatement?: (statement: Statement, inTransaction: boolean) => Promise<void>
  /** Returns the work the statement did, where that is measured. `aborted`: its transaction can no longer be asked. */
  afterStatement?: (statement: Statement, state: { inTransaction: boolean; aborted: boolean }) => Promise<Work | null>
  /** After each committed transaction, while the session is idle. */
  afterCommit?: (transaction: TransactionTrace) => Promise<void>
}

/** Tries after the first one, and the pause before each. */
export interface Retries {
  tries: number
  delayMs: number
}

export interface RunOptions {
  transaction: TransactionMode
  hooks?: Hooks
  /**
   * Quiet pass only: autocommitted statements that may run in a transaction block get one of their own, and `batch`
   * files are sent statement by statement in one, so that each statement's locks can be read before they are released.
   */
  dissect?: boolean
  /**
   * After 55P03 (lock_timeout) what has been rolled back is run again: the file, all files of the transaction, or the
   * statement that ran alone. Every try is in the run's `statements`, in a transaction of its own; one that had committed
   * something is not tried again. null or absent: never.
   */
  retries?: Retries | null
  signal?: AbortSignal
  onStatement?: (statement: Statement, state: 'started' | 'ok' | 'failed', sqlstate: string | null) => void
}

/** lock_not_available: the only failure that is tried again. */
export const RETRIED = '55P03'

/** Consecutive files that share a transaction, all others by themselves. */
export function units(files: readonly MigrationFile[], together: boolean): MigrationFile[][] {
  const found: MigrationFile[][] = []
  for (const file of files) {
    const last = found.at(-1)
    if (together && file.transaction === 'all' && last?.[0]?.transaction === 'all') last.push(file)
    else found.push([file])
  }
  return found
}
